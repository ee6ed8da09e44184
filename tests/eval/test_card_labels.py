"""Labelled statements about real cards: the file has no card text. The cards here are invented."""

from __future__ import annotations

import hashlib
import json

import pytest
from commands import ROOT

from data_prep.collecting.references import read_references
from data_prep.core.files import read_jsonl, write_jsonl
from eval.entailment.calibration import Labelled
from eval.entailment.card_labels import CardLabel
from eval.support import read_calibration

CARDS = {f"acme/Orvan-{size}": f"---\nlicense: mit\n---\n# Orvan\n\nOrvan has {size} layers.\n".encode() for size in (24, 48)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cards").mkdir()
    references, statements = [], []
    for name, content in CARDS.items():
        (tmp_path / "cards" / f"{name.split('/')[1]}.md").write_bytes(content)
        sha = hashlib.sha256(content).hexdigest()
        notes = [{"url": "https://acme.example/orvan", "text": "It was named after a river."}]
        references.append({"model_id": name, "sha256": sha, "git_blob": "0" * 40, "summary": "# Orvan", "notes": notes})
        for claim, words in (("24 layers.", ["right", "right"]), ("It flies.", ["not there", "wrong"])):
            row = {"sha256": sha, "writer": "reference", "context": "Size", "claim": claim, "read_as": words}
            statements.append({**row, "supported": "right" in words})
    write_jsonl(tmp_path / "references.jsonl", references)
    write_jsonl(tmp_path / "statements.jsonl", statements)
    return tmp_path


def read(folder, *cards):
    return read_calibration(str(folder / "statements.jsonl"), [str(folder / name) for name in cards])


def test_a_statement_gets_its_card_and_the_notes_on_it(folder):
    first, second, *others = read(folder, "cards")
    card = CARDS["acme/Orvan-24"].decode()
    source = f'{card.rstrip()}\n\nModel: acme/Orvan-24\n\n<source url="https://acme.example/orvan">\nIt was named after a river.\n</source>'
    assert first == Labelled(source, "Size", "24 layers.", True, "language model")
    assert first.text == "Size: 24 layers."
    assert (second.supported, second.claim, len(others)) == (False, "It flies.", 2)


def test_cards_that_are_not_there_are_told_and_the_rest_is_used(folder, capsys):
    (folder / "cards" / "Orvan-48.md").write_text("# Another text under the same name\n")
    assert {one.source.split("Model: ")[1].split()[0] for one in read(folder, "cards")} == {"acme/Orvan-24"}
    assert "1 card of" in (said := capsys.readouterr().out)
    assert "2 of 4 labelled statements are used" in said


def test_no_card_at_all_is_refused_with_the_next_move(folder):
    (folder / "others").mkdir()
    (folder / "others" / "Mefar.md").write_text("# Mefar\n")
    with pytest.raises(
        ValueError, match=r"none of the 2 cards .* support\.card_texts, or take support\.calibration: synthetic"
    ):
        read(folder, "others")


def test_a_card_that_no_reference_names_is_refused(folder):
    rows = (folder / "references.jsonl").read_text().splitlines()
    (folder / "references.jsonl").write_text(rows[0] + "\n")
    with pytest.raises(ValueError, match=r"which .*references\.jsonl lacks"):
        read(folder, "cards")


def test_labels_of_one_kind_are_refused(folder):
    rows = [json.loads(line) for line in (folder / "statements.jsonl").read_text().splitlines()]
    write_jsonl(folder / "statements.jsonl", [{**row, "supported": True} for row in rows])
    with pytest.raises(ValueError, match="claims of both kinds"):
        read(folder, "cards")


def test_the_labels_that_come_with_the_project_fit_its_references():
    rows = list(read_jsonl(ROOT / "recipes" / "references" / "statements.jsonl", CardLabel))
    cards = {one.sha256: one.model_id for one in read_references(ROOT / "recipes" / "references" / "references.jsonl")}
    assert len(rows) == 607
    assert {row.sha256 for row in rows} <= set(cards)
    assert len({row.sha256 for row in rows}) == 32
    for row in rows:
        assert set(row.read_as) <= {"right", "wrong", "not there"}
        assert row.supported == (2 * row.read_as.count("right") > len(row.read_as)), row.claim
