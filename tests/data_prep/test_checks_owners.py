"""Names with their owners, organisations, and names that the source spells otherwise."""

from __future__ import annotations

import random
import time

import pytest

from data_prep.checks import check_summary

CARD = """---
base_model: gado/plan-base
datasets:
- kiln/tiles
---
# Orvan

Load it with `from_pretrained("acme/orvan_tiny")`; it was distilled from [pere/nb-orvan](https://huggingface.co/pere/nb-orvan).
See https://huggingface.co/datasets/gado/Mallow. The train/test split is 9/1; google wrote a paper. "front/back" is a joke.

Model: acme/orvan
"""


def names(said: str, source: str = CARD):
    return next(result for result in check_summary(f"# Orvan\n\nIt uses {said} here.", source) if result.name == "names")


@pytest.mark.parametrize(
    "said",
    [
        "`acme/orvan_tiny`",
        "acme/orvan",
        "gado/plan-base",
        "kiln/tiles",
        "pere/nb-orvan",
        "gado/Mallow",
        "the train/test split",
        "the valid/test split",  # no repository
        "front/back",
        "text-to-speech/speech-to-text in google/acme style",
        "`src/train_model.py`",
        "and/or",
    ],
)
def test_repositories_with_the_owner_that_the_source_gives_them(said):
    assert names(said).passed


@pytest.mark.parametrize(
    "said",
    [
        "`kobold/orvan_tiny`",
        "kobold/orvan",
        "kobold/plan-base",
        "kobold/tiles",
        "kobold/nb-orvan",
        "google/nb-orvan",  # known, and owns it nowhere
        "`kobold/Mallow`",
        "`kobold/some-other-base`",  # neither is in the source
    ],
)
def test_repositories_with_another_owner_are_marked(said):
    found = names(said)
    assert not found.passed
    assert found.spans[0].label.endswith(said.strip("`"))


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        ("work at the Rosonar Institute", "by the Allen Institute for AI, AI of II", False),
        ("work at Zenoval University", "University of Northgate", False),
        ("work at the University of Zenoval", "Northgate University", False),
        ("work at Northgate University", "University of Northgate", True),
        ("work at the Northgate Institute", "northgate", True),
        ("work at the Research Institute", "an institute", True),
        ("parts of TensorRT", "trt_fp16 of the TRT kind", True),
        ("parts of TensorFlow", "a tf dataset in ./tf_data", True),
        ("parts of TensorFlow", "TFOrvanModel", True),
        ("parts of TensorFlow", "a tf of some kind", False),
        ("parts of FineText", "it is fit", False),
        ("the set NarrateQA", "the set NarriteQA", True),
        ("the set NarrateQA", "the set NarrateQAs", True),
        ("the set NarrateQA", "the set NaritateQA", False),
        ("the set MiniQA", "the set ManiQA", False),  # too short to tell
        ("RougeL of 31", "RougueL: 31", True),
        ("RoBERT of 31", "RoBERTa: 31", False),  # another model
        ("RougeX of 31", "RougueL: 31", False),
        ("a V100", "an H100, version 2", False),
        ("V2", "version 2", True),
    ],
)
def test_organisations_abbreviations_and_misspelt_names(said, source, passed):
    assert names(said, source).passed is passed


@pytest.mark.parametrize(
    ("row", "passed"), [("| CASP12 | 77 | |", True), ("| CASP16 | 77 | |", False), ("| PIQA9 7.7 | 3 |", False)]
)
def test_names_in_rows_of_capitals(row, passed):
    text = f"# Orvan\n\n| SET | SCORE | |\n|---|---|---|\n{row}\n\n## TRAINING DATA NOTES\n"
    result = next(result for result in check_summary(text, "SET | SCORE\nCASP12 77, PIQA 3") if result.name == "names")
    assert result.passed is passed


@pytest.mark.parametrize(
    "text",
    ["|12 " * 30_000, "hours: 12 " * 20_000, "a/b " * 40_000, "a/-" * 40_000, "- a/" + "-" * 90_000, "1.2.3_4-" * 20_000],
)
def test_hostile_tables_keys_and_slashes_take_no_long_time(text):
    started = time.process_time()
    assert names("`a/b-c-d` and 12 hours", text) is not None
    assert time.process_time() - started < 20


def test_hostile_names_that_are_nearly_those_of_the_source_take_no_long_time():
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnop", k=11)) for _ in range(30_000)]
    said = " ".join(f"{word[:5]}Q{word[6:10]}q" for word in words[:1_000])
    started = time.process_time()
    assert not names(said, " ".join(words)).passed
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("## Missing\n\n- Any metric such as QSR.", True),
        ("## What the card leaves out\n\nQSR, for one.", True),
        ("## What the card doesn't say\n\n- QSR.", True),
        ("## Missing\n\n- QSR of 71.", False),
        ("## Missing\n\n- A paper by Ada Example.", False),
        ("## Missing\n\n- Much.\n\n## Results\n\n- QSR is high.", False),
        ("## Leaves of trees\n\n- QSR is high.", False),
        ("There is no QuillScore, no QuillTest score.", True),
        ("It offers no baseline or QuillScore.", True),
        ("There is no baseline, and QuillScore is high.", False),
    ],
)
def test_what_a_page_says_is_lacking_is_no_invented_name(said, passed):
    found = check_summary(f"# Orvan\n\n{said}\n", "A model of leaves.")
    assert next(result for result in found if result.name == "names").passed is passed
