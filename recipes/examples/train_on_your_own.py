"""Train a summariser on your own cards and summaries: collect, split by family, training rows, SFT, merge, one summary.

    python recipes/examples/train_on_your_own.py                                without input: pairs of invented cards, the demo's base
    python recipes/examples/train_on_your_own.py my-pairs.jsonl --card path/to/card.md

Needs   `make install`. The demo's recipe trains a SmolLM3 of 1.09 M parameters on two CPU cores: a few minutes, and a page whose form is
        right. For SmolLM3-3B change RECIPE below, or pass --recipe smollm3-3b; that takes a GPU of 24 GB (recipes/smollm3-3b/sft.yaml).
Reads   JSON lines, {"model_id": "ORG/NAME", "text": CARD, "summary": SUMMARY}; "summary" may be a list of
        several, and "notes" ([{"url", "text"}]) may be added. Without input such a file is written first, to look at: runs/examples/pairs.jsonl.
Writes  runs/examples/demo-pairs/, named after recipe and file: data/ (rows, what was set aside and why), sft/ (the adapter), sft-merged/ (the model), page.md
Every command is shown before it runs, and can be copied out. Killed, run again: what is done is passed over.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_prep.core.files import read_dicts, write_jsonl, write_text
from data_prep.core.recipe import exit_on_mistake
from data_prep.synthetic.world import raw_cards
from eval.summarize import summarize_card
from eval.summarizing.screen import printable
from eval.summarizing.verdict import verdict

RECIPE = "demo"  # "smollm3-3b" trains SmolLM3-3B
RECIPES = Path("recipes")  # these name files from the repository's root, so start there
SHOWN = Path("runs/examples/pairs.jsonl")


def main() -> None:
    options = parser().parse_args()
    pairs: Path = options.pairs or written_example(options.cards)
    run: Path = options.run_dir or Path("runs/examples") / f"{options.recipe}-{pairs.stem}"
    recipe = RECIPES / options.recipe
    on_cpu = "\nuse_cpu: true" in (Path(__file__).parents[1] / options.recipe / "sft.yaml").read_text(encoding="utf-8")
    launcher = RECIPES / "accelerate" / ("cpu.yaml" if on_cpu else "one_gpu.yaml")

    # 1. Cards with their summaries; what cannot be used goes to data/rejected.jsonl with the reason. Then families of related cards to
    #    one split each, so that no held-out card has a copy in training. Then prompts and answers as rows.
    source = ["--collect.source", "summaries", "--collect.path", pairs]
    for stage, more in (("collect", source), ("split", []), ("research", []), ("write", []), ("examples", [])):
        command(f"data_prep.{stage}", "--config", recipe / "data.yaml", "--run_dir", run, *more)
    # 2. LoRA on the rows. Any key of the recipe can be overridden, as here the number of steps.
    #    Too few pairs for a validation card are trained on without one.
    steps = ["--max_steps", options.max_steps] if options.max_steps else []
    steps += ["--eval_strategy", "no"] if is_empty(run / "data/sft/validation.parquet") else []
    training = ["-m", "training.sft", "--config", recipe / "sft.yaml", "--run_dir", run, *steps]
    command("training.launch", "--config_file", launcher, *training)
    # 3. The adapter into its base; base plus adapter and the merged model are compared on real prompts.
    command("training.merge", "--config", recipe / "merge.yaml", "--run_dir", run)
    # 4. A page by the new model, of your card or of the first held-out one with its notes, and the verdict of the checks.
    model = run / "sft-merged"
    card, how = (options.card, {"research": False}) if options.card else held_out_card(run)
    result = summarize_card(str(card), model=str(model), max_new_tokens=options.max_new_tokens, **how)
    text = f"{result.best.written.text}\n\n---\n\n{verdict(result.best).plain}\n"
    write_text(run / "page.md", text)
    print(
        f"\n{printable(text)}\nwritten: {run / 'page.md'}; the model is {model}:\n  .venv/bin/card-summarizer CARD.md --model {model}"
    )


def command(module: str, *arguments: object) -> None:
    words = [os.path.relpath(sys.executable), "-m", module, *map(str, arguments)]
    print(f"\n$ {shlex.join(words)}", flush=True)
    if code := subprocess.run(words).returncode:
        raise SystemExit(code)  # the stage has said why


def is_empty(table: Path) -> bool:
    return table.exists() and pq.read_metadata(table).num_rows == 0


def held_out_card(run: Path) -> tuple[Path, dict[str, Any]]:
    """The first card that no training stage saw, as a file, and how to read it: its id, and its notes where it has some. A training card
    where the pairs are too few to hold one out."""
    splits = json.loads((run / "data/split.json").read_text(encoding="utf-8"))["splits"]
    cards = list(read_dicts(run / "data/cards.jsonl"))
    used = [card for card in cards if card["id"] in splits]  # `split` sets copies aside
    card = next((card for card in used if splits[card["id"]] == "heldout"), used[0])
    notes = next((row["notes"] for row in read_dicts(run / "data/notes.jsonl") if row["card_id"] == card["id"]), [])
    file = run / f"{card['model_id'].replace('/', '--')}.md"
    write_text(file, card["text"])
    if not notes:
        return file, {"model_id": card["model_id"], "research": False}
    write_jsonl(file.with_suffix(".notes.jsonl"), notes)
    return file, {"model_id": card["model_id"], "research_file": file.with_suffix(".notes.jsonl")}


def written_example(cards: int) -> Path:
    """Invented cards with the notes and the reference summaries that came with them."""
    rows = [
        {"model_id": raw.model_id, "text": raw.content, "summary": raw.summaries, "notes": list(map(asdict, raw.notes))}
        for raw in raw_cards(seed=1, cards=cards)
    ]
    write_jsonl(SHOWN, rows)
    return SHOWN


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("pairs", nargs="?", type=Path, metavar="PAIRS", help="JSON lines of cards and summaries")
    made.add_argument("--card", metavar="CARD", help="what to summarise at the end (default: the first held-out card)")
    made.add_argument("--recipe", default=RECIPE, help="folder in recipes/ (default: %(default)s)")
    made.add_argument(
        "--run_dir", type=Path, metavar="FOLDER", help="(default: runs/examples/RECIPE-PAIRS, as runs/examples/demo-pairs)"
    )
    made.add_argument(
        "--cards", type=int, default=300, metavar="N", help="how many to invent without PAIRS (default: %(default)s)"
    )
    made.add_argument("--max_steps", type=int, metavar="N", help="stop training there (default: as the recipe says)")
    made.add_argument("--max-new-tokens", type=int, default=1200, metavar="N", help="of the page (default: %(default)s)")
    return made


if __name__ == "__main__":
    exit_on_mistake(main, "train_on_your_own")
