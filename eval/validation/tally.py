"""What is counted where faults are planted: caught or not, by check and by fault, and what else was flagged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_prep.checks import CHECKS, CheckResult
from data_prep.checks.result import Span
from data_prep.core.wilson import wilson
from data_prep.synthetic.planted import Kind, PlantedFault

Figure = dict[str, Any]  # "share", "ci95", "k", "n"


@dataclass
class FaultTally:
    """What was counted, by check or by fault."""

    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    placed: Counter[str] = field(default_factory=Counter)  # caught with characters on both sides, and they overlap
    placeable: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)  # fault -> texts that some check flagged which may speak of it
    others: dict[str, Counter[str]] = field(default_factory=dict)  # fault -> checks that flagged it beside the one that must
    derived: Counter[str] = field(
        default_factory=Counter
    )  # fault -> texts whose planted number was let pass as one that follows
    remarked: Counter[str] = field(default_factory=Counter)  # fault -> texts where it was remarked and not flagged
    clean: int = 0
    clean_remarks: int = 0
    clean_flags: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # true texts, by check


def count_true(tally: FaultTally, results: list[CheckResult]) -> frozenset[str]:
    """Counts what is flagged of a true text, all of it wrongly, and gives the checks that did."""
    flagged = frozenset(result.name for result in results if not result.passed)
    tally.clean += 1
    tally.clean_flags += bool(flagged)
    tally.clean_remarks += any(result.remarks for result in results)
    tally.flags.update(flagged)
    tally.refused.update(flagged)
    return flagged


def count_one(
    tally: FaultTally, kind: Kind[Any], text: PlantedFault, results: list[CheckResult], before: Collection[str] = ()
) -> None:
    """`before`: the checks that flag the true text as well. What they say of the faulty one counts where it is about the fault."""
    flagged = {
        result.name: result
        for result in results
        if not result.passed and (result.name not in before or _overlap(text, result.spans))
    }
    tally.flags.update(flagged.keys())
    tally.right.update(kind.may & set(flagged))
    tally.seen[text.fault] += bool(kind.may & set(flagged))
    tally.others.setdefault(text.fault, Counter()).update(set(flagged) - {kind.seen_by})
    tally.planted.update({text.fault, kind.seen_by})
    tally.derived[text.fault] += any(_overlap(text, result.derived) for result in results)
    if kind.seen_by not in flagged:
        tally.remarked[text.fault] += any(_overlap(text, result.remarks) for result in results)
        return
    tally.caught.update((text.fault, kind.seen_by))
    if flagged[kind.seen_by].spans and text.spans:
        names = (text.fault, kind.seen_by)
        tally.placeable.update(names)
        if _overlap(text, flagged[kind.seen_by].spans):
            tally.placed.update(names)


def _overlap(text: PlantedFault, spans: Sequence[Span]) -> bool:
    return any(start < span.end and span.start < end for start, end in text.spans for span in spans)


def share(k: int, n: int) -> Figure:
    return {"share": k / n if n else None, "ci95": list(wilson(k, n)) if n else None, "k": k, "n": n}


def summarised(tally: FaultTally, kinds: Mapping[str, Kind[Any]]) -> dict[str, Any]:
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
            "any": share(tally.seen[fault], tally.planted[fault]),
            "remarked": share(tally.remarked[fault], tally.planted[fault]),
            "spans": share(tally.placed[fault], tally.placeable[fault]),
            "others": dict(sorted(tally.others.get(fault, Counter()).items())),
        }
        for fault, kind in kinds.items()
    }
    texts = sum(tally.planted[fault] for fault in kinds)
    clean = {"clean": share(tally.clean_flags, tally.clean), "clean_remarks": share(tally.clean_remarks, tally.clean)}
    return {"texts": texts, **clean, "checks": checks, "faults": faults}
