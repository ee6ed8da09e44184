"""Our statistics against scipy's and statsmodels', and against data whose truth is known: what they promise, they hold."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from data_prep.core.wilson import wilson
from eval.stats.estimates import (
    detectable,
    estimate_mean,
    expanded_tail,
    family_sums,
    holm,
    mcnemar_p,
    preference,
    resampled_means,
    sign_flip_p,
    standard_error,
)

NAN = float("nan")
SIZES = (1, 1, 2, 2, 3, 4, 5, 6)  # cards of a family


@pytest.mark.parametrize(("successes", "n"), [(0, 12), (1, 12), (7, 12), (12, 12), (286, 300), (1, 3000)])
def test_wilson(successes, n):
    assert wilson(successes, n) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


def test_wilson_of_nothing_and_of_too_much():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="13 successes of 12"):
        wilson(13, 12)


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.random(60) < 0.5).astype(float), (rng.random(60) < 0.65).astype(float)
    table = [[np.sum((a == x) & (b == y)) for y in (0, 1)] for x in (0, 1)]
    assert mcnemar_p(a, b) == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)


def test_mcnemar_leaves_out_what_was_not_measured_and_refuses_means():
    # Five cards got better, none worse: 2 / 2**5. The card with one outcome alone is no pair.
    assert mcnemar_p(np.array([0, 0, 0, 0, 0, 1, NAN]), np.array([1, 1, 1, 1, 1, 1, 0.0])) == 2 / 32
    assert mcnemar_p(np.ones(4), np.ones(4)) == 1.0
    assert mcnemar_p(np.array([0, 1 / 3]), np.array([1.0, 1.0])) is None
    assert mcnemar_p(np.array([NAN]), np.array([1.0])) is None


@pytest.mark.parametrize("seed", range(5))
def test_holm(seed):
    p = np.random.default_rng(seed).random(6) ** 3
    assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])


def test_sign_flip():
    values, families = clustered(np.random.default_rng(1), 13, truth=0.3)
    sums, _ = family_sums(values, families)
    exact = stats.permutation_test(
        (sums,), lambda x, axis: np.sum(x, axis=axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_p(values, families, draws=2**13) == pytest.approx(exact.pvalue, abs=1e-12)
    assert sign_flip_p(values, families, draws=4000) == pytest.approx(exact.pvalue, abs=0.02)


def test_strangers_have_the_percentile_interval():
    values = np.random.default_rng(2).gamma(2.0, size=300)
    reference = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0))
    plain = np.quantile(resampled_means(values, np.ones(300, int), 10_000, 0), [0.025, 0.975])
    width = np.ptp(reference.confidence_interval)
    assert plain == pytest.approx(reference.confidence_interval, abs=0.04 * width)
    # Ours is expanded for the number of families, at 300 of them hardly.
    ours = estimate_mean(values, np.arange(300))
    assert np.ptp([ours.low, ours.high]) == pytest.approx(width, rel=0.04)


@pytest.mark.parametrize("families", [15, 32, 60])
def test_families_have_the_cluster_robust_error(families):
    values, codes = clustered(np.random.default_rng(families), families, truth=0.0)
    fit = OLS(values, np.ones((len(values), 1))).fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    robust = float(fit.bse[0])
    assert standard_error(values, codes) == pytest.approx(robust * np.sqrt(families / (families - 1)))
    # The spread of the resampled means is the same error without the factor for few families.
    sums, sizes = family_sums(values, codes)
    assert np.std(resampled_means(sums, sizes, 10_000, 0)) == pytest.approx(robust, rel=0.05)


@pytest.mark.parametrize("families", [4, 5, 11, 32, 300])
def test_tails_are_students(families):
    # A normal quantile at our tail, with the error that lacks n / (n - 1), reaches as far as Student's with the right one.
    reach = -stats.norm.ppf(expanded_tail(families)) * np.sqrt((families - 1) / families)
    assert reach == pytest.approx(stats.t.ppf(0.975, families - 1))


def sizes_of(rng, families):
    return np.repeat(np.arange(families), rng.choice(SIZES, families))


def clustered(rng, families, truth):
    """Scores whose family decides more than half of their variance; mean `truth`."""
    codes = sizes_of(rng, families)
    return truth + rng.normal(0, 0.8, families)[codes] + rng.normal(0, 0.6, len(codes)), codes


def clustered_passes(rng, families, truth):
    """Passes and failures; the rates of families spread around `truth`, correlation within a family 1/3."""
    codes = sizes_of(rng, families)
    return (rng.random(len(codes)) < rng.beta(2 * truth, 2 * (1 - truth), families)[codes]).astype(float), codes


def coverage(make, families, truth, trials, by_family=True):
    rng, hits = np.random.default_rng(families), 0
    for trial in range(trials):
        values, codes = make(rng, families, truth)
        one = estimate_mean(values, codes if by_family else np.arange(len(codes)), 600, trial, (0, 1) if truth else None)
        hits += one.low <= truth <= one.high
    return hits / trials


@pytest.mark.parametrize("families", [15, 32, 60])
@pytest.mark.parametrize(("make", "truth"), [(clustered, 0.0), (clustered_passes, 0.7)])
def test_intervals_cover_the_truth(make, truth, families):
    # 95% of 400 trials, give or take 1.1.
    assert 0.92 <= coverage(make, families, truth, 400) <= 0.97
    # Cards taken as strangers: the same mean, and an interval that misses it twice as often and more.
    assert coverage(make, families, truth, 200, by_family=False) < 0.90


@pytest.mark.slow
@pytest.mark.parametrize("families", [15, 32, 60])
@pytest.mark.parametrize(("make", "truth"), [(clustered, 0.0), (clustered_passes, 0.7)])
def test_intervals_cover_the_truth_in_many_trials(make, truth, families):
    assert 0.92 <= coverage(make, families, truth, 2500) <= 0.96


@pytest.mark.parametrize(("make", "truth"), [(clustered, 0.0), (clustered_passes, 0.5)])
def test_sign_flip_is_wrong_one_time_in_twenty(make, truth):
    rng, p = np.random.default_rng(5), []
    for trial in range(800):
        values, codes = make(rng, 32, truth)
        p.append(sign_flip_p(values - truth, codes, draws=400, seed=trial))
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.075  # 5%, give or take 0.8


def rejections(families, trials, size):
    """Share of trials that find a difference as large as `detectable` says they need, times `size`; and those figures."""
    rng, found, needed = np.random.default_rng(9), 0, []
    for _ in range(20):
        needed.append(detectable(*clustered(rng, families, 0.0)))
    truth = size * float(np.mean(needed))
    for trial in range(trials):
        found += sign_flip_p(*clustered(rng, families, truth), draws=400, seed=trial) <= 0.05
    return found / trials


@pytest.mark.parametrize("families", [15, 32, 60])
def test_a_detectable_difference_is_found_four_times_in_five(families):
    # 80% of 500 trials, give or take 1.8; and the estimate from 20 samples is itself off by a few percent.
    assert 0.73 <= rejections(families, 500, size=1.0) <= 0.87
    assert rejections(families, 200, size=0.5) < 0.40


def test_detectable_is_the_textbooks_for_strangers():
    # SD 0.15 over 197 cards: 0.03, as a power table of the paired t test says.
    values = np.random.default_rng(0).normal(0, 1, 197)
    values = (values - values.mean()) / values.std(ddof=1) * 0.15
    assert detectable(values, np.arange(197)) == pytest.approx(0.0301, abs=3e-4)
    assert detectable(values, np.arange(197), power=0.9) > detectable(values, np.arange(197))


def test_families_make_less_detectable():
    values, codes = clustered(np.random.default_rng(3), 32, 0.0)
    assert detectable(values, codes) > 1.3 * detectable(values, np.arange(len(values)))


def test_nothing_is_detectable_without_spread_or_families():
    assert detectable(np.zeros(20), np.arange(20)) is None
    assert detectable(np.array([0.1 + 0.2, 0.3] * 10), np.arange(20)) is None  # alike but for rounding
    assert detectable(np.array([0.1, 0.3]), np.array(["a", "a"])) is None
    assert detectable(np.array([NAN, 0.3]), np.array(["a", "b"])) is None


def test_preference_counts_a_tie_as_half_and_no_verdict_as_nothing():
    outcomes = np.array([1, 1, 0.5, 0, NAN, 1, 0.5, 1.0])
    found, p = preference(outcomes, np.array(list("aabbccdd")))
    assert (found.mean, found.n, found.families) == (5 / 7, 7, 4)
    assert found.low < 5 / 7 < found.high <= 1
    # Families' surpluses 1, -0.5, 0.5, 0.5: of 16 sign patterns, 8 sum to 1.5 or more either way.
    assert p == 8 / 16


def test_preference_of_nobody_and_of_everybody():
    nobody, p = preference(np.full(40, 0.5), np.arange(40))
    assert (nobody.mean, p) == (0.5, 1.0)
    everybody, p = preference(np.ones(40), np.arange(40))
    assert (everybody.mean, everybody.high) == (1.0, 1.0)
    assert everybody.low == pytest.approx(0.912, abs=1e-3)
    assert p < 0.001
    nothing, p = preference(np.array([NAN]), np.array(["a"]))
    assert (nothing.mean, p, nothing.note) == (None, None, "no card was measured")


def test_preference_refuses_what_is_no_outcome():
    with pytest.raises(ValueError, match="an outcome is -1, expected 1"):
        preference(np.array([1, -1, 0.5]), np.arange(3))
