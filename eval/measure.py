"""What is measured of one summary, and how each measure is called in tables.

Two groups that must not be mixed: the checks choose the training data too, so a system tuned on what they accept is
expected to do well on them; the independent measures choose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.checks import CHECKS, CheckResult, check_summary, passed_all
from data_prep.schema import Generation, HeldOut

COPY_LENGTH = 4  # words in a row that count as copied: shorter runs are common phrases


@dataclass(frozen=True)
class Metric:
    """`unit` is "share" (0 to 1) or "words". `group` is "checks" or "independent". `better`: higher, or null where
    neither more nor less is better by itself."""

    name: str
    label: str
    group: str
    unit: str = "share"
    better: str | None = "higher"

    @property
    def bounds(self) -> tuple[float, float] | None:
        return (0.0, 1.0) if self.unit == "share" else None


# Measures that checks report beside their verdict: metric -> check.
VALUES = {
    "words": "length",
    "fact_recall": "facts",
    "numbers_grounded": "numbers",
    "links_grounded": "links",
    "names_grounded": "names",
}
METRICS = (
    Metric("all_pass", "passes every check", "checks"),
    *(Metric(f"{check}_pass", f"passes {check}", "checks") for check in CHECKS),
    Metric("fact_recall", "key facts recalled", "checks"),
    Metric("numbers_grounded", "numbers found in source", "checks"),
    Metric("links_grounded", "links found in source", "checks"),
    Metric("names_grounded", "names found in source", "checks"),
    Metric("words", "words", "checks", unit="words", better=None),
    Metric("finished", "ended before the token limit", "independent"),
    Metric("reference_similarity", "similarity to reference, ROUGE-L", "independent"),
    Metric("copied", f"{COPY_LENGTH}-word runs copied from source", "independent", better=None),
)


@dataclass(frozen=True)
class Measured:
    """One summary's metrics by name (None: nothing to measure) and the checks they come from."""

    metrics: dict[str, float | None]
    checks: list[CheckResult]


def measure(card: HeldOut, generation: Generation) -> Measured:
    checks = check_summary(generation.text, card.source)
    by_name = {check.name: check for check in checks}
    metrics: dict[str, float | None] = {f"{name}_pass": float(check.passed) for name, check in by_name.items()}
    metrics |= {metric: by_name[check].value for metric, check in VALUES.items()}
    metrics |= {
        "all_pass": float(passed_all(checks)),
        "finished": float(generation.finish_reason == "stop"),
        "reference_similarity": rouge_l(generation.text, card.reference),
        "copied": copied_share(generation.text, card.source),
    }
    return Measured({metric.name: metrics[metric.name] for metric in METRICS}, checks)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def rouge_l(summary: str, reference: str) -> float | None:
    """ROUGE-L F1 over whole texts, without stemming (Lin 2004). None without a reference.

    One reference ranks systems poorly; read it as closeness to the writer of the training data, not as quality.
    """
    ours, theirs = words_of(summary), words_of(reference)
    if not theirs:
        return None
    return 2 * common_subsequence(ours, theirs) / (len(ours) + len(theirs))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one bit per word of `first` (Hyyrö 2004): 500 words take 0.2 ms."""
    where: dict[str, int] = {}
    for position, word in enumerate(first):
        where[word] = where.get(word, 0) | 1 << position
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        match = row & where.get(word, 0)
        row = ((row + match) | (row - match)) & full
    return len(first) - row.bit_count()


def copied_share(summary: str, source: str) -> float | None:
    """Share of the summary's runs of COPY_LENGTH words that stand in the source. None for a shorter summary.

    Near 1 for text lifted from the card: a system can be fully grounded by copying, and this shows it.
    """
    runs = word_runs(summary)
    known = set(word_runs(source))
    return sum(run in known for run in runs) / len(runs) if runs else None


def word_runs(text: str) -> list[tuple[str, ...]]:
    words = words_of(text)
    return [tuple(words[start : start + COPY_LENGTH]) for start in range(len(words) - COPY_LENGTH + 1)]
