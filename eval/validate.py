"""How far the checks can be trusted: precision and recall against faults planted in summaries that are known to be true.

    python -m eval.validate --config recipes/demo/eval.yaml
    python -m eval.validate --run_dir runs/demo --seed 1 --validate.output eval/checks.md

Reads nothing but its recipe: cards, true summaries and their facts are drawn from the invented world, and `data_prep.synthetic.planted` says
which check must see each fault and which others may speak of it. Writes RUN/eval/validation.json and RUN/eval/checks.md (or
`output`), the table that is kept in the repository as eval/checks.md. Ends with a mistake where links, numbers,
contradiction or length fall below the least precision and recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from data_prep.checks import CHECKS, CheckResult, check_summary
from data_prep.core.files import write_json, write_text
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.wilson import wilson
from data_prep.prompts.student import source_text
from data_prep.synthetic.facts import Facts
from data_prep.synthetic.planted import KINDS, PlantedFault, planted
from data_prep.synthetic.world import raw_cards

GATED = ("links", "numbers", "contradiction", "length")
CODE = Path(__file__).parents[1] / "data_prep"

Figure = dict[str, Any]  # "share", "ci95", "k", "n"


class ValidateConfig(Block):
    cards: int = Field(30, ge=1)
    """Invented cards; each gives two true summaries and one text for every fault that it offers a place for."""
    output: str | None = None
    """Where the table goes; null for RUN/eval/checks.md."""
    min_precision: float = Field(0.98, ge=0, le=1)
    """Least precision of links, numbers, contradiction and length."""
    min_recall: float = Field(0.95, ge=0, le=1)
    """Least recall of the same."""


@dataclass
class FaultTally:
    """What was counted, by check or by fault."""

    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    placed: Counter[str] = field(default_factory=Counter)  # caught with characters on both sides, and they overlap
    placeable: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    others: dict[str, Counter[str]] = field(default_factory=dict)  # fault -> checks that flagged it beside the one that must
    clean: int = 0
    clean_flags: int = 0


def main(recipe: Recipe[ValidateConfig]) -> None:
    block, folder = recipe.block, recipe.run_dir / "eval"
    table = Path(block.output) if block.output else folder / "checks.md"
    manifest = Manifest(
        folder / "validate.manifest.json",
        "validate",
        recipe.resolved(),
        [CODE / "checks", CODE / "candidates" / "corrupted.py", CODE / "synthetic"],
        [table, folder / "validation.json"],
    )
    if manifest.is_done():
        return
    tally = count(recipe.seed, block.cards)
    figures = summarised(tally)
    write_text(table, rendered(figures, recipe.seed, block.cards))
    write_json(folder / "validation.json", figures)
    manifest.write(texts=figures["texts"], clean=figures["clean"])
    print(f"validate: {figures['texts']} faulty and {figures['clean']['n']} true summaries, see {table}")
    refuse_poor(figures, block)


def count(seed: int, cards: int) -> FaultTally:
    tally = FaultTally()
    for raw in raw_cards(seed, cards):
        source = source_text(raw.model_id, str(raw.content), raw.notes)
        for summary in raw.summaries:
            flagged = [result for result in check_summary(summary, source) if not result.passed]
            tally.clean += 1
            tally.clean_flags += bool(flagged)
            tally.flags.update(result.name for result in flagged)
        for text in planted(raw.summaries[0], Facts.of_truth(raw.truth or {}), source, raw.model_id):
            count_one(tally, text, check_summary(text.text, source))
    return tally


def count_one(tally: FaultTally, text: PlantedFault, results: list[CheckResult]) -> None:
    kind = KINDS[text.fault]
    flagged = {result.name: result for result in results if not result.passed}
    tally.flags.update(flagged.keys())
    tally.right.update(kind.may & set(flagged))
    tally.others.setdefault(text.fault, Counter()).update(set(flagged) - {kind.seen_by})
    tally.planted.update({text.fault, kind.seen_by})
    if kind.seen_by not in flagged:
        return
    tally.caught.update((text.fault, kind.seen_by))
    spans = flagged[kind.seen_by].spans
    if spans and text.spans:
        names = (text.fault, kind.seen_by)
        tally.placeable.update(names)
        if any(start < span.end and span.start < end for start, end in text.spans for span in spans):
            tally.placed.update(names)


def share(k: int, n: int) -> Figure:
    return {"share": k / n if n else None, "ci95": list(wilson(k, n)) if n else None, "k": k, "n": n}


def summarised(tally: FaultTally) -> dict[str, Any]:
    """Shares with Wilson's 95% intervals. The texts of one card share its facts, so intervals over them are a little narrow."""
    checks = {
        check: {
            "recall": share(tally.caught[check], tally.planted[check]),
            "precision": share(tally.right[check], tally.flags[check]),
            "spans": share(tally.placed[check], tally.placeable[check]),
        }
        for check in CHECKS
    }
    faults = {
        fault: {
            "seen_by": kind.seen_by,
            "may": sorted(kind.may - {kind.seen_by}),
            "recall": share(tally.caught[fault], tally.planted[fault]),
            "spans": share(tally.placed[fault], tally.placeable[fault]),
            "others": dict(sorted(tally.others.get(fault, Counter()).items())),
        }
        for fault, kind in KINDS.items()
    }
    texts = sum(tally.planted[fault] for fault in KINDS)
    return {"texts": texts, "clean": share(tally.clean_flags, tally.clean), "checks": checks, "faults": faults}


def refuse_poor(figures: dict[str, Any], block: ValidateConfig) -> None:
    """Raises ValueError that names the first gated check below its least precision or recall."""
    for check in GATED:
        for measure, least in (("precision", block.min_precision), ("recall", block.min_recall)):
            found = figures["checks"][check][measure]
            if found["share"] is None or found["share"] < least:
                raise ValueError(
                    f"{check} has a {measure} of {_share(found)}, expected {least:g} or more; mend the check, or lower "
                    f"validate.min_{measure}"
                )


def rendered(figures: dict[str, Any], seed: int, cards: int) -> str:
    clean = figures["clean"]
    lines = [
        "# How far the checks can be trusted",
        "",
        f"Made by `python -m eval.validate` with seed {seed} on {cards} invented cards: {clean['n']} true summaries, "
        f"{clean['k']} of them flagged, and {figures['texts']} with one planted fault each. What each check looks at is in",
        "`data_prep/checks/__init__.py`, what is planted in `data_prep/synthetic/planted.py`. Intervals are Wilson's, 95%.",
        "",
        "Recall: of the faults that a check must see, those it flags. Precision: of all its flags, on true and on otherwise faulty",
        "summaries, those where the planted fault is one that it may speak of. Spans: of the faults caught with a mark on the text, those",
        "where the mark touches the planted characters. The invented cards are tidier than real ones; real errors are of more kinds.",
        "",
        "| check | planted | recall | flags | precision | spans |",
        "|---|---|---|---|---|---|",
        *_check_rows(figures),
        "",
        "By fault. Beside the check that must see it, a fault may rightly trip others; in brackets, how many of the texts they flagged.",
        "",
        "| fault | must be seen by | n | recall | spans | others that may see it |",
        "|---|---|---|---|---|---|",
        *_fault_rows(figures),
        "",
        "No check sees a true number in the wrong place: all of its texts pass, and the last row is there to say so.",
    ]
    return "\n".join(lines) + "\n"


def _check_rows(figures: dict[str, Any]) -> Iterator[str]:
    for check, found in figures["checks"].items():
        recall, precision, spans = found["recall"], found["precision"], found["spans"]
        yield f"| {check} | {recall['n']} | {_share(recall)} | {precision['n']} | {_share(precision)} | {_share(spans)} |"


def _fault_rows(figures: dict[str, Any]) -> Iterator[str]:
    for fault, found in figures["faults"].items():
        named = dict.fromkeys(found["may"], 0) | found["others"]
        others = ", ".join(f"{name} ({count})" for name, count in sorted(named.items()) if name)
        seen_by = found["seen_by"] or "none"
        recall = found["recall"]
        yield f"| {fault} | {seen_by} | {recall['n']} | {_share(recall)} | {_share(found['spans'])} | {others} |"


def _share(figure: Figure) -> str:
    if not figure["n"]:
        return ""
    low, high = figure["ci95"]
    return f"{figure['share']:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    command("validate", ValidateConfig, main, __doc__, "eval.validate")
