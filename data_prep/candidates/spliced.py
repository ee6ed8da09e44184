"""A failing sample with its faulty lines set right by the reference's own: the smallest change that makes it true.

The two pages are aligned line by line, in order, by the words they share, as a diff aligns two files (Needleman and Wunsch 1970).
A line that a check marks gives way to the reference's line beside it, or goes where there is none. What is left of the sample stays
on-policy, so a pair of the two differs where the fault is (corrections of segments: RLHF-V, arXiv 2312.00849).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from data_prep.checks import CheckResult, faulty_spans
from data_prep.checks.document import lines_of

LEAST_ALIKE = 0.05  # share of words in common at or below which two lines are no counterparts
_WORD = re.compile(r"\w+")
_MARKER = re.compile(r"\s*(?:[-*+]|\d+[.)]|#+)\s|\s*\|")


def spliced(sample: str, results: Sequence[CheckResult], reference: str) -> str:
    """`sample` with the lines that a failed check marks taken from `reference`; as it is where none is marked."""
    marked = faulty_spans(results)
    lines, true = [*lines_of(sample)], [line for _, line in lines_of(reference) if line.strip()]
    written = [number for number, (_, line) in enumerate(lines) if line.strip()]
    beside = aligned([lines[number][1] for number in written], true)
    made = [line for _, line in lines]
    for number, other in zip(written, beside, strict=True):
        start, line = lines[number]
        if any(span.start < start + len(line) and start < span.end for span in marked):
            made[number] = "" if other is None else true[other].rstrip("\n") + "\n"
    return "".join(made).strip()


def aligned(lines: Sequence[str], others: Sequence[str]) -> list[int | None]:
    """For each of `lines` the number of its counterpart among `others`, None where it has none; both in order."""
    likeness = [[_alike(line, other) for other in others] for line in lines]
    best = [[0.0] * (len(others) + 1) for _ in range(len(lines) + 1)]
    for row in range(len(lines) - 1, -1, -1):
        for column in range(len(others) - 1, -1, -1):
            together = best[row + 1][column + 1] + likeness[row][column] - LEAST_ALIKE
            best[row][column] = max(together, best[row + 1][column], best[row][column + 1])
    found: list[int | None] = []
    row = column = 0
    while row < len(lines):
        if column < len(others) and best[row][column] == best[row][column + 1]:
            column += 1
        elif column < len(others) and best[row][column] > best[row + 1][column]:
            found.append(column)
            row, column = row + 1, column + 1
        else:
            found.append(None)
            row += 1
    return found


def _alike(line: str, other: str) -> float:
    """Share of words in common (Jaccard); nothing between a bullet and a heading, or a paragraph."""
    if _kind(line) != _kind(other):
        return 0.0
    words, others = set(_WORD.findall(line.lower())), set(_WORD.findall(other.lower()))
    return len(words & others) / len(words | others) if words | others else 0.0


def _kind(line: str) -> str:
    marker = _MARKER.match(line)
    return marker[0].strip()[:1] if marker else ""
