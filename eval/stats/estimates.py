"""Uncertainty for means over cards that come in families: intervals, paired p-values, correction for many tests, and the
smallest difference that so many cards can show.

Cards of one family quote each other, so a system's results on them go together and count for less than as many strangers'.
Everything here therefore resamples families, never cards (clustered errors and paired differences for model evaluations:
Miller 2024, arXiv 2411.00640; resampling whole clusters: Cameron, Gelbach and Miller 2008, "Bootstrap-based improvements
for inference with clustered errors"). One stands outside: `mcnemar_p` takes cards as strangers.

scipy.stats takes a second to import, so the functions that need it import it: a stage with nothing to do never pays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from eval.stats.records import Figure

LEVEL = 0.95
FEW_FAMILIES = 10  # below, resampled intervals are known to come out too narrow
TIED = 1e-12  # values that differ by less agree: a difference of two sums carries their rounding
CHUNK = 1_000_000  # cells of the draw matrix held at once: 8 MB


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval. `n` cards in `families` families; `note` says why an interval is missing or odd."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    families: int
    note: str | None = None

    @property
    def ci95(self) -> list[float] | None:
        return None if self.low is None or self.high is None else [self.low, self.high]

    @property
    def figure(self) -> Figure:
        return {"mean": self.mean, "ci95": self.ci95, "n": self.n, "families": self.families}

    @property
    def noted(self) -> Figure:
        return {**self.figure, "note": self.note} if self.note else self.figure


def estimate_mean(
    values: np.ndarray,
    families: np.ndarray,
    draws: int = 10_000,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Mean of `values` (one per card, NaN where not measured) with a percentile bootstrap interval over `families`,
    its percentiles expanded for few of them (`expanded_tail`).

    A draw takes as many families as there are, with replacement; its mean is the sum of their values over the number of
    their cards, so that a family weighs what it holds. `bounds` are the least and the greatest possible value: where all
    families have one mean, resampling sees no spread at all, and the interval then allows for the values not yet met (see
    `unseen_share`). Without bounds such an interval is a point. No interval from fewer than two families.

    In simulations it covers the truth in 93 to 95% for 15 to 60 families of 1 to 6 cards, 92 to 95% where sizes are very
    unequal; an interval that takes the same cards as strangers, in 65 to 85%.
    """
    sums, sizes = family_sums(values, families)
    n, count = int(sizes.sum()), len(sizes)
    if n == 0:
        return Estimate(None, None, None, 0, 0, "no card was measured")
    mean = float(sums.sum() / n)
    if count < 2:
        return Estimate(mean, None, None, n, count, "one family: nothing to resample, so no interval")
    if np.ptp(sums / sizes) < TIED and bounds is not None:
        unseen = unseen_share(count)
        low, high = mean - unseen * (mean - bounds[0]), mean + unseen * (bounds[1] - mean)
        return Estimate(mean, low, high, n, count, "all families agree: interval from the number of families alone")
    tail = expanded_tail(count)
    low, high = np.quantile(resampled_means(sums, sizes, draws, seed), [tail, 1 - tail])
    note = f"{count} families are few: the interval is likely too narrow" if count < FEW_FAMILIES else None
    return Estimate(mean, float(low), float(high), n, count, note)


def family_sums(values: np.ndarray, families: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the measured values and number of measured cards, per family that has any."""
    measured = ~np.isnan(values)
    _, codes = np.unique(families[measured], return_inverse=True)
    return np.bincount(codes, weights=values[measured]), np.bincount(codes)


def resampled_means(sums: np.ndarray, sizes: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """`draws` means of families drawn with replacement: a draw is how often each family was picked."""
    return np.concatenate([(picked @ sums) / (picked @ sizes) for picked in picks(len(sums), draws, seed)])


@lru_cache(maxsize=4)  # every metric of a run is resampled alike, and drawing takes longer than summing
def picks(count: int, draws: int, seed: int) -> list[np.ndarray]:
    """How often each of `count` families was picked in each draw: (draws, count) in pieces of CHUNK cells."""
    rng, step = np.random.default_rng(seed), max(1, CHUNK // count)
    sizes = [min(step, draws - start) for start in range(0, draws, step)]
    return [rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.int16) for size in sizes]


def expanded_tail(families: int) -> float:
    """The quantile to cut at for 2.5% in each tail: plain percentiles are too narrow for few clusters, since they use
    neither n - 1 nor Student's t (Hesterberg 2015, arXiv 1411.5279, "expanded percentile interval")."""
    from scipy import stats

    student = stats.t.ppf((1 + LEVEL) / 2, families - 1)
    return NormalDist().cdf(-student * math.sqrt(families / (families - 1)))


def unseen_share(families: int) -> float:
    """The largest share of unlike families that `families` alike ones leave possible: 1 - 0.025 ** (1 / families).

    Clopper and Pearson's exact bound for no event in that many trials, a family being one trial: right where cards of a
    family go wholly together, wide where they do not.
    """
    return 1 - ((1 - LEVEL) / 2) ** (1 / families)


def sign_flip_p(differences: np.ndarray, families: np.ndarray, draws: int = 10_000, seed: int = 0) -> float | None:
    """Two-sided p of "the two systems are exchangeable on every family", from the paired `differences` (NaN: not measured).

    Under that hypothesis a family's sum is as likely with either sign. All 2 ** families sign patterns where that is no
    more than `draws`, else `draws` random ones with the observed pattern counted in, so p is never 0. None without data.

    `scipy.stats.permutation_test` takes 4 to 30 times as long, refuses a single family, and doubles the smaller tail, which
    makes its least p twice this one.
    """
    sums, _ = family_sums(differences, families)
    if len(sums) == 0:
        return None
    observed = abs(sums.sum()) * (1 - 1e-9)  # equal totals that differ by rounding count as equal
    if 2 ** len(sums) <= draws:
        patterns = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ sums) >= observed))
    rng, extreme = np.random.default_rng(seed), 0
    for start in range(0, draws, step := max(1, CHUNK // len(sums))):
        signs = rng.integers(0, 2, size=(min(step, draws - start), len(sums))) * 2 - 1
        extreme += int(np.sum(np.abs(signs @ sums) >= observed))
    return (extreme + 1) / (draws + 1)


def mcnemar_p(a: np.ndarray, b: np.ndarray) -> float | None:
    """McNemar's exact two-sided p for outcomes 0 or 1 of two systems on the same cards (NaN: not measured, leaves the card out).

    Of the cards on which the two differ, a binomial half should go either way (McNemar 1947). It takes cards as
    independent, so on families it is too sure of itself: a second opinion beside `sign_flip_p`, for readers used to it.
    None without a card that both were measured on, or where a value is neither 0 nor 1 (a mean over samples, for one).
    """
    from scipy import stats

    both = ~(np.isnan(a) | np.isnan(b))
    first, second = a[both], b[both]
    if len(first) == 0 or not np.isin([first, second], (0, 1)).all():
        return None
    gained, lost = int(np.sum(second > first)), int(np.sum(second < first))
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def standard_error(values: np.ndarray, families: np.ndarray) -> float | None:
    """Cluster-robust standard error of the mean of `values`, with the factor families / (families - 1) for few of them
    (Cameron and Miller 2015, "A practitioner's guide to cluster-robust inference"). None from fewer than two families."""
    sums, sizes = family_sums(values, families)
    count = len(sizes)
    if count < 2:
        return None
    residuals = sums - sums.sum() / sizes.sum() * sizes
    return float(math.sqrt(count / (count - 1) * np.sum(residuals**2)) / sizes.sum())


def detectable(differences: np.ndarray, families: np.ndarray, power: float = 0.8) -> float | None:
    """The smallest true mean difference that a two-sided test at 5% finds with `power`, at this n and this clustering.

    The standard error of the paired `differences` (NaN: not measured), clustered by family, times the sum of Student's
    quantiles for 97.5% and for `power`, with families - 1 degrees of freedom (Bloom 1995, "Minimum detectable effects").
    In the differences' own unit. It speaks of the next comparison of this size, never of whether this one found something.
    None from fewer than two families, and where all of them differ by the same: without spread there is nothing to reckon from.
    """
    from scipy import stats

    measured = ~np.isnan(differences)
    error = standard_error(differences, families)
    if error is None or error < TIED:
        return None
    freedom = len(np.unique(families[measured])) - 1
    return float(error * (stats.t.ppf((1 + LEVEL) / 2, freedom) + stats.t.ppf(power, freedom)))


def preference(outcomes: np.ndarray, families: np.ndarray, draws: int = 10_000, seed: int = 0) -> tuple[Estimate, float | None]:
    """How often b is preferred, a tie counting half, and the two-sided p of "as often as not", from one outcome per card: 1 b is
    preferred, 0.5 a tie, 0 a is preferred, NaN no verdict.

    Interval as in `estimate_mean`; p by flipping whole families, as in `sign_flip_p`: if neither is preferred, a family's
    surplus of wins is as likely for either. Raises ValueError on an outcome outside 0 to 1.
    """
    measured = outcomes[~np.isnan(outcomes)]
    if len(measured) and (measured.min() < 0 or measured.max() > 1):
        wrong = measured[(measured < 0) | (measured > 1)][0]
        raise ValueError(f"an outcome is {wrong:g}, expected 1 (b wins), 0.5 (tie) or 0 (a wins), or a mean of them")
    rate = estimate_mean(outcomes, families, draws, seed, bounds=(0.0, 1.0))
    return rate, sign_flip_p(outcomes - 0.5, families, draws, seed)


def holm(p_values: Sequence[float | None], beside: int = 0) -> list[float | None]:
    """Holm's step-down correction: each p as it stands among all of them and as many `beside`, which were declared and not tested. None
    stays None and counts for nothing."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, index) in enumerate(known):
        reached = max(reached, min(1.0, p * (len(known) + beside - rank)))
        adjusted[index] = reached
    return adjusted
