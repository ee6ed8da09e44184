"""Uncertainty for means over cards that come in families: intervals, paired p-values, correction for many tests.

Cards of one family quote each other, so a system's results on them go together and count for less than as many strangers'.
Everything here therefore resamples families, never cards (clustered errors and paired differences for model evaluations:
Miller 2024, arXiv 2411.00640; resampling whole clusters: Cameron, Gelbach and Miller 2008, "Bootstrap-based improvements
for inference with clustered errors").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
FEW_FAMILIES = 10  # below, resampled intervals are known to come out too narrow
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
    cards agree, resampling sees no spread at all, and the interval then allows for the values not yet met (see
    `unseen_share`). Without bounds such an interval is a point. No interval from fewer than two families.
    """
    sums, sizes = family_sums(values, families)
    n, count = int(sizes.sum()), len(sizes)
    if n == 0:
        return Estimate(None, None, None, 0, 0, "no card was measured")
    measured = values[~np.isnan(values)]
    mean = float(sums.sum() / n)
    if count < 2:
        return Estimate(mean, None, None, n, count, "one family: nothing to resample, so no interval")
    if np.ptp(measured) == 0 and bounds is not None:
        unseen = unseen_share(count)
        low, high = mean - unseen * (mean - bounds[0]), mean + unseen * (bounds[1] - mean)
        return Estimate(mean, low, high, n, count, "all cards agree: interval from the number of families alone")
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
    rng, count = np.random.default_rng(seed), len(sums)
    means = []
    for start in range(0, draws, step := max(1, CHUNK // count)):
        picked = rng.multinomial(count, np.full(count, 1 / count), size=min(step, draws - start))
        means.append((picked @ sums) / (picked @ sizes))
    return np.concatenate(means)


def expanded_tail(families: int) -> float:
    """The quantile to cut at for 2.5% in each tail: plain percentiles are too narrow for few clusters, since they use
    neither n - 1 nor Student's t (Hesterberg 2015, arXiv 1411.5279, "expanded percentile interval")."""
    z, freedom = NormalDist().inv_cdf((1 + LEVEL) / 2), families - 1
    # Student's quantile by its expansion around the normal one: exact to 0.01 from 5 degrees of freedom on.
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return NormalDist().cdf(-student * math.sqrt(families / freedom))


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


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction: each p as it stands among all of them. None stays None and counts for nothing."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, index) in enumerate(known):
        reached = max(reached, min(1.0, p * (len(known) - rank)))
        adjusted[index] = reached
    return adjusted
