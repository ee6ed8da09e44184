"""Real cards in `eval.validate`: the halves, what is planted and where, what counts. The cards here are invented."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest
from commands import ROOT

from data_prep.checks import CHECKS, CheckResult
from data_prep.checks.result import Derived, Span
from data_prep.core.files import stable_id, write_jsonl
from data_prep.core.recipe import Recipe
from data_prep.synthetic.planted import PlantedFault, kind_of
from eval.entailment.card_labels import CardLabel
from eval.validate import ValidateConfig, main
from eval.validation.amounts import tables
from eval.validation.naming import pool_of
from eval.validation.page import Page, applied
from eval.validation.real_cards import RealCard, further_cards, half_of, real_cards
from eval.validation.real_faults import REAL_KINDS, planted_real
from eval.validation.statements import statement_figures
from eval.validation.tally import FaultTally, count_one, summarised

CARD = """---
license: apache-2.0
base_model: acme/Lumo-7B
datasets:
- acme/StoryBank
language: [en, fr, de]
---
# Tessel-7B-v0.2

Tessel-7B-v0.2 is fine-tuned from acme/Lumo-7B by the Acme group, on 48 A100 GPUs in 36 hours. It has 7.2 billion parameters.
It was trained on StoryBank, 612 million words in 3 parts, for 5 epochs, from March 2021 on. Version 1 came in 2020.
The languages are English, French and German. It translates from English to French. Stable Parrot 1.5 was the teacher;
bird-base-cased gave the vocabulary. Temperature is `0.35`. 12.5% of the words are code. Batch size 264, 40 warm-up steps.
Paper: https://arxiv.org/abs/2104.12345, code: https://github.com/acme/tessel, model: https://huggingface.co/acme/Tessel-7B-v0.2

| Model | Quiz | Riddle |
|---|---|---|
| Lumo | 61.7 | 58.3 |
| Tessel | 66.4 | 57.9 |

Its accuracy is higher than that of Lumo. The tokenizer is not described.
"""
SUMMARY = """# Tessel-7B-v0.2

A writer of stories, fine-tuned from acme/Lumo-7B. It has 7.2 billion parameters and was trained on StoryBank.

## Facts

- The licence is apache-2.0.
- The data hold 612 million words; training took 5 epochs on 48 A100 GPUs in 36 hours.
- Batch size 264 goes with 40 warm-up steps, and 12.5% of the words are code.
- It came out in March 2021, in three parts.
- The vocabulary is that of bird-base-cased, and Stable Parrot 1.5 was the teacher.
- Languages are English, French and German; it goes from English to French.
- The example sets a temperature of `0.35`.
- The tokenizer is not described.

| Model | Quiz | Riddle |
|---|---|---|
| Tessel | 66.4 | 57.9 |

Its accuracy is higher than that of Lumo. Read the [paper](https://arxiv.org/abs/2104.12345) and the [code](https://github.com/acme/tessel).
"""
OTHER = RealCard(
    "zebu/Mokka-3B",
    "zebu",
    "train",
    "---\ndatasets: [zebu/FarmTalk-2]\n---\n# Mokka\n\nhttps://zebu.example/mokka\n",
    "# Mokka\n\nIt is based on zebu/Grano-1B, see [its page](https://zebu.example/mokka).\n",
    None,
)
ELSEWHERE = {
    "a figure of another row of the table",
    "a figure of another column of the table",
    "two numbers of a sentence exchanged",
}
ELSEWHERE |= {
    "two languages exchanged",
    "a denial taken out",
    "a licence denied",
    "a statement denied",
}  # words that any card has
AMOUNTS = {"a unit changed (hours, days)", "what a number counts changed (epochs, steps)", "a scale changed (million, billion)"}


def page(summary: str = SUMMARY, source: str = CARD) -> Page:
    return Page("acme/Tessel-7B-v0.2", summary, source + "\nModel: acme/Tessel-7B-v0.2\n", pool_of([OTHER]))


@pytest.fixture(scope="module")
def texts() -> dict[str, PlantedFault]:
    return {text.fault: text for text in planted_real(page(), "1")}


@pytest.mark.parametrize("fault", REAL_KINDS)
def test_every_fault_finds_its_place_and_marks_what_differs(texts, fault):
    text = texts[fault]
    assert text.text != SUMMARY
    kept, position = [], 0
    for start, end in text.spans:
        assert 0 <= position <= start < end <= len(text.text)
        kept.append(text.text[position:start])
        position = end
    kept.append(text.text[position:])
    if text.spans:  # all that is not marked stands in the true summary, in this order
        assert re.fullmatch(".*?".join(map(re.escape, kept)), SUMMARY, re.DOTALL)
    else:
        assert fault == "the licence left out"


@pytest.mark.parametrize("fault", sorted(set(REAL_KINDS) - ELSEWHERE - {"the licence left out"}))
def test_what_is_put_in_is_nowhere_in_the_source(texts, fault):
    text = texts[fault]
    for start, end in text.spans:
        if fault in AMOUNTS:  # "36 days": the number is there, the amount is not
            start = text.text.rindex(" ", 0, start - 1) + 1
        word = re.search(r"[\w./-]*$", text.text[:start])[0] + text.text[start:end] + re.match(r"[\w/-]*", text.text[end:])[0]
        assert not re.search(rf"(?<![\w.]){re.escape(word.strip())}(?!\w|\.\d)", CARD, re.IGNORECASE)


def test_a_true_number_in_the_wrong_place_is_one_of_the_same_row_or_column(texts):
    row, column = (texts[f"a figure of another {name} of the table"] for name in ("row", "column"))
    assert {row.text[slice(*row.spans[0])], column.text[slice(*column.spans[0])]} <= {"61.7", "58.3", "66.4", "57.9"}
    assert row.text[slice(*row.spans[0])] in ("61.7", "58.3")  # what Lumo has
    assert column.text[slice(*column.spans[0])] in ("66.4", "57.9")
    assert list(tables(CARD)) == [[{1: "61.7", 2: "58.3"}, {1: "66.4", 2: "57.9"}]]


def test_same_seed_same_texts_and_another_seed_others():
    assert list(planted_real(page(), "1")) == list(planted_real(page(), "1"))
    assert list(planted_real(page(), "1")) != list(planted_real(page(), "2"))


def test_a_summary_without_a_place_is_left_alone():
    assert list(planted_real(page("# Tessel\n\nNothing here\n"), "1")) == []


@pytest.mark.parametrize(
    ("source", "literal", "scale"),
    [
        ("1,024 tokens", "1024", 1),
        ("64K", "64000", 1),
        ("71.28 on it", "71.3", 1),
        ("0.713", "71.3", 1),
        ("twelve layers", "12", 1),
        ("11.2 billion", "11.2", 1e9),
        ("lr 2e-4", "0.0002", 1),
        ("a size of 3.08B", "3", 1e9),
        ("2,137 hours", "2,100", 1),
    ],
)
def test_a_number_stands_in_the_source_in_any_spelling(source, literal, scale):
    assert page(source=source).has_amount(literal, scale)


def test_another_number_does_not_stand_there():
    known = page(source="71.28 and 1,024 and 11.2 million")
    assert not known.has_amount("71.4")
    assert not known.has_amount("1,025")
    assert not known.has_amount("11.2", 1e9)
    assert page(source="of commit 5e719 with 12 layers").has_amount("12")  # an exponent that no number has


@pytest.mark.parametrize(
    "summary",
    [
        "It has more than 1,000 pages.",
        "It needs at least 24 days.",
        "It takes 16 days or more.",
        "1. Install it.",
        "In Lumo 2 and step 3.",
    ],
)
def test_numbers_that_may_be_true_when_changed_are_left_alone(summary):
    texts = {text.fault for text in planted_real(page(summary + "\n", "Something else"), "1")}
    assert not texts & {"one digit of a number changed", "a unit changed (hours, days)"}


def test_sentences_that_deny_or_doubt_are_not_denied():
    summary = "Nothing says whether it was trained on code. It may be used. The model is not released under the MIT licence.\n"
    faults = {text.fault for text in planted_real(page(summary, "Something else"), "1")}
    assert not faults & {"a statement denied", "a licence denied", "another licence"}


def test_changes_are_put_in_from_left_to_right_and_their_places_known():
    text = applied("x", "one two three", ((8, 13, "3"), (0, 3, "eins"), (4, 8, "")))
    assert text.text == "eins 3"
    assert [text.text[start:end] for start, end in text.spans] == ["eins", "3"]


# --- what counts ------------------------------------------------------------------------------------------------------


def flagged(name: str, *spans: tuple[int, int]) -> list[CheckResult]:
    return [CheckResult(name, False, 0.0, "", [Span(start, end, "") for start, end in spans])]


def test_what_a_check_says_of_the_true_text_too_counts_only_at_the_fault():
    kinds = {"digit": kind_of("numbers", None, "names")}
    for results, before, caught, flags in (
        (flagged("numbers", (5, 9)), {"numbers"}, 0, 0),
        (flagged("numbers", (5, 9), (20, 22)), {"numbers"}, 1, 1),
        (flagged("numbers", (5, 9)), set(), 1, 1),
        (flagged("links", (5, 9)), set(), 0, 1),
    ):
        tally = FaultTally()
        count_one(tally, kinds["digit"], PlantedFault("digit", "...", ((20, 24),)), results, before)
        figures = summarised(tally, kinds)
        assert figures["faults"]["digit"]["recall"]["k"] == caught
        assert sum(check["precision"]["n"] for check in figures["checks"].values()) == flags


def test_a_planted_number_that_passes_as_derived_is_counted():
    kinds = {"digit": kind_of("numbers", None)}
    for start, counted in ((18, 1), (30, 0)):
        tally = FaultTally()
        passed = CheckResult("numbers", True, 1.0, "", derived=(Derived(start, start + 4, "", "count", ""),))
        count_one(tally, kinds["digit"], PlantedFault("digit", "...", ((20, 24),)), [passed])
        assert tally.derived["digit"] == counted


def test_a_planted_number_that_is_remarked_is_counted_apart_from_those_that_are_flagged():
    kinds = {"words": kind_of("numbers", None)}
    for name, start, caught, remarked in (("remark", 18, 0, 1), ("elsewhere", 30, 0, 0), ("flag", 18, 1, 0)):
        tally = FaultTally()
        span = Span(start, start + 4, "")
        result = CheckResult("numbers", name != "flag", 0.5, "", [span] if name == "flag" else [], remarks=(span,))
        count_one(tally, kinds["words"], PlantedFault("words", "...", ((20, 24),)), [result])
        figures = summarised(tally, kinds)["faults"]["words"]
        assert (figures["recall"]["k"], figures["remarked"]["k"]) == (caught, remarked)


# --- halves -----------------------------------------------------------------------------------------------------------


def card(name: str, family: str, split: str = "train") -> RealCard:
    return RealCard(name, family, split, "", "", None)


def test_halves_are_whole_families_in_the_order_of_their_hash_and_held_out_cards_are_final():
    cards = [
        card(f"{family}{number}", family, "heldout" if family in "ab" else "train")
        for family in "abcdefgh"
        for number in range(3)
    ]
    work, final = half_of(cards, "work"), half_of(cards, "final")
    order = sorted("cdefgh", key=lambda family: hashlib.sha256(f"checks:{family}".encode()).hexdigest())
    assert {one.family for one in work} == set(order[:4])  # 12 of 24 cards
    assert sorted([*work, *final], key=lambda one: one.model_id) == cards
    assert half_of(list(reversed(cards)), "work") == list(reversed(work))


def test_a_family_that_would_be_more_than_half_ends_the_work():
    cards = [card(str(number), "one") for number in range(9)] + [card("x", "two", "heldout")]
    assert half_of(cards, "work") == []


@pytest.fixture
def folder(tmp_path):
    """References of four families, and their cards."""
    (tmp_path / "cards").mkdir()
    rows, splits = [], {"splits": {}, "families": {}}
    for number in range(4):
        text = CARD.replace("Tessel", f"Tessel{number}")
        model_id = f"acme/Tessel{number}-7B-v0.2"
        (tmp_path / "cards" / f"{number}.md").write_text(text, encoding="utf-8")
        summary = SUMMARY.replace("Tessel", f"Tessel{number}")
        row = {
            "model_id": model_id,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "git_blob": "0" * 40,
            "summary": summary,
        }
        rows.append(row | ({"with_arithmetic": summary + "\nIt is 4.7 better.\n"} if number % 2 else {}))
        key = stable_id(model_id, text)
        splits["splits"][key] = "heldout" if number == 3 else "train"
        splits["families"][key] = f"family {number}"
    (tmp_path / "references.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "split.json").write_text(json.dumps(splits), encoding="utf-8")
    return tmp_path


def test_cards_are_found_by_their_hash_with_family_split_and_both_texts(folder):
    cards = real_cards(folder, [str(folder / "cards")])
    assert [one.family for one in cards] == [f"family {number}" for number in range(4)]
    assert [one.split for one in cards] == ["train", "train", "train", "heldout"]
    assert [bool(one.with_arithmetic) for one in cards] == [False, True, False, True]
    assert "Model: acme/Tessel0-7B-v0.2" in cards[0].source


def test_a_card_that_is_not_there_and_a_place_that_is_none_are_mistakes(folder):
    (folder / "cards" / "2.md").write_text("another card", encoding="utf-8")
    with pytest.raises(ValueError, match=r"acme/Tessel2-7B-v0\.2: .*all cards of"):
        real_cards(folder, [str(folder / "cards")])
    with pytest.raises(ValueError, match=r"does not exist; correct validate\.references or validate\.card_texts"):
        real_cards(folder, [str(folder / "nowhere")])


def test_the_command_writes_a_table_without_text_of_the_cards(folder, capsys):
    block = ValidateConfig(references=str(folder), card_texts=[str(folder / "cards")], half="work")
    recipe = Recipe(stage="validate", run_dir=folder / "run", seed=1, block=block)
    main(recipe)
    table = (folder / "run" / "eval" / "checks.md").read_text(encoding="utf-8")
    assert 'on the half "work": 2 of 4 real cards, 2 families' in table
    assert re.search(r"^\| summaries \| 2 \|", table, re.MULTILINE)
    assert re.search(r"^\| a page that is nowhere \| links \| 2 \| 1\.000 ", table, re.MULTILINE)
    assert re.search(r"^\| acme/Tessel\d-7B-v0\.2 \| length \| \d+ words", table, re.MULTILINE)
    assert re.search(r"^Of the planted wrong numbers \d+% \[\d+%, \d+%\] follow from others by chance", table, re.MULTILINE)
    assert not any(words in table for words in ("fine-tuned from", "million words", "gave the vocabulary"))
    capsys.readouterr()
    main(recipe)
    assert "done already" in capsys.readouterr().out


def test_of_labelled_statements_those_about_the_half_are_counted_by_writer_and_label(folder):
    rows = [
        ("It has 7.2 billion parameters.", True),
        ("It has 9.9 billion parameters.", False),
        ("It flies.", False),
        ("It was trained on StoryHeap3.", False),
    ]
    cards = real_cards(folder, [str(folder / "cards")])
    labels = [
        CardLabel(cards[0].sha256, "tiny", "Size", claim, ["right" if right else "wrong"], right) for claim, right in rows
    ]
    write_jsonl(folder / "statements.jsonl", [*labels, replace(labels[0], sha256=cards[1].sha256)])
    found = statement_figures(folder / "statements.jsonl", cards[:1])
    assert {name: (figure["k"], figure["n"]) for name, figure in found.items()} == {
        "tiny: not right": (2, 3),
        "tiny: right": (0, 1),
    }
    assert statement_figures(folder / "nowhere.jsonl", cards) == {}


def test_the_opening_tells_of_a_models_own_errors_where_there_are_many(folder):
    claims = [f"It has {number}.9 billion parameters." for number in range(10, 30)]
    cards = real_cards(folder, [str(folder / "cards")])
    labels = [CardLabel(card.sha256, "tiny", "", claim, ["wrong"], False) for card in cards for claim in claims]
    write_jsonl(folder / "statements.jsonl", labels)
    block = ValidateConfig(references=str(folder), card_texts=[str(folder / "cards")], half="work")
    main(Recipe(stage="validate", run_dir=folder / "run", seed=1, block=block))
    table = (folder / "run" / "eval" / "checks.md").read_text(encoding="utf-8")
    assert "the checks mark 100% [91%, 100%] of 40 (tiny); see the end." in table
    assert "| tiny: not right | 40 | 1.000 [0.912, 1.000] |" in table


@pytest.mark.parametrize("name", ["fresh", "unseen"])
def test_further_cards_are_in_no_split(folder, name):
    lines = (folder / "references.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / f"{name}.jsonl").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    cards = further_cards(folder, [str(folder / "cards")], name)
    assert [(one.model_id, one.family, one.split) for one in cards] == [
        (f"acme/Tessel{number}-7B-v0.2", f"acme/Tessel{number}-7B-v0.2", name) for number in (0, 1)
    ]
    block = ValidateConfig(references=str(folder), card_texts=[str(folder / "cards")], half=name)
    main(Recipe(stage="validate", run_dir=folder / "run", seed=1, block=block))
    assert "2 of 2 real cards, 2 families" in (folder / "run" / "eval" / "checks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "half"), [("checks.md", "final"), ("checks_work.md", "work"), ("checks_unseen.md", "unseen")])
def test_the_tables_in_the_repository_have_every_check_and_every_fault_of_their_half(name, half):
    table = (ROOT / "eval" / name).read_text(encoding="utf-8")
    unseen = len((ROOT / "recipes/references/unseen.jsonl").read_text(encoding="utf-8").splitlines())
    assert re.search(
        rf'^Made on \d{{4}}-\d\d-\d\d with seed 1 on the half "{half}": (15[68] of 314|{unseen} of {unseen}) real cards',
        table,
        re.MULTILINE,
    )
    for row in (*CHECKS, *REAL_KINDS):
        assert f"\n| {row} |" in table, f"{row} is new: make eval/{name} again"
