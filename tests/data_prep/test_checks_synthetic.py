"""The checks against invented models whose facts are known: true summaries pass."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from commands import ROOT

from data_prep.candidates.extractive import extractive_summary
from data_prep.checks import CHECKS, check_summary
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards


@pytest.fixture(scope="module")
def world():
    return [(raw, source_text(raw.model_id, raw.content, raw.notes)) for raw in raw_cards(seed=11, cards=40)]


def test_true_summaries_pass_every_check(world):
    failed = Counter(
        entry.name
        for raw, source in world
        for text in raw.summaries
        for entry in check_summary(text, source)
        if not entry.passed
    )
    total = sum(len(raw.summaries) for raw, _ in world)
    assert all(failed[name] <= 0.01 * total for name in CHECKS), failed


def test_sentences_of_the_card_itself_are_english_and_not_copied_in_one_piece(world):
    failed = Counter(
        entry.name
        for raw, source in world
        for entry in check_summary(extractive_summary(raw.model_id, raw.content, raw.notes), source)
        if not entry.passed
    )
    assert not failed["copying"]
    assert not failed["language"]


def test_checks_load_no_language_model_until_one_is_needed():
    code = "import sys, data_prep.checks as c; c.check_summary('The model is one of many.', 'x'); print({'py3langid', 'rensa'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
