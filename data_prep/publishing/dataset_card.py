"""The card of a published data set, written from the manifests of its run: what is in it, where it came from, what was left
out and why, and the commands that make it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from data_prep.checks.meaning import NO_FLAG
from data_prep.core.manifest import manifest_of
from data_prep.core.records import TRAINED_ON
from data_prep.core.text import markdown_table
from data_prep.prompts.student import PROMPT_VERSION
from data_prep.publishing.rows import PublishableRun, set_aside_counts

STAGES = ("collect", "split", "research", "write", "examples", "revise", "pairs")
CONFIGS = {
    "sft": "conversations to tune on: prompt, completion, provenance",
    "preference": "chosen and rejected summaries of one prompt, with what is wrong with the rejected",
    "candidates": "every summary that was written, with the checks that flag it",
    "withheld": "cards whose licence does not let their text go out: id, hash, notes",
    "cards": "all cards of the split; of held-out ones only id and family, to keep them out of training",
}
HOME = "http://localhost:8000/v1"  # stands in for a teacher's server: whose it was is nobody's business
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card_text(name: str, release: PublishableRun, rows: Mapping[tuple[str, str], int]) -> str:
    """README.md of the data set. `rows` holds the number of rows by config and split."""
    parts = [
        f"---\n{front_matter(name, release, rows)}---",
        f"# {name}",
        "Model cards of the Hugging Face Hub with research notes on the pages they link to, and summaries of 300 to 500 words in "
        "Markdown. For tuning a model that writes such summaries.",
        contents(release, rows),
        licences(release),
        origin(release),
        split_section(release),
        filters(release),
        limits(release),
        rebuild(release),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(name: str, release: PublishableRun, rows: Mapping[tuple[str, str], int]) -> str:
    configs = []
    for config in CONFIGS:
        files = [{"split": split, "path": f"{config}/{split}.parquet"} for other, split in rows if other == config]
        if files:
            configs.append({"config_name": config, "data_files": files} | ({"default": True} if config == "sft" else {}))
    total = sum(rows.values())
    return yaml.safe_dump(
        {
            "pretty_name": name,
            "license": "other",
            "license_name": "by-row",
            "language": ["en"],
            "task_categories": ["summarization", "text-generation"],
            "tags": ["model-cards", "preference", "provenance"],
            "size_categories": [next((label for most, label in SIZES if total < most), "n>1M")],
            "configs": configs,
        },
        sort_keys=False,
    )


def contents(release: PublishableRun, rows: Mapping[tuple[str, str], int]) -> str:
    splits = [*TRAINED_ON, "all"]
    counts = [[config, *(f"{rows.get((config, split), 0):,}" for split in splits), told] for config, told in CONFIGS.items()]
    form = {
        "licensed": "Prompts hold the text of cards whose licence is permissive. The other cards are in `withheld`.",
        "never": "No card's text is in this data set: rows have the card's id, revision and SHA-256 in place of a prompt.",
    }[release.text]
    table = markdown_table(["config", *splits, "what"], counts)
    return f"## What is in it\n\n{form} `provenance` is JSON: card, writer, decoding, checks.\n\n{table}"


def licences(release: PublishableRun) -> str:
    cards = Counter(card.licence or "none stated" for card in release.cards.values() if card.split in TRAINED_ON)
    writers = [[writer, licence or "not known"] for writer, licence in sorted(release.licences.items())]
    left = [[count, reason] for reason, count in release.left_out.most_common()]
    return "\n\n".join(
        [
            "## Licences",
            "Every row names its card (`model_id`, `revision`) and the card's licence: that is the attribution which cc-by asks for. "
            "Licences of the training and validation cards:",
            markdown_table(["licence", "cards"], cards.most_common()),
            "Who wrote notes and summaries, and under which licence:",
            markdown_table(["writer", "licence"], writers or [["this project's model", "as in its own card"]]),
            "Left out:" if left else "Nothing was left out.",
            *([markdown_table(["rows", "reason"], left)] if left else []),
        ]
    )


def origin(release: PublishableRun) -> str:
    collect = manifest_of(release.data, "collect")
    settings = collect.get("recipe", {}).get("collect", {})
    known = sum(1 for card in release.cards.values() if card.revision)
    lines = [
        f"Source of the cards: `{settings.get('source', 'unknown')}`; {known:,} of {len(release.cards):,} cards have the revision at which they were read.",
        f"Prompt version {PROMPT_VERSION}. Notes are written about linked pages; no page's text is passed on.",
        f"Versions: {', '.join(f'{name} {number}' for name, number in sorted(collect.get('versions', {}).items()))}.",
    ]
    return "## Where it comes from\n\n" + "\n".join(f"- {line}" for line in lines)


def split_section(release: PublishableRun) -> str:
    cards = Counter(card.split for card in release.cards.values())
    families = {split: len({card.family for card in release.cards.values() if card.split == split}) for split in cards}
    table = markdown_table(["split", "cards", "families"], [[split, cards[split], families[split]] for split in sorted(cards)])
    return (
        "## Split\n\nBy lineage: cards that share a model, a name of copies, a third of their sources or half of their text are one "
        f"family, and a family is in one split. Pages that several splits link to serve training cards only.\n\n{table}"
    )


def filters(release: PublishableRun) -> str:
    rows = [[stage, count, reason] for (stage, reason), count in sorted(set_aside_counts(release.data).items())]
    return "## Set aside\n\n" + (markdown_table(["stage", "rows", "reason"], rows) if rows else "Nothing was set aside.")


def limits(release: PublishableRun) -> str:
    return (
        f"## Known limits\n\n- The checks flag what a program can see. {NO_FLAG}\n"
        "- Cards say what their authors say: figures are claims, not measurements.\n- Families miss relations that no card states."
    )


def rebuild(release: PublishableRun) -> str:
    examples = manifest_of(release.data, "examples").get("recipe", {}).get("examples", {})
    steps = "\n".join(
        f"python -m data_prep.{stage} --config recipe.yaml" for stage in STAGES if manifest_of(release.data, stage)
    )
    text = f"## How to make it again\n\nFrom the beginning, with `recipe.yaml` of this data set:\n\n```bash\n{steps}\n```"
    if "corrected" in manifest_of(release.data, "pairs").get("recipe", {}).get("pairs", {}).get("shares", {}):
        text += (
            "\n\nA reader corrected the chosen texts of pairs whose `provenance` names the pool `corrected`; no program makes those again. "
            "`data_prep.pairs` finds them in data/corrections.jsonl."
        )
    if release.text == "never":
        tokenizer, budget = impersonal(examples.get("tokenizer", "HuggingFaceTB/SmolLM3-3B")), examples.get("max_prompt_tokens")
        text += (
            "\n\nOr the prompts alone. This reads each card at its revision, compares its SHA-256 and puts the prompts back:\n\n```bash\n"
            f"python -m data_prep.rebuild --published . --to whole --tokenizer {tokenizer} --max_prompt_tokens {budget}\n```"
        )
    return text


def recipe_yaml(release: PublishableRun) -> str:
    """The run's settings as one recipe, without folders of this machine and without anybody's server."""
    recipe: dict[str, Any] = {"run_dir": "runs/rebuilt"}
    for stage in STAGES:
        found = manifest_of(release.data, stage).get("recipe", {})
        if stage in found:
            recipe |= {"seed": found["seed"], stage: impersonal(found[stage])}
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


PRIVATE = ("contact", "mirror")  # of research.fetch: somebody's address, and a server of theirs


def impersonal(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key not in PRIVATE}
        return {key: HOME if key == "base_url" else impersonal(inner) for key, inner in kept.items()}
    if isinstance(value, list):
        return [impersonal(inner) for inner in value]
    return value.rstrip("/").rpartition("/")[2] if isinstance(value, str) and value.startswith(("/", "~", "..")) else value
