"""Intervals that hold what they promise on clustered data, and answers known by hand."""

import numpy as np
import pytest

from eval.stats.estimates import (
    detectable,
    estimate_mean,
    expanded_tail,
    family_sums,
    holm,
    picks,
    resampled_means,
    sign_flip_p,
    unseen_share,
)

NAN = float("nan")


def test_a_family_weighs_what_it_holds():
    values, families = np.array([1.0, 1.0, 1.0, 0.0]), np.array(["a", "a", "a", "b"])
    estimate = estimate_mean(values, families)
    assert (estimate.mean, estimate.n, estimate.families) == (0.75, 4, 2)
    # Draws of two families: aa -> 1, ab -> 3/4, bb -> 0; never 1/2, the mean of the families' means.
    sums, sizes = family_sums(values, families)
    assert set(resampled_means(sums, sizes, 500, seed=1)) == {0.0, 0.75, 1.0}


def clustered(rng, families, spread):
    """Cards of families of 1 to 6; a family's own level has the standard deviation `spread`, a card's 0.5; mean 0."""
    codes = np.repeat(np.arange(families), rng.integers(1, 7, families))
    return rng.normal(0, spread, families)[codes] + rng.normal(0, 0.5, len(codes)), codes


def coverage(by_family):
    rng, hits = np.random.default_rng(7), 0
    for trial in range(400):
        values, codes = clustered(rng, 20, spread=1.0)
        estimate = estimate_mean(values, codes if by_family else np.arange(len(codes)), draws=1000, seed=trial)
        hits += estimate.low <= 0 <= estimate.high
    return hits / 400


def test_intervals_cover_the_truth_because_they_resample_families():
    assert 0.92 <= coverage(by_family=True) <= 0.98
    assert coverage(by_family=False) < 0.80


def test_few_families_widen_the_percentiles():
    # With four families Student's 3.182, times the root of 4/3, leaves 0.012%: hardly a draw of the 10,000 lies beyond.
    assert expanded_tail(4) == pytest.approx(0.00012, abs=1e-5)
    # Student's 2.228 for 10 degrees of freedom, times the root of 11/10, is the normal quantile of 0.97%.
    assert expanded_tail(11) == pytest.approx(0.0097, abs=2e-4)
    assert expanded_tail(10_000) == pytest.approx(0.025, abs=1e-4)


def test_p_of_no_difference_is_uniform():
    rng = np.random.default_rng(3)
    draws = [sign_flip_p(*clustered(rng, 20, spread=1.0), draws=500, seed=trial) for trial in range(400)]
    assert 0.02 <= np.mean(np.array(draws) <= 0.05) <= 0.085
    assert 0.4 <= np.mean(draws) <= 0.6


def test_unmeasured_cards_stand_outside():
    estimate = estimate_mean(np.array([1.0, NAN, 0.0, NAN]), np.array(["a", "a", "b", "c"]))
    assert (estimate.mean, estimate.n, estimate.families) == (0.5, 2, 2)
    nothing = estimate_mean(np.array([NAN]), np.array(["a"]))
    assert (nothing.mean, nothing.n, nothing.note) == (None, 0, "no card was measured")


def test_one_family_has_a_mean_and_no_interval():
    estimate = estimate_mean(np.array([1.0, 0.0]), np.array(["a", "a"]))
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, None, None)
    assert "one family" in estimate.note


def test_few_families_are_named_as_few():
    values = np.array([0.0, 1.0, 1.0, 0.0] * 3)
    assert "4 families are few" in estimate_mean(values, np.arange(12) % 4).note
    assert estimate_mean(values, np.arange(12)).note is None


def test_agreement_of_all_cards_is_no_certainty():
    same = estimate_mean(np.ones(20), np.arange(20), bounds=(0, 1))
    assert same.mean == same.high == 1.0
    assert same.low == pytest.approx(1 - 0.1684, abs=1e-4)  # Clopper and Pearson, 20 of 20
    assert unseen_share(20) == pytest.approx(0.1684, abs=1e-4)
    rounding = np.array([0.1 + 0.2, 0.3] * 10)  # differ in their last bit
    assert "all families agree" in estimate_mean(rounding, np.arange(20), bounds=(0, 1)).note
    families, unlike = np.repeat(np.arange(12), 2), np.tile([1.0, 0.0], 12)  # each family has one of both
    agreeing = estimate_mean(unlike, families, bounds=(0, 1))
    assert agreeing.low < 0.5 < agreeing.high
    assert detectable(unlike - 0.5, families) is None
    tied = estimate_mean(np.zeros(20), np.arange(20), bounds=(-1, 1))
    assert (tied.mean, tied.low) == (0, -tied.high)
    assert tied.high == pytest.approx(0.1684, abs=1e-4)


def test_exact_p_of_few_families():
    # Five families all better: 2 of the 32 sign patterns are as extreme.
    assert sign_flip_p(np.ones(5), np.arange(5)) == 2 / 32
    # The same five cards in one family are one observation.
    assert sign_flip_p(np.ones(5), np.zeros(5)) == 1.0
    assert sign_flip_p(np.zeros(30), np.arange(30)) == 1.0
    assert sign_flip_p(np.array([NAN]), np.array([0])) is None


def test_random_p_agrees_with_the_exact_one_and_is_never_zero():
    differences = np.array([0.4, -0.1, 0.3, 0.2, -0.3, 0.5, 0.1, 0.6, -0.2, 0.3])
    exact = sign_flip_p(differences, np.arange(10), draws=1024)
    assert sign_flip_p(differences, np.arange(10), draws=1000) == pytest.approx(exact, abs=0.03)
    assert sign_flip_p(np.ones(40), np.arange(40), draws=1000) == 1 / 1001


def test_same_seed_same_draws_whatever_the_chunk(monkeypatch):
    values, families = clustered(np.random.default_rng(0), 30, 1.0)
    whole = estimate_mean(values, families, draws=2000, seed=5)
    monkeypatch.setattr("eval.stats.estimates.CHUNK", 3000)
    assert estimate_mean(values, families, draws=2000, seed=5) == whole
    assert estimate_mean(values, families, draws=2000, seed=6) != whole


def test_holm():
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.01, 0.04], beside=1) == pytest.approx([0.03, 0.08])


def test_many_families_are_drawn_in_pieces_and_as_often_as_asked():
    pieces = picks(300, 10_000, seed=1)
    assert len(pieces) > 1
    assert sum(len(piece) for piece in pieces) == 10_000
    assert all((piece.sum(axis=1) == 300).all() for piece in pieces)
