"""Takes the model's own best samples as rows for SFT, rejection-sampling fine-tuning, or its own pages as readers set them right.

    python -m data_prep.best --config recipes/demo/data.yaml
    python -m data_prep.best --config recipes/smollm2-135m/data.yaml --best.of corrections --best.per_card 4 --best.references beside

Reads data/sampling.jsonl, split.json, and samples.jsonl or what data_prep.correct made, corrections.jsonl. Writes
data/best/{train,validation}.parquet: of each card the pages with the highest grade (`checks/grade.py`), or the reference where the recipe
says so. `training.sft` trains on them, from the merged SFT model, where its recipe has `rejection_sampling: true`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.checked import CheckedSummary
from data_prep.core.files import corrections_of, read_jsonl, read_split, samples_of, set_aside, stable_id, trained_split
from data_prep.core.manifest import Manifest
from data_prep.core.parquet import EXAMPLE_SCHEMA, table_writer
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import TRAINED_ON, Correction, Example, HeldOut, Rejected
from data_prep.core.text import count_words

# Why a card has no row, by what was looked for and whether it has any.
NOTHING = {
    ("samples", True): "no sample reaches best.min_grade",
    ("samples", False): "no sample of this card; sample.cards leaves it out",
    ("corrections", True): "no corrected page that can be a row: computed numbers, or words that a tokenizer reads as an end",
    ("corrections", False): "no corrected page of this card",
}


class BestConfig(Block):
    of: Literal["samples", "corrections"] = "samples"
    """corrections: the pages that a reader set right, in place of samples."""
    per_card: int = Field(1, ge=1)
    """Own pages of a card at most, the best first. Few are good where few were drawn: sample.samples."""
    min_grade: float = Field(0.6, ge=0, le=1)
    """A sample has at least this score; of a corrected page none is asked."""
    derived_numbers: Literal["keep", "refuse"] = "refuse"
    """refuse: a sample with numbers computed from the source's is left out, as in examples.derived_numbers."""
    references: Literal["none", "missing", "beside", "all"] = "none"
    """Cards whose reference is a row too: those without a page of the model's own, those with one, or all. Off what the model itself writes."""


def main(recipe: Recipe[BestConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    if not (data / f"{block.of}.jsonl").exists():
        makes = {
            "samples": "run eval.generate --stage sample first",
            "corrections": "run data_prep.correct, or copy the file there",
        }
        raise ValueError(f"{data}/{block.of}.jsonl is missing; {makes[block.of]}")
    inputs = [data / name for name in (f"{block.of}.jsonl", "sampling.jsonl", "split.json")]
    tables, aside = {split: data / "best" / f"{split}.parquet" for split in TRAINED_ON}, data / "rejected.jsonl"
    manifest = Manifest(data / "best.manifest.json", "best", recipe.resolved(), inputs, [*tables.values()], aside)
    if manifest.is_done():
        return
    found, rejected = choose(data, block)
    for split, table in tables.items():
        with table_writer(table, EXAMPLE_SCHEMA) as add:
            for row in found[split]:
                add(row)
    set_aside(aside, "best", rejected)
    counts = Counter(f"{split}_{row.provenance['writer']}" for split, rows in found.items() for row in rows)
    grades = [row.provenance["grade"] for rows in found.values() for row in rows]
    manifest.write(**counts, rejected=len(rejected), grade=fmean(grades) if grades else None)
    report(counts, grades, rejected)


def choose(data: Path, block: BestConfig) -> tuple[dict[str, list[Example]], list[Rejected]]:
    """Rows by split, and the cards that have none."""
    splits = read_split(data / "split.json")["splits"]
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    found: dict[str, list[Example]] = {split: [] for split in TRAINED_ON}
    rejected: list[Rejected] = []
    if block.of == "samples":
        pools = own_samples(cards, data)
    else:
        corrections, rejected = corrections_of(data / "corrections.jsonl", cards, "best")
        pools = corrected_pages(cards, corrections)
    for card, pages in tqdm(pools, "best", len(cards), unit=" cards", mininterval=1):
        rows = rows_of(card, pages, block)
        found[trained_split(card, splits)] += rows
        if not rows:
            rejected.append(Rejected("best", card.id, NOTHING[block.of, bool(pages)]))
    return found, rejected


def own_samples(cards: Sequence[HeldOut], data: Path) -> Iterator[tuple[HeldOut, list[CheckedSummary]]]:
    for card, samples in samples_of(cards, data / "samples.jsonl"):
        yield card, [CheckedSummary.sample(sample, card.source) for sample in samples]


def corrected_pages(
    cards: Sequence[HeldOut], corrections: Mapping[str, Sequence[Correction]]
) -> Iterator[tuple[HeldOut, list[CheckedSummary]]]:
    for card in cards:
        yield card, [CheckedSummary.candidate(row.candidate, card.source, "corrected") for row in corrections.get(card.id, ())]


def rows_of(card: HeldOut, pages: Sequence[CheckedSummary], block: BestConfig) -> list[Example]:
    """The best pages of a card, and its reference where it is asked for. No text twice."""
    graded = [page.graded(card.source) for page in pages]
    ranked = sorted({item.text: item for item in reversed(graded)}.values(), key=lambda item: -item.score)
    good = [
        item
        for item in ranked
        if (block.of == "corrections" or item.score >= block.min_grade)
        and not item.unwritable
        and (block.derived_numbers == "keep" or not item.reckoned)
    ]
    chosen = good[: block.per_card]
    if block.references == "all" or block.references == ("beside" if chosen else "missing"):
        reference = CheckedSummary.reference(card)
        if not reference.unwritable:
            chosen.append(reference.graded(card.source))
    return [row_of(card, item) for item in chosen]


def row_of(card: HeldOut, item: CheckedSummary) -> Example:
    return Example(
        id=stable_id(card.id, item.text),
        prompt=card.prompt,
        completion=[{"role": "assistant", "content": item.text}],
        chat_template_kwargs=card.chat_template_kwargs,
        provenance={
            "card_id": card.id,
            "family": card.family,
            "writer": item.origin,
            "sample": item.key,
            "grade": round(item.score, 3),
            "failed": item.failed,
        },
    )


def report(counts: Counter[str], grades: list[float], rejected: list[Rejected]) -> None:
    print(f"best: {count_words(counts) or 'none'}" + (f"; graded {fmean(grades):.2f} on average" if grades else ""))
    for reason, number in Counter(row.reason for row in rejected).most_common():
        print(f"  set aside {number}: {reason}")


if __name__ == "__main__":
    command("best", BestConfig, main, __doc__, "data_prep.best")
