"""Capitalised words in a row within a sentence: known where the source has one of them, in full or by their letters."""

from __future__ import annotations

import pytest

from data_prep.checks import check_summary


def names(summary: str, source: str):
    return next(result for result in check_summary(summary, source) if result.name == "names")


@pytest.mark.parametrize(
    "said",
    [
        "It was built by Maria Lindqvist in May.",
        "It was built at the Northgate Institute of Letters.",
        "The text comes from New Harbour, as does the rest.",
        "- **Makers**: the work of **Tomás Herrera** and others.",
        "- According to [Jean-Luc Moreau](https://kiln.example), it works.",
        "The authors, Ahmed El-Sayed and others, thank all.",
        "It was\nbuilt by\nKenji Watanabe.",
        "It was led by J. Quentin alone.",
    ],
)
def test_people_organisations_and_places_out_of_nowhere_are_marked(said):
    assert not names(said, "A small model of text, made in a shed.").passed


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("It was built by Maria Lindqvist.", "by M. Lindqvist"),
        ("It was built by Maria Lindqvist.", "by MARIA LINDQVIST"),
        ("It was built by Tomás Herrera.", "author = {Herrera, Tom{\\'a}s}"),
        ("It was built by Tomas Herrera.", "Tomás"),
        ("It was built by José González.", "author = {Gonz{\\'a}lez, Jos{\\'e}}"),
        ("It stands on the Hugging Face Hub.", "nothing"),
        ("It is based on Steady Diffusion in its first form.", "SD 1.5"),
        ("It is based on Steady Diffusion.", "steadydiffusion"),
        ("It does Natural Language Processing well.", "nothing"),
        ("It reads Brazilian Portuguese only.", "---\nlanguage: pt\n---\n# Orvan"),
        ("It is under the Creative Commons Attribution licence.", "cc-by-4.0"),
        ("The card says nothing about Maria Lindqvist.", "nothing"),
        ("Built at once. Maria Lindqvist did it.", "nothing"),
        ("- Maria Lindqvist did it.", "nothing"),
        ("## The work of Maria Lindqvist", "nothing"),
        ("| a | b |\n|---|---|\n| by Maria Lindqvist | 1 |", "nothing"),
        ("Trained On Large Piles Of Text", "nothing"),
        ("It was trained by Maria at once.", "nothing"),
        ("**Note**: Large Data was used.", "nothing"),
        ("It is in group A. Group A is last.", "nothing"),
        ("`by Maria Lindqvist = 1`", "nothing"),
    ],
)
def test_runs_that_the_source_explains_or_that_may_be_no_names_pass(said, source):
    assert names(said, source).passed


def test_names_that_may_be_romanised_are_remarked():
    said = "It tells of Lin Wanru on Mount Yun."
    told = names(said, "他和她来到云山，在那里住了很久，写下了很多关于山的诗。")
    assert told.passed
    assert [said[span.start : span.end] for span in told.remarks] == ["Lin Wanru", "Mount Yun"]
    assert [
        one.label[-4:] for one in names("It speaks of KATO.", "он говорит о КАТО и о других больших странах мира").remarks
    ] == ["KATO"]
    assert not names(said, "山").passed  # a single letter tells of nobody
    assert not names("It tells of Orvan-9000.", "他和她来到云山，在那里住了很久，写下了很多关于山的诗。").passed


def test_bodies_that_a_page_may_have_translated_are_remarked():
    source = (
        "Il testo di prova è questo: il presente regolamento è stato adottato dalla commissione delle comunità europee, entra in vigore"
        " subito ed è direttamente applicabile in ciascuno degli stati membri, che devono essere avvertiti senza alcun ritardo."
    )
    said = "The sample is of the European Parliament, by Maria Lindqvist at the Lorvik Institute."
    told = names(said, source)
    assert [said[span.start : span.end] for span in told.remarks] == ["European Parliament"]
    assert [said[span.start : span.end] for span in told.spans] == ["Maria Lindqvist", "Lorvik Institute"]
    assert not names("It is by Kenneth Church of Stanford University.", source).remarks
    assert not names(said, "The text is of a body of the member states, which have to be told of it at once.").remarks


@pytest.mark.parametrize("text", ["a Bc" + " Bc" * 6_000, "a Bc of " * 2_500, "a B. " * 4_000, "a Bc-" * 4_000])
def test_hostile_runs_take_no_long_time(text):
    assert names(text, text * 2) is not None
    assert names(text, "nothing") is not None
