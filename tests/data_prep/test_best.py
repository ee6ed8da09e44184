"""Rows of the model's own best samples: by grade, within a bar, with or without references."""

import json
import re

import pyarrow.parquet as pq
import pytest
from commands import run_here
from test_pairs import wrong_score

from data_prep.best import BestConfig, rows_of
from data_prep.candidates.checked import CheckedSummary
from data_prep.core.files import write_json, write_jsonl
from data_prep.core.manifest import manifest_of
from data_prep.core.records import Correction, Generation, HeldOut
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards


@pytest.fixture(scope="module")
def card():
    raw = next(iter(raw_cards(4, 1)))
    source = source_text(raw.model_id, raw.content, raw.notes)
    kwargs = {"enable_thinking": False}
    return HeldOut("card0", [{"role": "user", "content": "p"}], source, raw.summaries[0], "f", kwargs), raw.summaries[1]


def samples(card, *texts):
    return [Generation(f"key{number}", card.id, "sft", text, "stop", 1, 1, number) for number, text in enumerate(texts)]


def pages(card, *texts):
    return [CheckedSummary.sample(sample, card.source) for sample in samples(card, *texts)]


def texts_of(rows):
    return [row.completion[0]["content"] for row in rows]


def test_the_best_samples_are_rows_with_their_grade_and_none_twice(card):
    held_out, good = card
    worse = re.sub(r"\b\d\d\.\d\b", "11.1", good)
    own = pages(held_out, worse, good, good, wrong_score(good))
    (row,) = rows_of(held_out, own, BestConfig())
    assert texts_of([row]) == [good.strip()]
    assert (row.prompt, row.chat_template_kwargs) == (held_out.prompt, held_out.chat_template_kwargs)
    assert row.provenance["writer"] == "own sample"
    assert row.provenance["sample"] == "key1"
    assert row.provenance["grade"] > 0.9
    rows = rows_of(held_out, own, BestConfig(per_card=9))
    assert texts_of(rows) == [text.strip() for text in (good, wrong_score(good), worse)]
    grades = [row.provenance["grade"] for row in rows]
    assert grades == sorted(grades, reverse=True)


def test_what_is_below_the_bar_or_has_no_end_is_no_row(card):
    held_out, good = card
    assert rows_of(held_out, pages(held_out, "Sure! Great."), BestConfig()) == []
    (cut,) = samples(held_out, good)
    cut = Generation(**{**vars(cut), "finish_reason": "length"})
    assert rows_of(held_out, [CheckedSummary.sample(cut, held_out.source)], BestConfig()) == []


def test_references_stand_in_where_there_is_no_good_sample_or_beside_the_samples(card):
    held_out, good = card
    poor, fine = pages(held_out, "Sure! Great."), pages(held_out, good)
    reference = held_out.reference.strip()
    assert texts_of(rows_of(held_out, poor, BestConfig(references="missing"))) == [reference]
    assert texts_of(rows_of(held_out, fine, BestConfig(references="missing"))) == [good.strip()]
    assert texts_of(rows_of(held_out, fine, BestConfig(references="all"))) == [good.strip(), reference]
    of_markup = HeldOut(**{**vars(held_out), "reference": f"{reference}\n\nIt writes <|im_end|> aloud."})
    assert texts_of(rows_of(of_markup, fine, BestConfig(references="all"))) == [good.strip()]


def test_the_stage_writes_both_tables_sets_aside_and_has_nothing_to_do_again(tmp_path, card):
    held_out, good = card
    cards = [HeldOut(**{**vars(held_out), "id": f"card{number}"}) for number in range(4)]
    data = tmp_path / "data"
    write_jsonl(data / "sampling.jsonl", cards)
    done = run_here("data_prep.best", "--run_dir", str(tmp_path))
    assert done.returncode == 2
    assert "run eval.generate --stage sample first" in done.stderr
    texts = [good, good, "Sure! Great.", good]
    write_jsonl(
        data / "samples.jsonl", [one for card, text in zip(cards, texts, strict=True) for one in samples(card, text)][:3]
    )
    write_json(data / "split.json", {"splits": {card.id: "heldout" for card in cards}, "families": {}, "config": {}})
    done = run_here("data_prep.best", "--run_dir", str(tmp_path))
    assert done.returncode == 2
    assert "sampling.jsonl has card card0, whose split is heldout in split.json" in done.stderr
    splits = {card.id: "validation" if number == 1 else "train" for number, card in enumerate(cards)}
    write_json(data / "split.json", {"splits": splits, "families": {}, "config": {}})
    done = run_here("data_prep.best", "--run_dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "graded 1.00 on average" in done.stdout
    tables = {split: pq.read_table(data / "best" / f"{split}.parquet").to_pylist() for split in ("train", "validation")}
    assert {split: [json.loads(row["provenance"])["card_id"] for row in rows] for split, rows in tables.items()} == {
        "train": ["card0"],
        "validation": ["card1"],
    }
    reasons = [json.loads(line)["reason"] for line in (data / "rejected.jsonl").open()]
    assert reasons == ["no sample reaches best.min_grade", "no sample of this card; sample.cards leaves it out"]
    assert manifest_of(data, "best")["result"]["train_own sample"] == 1
    assert "best: done already" in run_here("data_prep.best", "--run_dir", str(tmp_path)).stdout


def test_pages_that_a_reader_set_right_are_rows_whatever_their_grade(tmp_path, card):
    held_out, good = card
    cards = [HeldOut(**{**vars(held_out), "id": f"card{number}"}) for number in range(3)]
    data = tmp_path / "data"
    write_jsonl(data / "sampling.jsonl", cards)
    write_json(data / "split.json", {"splits": {card.id: "train" for card in cards}, "families": {}, "config": {}})
    done = run_here("data_prep.best", "--run_dir", str(tmp_path), "--best.of", "corrections")
    assert done.returncode == 2
    assert "corrections.jsonl is missing; run data_prep.correct, or copy the file there" in done.stderr
    texts = ["A true page without a form.", good, "Another page.", "It says </think> aloud.", "Of a card that is gone."]
    owners = ["card0", "card0", "card0", "card1", "card9"]
    write_jsonl(
        data / "corrections.jsonl",
        [
            Correction(f"key{number}", owner, "a/b", "sft", "written", "", "length", text)
            for number, (owner, text) in enumerate(zip(owners, texts, strict=True))
        ],
    )
    done = run_here("data_prep.best", "--run_dir", str(tmp_path), "--best.of", "corrections", "--best.per_card", "2")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(data / "best" / "train.parquet").to_pylist()
    assert next(row["completion"][0]["content"] for row in rows) == good.strip()
    assert {json.loads(row["provenance"])["writer"] for row in rows} == {"corrected"}
    assert len(rows) == 2
    reasons = [json.loads(line)["reason"] for line in (data / "rejected.jsonl").open()]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "its corrected pages are of a card that sampling.jsonl does not have",
        "no corrected page that can be a row",
        "no corrected page of this card",
    ]
