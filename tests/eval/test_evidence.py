"""Where a source bears out what a summary says: places found by the readers of the checks, on invented cards whose facts are known."""

import pytest

from data_prep.checks import check_summary
from data_prep.evidence.left_out import left_out_of
from data_prep.evidence.passages import MAX_PASSAGES, passages_of
from data_prep.evidence.summary import DERIVED, REMARKED, STATED, WRONG, evidence_of
from data_prep.prompts.student import raw_source, source_text
from data_prep.synthetic.world import raw_cards

RAW = list(raw_cards(1, 12))

SOURCE = source_text(
    "acme/Foo-3B",
    """---
license: apache-2.0
language: [en, de, fr]
---
# Foo-3B

Foo-3B has 3.08 billion parameters and reads 65,536 tokens. It takes 480 ms for each step of $1.5$ tokens.

| Model | Params (B) | MMLU |
|---|---|---|
| Foo-3B | 3.08 | 71.2 |
| Bar-7B | 7.1 | 64.3 |

Trained with FlashAttention by the Zenor Institute since 12 March 2025; paper: <https://arxiv.org/pdf/2501.01234v2>.
""",
    [],
)


def found(summary, source=SOURCE):
    """Text of the summary -> (kind, standing, texts of the source)."""
    evidence = evidence_of(summary, source, check_summary(summary, source))
    texts = [
        (summary[one.start : one.end], one.kind, one.standing, [source[p.start : p.end] for p in one.places])
        for one in evidence
    ]
    return {text: rest for text, *rest in texts}


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw.model_id)
def test_all_that_the_checks_look_up_on_a_true_page_has_a_place_that_holds_it(raw):
    source, summary = raw_source(raw), raw.summaries[0]
    evidence = evidence_of(summary, source, check_summary(summary, source))
    assert {"number", "name", "link"} <= {one.kind for one in evidence}
    assert {one.standing for one in evidence} <= {STATED, DERIVED, REMARKED}
    for one in evidence:
        said = summary[one.start : one.end]
        texts = [source[place.start : place.end] for place in one.places]
        if one.standing == STATED and "a term of the trade" not in one.why:
            assert texts, said
        if one.kind == "link":
            assert set(texts) <= {said, f"Model: {raw.model_id}"}
        if one.kind == "number":
            assert all("\n" not in text for text in texts)
    scores = [one for one in evidence if one.kind == "number" and "." in summary[one.start : one.end]]
    assert all(source[p.start : p.end] == summary[one.start : one.end].rstrip("%") for one in scores for p in one.places[:1])


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("3.08B", "number", "3.08 billion"),
        ("64k", "number", "65,536"),
        ("0.48 s", "number", "480 ms"),
        ("1.5", "number", "$1.5$"),
        ("71.2%", "number", "71.2"),
        ("7.1 billion", "number", "7.1"),
        ("March 2025", "number", "12 March 2025"),
        ("flash-Attention2U", "name", None),
        ("flashAttention", "name", "FlashAttention"),
        ("Bar-7B", "name", "Bar-7B"),
        ("Apache 2.0", "licence", "license: apache-2.0"),
        ("https://arxiv.org/abs/2501.01234", "link", "https://arxiv.org/pdf/2501.01234v2"),
        ("https://huggingface.co/acme/Foo-3B", "link", "Model: acme/Foo-3B"),
    ],
)
def test_each_spelling_finds_its_own_place(said, kind, text):
    summary = f"# Foo-3B\n\n- The licence of the model and what it takes is {said} in the words of its authors.\n"
    if text is None:
        assert found(summary)[said][1] == WRONG
    else:
        assert found(summary)[said][:2] == [kind, STATED]
        assert found(summary)[said][2][0].removeprefix("license: ") == text.removeprefix("license: ")


def test_a_place_in_the_row_that_the_sentence_is_about_comes_first():
    source = source_text("acme/Foo", "# Foo\n\nDropout of 0.1 in the encoder.\n\nWeight decay of 0.1 for AdamW.\n", [])
    summary = "# Foo\n\n- AdamW has a weight decay of 0.1.\n- The encoder has a dropout of 0.1.\n"
    evidence = [one for one in evidence_of(summary, source, check_summary(summary, source)) if one.kind == "number"]
    lines = [source[source.rfind("\n", 0, one.places[0].start) + 1 :].splitlines()[0] for one in evidence]
    assert lines == ["Weight decay of 0.1 for AdamW.", "Dropout of 0.1 in the encoder."]
    assert [len(one.places) for one in evidence] == [2, 2]


def test_what_the_head_of_a_table_says_is_no_news_of_each_row():
    source = source_text("acme/Foo", "# Foo\n\n| Model | hits in 37 |\n|---|---|\n| Foo | 7 |\n| Bar | 8 |\n", [])
    assert found("# Foo\n\n- Foo was asked 37 times.\n", source)["37"] == ["number", STATED, ["37"]]


def test_what_no_source_states_has_the_checks_reason_and_no_place():
    seen = found(
        "# Foo-3B\n\n- It has 99.9 of Zarquon-9B at https://evil.example/x and averages 67.75 of 71.2 and 64.3 on MMLU.\n"
    )
    assert seen["99.9"] == ["numbers", WRONG, []]
    assert seen["Zarquon-9B"] == ["names", WRONG, []]
    assert seen["https://evil.example/x"] == ["links", WRONG, []]
    assert seen["67.75"][:2] == ["number", DERIVED]


def test_facts_left_out_are_named_with_their_place():
    left = {one.name: SOURCE[one.place.start : one.place.end] for one in left_out_of("# Foo-3B\n\nA model.\n", SOURCE)}
    assert left["licence"] == "license: apache-2.0"
    assert left["parameters"] == "3.08 billion"
    assert left["languages"] == "language: [en, de, fr]"
    assert "licence" not in {one.name for one in left_out_of("# Foo-3B\n\nUnder the Apache-2.0 licence.\n", SOURCE)}


@pytest.mark.parametrize(
    "text", ["", "\x00", "|" * 500, "7 " * 4_000, "\U0001f680 5 B\r\n| 5 |\x85 5", "[" * 900, "---\n---\n" * 50]
)
def test_any_two_texts_may_be_given(text):
    for one in evidence_of(text, text, check_summary(text, text)):
        assert 0 <= one.start <= one.end <= len(text)
        assert all(0 <= place.start < place.end <= len(text) for place in one.places)
    left_out_of(text, text)


def test_a_log_of_many_lines_is_read_so_far():
    assert len(passages_of("word 1\n" * (2 * MAX_PASSAGES))) == MAX_PASSAGES
