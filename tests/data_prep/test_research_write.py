"""Research and write on what came with the cards: it is used, what is missing is said."""

import json

import pytest

from data_prep.cards.parse import parse_card
from data_prep.core.files import read_jsonl, read_split, write_json, write_jsonl
from data_prep.core.manifest import manifest_of
from data_prep.core.recipe import load
from data_prep.core.records import Attached, Candidate, CardNotes, Note, RawCard, Rejected, SourceRecord
from data_prep.research import ResearchConfig
from data_prep.research import main as research
from data_prep.write import WriteConfig
from data_prep.write import main as write

CARDS = [parse_card(RawCard(f"Osk/m{number}", f"Card number {number}", "test")) for number in range(4)]
NOTES = [Note(f"https://osk.example/{number}", f"Page {number}") for number in range(3)]
RUNS = {"research": (research, ResearchConfig), "write": (write, WriteConfig)}


@pytest.fixture
def data(tmp_path):
    """Four cards: with all, with nothing, with notes only, and one with all that is in no split."""
    data = tmp_path / "data"
    write_jsonl(data / "cards.jsonl", CARDS)
    attached = [
        Attached(CARDS[0].id, NOTES, ["## One", "## Two", "## One", " "]),
        Attached(CARDS[2].id, NOTES[:1], []),
        Attached(CARDS[3].id, NOTES, ["## Lost"]),
    ]
    write_jsonl(data / "attached.jsonl", attached)
    splits = {CARDS[0].id: "train", CARDS[1].id: "heldout", CARDS[2].id: "train"}
    write_json(data / "split.json", {"families": {}, "splits": splits, "config": {}})
    return data


def run(data, stage, *arguments):
    if stage == "write" and not (data / "notes.jsonl").exists():
        placed = read_split(data / "split.json")["splits"] if (data / "split.json").exists() else {}
        write_jsonl(data / "notes.jsonl", [CardNotes(card.id, [], "none") for card in CARDS if card.id in placed])
    main, schema = RUNS[stage]
    main(load(stage, schema, ["--run_dir", str(data.parent), *arguments]))


def test_every_card_of_the_split_has_a_line_of_notes_in_the_order_of_the_cards(data, capsys):
    run(data, "research")
    assert list(read_jsonl(data / "notes.jsonl", CardNotes)) == [
        CardNotes(CARDS[0].id, NOTES, "attached"),
        CardNotes(CARDS[1].id, [], "none"),
        CardNotes(CARDS[2].id, NOTES[:1], "attached"),
    ]
    result = manifest_of(data, "research")["result"]
    assert result == {"notes": 4, "cards_by_origin": {"attached": 2, "none": 1}, "links": {}, "unanswered": 0}
    assert "2 cards with attached notes, 1 cards without notes, 4 notes" in capsys.readouterr().out
    assert list(read_jsonl(data / "sources.jsonl", SourceRecord)) == []
    assert not (data / "pages.sqlite").exists()


def test_notes_are_limited_to_max_sources(data):
    run(data, "research", "--research.max_sources", "2")
    assert [len(row.notes) for row in read_jsonl(data / "notes.jsonl", CardNotes)] == [2, 0, 1]
    [left] = [row for row in read_jsonl(data / "rejected.jsonl", Rejected) if row.stage == "research"]
    assert (left.id, left.reason, left.detail) == (CARDS[0].id, "beyond research.max_sources", NOTES[2].url)


def test_a_note_on_a_page_that_is_no_cards_own_came_for_training_alone(data):
    """What is noted of a base's page that everybody links to would be trained on and tested on."""
    shared = Note("https://huggingface.co/acme/base-7b", "- It has 7B parameters.")
    own, longer = (Note(f"https://huggingface.co/{CARDS[1].model_id}{rest}", "- Its own.") for rest in ("/tree/main", "-7b"))
    write_jsonl(data / "attached.jsonl", [Attached(card.id, [shared, NOTES[0], own, longer], []) for card in CARDS[:2]])
    run(data, "research", "--research.max_sources", "9")
    kept = [[shared, NOTES[0], own, longer], [NOTES[0], own], []]
    assert [row.notes for row in read_jsonl(data / "notes.jsonl", CardNotes)] == kept


def test_candidates_are_the_summaries_that_came_and_the_others_are_set_aside(data, capsys):
    run(data, "write", "--write.offline", "none")
    candidates = list(read_jsonl(data / "candidates.jsonl", Candidate))
    assert [(row.card_id, row.text, row.writer) for row in candidates] == [
        (CARDS[0].id, "## One", "attached"),
        (CARDS[0].id, "## Two", "attached"),
    ]
    assert len({row.id for row in candidates}) == 2
    rejected = list(read_jsonl(data / "rejected.jsonl", Rejected))
    assert [(row.stage, row.id) for row in rejected] == [("write", CARDS[1].id), ("write", CARDS[2].id)]
    assert rejected[0].reason == "no summary came with the card"
    assert "collect it from a source with summaries" in rejected[0].detail
    assert all("length" in row.failed for row in candidates)
    result = manifest_of(data, "write")["result"]
    assert result == {"cards": 1, "candidates": 2, "pass_every_check": 0, "by_writer": {"attached": 2}, "rejected": 2}
    out = capsys.readouterr().out
    assert "1 cards, 2 candidates, 2 by attached" in out
    assert "2 cards set aside: no summary came with the card" in out


def test_candidates_are_limited_per_card(data):
    run(data, "write", "--write.per_card", "1", "--write.offline", "none")
    assert [row.text for row in read_jsonl(data / "candidates.jsonl", Candidate)] == ["## One"]


@pytest.mark.parametrize("stage", RUNS)
def test_a_finished_run_is_left_alone_until_its_input_changes(data, stage, capsys):
    run(data, stage)
    capsys.readouterr()
    run(data, stage)
    assert "done already" in capsys.readouterr().out
    splits = json.loads((data / "split.json").read_text())
    splits["splits"][CARDS[3].id] = "train"
    write_json(data / "split.json", splits)
    (data / "notes.jsonl").unlink()
    run(data, stage)
    assert "done already" not in capsys.readouterr().out


@pytest.mark.parametrize("stage", RUNS)
def test_files_of_different_runs_are_refused(data, stage):
    write_jsonl(data / "attached.jsonl", [Attached("stranger", NOTES, ["## One"])])
    with pytest.raises(ValueError, match="no card stranger at its place"):
        run(data, stage)
    assert not (data / ("notes.jsonl" if stage == "research" else "candidates.jsonl")).exists()


@pytest.mark.parametrize("stage", RUNS)
def test_a_missing_split_names_the_stage_to_run(data, stage):
    (data / "split.json").unlink()
    with pytest.raises(ValueError, match=r"split\.json is missing; run data_prep\.split first"):
        run(data, stage)
