"""What the checks say of statements that readers labelled (recipes/references/statements.jsonl): a model's own errors, not planted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.checks import check_summary
from eval.entailment.card_labels import LabelledStatement, labelled_statements
from eval.validation.real_cards import RealCard
from eval.validation.tally import share

TRUTH = ("links", "numbers", "names", "contradiction")  # checks that speak of one statement, whatever page it stands on


def statement_figures(path: Path, card_texts: Sequence[str], cards: Sequence[RealCard]) -> dict[str, Any]:
    """By writer and label: how many statements about these cards, and how many a check marks. Empty where there is no such file."""
    sources = {card.source for card in cards}
    found = [one for one in labelled_statements(path, card_texts) if one.source in sources] if path.exists() else []
    counted, marked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in found:
        kind = (one.label.writer, "right" if one.label.supported else "not right")
        counted[kind] += 1
        marked[kind] += is_marked(one)
    return {f"{writer}: {label}": share(marked[writer, label], n) for (writer, label), n in sorted(counted.items())}


def is_marked(one: LabelledStatement) -> bool:
    """Alone on its page, under its heading. What has no place on the page, such as that numbers are missing, says nothing of it."""
    heading = f"## {one.label.context}\n\n" if one.label.context else ""
    results = check_summary(f"{heading}- {one.label.claim}\n", one.source)
    return any(result.spans for result in results if result.name in TRUTH and not result.passed)
