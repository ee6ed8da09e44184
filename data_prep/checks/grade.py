"""One figure from 0 to 1 for how good a summary is, as far as the checks can tell: it ranks samples of one card, for pairs and as a
reward. It is no measure to report: whoever optimises it learns what the checks look at, and of two pages by a model of 135M parameters
about one real card it preferred the one that careful readers prefer no more often than chance (recipes/LOG.md has both).

What is found in the source counts with how much there is of it, up to a small number, so that a page without numbers does not win by
being right about none; within the band of lengths a longer page gains nothing. Copied, repeated and unfinished text takes from all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from data_prep.checks.form import LENGTH_MAX, LENGTH_MIN
from data_prep.checks.numeric.grounding import NUMBERS_EXPECTED
from data_prep.checks.result import CheckResult
from data_prep.checks.source_index import SourceIndex
from data_prep.checks.wording import REPETITION_MAX

LIFTED = 0.3  # left of the score of a page that copies a paragraph, or says a sentence twice
LINKS_EXPECTED = 2
NAMES_EXPECTED = 5
WEIGHTS = {"facts": 0.25, "numbers": 0.25, "names": 0.15, "contradiction": 0.15, "links": 0.1, "form": 0.1}
FORM = ("structure", "preamble", "praise", "language")


@dataclass(frozen=True)
class Grade:
    """`parts`: each from 0 to 1. `score`: the weighted mean of those in WEIGHTS, times each of the others."""

    score: float
    parts: dict[str, float]


def grade(results: Sequence[CheckResult], source: str, finished: bool = True) -> Grade:
    """`results`: of `check_summary`, for this source. What the token limit cut or a loop ended is worth nothing."""
    found, known = {result.name: result for result in results}, SourceIndex.from_source(source)
    enough = {
        "numbers": min(NUMBERS_EXPECTED, known.numbers.distinct),
        "names": NAMES_EXPECTED,
        "links": min(LINKS_EXPECTED, len(known.links)) if known.offers_links else 0,
    }
    parts = {
        "facts": _or_one(found["facts"].value),
        **{name: _supported(found[name], least) for name, least in enough.items()},
        "contradiction": 0.5 ** (found["contradiction"].value or 0.0),
        "form": sum(found[name].passed for name in FORM) / len(FORM),
        "length": _in_band(found["length"].value or 0.0),
        "repetition": _unrepeated(found["repetition"]),
        "copying": 1.0 if found["copying"].passed else LIFTED,
        "finished": float(finished),
    }
    score = sum(weight * parts[name] for name, weight in WEIGHTS.items())
    # In their order: a set's hangs on the process, and so would the last bits of the product.
    return Grade(score * prod(part for name, part in parts.items() if name not in WEIGHTS), parts)


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else value


def _supported(found: CheckResult, least: int) -> float:
    """The share that the source has, less where the page has fewer than `least` of them."""
    share = _or_one(found.value)
    return share * min(1.0, share * found.total / least) if least else share


def _in_band(words: float) -> float:
    """1 within the band; 0 for nothing and for twice the most."""
    if words < LENGTH_MIN:
        return words / LENGTH_MIN
    return max(0.0, 1 - max(0.0, words - LENGTH_MAX) / LENGTH_MAX)


def _unrepeated(found: CheckResult) -> float:
    share = found.value or 0.0
    return 1.0 if found.passed else min(LIFTED, (REPETITION_MAX / share) ** 2 if share else LIFTED)
