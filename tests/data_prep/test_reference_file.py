"""The reference summaries that ship: complete, read twice, split by family, and without a card's text."""

import json
import re
from collections import Counter

from commands import ROOT

from data_prep.collecting.references import read_references
from data_prep.core.files import read_jsonl
from data_prep.core.records import Correction

FOLDER = ROOT / "recipes" / "references"
ROWS = [json.loads(line) for line in (FOLDER / "references.jsonl").read_text(encoding="utf-8").splitlines()]
FIELDS = {
    "model_id",
    "sha256",
    "git_blob",
    "licence",
    "notes",
    "summary",
    "written_from",
    "writer",
    "readings",
    "second_reading",
}


def test_there_are_enough_of_many_makers_and_each_is_a_reference():
    assert len(read_references(FOLDER / "references.jsonl")) == len(ROWS) >= 300
    assert len({row["model_id"].partition("/")[0].lower() for row in ROWS}) > 200
    assert sum(bool(row["notes"]) for row in ROWS) >= 80
    for row in ROWS:
        assert set(row) - {"with_arithmetic", "third_reading"} == FIELDS
        assert row["writer"] == "a large language model"
        assert row["written_from"] == ("card and notes" if row["notes"] else "card")


def test_each_was_read_twice_and_is_a_page_of_markdown():
    for row in ROWS:
        assert row["readings"] >= 2, row["model_id"]
        assert row["second_reading"]["statements"] >= 20, row["model_id"]
        assert row["summary"].startswith("#")
        assert len(re.findall(r"^\s*(?:[-*]|\d+\.) ", row["summary"], re.MULTILINE)) >= 3, row["model_id"]
        assert 290 <= len(row["summary"].split()) <= 540, row["model_id"]


def test_notes_say_what_they_were_made_from():
    for row in ROWS:
        for note in row["notes"]:
            assert note["url"].startswith("http")
            assert note["text"].strip()
            assert re.search(r"[0-9a-f]{7,40}|\d{4}-\d\d-\d\d", note["from"]), (row["model_id"], note["from"])


def test_whole_families_are_held_out():
    split = json.loads((FOLDER / "split.json").read_text(encoding="utf-8"))
    splits, families = split["splits"], split["families"]
    assert splits.keys() == families.keys()
    assert len(splits) == len(ROWS)
    assert Counter(splits.values())["train"] >= 220
    assert Counter(splits.values())["validation"] >= 20
    held_out = {families[card] for card, name in splits.items() if name == "heldout"}
    assert Counter(splits.values())["heldout"] >= 60
    assert len(held_out) >= 50
    assert not held_out & {families[card] for card, name in splits.items() if name != "heldout"}


def test_corrected_pages_are_of_training_cards_alone_and_differ_from_what_was_written():
    rows = list(read_jsonl(FOLDER / "corrections.jsonl", Correction))
    splits = json.loads((FOLDER / "split.json").read_text(encoding="utf-8"))["splits"]
    assert len({row.key for row in rows}) == len(rows) >= 200
    assert {splits[row.card_id] for row in rows} == {"train", "validation"}
    assert {row.model_id for row in rows} <= {row["model_id"] for row in ROWS}
    for row in rows:
        assert row.corrected.startswith("#")
        assert row.corrected.strip() != row.written.strip()
        assert 250 <= len(row.corrected.split()) <= 540, row.key
