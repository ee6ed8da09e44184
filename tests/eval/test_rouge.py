"""Similarity to the reference: markup counts for nothing, figures are those of the package."""

from __future__ import annotations

import pytest

from eval.scoring.rouge import rouge


def test_same_words_are_alike_whatever_their_markup():
    reference = (
        "## Lumen-3B\n\nIt has **3B** parameters, see [the card](https://cards.example/lumen-3b-card).\n\n- `mit` licence\n"
    )
    plain = "Lumen-3B\n\nIt has 3B parameters, see the card.\n\n- mit licence\n"
    assert rouge(plain, reference) == {"rouge1": 1.0, "rouge2": 1.0, "rougeLsum": 1.0}


def test_figures_by_hand():
    # the, cat, sat of the, cat, ran: two of three words, one of two pairs.
    found = rouge("The cat ran", "The cat sat")
    assert found == {"rouge1": pytest.approx(2 / 3), "rouge2": pytest.approx(1 / 2), "rougeLsum": pytest.approx(2 / 3)}


def test_lsum_takes_every_block_for_a_sentence():
    """In another order the longest common run of the whole text is half; block by block everything is found again."""
    reference, turned = "- one two three four\n- five six seven eight\n", "- five six seven eight\n- one two three four\n"
    assert rouge(turned, reference)["rougeLsum"] == 1.0
    assert rouge(turned.replace("\n- ", " "), reference)["rougeLsum"] == pytest.approx(1.0)
    assert rouge(turned.replace("\n- ", " "), reference.replace("\n- ", " "))["rougeLsum"] == pytest.approx(0.5)


def test_words_are_stemmed():
    assert rouge("It trains models", "It trained model")["rouge1"] == 1.0


def test_no_reference_is_not_measured_and_no_summary_is_nought():
    assert rouge("anything", " \n") == {"rouge1": None, "rouge2": None, "rougeLsum": None}
    assert rouge("", "anything at all") == {"rouge1": 0.0, "rouge2": 0.0, "rougeLsum": 0.0}
