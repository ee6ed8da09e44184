"""A person's own cards and summaries as JSON lines: each becomes a card with its summary, or is set aside with the reason."""

import json

import pytest

from data_prep.collect import CollectConfig, main
from data_prep.collecting.summaries import summarised_card
from data_prep.core.files import read_jsonl
from data_prep.core.recipe import load
from data_prep.core.records import Attached, Card, Note, RawCard, Rejected
from data_prep.synthetic.world import raw_cards

RAW = list(raw_cards(1, 6))


def line(raw, **changes):
    notes = [{"url": note.url, "text": note.text} for note in raw.notes]
    return {"model_id": raw.model_id, "text": raw.content, "summary": raw.summaries, "notes": notes} | changes


def collected(tmp_path, text):
    file = tmp_path / "pairs.jsonl"
    file.write_text(text, encoding="utf-8")
    options = ["--collect.source", "summaries", "--collect.path", str(file)]
    main(load("collect", CollectConfig, ["--run_dir", str(tmp_path), "--seed", "1", *options]))
    data = tmp_path / "data"
    kinds = {"cards": Card, "attached": Attached, "rejected": Rejected}
    return [list(read_jsonl(data / f"{name}.jsonl", kind)) for name, kind in kinds.items()]


def test_cards_summaries_and_notes_come_out_as_they_went_in(tmp_path):
    cards, attached, rejected = collected(tmp_path, "\n".join(json.dumps(line(raw)) for raw in RAW) + "\n\n")
    assert [(card.model_id, card.text) for card in cards] == [(raw.model_id, raw.content) for raw in RAW]
    assert [(row.card_id, row.summaries, row.notes) for row in attached] == [
        (card.id, raw.summaries, raw.notes) for card, raw in zip(cards, RAW, strict=True)
    ]
    assert rejected == []


def test_half_a_character_and_the_line_ends_of_windows_go(tmp_path):
    broken = line(RAW[0]) | {
        "summary": "# A\r\n\r\n- one \ud83d",
        "notes": [{"url": "https://a.example", "text": "- b \ud83d"}],
    }
    _, [attached], _ = collected(tmp_path, json.dumps(broken))
    assert attached.summaries == ["# A\n\n- one \ufffd"]
    assert attached.notes[0].text == "- b \ufffd"


def test_a_line_that_is_none_is_set_aside_and_stops_no_other(tmp_path):
    cards, _, rejected = collected(tmp_path, f'{{"model_id": 3}}\nno JSON\n{json.dumps(line(RAW[0]))}\n')
    assert [card.source for card in cards] == ["summaries:pairs.jsonl:3"]
    assert [row.id for row in rejected] == ["pairs.jsonl:1", "pairs.jsonl:2"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_id": ""}, 'no "model_id"'),
        ({"text": None}, 'no "text"'),
        ({"summary": []}, 'no "summary"'),
        ({"summary": [" "]}, 'no "summary"'),
        ({"notes": [{"url": "https://a.example"}]}, '"notes" is no list'),
        ({"notes": "all of it"}, '"notes" is no list'),
    ],
)
def test_what_is_wrong_with_a_line_is_told(tmp_path, changes, reason):
    found = summarised_card(tmp_path / "x.jsonl", (7, json.dumps(line(RAW[0], **changes))))
    assert isinstance(found, Rejected)
    assert reason in found.reason
    assert found.id == "x.jsonl:7"


def test_one_summary_and_no_notes_are_enough(tmp_path):
    found = summarised_card(tmp_path / "x.jsonl", (1, '{"model_id": "a/b", "text": "# b", "summary": "# B\\n"}'))
    assert found == RawCard("a/b", "# b", "summaries:x.jsonl:1", notes=list[Note](), summaries=["# B\n"])


def test_a_folder_is_refused(tmp_path):
    options = ["--run_dir", str(tmp_path), "--collect.source", "summaries", "--collect.path", str(tmp_path)]
    with pytest.raises(ValueError, match="is a folder; name a file of JSON lines"):
        main(load("collect", CollectConfig, options))
