"""Summaries without card text find their cards again: by SHA-256 in files, by Git blob in the history of the Hub's repository."""

import hashlib
import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.collect import CollectConfig, main
from data_prep.collecting.config import SourceConfig
from data_prep.collecting.readers import local_inputs, open_source
from data_prep.collecting.references import read_references
from data_prep.core.files import git_blob, read_jsonl
from data_prep.core.recipe import Recipe
from data_prep.core.records import Attached, Card, RawCard, Rejected

CARDS = [
    b"# Brindle-2B\n\n" + b"Brindle reads long letters and answers in one short sentence. " * 6,
    b"# Quagga\r\n\r\nCaf\xe9 \xff of a model, with bytes that are no UTF-8. " + b"It has stripes. " * 20,
]
NOTE = {"url": "https://ferro.example/paper", "text": "- 12 layers", "from": "read 2026-11-01"}


def line(number, **changes):
    content = CARDS[number]
    row = {
        "model_id": f"ferro/m{number}",
        "sha256": hashlib.sha256(content).hexdigest(),
        "git_blob": git_blob(content),
        "notes": [NOTE] if number == 0 else [],
        "summary": f"# Summary {number}\n\nIt has 2B parameters.",
        "writer": "a large language model",
    }
    return row | changes


@pytest.fixture
def references(tmp_path):
    path = tmp_path / "references.jsonl"
    path.write_text("".join(json.dumps(line(number)) + "\n" for number in range(2)))
    return path


def collected(tmp_path, references, *places):
    block = CollectConfig(source="references", path=str(references), card_texts=[str(place) for place in places])
    main(Recipe(run_dir=tmp_path / "run", seed=1, stage="collect", block=block))
    data = tmp_path / "run" / "data"
    kinds = {"cards": Card, "attached": Attached, "rejected": Rejected}
    return [list(read_jsonl(data / f"{name}.jsonl", kind)) for name, kind in kinds.items()]


def test_a_git_blob_is_gits_own():
    assert git_blob(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_cards_are_found_in_a_folder_and_a_table_by_their_bytes(tmp_path, references):
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "any name.md").write_bytes(CARDS[1])
    table = tmp_path / "table.parquet"
    pq.write_table(pa.table({"model_id": ["x/y", "x/z"], "card": [CARDS[0], CARDS[0] + b" "]}), table)
    cards, attached, rejected = collected(tmp_path, references, folder, table)
    assert [card.model_id for card in cards] == ["ferro/m0", "ferro/m1"]
    assert [card.sha256 for card in cards] == [line(0)["sha256"], line(1)["sha256"]]
    assert [(row.card_id, row.summaries) for row in attached] == [
        (card.id, [line(n)["summary"]]) for n, card in enumerate(cards)
    ]
    assert [note.url for note in attached[0].notes] == [NOTE["url"]]
    assert not rejected


def test_a_folder_of_files_and_tables_has_both(tmp_path, references):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "a.md").write_bytes(CARDS[1])
    pq.write_table(pa.table({"model_id": ["x/y"], "card": [CARDS[0]]}), tmp_path / "cards" / "b.parquet")
    cards, _, rejected = collected(tmp_path, references, tmp_path / "cards")
    assert [card.model_id for card in cards] == ["ferro/m0", "ferro/m1"]
    assert not rejected


def test_further_files_of_references_are_read_beside_the_first(tmp_path, references):
    folder, first, more = tmp_path / "cards", tmp_path / "first.jsonl", tmp_path / "more.jsonl"
    folder.mkdir()
    for number, file in enumerate((first, more)):
        (folder / f"{number}.md").write_bytes(CARDS[number])
        file.write_text(json.dumps(line(number)) + "\n")
    block = CollectConfig(source="references", path=str(first), also=[str(more)], card_texts=[str(folder)])
    main(Recipe(run_dir=tmp_path / "run", seed=1, stage="collect", block=block))
    cards = list(read_jsonl(tmp_path / "run" / "data" / "cards.jsonl", Card))
    assert [card.model_id for card in cards] == ["ferro/m0", "ferro/m1"]
    with pytest.raises(ValueError, match=r"first.jsonl:1 and .*references.jsonl:1 are of one card"):
        read_references(first, references)
    nowhere = SourceConfig(source="references", path=str(first), also=["nowhere.jsonl"])
    with pytest.raises(ValueError, match=r'collect.also names "nowhere.jsonl", which is no file'):
        open_source(nowhere, 1)
    with pytest.raises(ValueError, match=r"collect.also is for collect.source references, which is folder"):
        local_inputs(SourceConfig(source="folder", path=str(folder), also=[str(more)]))


def test_a_card_that_is_not_there_or_has_changed_is_set_aside_with_its_hash(tmp_path, references):
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "m0.md").write_bytes(CARDS[0])
    (folder / "m1.md").write_bytes(CARDS[1] + b"changed")
    cards, _, [refused] = collected(tmp_path, references, folder)
    assert [card.model_id for card in cards] == ["ferro/m0"]
    assert refused.id == "ferro/m1"
    assert line(1)["sha256"] in refused.detail


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "12"}, "sha256 is '12'"),
        ({"git_blob": None}, "git_blob is None"),
        ({"notes": [{"url": "https://a.example"}]}, "lacks 'text'"),
    ],
)
def test_a_line_that_is_no_reference_is_refused_by_its_place(tmp_path, changes, said):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(line(0)) + "\n" + json.dumps(line(1, **changes)) + "\n")
    with pytest.raises(ValueError, match=r"r\.jsonl:2") as caught:
        read_references(path)
    assert said in str(caught.value)


def test_two_summaries_of_one_card_and_a_missing_place_are_refused(tmp_path, references):
    twice = tmp_path / "twice.jsonl"
    twice.write_text(json.dumps(line(0)) + "\n" + json.dumps(line(0, summary="# Other")) + "\n")
    with pytest.raises(ValueError, match="are of one card"):
        read_references(twice)
    config = SourceConfig(source="references", path=str(references), card_texts=[str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match=r"collect\.card_texts names .*nowhere"):
        open_source(config, 1)


class Api:
    """The Hub's history of one model: commits, newest first, with the README of each."""

    endpoint = "http://hub.example"

    def __init__(self, tmp_path, history):
        self.history, self.folder, self.asked = history, tmp_path, []

    def list_repo_commits(self, model_id):
        return [SimpleNamespace(commit_id=commit) for commit in self.history]

    def get_paths_info(self, model_id, paths, revision):
        self.asked.append(revision)
        return [SimpleNamespace(path=paths[0], blob_id=git_blob(self.history[revision]))] if self.history[revision] else []

    def hf_hub_download(self, model_id, name, revision):
        place = self.folder / revision
        place.write_bytes(self.history[revision])
        return str(place)


def test_the_hub_is_asked_for_the_commit_that_has_the_card(tmp_path, references):
    from data_prep.collecting.hub import HubCards

    api = Api(tmp_path, {"c3": b"newer", "c2": None, "c1": CARDS[0], "c0": CARDS[0]})
    first, second = read_references(references)
    found = HubCards(api).find(first)
    assert isinstance(found, RawCard)
    assert (found.content, found.revision, found.summaries) == (CARDS[0], "c1", [first.summary])
    assert api.asked == ["c3", "c2", "c1"]
    refused = HubCards(api).find(second)
    assert "none of 4 commits" in refused.detail
