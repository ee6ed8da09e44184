"""What every check returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` (exclusive) of the summary, and what is wrong or right there."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Derived(Span):
    """A number that no source states and that follows from one. `operation`: "count", "difference", "sum", "mean", "ratio",
    "share" or "product"; `places`: what was counted, or the operands and where they stand."""

    operation: str
    places: str


@dataclass(frozen=True)
class CheckResult:
    """`value` is the check's measure (a share in 0..1, or a count named in the check's docstring); None where the
    source offers nothing to measure. `passed` decides acceptance; `reason` is read aloud in reports and rejects. `derived`: what
    passes although no source states it, since it follows from one. `remarks`: what passes although the check cannot bear it out, since
    it is wrong about such things too often to refuse a page for them. `total`: how many links, numbers or names were looked up."""

    name: str
    passed: bool
    value: float | None
    reason: str
    spans: list[Span] = field(default_factory=list)
    derived: tuple[Derived, ...] = ()
    remarks: tuple[Span, ...] = ()
    total: int = 0


def listed(items: Iterable[str], at_most: int = 5) -> str:
    """`a, b, c and 4 more`: each item once, in order, whitespace tidied and long ones cut, to be read in one line."""
    unique = list(dict.fromkeys(" ".join(item.split()) for item in items))
    short = [item if len(item) <= 80 else item[:77] + "..." for item in unique[:at_most]]
    rest = len(unique) - at_most
    return ", ".join(short) + (f" and {rest} more" if rest > 0 else "")


def looked_up(
    name: str, total: int, wrong: Sequence[Span], missing: int, derived: Sequence[Derived] = (), remarks: Sequence[Span] = ()
) -> CheckResult:
    """Of a check that looks the summary's `name` (links, numbers, names) up in the sources. `wrong`: where it has what they
    lack, labelled with that alone. `missing` of `total`: how many they are, where one may stand in several places. What `remarks`
    mark is not found either."""
    value = 1 - (missing + len(remarks)) / total
    apart = f", {len(derived)} of them derived: {listed(one.label for one in derived)}" if derived else ""
    doubts = f"; to be looked at: {listed(span.label for span in remarks)}" if remarks else ""
    marked = [
        replace(span, label=f"{name.removesuffix('s')} that the sources do not bear out: {span.label}") for span in remarks
    ]
    found = CheckResult(name, not wrong, value, "", [], tuple(derived), tuple(marked), total)
    if not wrong:
        most = f"{total - len(remarks)} of" if remarks else "all"
        return replace(found, reason=f"{most} {total} {name} are in the sources{apart}{doubts}")
    verb = "is" if missing == 1 else "are"
    reason = f"{missing} of {total} {name} {verb} not in the sources: {listed(span.label for span in wrong)}{doubts}"
    spans = [replace(span, label=f"{name.removesuffix('s')} not in the sources: {span.label}") for span in wrong]
    return replace(found, reason=reason, spans=spans)
