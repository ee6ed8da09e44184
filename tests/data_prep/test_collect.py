"""Collect: every input in exactly one of cards and rejected, whatever the source."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import run_command

from data_prep.cards.file_names import model_id_of
from data_prep.cards.links import extract_links
from data_prep.collect import CollectConfig, main
from data_prep.core.files import read_jsonl, set_aside
from data_prep.core.recipe import load
from data_prep.core.records import Attached, Card, Rejected

PROSE = (
    "Corvane listens to bridges and reports which bolts are loose before anybody hears them rattle in the wind at night. " * 2
)


@pytest.fixture
def collect(tmp_path):
    def collect(**block):
        arguments = [part for key, value in block.items() for part in (f"--collect.{key}", str(value))]
        main(load("collect", CollectConfig, ["--run_dir", str(tmp_path / "run"), "--seed", "3", *arguments]))
        data = tmp_path / "run" / "data"
        return (
            list(read_jsonl(data / "cards.jsonl", Card)),
            list(read_jsonl(data / "attached.jsonl", Attached)),
            list(read_jsonl(data / "rejected.jsonl", Rejected)),
        )

    return collect


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cards"
    (folder / "Vexa" / "corvane-2").mkdir(parents=True)
    (folder / "Vexa--corvane.md").write_text(f"---\nlicense: mit\nlanguage: no\nbase_model: Vexa/base\n---\n{PROSE}")
    (folder / "Vexa" / "corvane-2" / "README.md").write_bytes(b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n" + PROSE.encode())
    (folder / "broken.md").write_bytes(b"---\n\x00\xff: [\n---\n" + PROSE.encode())
    (folder / "empty.md").write_bytes(b"")
    (folder / "code.md").write_text(f"---\nlicense: mit\n---\n```\n{PROSE}\n```\n")
    (folder / "notes.txt").write_text("no card")
    return folder


def test_a_folder_is_sorted_into_cards_and_rejected(collect, folder):
    cards, attached, rejected = collect(source="folder", path=folder)
    assert {card.model_id: card.metadata_status.partition(":")[0] for card in cards} == {
        "Vexa/corvane": "parsed",
        "Vexa/corvane-2": "parsed",
        "broken": "unreadable",
    }
    first = next(card for card in cards if card.model_id == "Vexa/corvane")
    assert (first.licence, first.language, first.base_models, first.source) == (
        "mit",
        ["no"],
        ["Vexa/base"],
        "folder:Vexa--corvane.md",
    )
    assert {row.reason for row in rejected} == {"empty card", "too little prose"}
    assert not attached


def test_the_floor_of_prose_is_a_setting(collect, folder):
    assert len(collect(source="folder", path=folder, min_body_words=0)[0]) == 4
    assert len(collect(source="folder", path=folder, min_body_words=500)[0]) == 0


@pytest.mark.parametrize(
    ("place", "model_id"),
    [
        ("Vexa--corvane-7B.md", "Vexa/corvane-7B"),
        ("mirror__cards__Vexa--corvane.md", "Vexa/corvane"),
        ("Vexa__tools__corvane.md", "Vexa/corvane"),
        ("Vexa__tools__README.md", "Vexa/tools"),
        ("Vexa/corvane/README.md", "Vexa/corvane"),
        ("down/Vexa/corvane/model_card.md", "Vexa/corvane"),
        ("corvane.md", "corvane"),
        ("README.md", "README"),
        ("--x.md", "--x"),
        ("____.md", "____"),
    ],
)
def test_model_id_of_a_path(place, model_id):
    from pathlib import Path

    assert model_id_of(Path(place)) == model_id


def table(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_text_or_bytes_every_row_once(collect, tmp_path):
    names = [f"Vexa/m{number}" for number in range(600)] + [None, "Vexa/none", "Vexa/m0", "bad\nid"]
    texts = [PROSE + str(number) for number in range(600)] + [PROSE, None, PROSE + "0", PROSE]
    path = table(tmp_path / "in" / "text.parquet", model=pa.array(names), readme=pa.array(texts))
    columns = {"source": "parquet", "model_column": "model", "text_column": "readme"}
    cards, _, rejected = collect(path=path, **columns)
    assert (len(cards), len(rejected)) == (600, 4)
    assert sorted(row.reason for row in rejected) == [
        "empty card",
        "no usable model id",
        "no usable model id",
        "same model id and text as another card",
    ]
    encoded = [text.encode() if text else None for text in texts]
    table(path, model=pa.array(names), readme=pa.array(encoded, pa.large_binary()))
    assert [card.id for card in collect(path=path.parent, **columns)[0]] == [card.id for card in cards]
    assert len(collect(path=path, limit=10, **columns)[0]) == 10


def test_transcripts_leave_what_came_with_the_card(collect, tmp_path):
    from test_transcripts import FOLDER

    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "veltin.txt").write_text((FOLDER / "veltin.txt").read_text())
    (folder / "other.jsonl").write_text("nonsense\n")
    [card], [attached], [rejected] = collect(source="transcripts", path=folder)
    assert (card.model_id, card.base_models, card.links) == (
        "Quillmark/Veltin-1B",
        ["Quillmark/Veltin-1B-Base"],
        ["https://quillmark.example/report"],
    )
    assert attached.card_id == card.id
    assert (len(attached.notes), len(attached.summaries)) == (2, 1)
    assert attached.removed[0].startswith("Here is a summary of")
    assert (rejected.id, rejected.reason) == ("other.jsonl:1", "transcript line is not JSON")


def test_synthetic_cards_carry_notes_summaries_and_truth(collect):
    cards, attached, rejected = collect(source="synthetic", cards=6)
    assert len(cards) == 6
    assert not rejected
    assert [row.card_id for row in attached] == [card.id for card in cards]
    assert all(card.truth for card in cards)


def test_a_finished_run_is_left_alone_and_a_changed_input_is_not(collect, folder, capsys):
    collect(source="folder", path=folder)
    capsys.readouterr()
    collect(source="folder", path=folder)
    assert "done already" in capsys.readouterr().out
    (folder / "Vexa--late.md").write_text(PROSE)
    assert len(collect(source="folder", path=folder)[0]) == 4
    assert "4 cards, 0 with notes or summaries, 2 set aside" in capsys.readouterr().out


def test_rejects_of_other_stages_stay_and_do_not_undo_a_finished_run(collect, folder, tmp_path, capsys):
    collect(source="folder", path=folder)
    set_aside(tmp_path / "run" / "data" / "rejected.jsonl", "split", [Rejected("split", "x", "why")])
    capsys.readouterr()
    assert {row.stage for row in collect(source="folder", path=folder)[2]} == {"collect", "split"}
    assert "done already" in capsys.readouterr().out
    assert {row.stage for row in collect(source="folder", path=folder, min_body_words=1)[2]} == {"collect", "split"}


def test_a_stopped_run_leaves_the_finished_files_as_they_were(collect, folder, tmp_path, monkeypatch):
    before = collect(source="folder", path=folder)
    (folder / "Vexa--late.md").write_text(PROSE)
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.collecting.rows.draft", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collect(source="folder", path=folder)
    data = tmp_path / "run" / "data"
    assert list(read_jsonl(data / "cards.jsonl", Card)) == before[0]
    assert len(collect(source="folder", path=folder)[0]) == 4


def test_mistakes_name_value_rule_and_next_move(collect, folder, tmp_path):
    (tmp_path / "bare").mkdir()
    odd = table(tmp_path / "odd.parquet", model_id=pa.array([1]), card=pa.array(["x"]))
    (tmp_path / "text.parquet").write_text("no table")
    for block, message in (
        ({"source": "folder"}, "collect.source folder needs collect.path"),
        ({"source": "folder", "path": tmp_path / "gone"}, "which does not exist; correct it"),
        ({"source": "folder", "path": tmp_path / "bare"}, "holds no .md file; name a folder"),
        ({"source": "parquet", "path": tmp_path / "bare"}, "holds no .parquet file"),
        ({"source": "parquet", "path": tmp_path / "text.parquet"}, "is no readable Parquet file"),
        ({"source": "parquet", "path": odd}, 'column "model_id" .* holds int64, expected string; set collect.model_column'),
        (
            {"source": "parquet", "path": odd, "model_column": "card", "text_column": "text"},
            'has no column "text"; set collect.text_column to one of: model_id, card',
        ),
        ({"source": "hub"}, "needs collect.ids, collect.authors or another key"),
        ({"source": "synthetic", "cards": 0}, "the source gave no card; check"),
    ):
        with pytest.raises(ValueError, match=message):
            collect(**block)


def test_a_mistake_leaves_the_cards_of_the_last_run(collect, folder, tmp_path):
    before = collect(source="folder", path=folder)
    for block in ({"source": "synthetic", "cards": 0}, {"source": "folder", "path": tmp_path / "gone"}):
        with pytest.raises(ValueError, match="collect"):
            collect(**block)
    data = tmp_path / "run" / "data"
    assert list(read_jsonl(data / "cards.jsonl", Card)) == before[0]
    assert list(read_jsonl(data / "rejected.jsonl", Rejected)) == before[2]


def test_the_command_refuses_with_exit_code_2_and_one_line(tmp_path):
    done = run_command(
        "-m",
        "data_prep.collect",
        "--run_dir",
        str(tmp_path),
        "--collect.source",
        "folder",
        "--collect.path",
        str(tmp_path / "gone"),
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("data_prep.collect: collect.path is")
    assert "Traceback" not in done.stderr


def test_cards_are_written_in_utf8_json_lines(collect, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a--b.md").write_text(
        '---\ntitle: "\\ud83d"\nx: "\\0"\n---\n' + PROSE + "\u2028\x85é", encoding="utf-8"
    )
    [card], _, _ = collect(source="folder", path=tmp_path / "one")
    lines = (tmp_path / "run" / "data" / "cards.jsonl").read_bytes().decode("utf-8").split("\n")
    assert len(lines) == 2
    assert json.loads(lines[0])["text"].endswith("é")
    assert card.body.endswith("\u2028\x85é")


def test_filters_set_cards_aside_with_counts_in_the_manifest(collect, folder, tmp_path):
    (folder / "Vexa--deutsch.md").write_text(
        "Corvane hört nachts auf Brücken und meldet, welche Schrauben sich gelöst haben. " * 4
    )
    cards, _, rejected = collect(source="folder", path=folder, languages="[en]", licences="permissive")
    assert {card.model_id for card in cards} == {"Vexa/corvane", "Vexa/corvane-2"}
    manifest = json.loads((tmp_path / "run" / "data" / "collect.manifest.json").read_text())
    assert manifest["result"]["rejected"] == {"empty card": 1, "licence not accepted": 2, "too little prose": 1}
    assert len(rejected) == 4
    assert "executor" not in manifest["recipe"]["collect"]


def test_links_are_looked_for_in_kept_cards_alone(collect, folder, monkeypatch):
    looked = []
    monkeypatch.setattr("data_prep.cards.parse.extract_links", lambda body: looked.append(body) or [])
    assert len(collect(source="folder", path=folder)[0]) == len(looked) == 3


@pytest.mark.parametrize(
    ("body", "links"),
    [
        ("See [the paper][1] and no more.\n\n[1]: https://vexa.example/paper", ["https://vexa.example/paper"]),
        ("- one\n- [two](HTTPS://vexa.example/two)\n\nplain", ["HTTPS://vexa.example/two"]),
        ("<p>\n<A HREF='https://vexa.example/three'>three</A>\n</p>", ["https://vexa.example/three"]),
        (
            "| a | b |\n|---|---|\n| www.vexa.org | arXiv:2401.00001 |",
            ["http://www.vexa.org", "https://arxiv.org/abs/2401.00001"],
        ),
        ("[four](&#104;ttps://vexa.example/four)", ["https://vexa.example/four"]),
        ("Nothing to follow, 10.5 and README.md", []),
    ],
)
def test_paragraphs_that_cannot_hold_a_link_are_skipped_without_losing_one(body, links):
    assert extract_links(body) == links


@pytest.mark.slow
def test_the_benchmark_measures_each_stage_once_and_on_twice_the_cards(tmp_path):
    path = table(
        tmp_path / "in.parquet",
        model_id=[f"Vexa/m{n}" for n in range(50)],
        card=[f"{PROSE}\n\n# Corvane {n}" for n in range(50)],
    )
    done = run_command("-m", "data_prep.benchmark", "cards", "--path", str(path), "--collect.min_body_words", "10")
    assert done.returncode == 0, done.stderr
    rows = {line[:28].strip(): line[28:].split() for line in done.stdout.splitlines() if line[28:].strip()}
    assert (rows["collect"][0], rows["collect, every card twice"][0], rows["split, every card twice"][0]) == (
        "50",
        "100",
        "100",
    )
    assert all(float(rows[name][4]) > 30 for name in ("collect", "split"))  # megabytes
