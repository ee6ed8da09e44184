"""What every check returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` (exclusive) of the summary, and what is wrong or right there."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class CheckResult:
    """`value` is the check's measure (a share in 0..1, or a count named in the check's docstring); None where the
    source offers nothing to measure. `passed` decides acceptance; `reason` is read aloud in reports and rejects."""

    name: str
    passed: bool
    value: float | None
    reason: str
    spans: list[Span] = field(default_factory=list)


def listed(items: Iterable[str], at_most: int = 5) -> str:
    """`a, b, c and 4 more`: each item once, in order, whitespace tidied and long ones cut, to be read in one line."""
    unique = list(dict.fromkeys(" ".join(item.split()) for item in items))
    short = [item if len(item) <= 80 else item[:77] + "..." for item in unique[:at_most]]
    rest = len(unique) - at_most
    return ", ".join(short) + (f" and {rest} more" if rest > 0 else "")
