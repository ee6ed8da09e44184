"""Builds the SFT rows, the held-out cards and the cards to sample pairs from.

    python -m data_prep.examples --config recipes/demo/data.yaml

Reads data/cards.jsonl, split.json, notes.jsonl, candidates.jsonl. Writes data/sft/{train,validation}.parquet,
data/heldout.jsonl (cards no training stage sees), data/sampling.jsonl (training and validation cards). A candidate that
fails a check goes to data/rejected.jsonl with the reason that evaluation would print for it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.checks import check_summary, failures, passed_all
from data_prep.manifest import Manifest
from data_prep.prompts import PROMPT_VERSION, TEMPLATE_KWARGS, Prompt, build_completion, build_prompt, source_text
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import (
    Candidate,
    Card,
    CardNotes,
    Example,
    HeldOut,
    Note,
    Rejected,
    in_step,
    read_jsonl,
    replacing,
    set_aside,
    stable_id,
    to_json,
)
from data_prep.tables import EXAMPLE_SCHEMA, TableWriter


class ExamplesConfig(Block):
    tokenizer: str
    """Folder or Hub id of the tokenizer of the model to be trained; the budget is counted in its tokens."""
    max_prompt_tokens: int = 14_000
    """Length of a prompt as rendered. What does not fit is cut at line ends, longest part first, and recorded."""
    references: int = 2
    """Accepted summaries used per training card, in the order of the candidates."""
    check: bool = True
    """False keeps candidates that fail a check. Only for looking at data: training on them teaches the fault."""


@dataclass(frozen=True)
class Material:
    """All that is known of one card when its rows are built."""

    card: Card
    notes: list[Note]
    candidates: list[Candidate]
    split: str
    family: str


def main(recipe: Recipe[ExamplesConfig]) -> None:
    data = recipe.run_dir / "data"
    inputs = [data / name for name in ("cards.jsonl", "split.json", "notes.jsonl", "candidates.jsonl")]
    outputs = [
        data / "sft" / "train.parquet",
        data / "sft" / "validation.parquet",
        data / "heldout.jsonl",
        data / "sampling.jsonl",
    ]
    manifest = Manifest(data / "examples.manifest.json", "examples", recipe.resolved(), inputs, outputs)
    if manifest.is_done():
        return
    tokenizer = load_tokenizer(recipe.block.tokenizer)
    rejected: list[Rejected] = []
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        tables = {name: TableWriter(data / "sft" / f"{name}.parquet", EXAMPLE_SCHEMA) for name in ("train", "validation")}
        files = {name: stack.enter_context(replacing(data / f"{name}.jsonl")) for name in ("heldout", "sampling")}
        for material in tqdm(materials(data), desc="examples", unit=" cards", mininterval=1):
            prompt, problem = fit(material, tokenizer, recipe.block)
            if prompt is None:
                rejected.append(Rejected("examples", material.card.id, "the prompt does not fit", problem))
                continue
            accepted, refused = sift(material, recipe.block.check)
            rejected += refused
            counts[f"{material.split} cards"] += 1
            counts["prompts cut to the budget"] += bool(prompt.omitted)
            if accepted:
                name = "heldout" if material.split == "heldout" else "sampling"
                files[name].write(to_json(held_out(material, prompt, accepted[0].text)) + "\n")
            if material.split in tables:
                for candidate in accepted[: recipe.block.references]:
                    tables[material.split].add(example(material, candidate, prompt, tokenizer))
        for table in tables.values():
            table.close()
    set_aside(data / "rejected.jsonl", "examples", rejected)
    rows = {f"{name} rows": table.count for name, table in tables.items()}
    manifest.write(**rows, **counts, rejected=len(rejected))
    report(rows | counts, rejected)


def load_tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer  # two seconds of import that `--help` need not wait for

    try:
        return AutoTokenizer.from_pretrained(name)
    except OSError as error:
        raise ValueError(f'examples.tokenizer is "{name}", which cannot be loaded: {str(error).splitlines()[0]}') from None


def materials(data: Path) -> Iterator[Material]:
    """Joins cards, notes and candidates, all in the order of cards.jsonl, holding one card at a time."""
    manifest = json.loads((data / "split.json").read_text(encoding="utf-8"))
    splits, families = manifest["splits"], manifest["families"]
    cards = (card for card in read_jsonl(data / "cards.jsonl", Card) if card.id in splits)
    names = (card.id for card in read_jsonl(data / "cards.jsonl", Card) if card.id in splits)
    again = (card.id for card in read_jsonl(data / "cards.jsonl", Card) if card.id in splits)
    notes = in_step(names, read_jsonl(data / "notes.jsonl", CardNotes), lambda row: row.card_id)
    candidates = in_step(again, read_jsonl(data / "candidates.jsonl", Candidate), lambda row: row.card_id)
    for card, (_, noted), (_, written) in zip(cards, notes, candidates, strict=True):
        found = [note for row in noted for note in row.notes]
        yield Material(card, found, written, splits[card.id], families[card.id])


def fit(material: Material, tokenizer: Any, block: ExamplesConfig) -> tuple[Prompt | None, str]:
    """The card's prompt, or None and why its frame alone is over the budget."""
    try:
        card = material.card
        return build_prompt(card.model_id, card.text, material.notes, tokenizer, block.max_prompt_tokens), ""
    except ValueError as error:
        return None, str(error)


def sift(material: Material, check: bool) -> tuple[list[Candidate], list[Rejected]]:
    """Candidates that pass every check, and the others with the reason."""
    source = source_text(material.card.model_id, material.card.text, material.notes)
    accepted, refused = [], []
    for candidate in material.candidates:
        results = check_summary(candidate.text, source)
        if passed_all(results) or not check:
            accepted.append(candidate)
        else:
            refused.append(Rejected("examples", candidate.id, f"fails {failed_names(results)}", failures(results)))
    return accepted, refused


def failed_names(results: Sequence[Any]) -> str:
    return ", ".join(result.name for result in results if not result.passed)


def example(material: Material, candidate: Candidate, prompt: Prompt, tokenizer: Any) -> Example:
    return Example(
        id=stable_id(candidate.id, PROMPT_VERSION),
        prompt=prompt.messages,
        completion=build_completion(candidate.text, tokenizer),
        chat_template_kwargs=TEMPLATE_KWARGS,
        provenance=provenance(material, prompt) | {"writer": candidate.writer, "decoding": candidate.decoding},
    )


def provenance(material: Material, prompt: Prompt) -> dict[str, Any]:
    card = material.card
    return {
        "card_id": card.id,
        "model_id": card.model_id,
        "revision": card.revision,
        "licence": card.licence,
        "family": material.family,
        "prompt_version": PROMPT_VERSION,
        "prompt_tokens": prompt.tokens,
        "omitted": {omission.part: omission.tokens for omission in prompt.omitted},
    }


def held_out(material: Material, prompt: Prompt, reference: str) -> HeldOut:
    source = source_text(material.card.model_id, material.card.text, material.notes)
    return HeldOut(material.card.id, prompt.messages, source, reference, material.family)


def report(counts: dict[str, int], rejected: list[Rejected]) -> None:
    print("examples: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for reason, count in Counter(row.reason for row in rejected).most_common():
        print(f"  set aside {count}: {reason}")


if __name__ == "__main__":
    command("examples", ExamplesConfig, main, __doc__, "data_prep.examples")
