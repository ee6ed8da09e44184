"""What the checks say of statements that readers labelled (recipes/references/statements.jsonl): a model's own errors, not planted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.checks import check_summary
from data_prep.core.files import read_jsonl
from eval.entailment.card_labels import CardLabel
from eval.validation.real_cards import RealCard
from eval.validation.tally import share

TRUTH = ("links", "numbers", "names", "contradiction")  # checks that speak of one statement, whatever page it stands on


def statement_figures(path: Path, cards: Sequence[RealCard]) -> dict[str, Any]:
    """By writer and label: how many statements about these cards, and how many a check marks. Empty where there is no such file."""
    sources = {card.sha256: card.source for card in cards}
    counted, marked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in read_jsonl(path, CardLabel) if path.exists() else ():
        if row.sha256 in sources:
            kind = (row.writer, "right" if row.supported else "not right")
            counted[kind] += 1
            marked[kind] += is_marked(row, sources[row.sha256])
    return {f"{writer}: {label}": share(marked[writer, label], n) for (writer, label), n in sorted(counted.items())}


def is_marked(row: CardLabel, source: str) -> bool:
    """Alone on its page, under its heading. What has no place on the page, such as that numbers are missing, says nothing of it."""
    heading = f"## {row.context}\n\n" if row.context else ""
    results = check_summary(f"{heading}- {row.claim}\n", source)
    return any(result.spans for result in results if result.name in TRUTH and not result.passed)
