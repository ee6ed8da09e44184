"""Pairs by graded score: of one card's samples the best against the worst, where grades are well apart and lengths alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from data_prep.candidates.checked import CheckedSummary, length_gap

TOLD = 3  # parts of the grade that a pair's reason names


def best_against_worst(
    better: Sequence[CheckedSummary], worse: Iterable[CheckedSummary], margin: float, max_length_gap: float
) -> list[tuple[CheckedSummary, CheckedSummary]]:
    """Graded texts, the worst first, each with the best that is at least `margin` above it and of like length. A text is rejected
    once, chosen again only where no other will do, and never both."""
    chosen: Counter[str] = Counter()
    pairs = []
    for low in sorted({item.text: item for item in worse}.values(), key=lambda item: item.score):
        fits = [high for high in better if high.score - low.score >= margin and length_gap(high, low) <= max_length_gap]
        if fits and low.text not in chosen:
            high = min(fits, key=lambda item: (chosen[item.text], -item.score))
            chosen[high.text] += 1
            pairs.append((high, low))
    return pairs


def grades_of(better: CheckedSummary, worse: CheckedSummary) -> dict[str, Any]:
    """Both scores, and the parts of the grade that differ as [chosen, rejected]."""
    assert better.grade
    assert worse.grade
    parts = {name: [round(high, 3), round(worse.grade.parts[name], 3)] for name, high in better.grade.parts.items()}
    differ = {name: both for name, both in parts.items() if both[0] != both[1]}
    return {"grades": {"chosen": round(better.score, 3), "rejected": round(worse.score, 3)}, "parts": differ}


def reason_of(better: CheckedSummary, worse: CheckedSummary) -> str:
    """What the checks find in the worse text, if anything, and in which parts it is graded below the better one."""
    told = grades_of(better, worse)
    below = sorted((low - high, name) for name, (high, low) in told["parts"].items() if low < high)[:TOLD]
    parts = ", ".join(f"{name} {told['parts'][name][1]:.2f} to {told['parts'][name][0]:.2f}" for _, name in below)
    graded = f"graded {worse.score:.2f} to {better.score:.2f}: {parts}"
    return f"{worse.reason}; {graded}" if worse.failed else graded
