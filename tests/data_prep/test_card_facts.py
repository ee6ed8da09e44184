"""Facts and scores of cards, each with its line, and the table that sets cards side by side."""

import pytest

from data_prep.evidence.card_facts import card_facts, comparison_table
from data_prep.synthetic.world import raw_cards

CARD = """---
license: mit
base_model: acme/Base
model-index:
- name: Foo-3B
  results:
  - dataset: {name: GSM8K, type: gsm8k}
    metrics:
    - type: acc
      value: 55.1
    - type: acc_norm
      value: 56.1
---
# Foo

A model with 3B parameters.

| Model | MMLU | DROP |
|---|---|---|
| Foo-3B | 71.2 | 55 |
| Bar-7B | 64.3 | 50 |

| Benchmark (shots) | Bar-7B | Foo-3B | Foo-3B-Base |
|---|---|---|---|
| MMLU Pro (5) | 11.1 | **22.2** | 33.3 |

|Tasks|Version|n-shot|Metric|Value|   |Stderr|
|---|---|---|---|---|---|---|
|winogrande|1|5|acc|0.71|±|0.01|
|piqa|1|5|acc|0.72|±|0.01|

| Benchmark | Other-9B |
|---|---|
| BBH | 77.7 |
| SQuAD | 78.7 |

Scores: MATH500 44.3, IFEval 51.2.
"""
RAW = list(raw_cards(1, 30))


def scores(card=CARD, model_id="x/Foo-3B"):
    return {name: [(one.text, one.line) for one in found] for name, found in card_facts(model_id, card).scores.items()}


def test_comments_before_front_matter_and_odd_line_ends_change_no_score_but_its_line():
    plain = scores()
    assert scores(f"<!-- a\nb -->\n{CARD}") == {
        name: [(text, line + 2) for text, line in found] for name, found in plain.items()
    }
    assert scores(CARD.replace("A model", "A\u2028mo\x0cdel")) == plain


def test_the_model_s_own_scores_are_told_from_those_of_others():
    lines = CARD.splitlines()
    assert scores() == {
        "MMLU": [("71.2", 20)],
        "DROP": [("55", 20)],
        "MMLU Pro": [("22.2", 25)],
        "winogrande": [("0.71", 29)],
        "piqa": [("0.72", 30)],
        "MATH500": [("44.3", 37)],
        "IFEval": [("51.2", 37)],
        "GSM8K": [("55.1", 10), ("56.1", 12)],
    }
    assert all(text in lines[line - 1] for found in scores().values() for text, line in found)


def test_a_copy_is_given_no_scores_of_the_model_it_copies():
    assert "MMLU" not in scores(model_id="y/Foo-3B-GGUF")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("| Model | Task | Score |\n|---|---|---|\n| Mistral | MMLU | 60.1 |\n| Foo-3B | BBH | 41.0 |\n| Llama | MMLU | 50.1 |", {}),
        ("| Model | Task | Score |\n|---|---|---|\n| Mistral | MMLU | 60.1 |\n| Mistral | BBH | 41.0 |\n| Foo-3B | MMLU | 50.1 |", {"MMLU": ["50.1"]}),
        ("| Task | Score |\n|---|---|\n| MMLU (Average) | 60.1 |\n| BBH Test | 41.2 |", {"MMLU": ["60.1"], "BBH": ["41.2"]}),
        ("| Task | Score |\n|---|---|\n| MMLU of Bar-7B | 60.1 |\n| PIQA qwen2-7b | 1.5 |\n| GPQA falcon | 1.1 |\n| GPQA mistral | 2.2 |\n| BBH | 41.2 |", {"BBH": ["41.2"]}),
        ("| Task | Mistral |\n|---|---|\n| MMLU | 60.1 |\n| BBH | 41.0 |", {}),
        ("| Task | Foo-3B (0-shot) | Foo-3B (5-shot) |\n|---|---|---|\n| MMLU | 60.1 | 61.2 |", {"MMLU": ["60.1", "61.2"]}),
        ("<table><tr><th>Task</th><th>Score</th></tr><tr><td>MMLU</td><td>60.1</td></tr><tr><td>BBH</td><td>41.0</td></tr></table>", {"MMLU": ["60.1"], "BBH": ["41.0"]}),
    ],
)  # fmt: skip
def test_a_score_that_may_be_another_model_s_is_left_out(table, expected):
    found = card_facts("x/Foo-3B", f"# Foo-3B\n\n{table}\n").scores
    assert {name: [one.text for one in given] for name, given in found.items()} == expected


def test_line_ends_of_windows_change_no_line():
    assert scores(CARD.replace("\n", "\r\n")) == scores()


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw.model_id)
def test_all_scores_of_an_invented_card_are_found_at_their_lines(raw):
    found, lines = card_facts(raw.model_id, raw.content), raw.content.splitlines()
    assert {name: [one.text for one in given] for name, given in found.scores.items()} == {
        name: [score] for name, score in ((name, str(score)) for name, score in raw.truth["scores"])
    }
    for stated in (*found.facts.values(), *(one for given in found.scores.values() for one in given)):
        assert stated.line is None or 1 <= stated.line <= len(lines)
    for name, given in found.scores.items():
        assert all(name in lines[one.line - 1] and one.text in lines[one.line - 1] for one in given)
    assert found.facts["licence"].text == raw.truth["licence"]


def test_the_table_has_a_row_for_what_any_card_has_and_a_dash_where_nothing_is_found():
    other = card_facts("y/Bar", "---\nlicense: apache-2.0\n---\n# Bar\n\nScores: mmlu 5.5, IFEval 6.6.\n")
    table = comparison_table([card_facts("x/Foo-3B", CARD), other], ["foo.md#L{line}", ""], more=[("page", ["[a](b)", "c"])])
    assert "| page | [a](b) | c |" in table
    assert "| licence | [mit](foo.md#L2) | apache-2.0 |" in table
    assert "| base model | [acme/Base](foo.md#L3) | – |" in table
    assert "| parameters | [3B](foo.md#L16) | – |" in table
    assert "| score: MMLU | [71.2](foo.md#L20) | 5.5 |" in table


def test_a_card_s_words_bring_no_markup_and_break_no_row():
    hostile = '---\nlicense: "a](https://evil.example)|<img src=x>"\ndatasets: ["o/x\\ny"]\n---\n# B\n'
    table = comparison_table([card_facts("x/B", hostile)], ["b.md#L{line}"])
    assert "[a\\](https://evil.example)" in table
    assert "\\<img src=x\\>" in table
    assert {len(line.replace("\\|", "").split("|")) for line in table.splitlines()} == {4}
