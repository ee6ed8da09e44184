"""Two systems' summaries compared by a judge: both orders, and what position and length did to the verdicts.

Each pair is shown in both orders. A verdict that changes with the order is a tie (0.5): position bias is systematic and
largest where two texts are close (arXiv 2406.07791), so one order alone measures the order as well. A pair of equal texts is
a tie unasked. Length is no merit but moves verdicts (AlpacaEval 2: from 50% to 64% by asking for longer texts), so every
figure comes again from the pairs whose rendered words differ by at most 10%, and the slope of the verdict on the difference
is reported beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_prep.core.wilson import wilson
from eval.judging.answers import Judgment, Subject
from eval.judging.prompts import PairwiseChoice
from eval.stats.estimates import preference
from eval.stats.figures import arrays, card_means, rounded

LENGTH_MATCHED = 0.1  # of the longer one's rendered words
VALUES: dict[tuple[str, ...], float] = {("1", "2"): 0.0, ("2", "1"): 1.0}  # of the verdicts on both orders; of others 0.5


@dataclass(frozen=True)
class ComparisonPair:
    """A card's summaries by systems a and b, cleaned, with their rendered words."""

    card: str  # id
    family: str
    a: str
    b: str
    words_a: int
    words_b: int

    @property
    def subjects(self) -> list[Subject]:
        """The two orders to ask in; none where the texts are equal."""
        return [Subject(self.card, self.a, self.b), Subject(self.card, self.b, self.a)] if self.a != self.b else []

    @property
    def matched(self) -> bool:
        return abs(self.words_a - self.words_b) <= LENGTH_MATCHED * max(self.words_a, self.words_b)


@dataclass(frozen=True)
class Outcome:
    """What a judge made of a pair: 1 where b wins, 0.5 a tie, 0 where a wins, NaN where an answer could not be read.
    `verdicts` as given, first order then second; none for equal texts."""

    pair: ComparisonPair
    value: float
    verdicts: Sequence[str] = field(default_factory=list)

    @property
    def consistent(self) -> bool | None:
        """Whether both orders name the same winner, or both a tie; None where that was not seen."""
        return None if len(self.verdicts) < 2 else tuple(self.verdicts) in (("1", "2"), ("2", "1"), ("tie", "tie"))


def outcome(pair: ComparisonPair, answers: Mapping[Subject, Judgment]) -> Outcome:
    given = [answers[subject].answer for subject in pair.subjects]
    verdicts = [answer.verdict for answer in given if isinstance(answer, PairwiseChoice)]
    if len(verdicts) < len(given):
        return Outcome(pair, np.nan, verdicts)
    return Outcome(pair, VALUES.get(tuple(verdicts), 0.5), verdicts)


def compared(outcomes: Sequence[Outcome], draws: int, seed: int) -> dict[str, Any]:
    """Figures of one judge on one pair of systems, and the same for the pairs of like length."""
    matched = [one for one in outcomes if one.pair.matched]
    return figures(outcomes, draws, seed) | {"length_matched": figures(matched, draws, seed) if matched else None}


def figures(outcomes: Sequence[Outcome], draws: int, seed: int) -> dict[str, Any]:
    """Win rate of b with its interval over families. The unit is the card: samples of one card are averaged first."""
    means = card_means((one.pair.card, one.value) for one in outcomes)
    rate, p = preference(*arrays(means, {one.pair.card: one.pair.family for one in outcomes}), draws, seed)
    known = [one.value for one in outcomes if not np.isnan(one.value)]
    both = [one.consistent for one in outcomes if one.consistent is not None]
    found = {
        "b_wins": sum(value > 0.5 for value in known),
        "ties": sum(value == 0.5 for value in known),
        "a_wins": sum(value < 0.5 for value in known),
        "win_rate": rate.mean,
        "ci95": rate.ci95,
        "p": p,
        "n": rate.n,
        "families": rate.families,
        "positional_consistency": sum(both) / len(both) if both else None,
        "unparsed": len(outcomes) - len(known),
    }
    return rounded(found)


def panel(judges: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """Each pair's mean over the judges that could be read; judges see the same pairs in the same order."""
    means = []
    for row in zip(*judges, strict=True):
        known = [one.value for one in row if not np.isnan(one.value)]
        means.append(Outcome(row[0].pair, float(np.mean(known)) if known else np.nan))
    return means


def controls(outcomes: Sequence[Outcome], draws: int, seed: int) -> dict[str, Any]:
    """What position and length did to a judge's verdicts, over all its comparisons."""
    verdicts = [verdict for one in outcomes for verdict in one.verdicts]
    decided = [verdict for verdict in verdicts if verdict != "tie"]
    both = [one.consistent for one in outcomes if one.consistent is not None]
    longer = [
        one.value == (1.0 if one.pair.words_b > one.pair.words_a else 0.0)
        for one in outcomes
        if not one.pair.matched and one.value in (0.0, 1.0)
    ]
    return {
        "positional_consistency": share(sum(both), len(both)),
        "first_wins": share(decided.count("1"), len(decided)),
        "longer_wins": share(sum(longer), len(longer)),
        "length_slope": length_slope(outcomes, draws, seed),
    }


def share(count: int, n: int) -> dict[str, Any]:
    """A share with Wilson's interval."""
    return rounded({"mean": count / n if n else None, "ci95": list(wilson(count, n)) if n else None, "n": n})


def length_slope(outcomes: Sequence[Outcome], draws: int, seed: int) -> dict[str, Any] | None:
    """Change of b's win rate for 100 rendered words that b has more than a, by least squares, with a percentile interval
    over resampled families. A judge that is blind to length has 0 in it, unless length goes with quality. None where lengths
    do not differ or all cards are of one family."""
    known = [one for one in outcomes if not np.isnan(one.value)]
    _, families = np.unique([one.pair.family for one in known], return_inverse=True)
    x = np.array([(one.pair.words_b - one.pair.words_a) / 100 for one in known])
    y = np.array([one.value for one in known])
    if not known or families.max() < 1 or np.ptp(x) == 0:
        return None
    # Per family: how many, sums, sum of squares, sum of products; a draw adds those of the families it picked.
    sums = np.array([np.bincount(families, weights=values) for values in (np.ones_like(x), x, y, x * x, x * y)])
    count = sums.shape[1]
    picked = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    slopes = slope(*(picked @ sums.T).T)
    low, high = np.nanquantile(slopes, [0.025, 0.975])
    found = slope(*sums.sum(axis=1))
    return rounded({"mean": float(found), "ci95": [float(low), float(high)], "n": len(known)})


def slope(n: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, xy: np.ndarray) -> np.ndarray:
    spread = n * xx - x * x
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-9, (n * xy - x * y) / spread, np.nan)


def alpha(scores: Iterable[Sequence[float]]) -> float | None:
    """Krippendorff's alpha for interval data (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"): `scores`
    holds per summary what each judge gave, NaN where it could not be read. 1 full agreement, 0 as by chance. None where
    fewer than two judges met or nothing varies."""
    units = [known for row in scores if len(known := [value for value in row if not np.isnan(value)]) > 1]
    values = np.array([value for unit in units for value in unit])
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    # Mean squared difference of pairs within units, and of all pairs: twice the variance each.
    within = sum(len(unit) * 2 * np.var(unit, ddof=1) for unit in units) / len(values)
    return float(1 - within / (2 * np.var(values, ddof=1)))
