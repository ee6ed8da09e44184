"""Labelled claims, and what a checker's errors on them make of a rate."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from data_prep.synthetic.facts import LICENCES
from eval.entailment.calibration import FAULTS, NUMBER, Rates, agreement, corrected, rates, read_labelled, synthetic_claims


def test_synthetic_claims_are_half_true_of_every_fault_and_the_same_twice():
    claims = synthetic_claims(12)
    assert claims == synthetic_claims(12)
    assert {one.origin for one in claims} == {"synthetic"}
    true = [one for one in claims if one.supported]
    assert len(true) == 24
    assert {one.fault for one in claims if not one.supported} == set(FAULTS)
    for one in true:
        assert all(number in one.source for number in NUMBER.findall(one.claim)), one.claim


def test_false_claims_are_false():
    for one in synthetic_claims(40):
        if one.fault in ("number changed", "fact of another"):
            assert any(number not in one.source for number in NUMBER.findall(one.claim)), one.claim
        if one.fault == "licence swapped":
            told = [name for name in LICENCES if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", one.claim)]
            assert len(told) == 1, one.claim
            assert told[0] not in one.source.split(), one.claim


def test_rates_count_each_kind_apart_and_unread_answers_not_at_all():
    found = rates([True, True, True, False, False, True], [True, True, False, False, True, None])
    assert found == Rates(true=3, true_found=2, false=2, false_found=1, unread=1)
    described = found.described()
    assert described["sensitivity"]["n"] == 3
    assert described["sensitivity"]["mean"] == pytest.approx(2 / 3)
    # Wilson's interval of 1 of 2.
    assert described["specificity"]["ci95"] == pytest.approx([0.0945, 0.9055], abs=1e-3)


FAMILIES = np.array([f"f{index}" for index in range(60)])


def test_corrected_share_undoes_the_checkers_errors():
    """True share 0.8, sensitivity 0.9, specificity 0.7: apparent 0.8 * 0.9 + 0.2 * 0.3 = 0.78."""
    found = corrected(np.full(60, 0.78), FAMILIES, Rates(1000, 900, 1000, 700), draws=2000)
    assert found["mean"] == pytest.approx(0.8)
    assert found["ci95"][0] < 0.8 < found["ci95"][1]


def test_interval_carries_families_and_labels():
    values = np.random.default_rng(0).uniform(0.5, 1.0, 60)

    def width(measured, numbers):
        low, high = corrected(numbers, FAMILIES, measured, draws=2000)["ci95"]
        return high - low

    many, few = Rates(10_000, 9_000, 10_000, 8_000), Rates(30, 27, 30, 24)
    assert width(few, values) > 1.3 * width(many, values)  # labels
    assert width(many, values) > 2 * width(many, 0.75 + (values - 0.75) / 10)  # families


def test_a_perfect_record_on_few_labels_is_not_certainty():
    low, high = corrected(np.full(60, 0.9), FAMILIES, Rates(20, 20, 20, 20), draws=2000)["ci95"]
    assert low < 0.9 < high


def test_cards_that_all_agree_are_not_certainty_either():
    """Sixty families alike leave 6% of unlike ones possible (Clopper and Pearson)."""
    low, high = corrected(np.ones(60), FAMILIES, Rates(10_000, 10_000, 10_000, 10_000), draws=1000)["ci95"]
    assert low == pytest.approx(0.94, abs=0.01)
    assert high == 1.0


def test_corrected_is_clipped_and_refused_for_a_coin():
    assert corrected(np.full(60, 0.98), FAMILIES, Rates(100, 90, 100, 90), draws=1000)["mean"] == 1.0
    coin = corrected(np.full(60, 0.5), FAMILIES, Rates(100, 60, 100, 45), draws=1000)
    assert coin["mean"] is None
    assert "60/100" in coin["reason"]
    assert corrected(np.full(60, np.nan), FAMILIES, Rates(100, 90, 100, 90))["reason"] == "no card was measured"


def test_kappa_by_hand():
    """20 of 50 both yes, 15 both no, 5 and 10 apart: observed 0.7, by chance 0.5, kappa 0.4."""
    a = [True] * 25 + [False] * 25
    b = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert agreement([*a, None], [*b, True]) == {"differ": pytest.approx(0.3), "kappa": pytest.approx(0.4), "n": 50}
    assert agreement([True, True], [True, True])["kappa"] is None
    assert agreement([None], [True])["n"] == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"supported": None}], "labels.jsonl:1 has supported: None; label it"),
        ([{"supported": True}, {"supported": True}], "of both kinds"),
        ([{"supported": True, "origin": "me"}], 'origin "me"'),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_words(tmp_path, rows, said):
    path = tmp_path / "labels.jsonl"
    base = {"source": "s", "context": "", "claim": "c", "supported": True, "origin": "human"}
    path.write_text("".join(json.dumps(base | row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=said):
        read_labelled(path)
