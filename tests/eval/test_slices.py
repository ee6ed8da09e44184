"""Which held-out card is in which slice, on cards made for it, and what is not shown."""

import dataclasses
import json

import pytest
from commands import run_here
from small_run import make_run

from data_prep.cards.parse import parse_card
from data_prep.core.files import write_json, write_jsonl
from data_prep.core.records import CardNotes, HeldOut, Note, RawCard
from data_prep.prompts.student import source_text
from eval.scoring.slices import slice_cards


def held(number, front="", words=50, family=None):
    text = f"---\n{front}\n---\n" if front else ""
    source = source_text(f"org/Model-{number}", text + "word " * words, [])
    return HeldOut(f"id{number}", [{"role": "user", "content": source}], source, "", family or f"family{number}")


def sliced(cards, tmp_path):
    return slice_cards({card.id: card for card in cards}, tmp_path / "data")


@pytest.mark.parametrize(
    ("front", "language", "licence"),
    [
        ("license: apache-2.0\nlanguage: en", "English only", "permissive"),
        ("license: Apache License 2.0\nlanguage: [en]", "English only", "permissive"),
        ("license: cc-by-nc-4.0\nlanguage: [en, de]", "other or several", "restricted"),
        ("license: llama3.1\nlanguage: de", "other or several", "restricted"),
        ("license: other\nlicense_name: qwen-research", "none stated", "restricted"),
        ("license: other", "none stated", "none stated"),
        ("", "none stated", "none stated"),
    ],
)
def test_language_and_licence_are_read_from_the_front_matter(tmp_path, front, language, licence):
    found = sliced([held(1, front)], tmp_path).of("id1")
    assert (found["language"], found["licence"]) == (language, licence)


def test_length_is_cut_in_thirds_and_equal_lengths_stay_together(tmp_path):
    cards = [held(number, words=words) for number, words in enumerate([10, 20, 30, 40, 50, 60, 60, 60, 60])]
    found = [sliced(cards, tmp_path).of(card.id)["length"][0] for card in cards]
    assert found == list("111222222")


def test_family_sizes_are_counted_among_the_held_out_cards(tmp_path):
    cards = [held(number, family=family) for number, family in enumerate("abbcccc")]
    found = sliced(cards, tmp_path)
    assert [found.of(card.id)["family"] for card in cards] == ["1 card", *["2-3 cards"] * 2, *["4+ cards"] * 4]
    assert dict(found.shown()) == {}  # four of a kind are too few
    assert "family: not shown for fewer than 5 cards: 1 card (1), 2-3 cards (2), 4+ cards (4)." in found.notes
    assert 'language: nothing to compare, "none stated" is the only value with enough cards.' in found.notes


def test_without_data_files_two_slices_are_left_out_and_the_note_says_so(tmp_path):
    found = sliced([held(1)], tmp_path)
    assert set(found.values) == {"language", "licence", "length", "family"}
    assert found.notes[0] == "distance and cut: not known, since data lacks cards.jsonl, split.json, notes.jsonl."


PROSE = " ".join(
    f"The {word} layer reads every token once and hands it on to the next."
    for word in "first second third fourth fifth".split()
)
OTHER = " ".join(
    f"Users of {word} should weigh their own tests before they trust any answer." for word in "this that these those it".split()
)


def test_distance_and_cut_follow_from_the_runs_data(tmp_path):
    data = tmp_path / "data"
    texts = {
        "train": PROSE,
        "near": PROSE.replace("fifth", "sixth"),
        "far": OTHER,
        "cut": OTHER + "\n\nAnd one line more that did not fit.",
    }
    cards = {name: parse_card(RawCard(f"org/{name}", text, "test")) for name, text in texts.items()}
    note = Note("https://a.example", "A note.")
    write_jsonl(data / "cards.jsonl", cards.values())
    write_jsonl(data / "notes.jsonl", [CardNotes(card.id, [note], "attached") for card in cards.values()])
    splits = {card.id: "train" if name == "train" else "heldout" for name, card in cards.items()}
    write_json(data / "split.json", {"splits": splits, "families": {}})
    rows = []
    for name in ("near", "far", "cut"):
        shown = OTHER if name == "cut" else cards[name].text
        source = source_text(f"org/{name}", shown, [note])
        rows.append(HeldOut(cards[name].id, [], source, "", name))
    found = sliced(rows, tmp_path)
    assert [found.of(row.id)["distance"] for row in rows] == ["near", "far", "far"]
    assert [found.of(row.id)["cut"] for row in rows] == ["whole", "whole", "cut"]
    assert "of 1 training cards" in found.notes[0]
    shorter = dataclasses.replace(rows[0], source=rows[0].source.replace("A note.", "A"))
    assert sliced([shorter], tmp_path).of(shorter.id)["cut"] == "cut"  # of a note


def test_headline_metrics_by_slice_stand_in_the_metrics_with_intervals(tmp_path):
    make_run(tmp_path)
    done = run_here(
        "eval.score",
        "--run_dir",
        str(tmp_path),
        "--score.bootstrap_samples",
        "1000",
        "--score.headline",
        "[all_pass, numbers_pass]",
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    # make_run's families: one of 1 card, one of 2, one of 4, one of 5; all cards English and permissive.
    assert list(metrics["slices"]) == []
    assert any(note.startswith("licence: nothing to compare") for note in metrics["slice_notes"])
