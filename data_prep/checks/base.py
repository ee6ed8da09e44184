"""What every check returns."""

from __future__ import annotations

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
