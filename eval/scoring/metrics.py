"""What is measured of one summary, and how each measure is called in tables.

Two groups that must not be mixed: the checks choose the training data too, so a system tuned on what they accept is
expected to do well on them; the independent measures choose nothing.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep.checks import CHECKS, CheckResult, SourceIndex, check_summary, passed_all
from data_prep.checks.copying import coverage_density, words_of
from data_prep.checks.document import read
from data_prep.checks.meaning import MEANINGS
from data_prep.checks.numeric.grounding import summary_quantities
from data_prep.core.records import Generation
from eval.scoring.rouge import rouge

# What a figure follows from beside the texts: rooms and files whose change makes every stored figure void, and the packages they use.
ROOT = Path(__file__).parents[2]
CODE = (
    *("data_prep/cards", "data_prep/checks", "eval/scoring", "eval/probing"),
    *(f"data_prep/core/{name}.py" for name in ("files", "records", "text")),
    *(f"data_prep/prompts/{name}.py" for name in ("chat_format", "student")),
)
SUMMED_UP = ("eval/runs", "eval/stats")  # from the figures of single texts to those of a system
PARSERS = ("markdown-it-py", "selectolax", "rouge-score", "nltk", "PyYAML", "py3langid")


@dataclass(frozen=True)
class Metric:
    """`unit` is "share" (0 to 1) or "words". `group` is "checks" or "independent". `better`: "higher", "lower", or null
    where neither more nor less is better by itself."""

    name: str
    label: str
    group: str
    unit: str = "share"
    better: str | None = "higher"

    @property
    def bounds(self) -> tuple[float, float] | None:
        return (0.0, 1.0) if self.unit == "share" else None


def named(name: str) -> Metric:
    """A share whose name and meaning belong to the checks."""
    return Metric(name, MEANINGS[name].name, "checks")


# Measures that checks report beside their verdict: metric -> check.
VALUES = {
    "words": "length",
    "fact_recall": "facts",
    "numbers_grounded": "numbers",
    "links_grounded": "links",
    "names_grounded": "names",
    "density": "copying",
}
METRICS = (
    named("all_pass"),
    *(named(f"{check}_pass") for check in CHECKS),
    named("fact_recall"),
    named("numbers_grounded"),
    Metric("numbers_derived", "numbers derived from source", "checks", better=None),
    named("links_grounded"),
    named("names_grounded"),
    Metric("words", "words", "checks", unit="words", better=None),
    Metric("density", "copied in a row (density)", "checks", unit="words", better=None),
    Metric("finished", "ended before the token limit", "independent"),
    Metric("looped", "ended in a loop", "independent", better="lower"),
    Metric("coverage", "words in copied runs (coverage)", "independent", better=None),
    Metric("rouge1", "similarity to reference, ROUGE-1", "independent"),
    Metric("rouge2", "similarity to reference, ROUGE-2", "independent"),
    Metric("rougeLsum", "similarity to reference, ROUGE-Lsum", "independent"),
)


def measure(generation: Generation, source: str, reference: str) -> dict[str, Any]:
    """One summary's `metrics` by name (None: nothing to measure) and the `checks` they come from, as plain JSON values.

    Works on any text, in bounded time: of what is longer than a page by far only the beginning is read, and its length fails.
    """
    checks = check_summary(generation.text, source)
    by_name = {check.name: check for check in checks}
    metrics: dict[str, float | None] = {f"{name}_pass": float(check.passed) for name, check in by_name.items()}
    metrics |= {metric: by_name[check].value for metric, check in VALUES.items()}
    metrics |= {
        "all_pass": float(passed_all(checks)),
        "numbers_derived": derived_share(generation.text, by_name["numbers"]),
        "finished": float(generation.finish_reason == "stop"),
        "looped": float(generation.finish_reason == "loop"),
        "coverage": coverage(generation.text, source),
        **rouge(generation.text, reference),
    }
    return {"metrics": {metric.name: metrics[metric.name] for metric in METRICS}, "checks": [asdict(check) for check in checks]}


def derived_share(summary: str, numbers: CheckResult) -> float | None:
    """Share of the summary's numbers that no source states and that follow from one; None where it has no number."""
    if numbers.derived:
        return len(numbers.derived) / len(summary_quantities(read(summary)))
    return None if numbers.value is None else 0.0


def coverage(summary: str, source: str) -> float | None:
    """Share of the summary's words that stand in a run of the source's, runs counted inside blocks as the check counts them."""
    known, covered, total = SourceIndex.from_source(source).words, 0.0, 0
    for words in (words_of(block.text) for block in read(summary).blocks):
        if found := coverage_density(words, known):
            covered += found[0] * len(words)
            total += len(words)
    return covered / total if total else None


def code_files(*parts: str) -> list[Path]:
    return [file for part in parts for file in sorted(ROOT.glob(part if part.endswith(".py") else f"{part}/**/*.py"))]


def code_version(*more: str) -> str:
    """Hash of the code that measures, of the rooms and files `more`, and of the versions of the parsers and of Python, whose
    Unicode tables say what a letter is."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for file in code_files(*CODE, *more):
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    for package in PARSERS:
        digest.update(f"{package} {version(package)}\0".encode())
    return digest.hexdigest()
