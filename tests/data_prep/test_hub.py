"""The Hub source against a server on loopback that speaks the Hub's own answers and error headers."""

import hashlib
import io
import json
import threading
from http.server import ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import run_command
from loopback import Replies

from data_prep.collecting.config import SourceConfig
from data_prep.collecting.hub_datasets import pinned
from data_prep.core.files import git_blob

SHA = "c0ffee" + "0" * 34
CARD = (
    b"---\nlicense: mit\nbase_model: ferro/first\n---\n# Brindle\n\n"
    + b"Brindle reads long letters and answers in one sentence. " * 5
)
MODELS = {  # files by size
    "ferro/brindle": {"README.md": len(CARD), "model.safetensors": 10},
    "ferro/bare": {"model.safetensors": 10},
    "ferro/huge": {"README.md": 5_000_000},
}
HISTORY = {"beef" * 10: "b" * 40, SHA: git_blob(CARD)}  # commits, newest first, with the blob of their README.md
LISTED = [  # as the Hub sorts by downloads
    {"id": "ferro/brindle", "downloads": 900, "likes": 8, "lastModified": "2026-03-01T10:00:00.000Z"},
    {"id": "ferro/bare", "downloads": 500, "likes": 0, "lastModified": "2026-03-02T10:00:00.000Z"},
    {"id": "ferro/huge", "downloads": 20, "likes": 9, "lastModified": "2024-03-02T10:00:00.000Z"},
]
REFUSALS = {"ferro/gated": (403, "GatedRepo"), "ferro/gone": (404, "RepoNotFound"), "ferro/odd": (418, "")}
PARENTS = {"relation": "finetune", "models": [{"_id": "1", "id": "ferro/first"}, {"_id": "2", "id": "ferro/second"}]}
TABLE = io.BytesIO()
pq.write_table(
    pa.table({"modelId": [f"ferro/m{n}" for n in range(40)], "card": [CARD.decode() + str(n) for n in range(40)]}),
    TABLE,
    row_group_size=9,
)


class Hub(Replies):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        if self.server.refuse and "ferro" in self.path:
            self.answer(429, b"", self.server.refuse.pop(0))
        elif parts.path == "/api/models":
            asked = parse_qs(parts.query)
            self.answer(200, json.dumps([row for row in LISTED if row["id"].startswith(asked.get("author", [""])[0])]).encode())
        elif parts.path == "/api/models/ferro/brindle/commits/main":
            commits = [
                {"id": name, "title": "t", "message": "", "date": "2026-03-01T10:00:00.000Z", "authors": []} for name in HISTORY
            ]
            self.answer(200, json.dumps(commits).encode())
        elif parts.path.startswith("/api/models/"):
            self.model("/".join(parts.path.split("/")[3:5]))
        elif parts.path.startswith("/api/datasets/ferro/cards"):
            self.dataset(parts.path.removeprefix("/api/datasets/ferro/cards"))
        elif parts.path.endswith(f"/resolve/{SHA}/README.md"):
            size = MODELS["/".join(parts.path.split("/")[1:3])]["README.md"]
            self.answer(200, CARD, {"X-Repo-Commit": SHA, "ETag": '"e"', "Content-Length": str(size)})
        elif parts.path == f"/datasets/ferro/cards/resolve/{SHA}/data/cards.parquet":
            self.part(TABLE.getvalue())
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"README.md" not in body or not self.path.startswith("/api/models/ferro/brindle/paths-info/"):
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        commit = self.path.rpartition("/")[2]
        file = {"type": "file", "path": "README.md", "size": 9, "oid": HISTORY[commit]}
        self.answer(200, json.dumps([file]).encode())

    def model(self, name):
        if name == "ferro/busy" or self.server.busy:
            self.answer(503, b"")
        elif name in REFUSALS:
            status, code = REFUSALS[name]
            self.answer(status, b"", {"X-Error-Code": code} if code else {})
        else:
            files = [{"rfilename": file} for file in MODELS[name]]
            self.answer(200, json.dumps({"id": name, "sha": SHA, "siblings": files, "baseModels": PARENTS}).encode())

    def dataset(self, rest):
        if rest == "/refs":
            refs = {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": SHA}], "converts": []}
            refs["tags"] = [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": SHA}]
            self.answer(200, json.dumps(refs).encode())
        elif rest.startswith("/tree/"):
            folder = {"type": "directory", "path": "data", "size": 0, "oid": "0" * 40}
            file = {"type": "file", "path": "data/cards.parquet", "size": len(TABLE.getvalue()), "oid": "0" * 40}
            self.answer(200, json.dumps([file if rest.endswith("/data") else folder]).encode())
        else:
            self.answer(200, json.dumps({"id": "ferro/cards", "sha": SHA, "siblings": []}).encode())

    def part(self, content):
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        self.answer(206, content[int(first) : int(last or len(content)) + 1], {"X-Repo-Commit": SHA})

    def answer(self, status, body, headers=None):
        self.server.asked.append((self.command, self.path, self.headers.get("authorization")))
        self.send(status, body, headers)


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.refuse, server.busy = [], [], False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def collect(hub, tmp_path, *arguments, source="hub"):
    port = hub if isinstance(hub, int) else hub.server_port
    environment = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "hf_test",
    }
    common = ("-m", "data_prep.collect", "--run_dir", str(tmp_path / "run"), "--collect.source", source)
    return run_command(*common, *arguments, **environment)


def rows(tmp_path, name):
    return [json.loads(line) for line in (tmp_path / "run" / "data" / f"{name}.jsonl").read_text().splitlines()]


def test_cards_come_with_their_commit_and_refusals_with_a_reason(hub, tmp_path):
    asked = "[ferro/brindle, ferro/bare, ferro/huge, ferro/gated, ferro/gone, ferro/odd, 'no/such/id']"
    done = collect(hub, tmp_path, "--collect.ids", asked)
    assert done.returncode == 0, done.stderr
    [card] = rows(tmp_path, "cards")
    assert (card["model_id"], card["revision"], card["licence"], card["source"]) == ("ferro/brindle", SHA, "mit", "hub")
    assert card["text"].encode() == CARD
    assert {row["id"]: row["reason"] for row in rows(tmp_path, "rejected")} == {
        "ferro/bare": "no README.md on the Hub",
        "ferro/huge": "README.md too large",
        "ferro/gated": "gated on the Hub",
        "ferro/gone": "not on the Hub, or private",
        "ferro/odd": "the Hub refused",
        "no/such/id": "not a Hub id",
    }
    assert {token for _, path, token in hub.asked if "ferro" in path} == {"Bearer hf_test"}
    assert "hf_test" not in done.stderr + "".join(path.read_text() for path in (tmp_path / "run" / "data").iterdir())


def test_parents_that_the_hub_names_stand_beside_the_author_s(hub, tmp_path):
    assert collect(hub, tmp_path, "--collect.ids", "[ferro/brindle]").returncode == 0
    assert rows(tmp_path, "cards")[0]["base_models"] == ["ferro/first", "ferro/second"]


def test_a_references_card_is_looked_up_in_its_repositorys_history(hub, tmp_path):
    line = {
        "model_id": "ferro/brindle",
        "sha256": hashlib.sha256(CARD).hexdigest(),
        "git_blob": git_blob(CARD),
        "summary": "# B",
    }
    changed = line | {"sha256": "0" * 64, "git_blob": "f" * 40}
    path = tmp_path / "references.jsonl"
    path.write_text("\n".join(map(json.dumps, (line, changed))))
    done = collect(hub, tmp_path, "--collect.path", str(path), source="references")
    assert done.returncode == 0, done.stderr
    [card] = rows(tmp_path, "cards")
    assert (card["revision"], card["sha256"]) == (SHA, line["sha256"])
    assert rows(tmp_path, "attached")[0]["summaries"] == ["# B"]
    [refused] = rows(tmp_path, "rejected")
    assert "none of 2 commits has README.md as ffff" in refused["detail"]


def test_an_author_stands_for_all_models_up_to_the_limit(hub, tmp_path):
    assert collect(hub, tmp_path, "--collect.authors", "[ferro]", "--collect.limit", "2").returncode == 0
    assert [row["model_id"] for row in rows(tmp_path, "cards")] == ["ferro/brindle"]
    assert [row["id"] for row in rows(tmp_path, "rejected")] == ["ferro/bare"]


def test_models_are_listed_once_for_all_tasks_and_after_a_stop(hub, tmp_path):
    hub.busy = True
    assert collect(hub, tmp_path, "--collect.authors", "[ferro]", "--collect.tasks", "3").returncode == 2
    hub.busy = False
    done = collect(hub, tmp_path, "--collect.authors", "[ferro]", "--collect.tasks", "3")
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in rows(tmp_path, "rejected")] == ["ferro/bare", "ferro/huge"]
    assert sum(path.startswith("/api/models?") for _, path, _ in hub.asked) == 1


def test_a_hub_that_is_away_stops_the_stage_without_setting_anything_aside(hub, tmp_path):
    for place, arguments in ((hub, "[ferro/busy]"), (1, "[ferro/brindle]")):  # nothing listens on port 1
        done = collect(place, tmp_path, "--collect.ids", arguments)
        assert done.returncode == 2
        assert "does not answer" in done.stderr
        assert "run again" in done.stderr
        assert not (tmp_path / "run" / "data" / "cards.jsonl").exists()


def test_a_hub_that_asks_to_wait_is_waited_for_within_reason(hub, tmp_path):
    hub.refuse = [{"RateLimit": '"api";r=0;t=1'}]
    done = collect(hub, tmp_path, "--collect.ids", "[ferro/brindle]")
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path, "cards")) == 1
    hub.refuse = [{"Retry-After": "4000"}]
    done = collect(hub, tmp_path, "--collect.ids", "[ferro/brindle, ferro/bare]")
    assert done.returncode == 2
    assert "cards already fetched are kept" in done.stderr
    assert len(rows(tmp_path, "cards")) == 1


def chosen(**keys):
    from data_prep.collecting.hub import HubCards

    class Api:
        def list_models(self, **asked):
            self.asked = asked
            yield from (
                SimpleNamespace(id=name, downloads=downloads, likes=likes, last_modified=None)
                for name, downloads, likes in MANY
            )

    api = Api()
    return list(HubCards(api).names(SourceConfig(source="hub", **keys))), api


MANY = [("a/a", 9, 0), ("a/b", 5, 7), ("a/c", 1, 9), ("a/d", 8, 8)]


def test_models_are_selected_by_what_the_hub_says_of_them():
    names, api = chosen(min_downloads=5, min_likes=7, task="text-generation", library="transformers", limit=3)
    assert names == ["a/b", "a/d"]
    assert (api.asked["pipeline_tag"], api.asked["filter"], api.asked["limit"]) == ("text-generation", "transformers", None)
    names, _ = chosen(min_downloads=5, sort="downloads")
    assert names == ["a/a", "a/b"]  # in this order none can follow the first that falls short
    names, _ = chosen(min_downloads=5, min_likes=7, sort="downloads")
    assert names == ["a/b"]  # behind one that the other bound leaves out
    assert chosen(ids=["x/y"])[0] == ["x/y"]
    with pytest.raises(ValueError, match="another key that selects models"):
        chosen(limit=5)


def test_a_table_of_a_dataset_is_read_at_a_tag_or_commit_alone(hub, tmp_path):
    where = "hf://datasets/ferro/cards{}/data/*.parquet"
    for revision in ("", "@main"):
        done = collect(hub, tmp_path, "--collect.path", where.format(revision), source="parquet")
        assert done.returncode == 2
        assert "with a commit of 40 hex digits or a tag" in done.stderr
    for revision in ("@v1", f"@{SHA}"):
        path = where.format(revision)
        done = collect(hub, tmp_path, "--collect.path", path, "--collect.model_column", "modelId", source="parquet")
        assert done.returncode == 0, done.stderr
        cards = rows(tmp_path, "cards")
        assert len(cards) == 40
        assert {card["source"] for card in cards} == {f"parquet:hf://datasets/ferro/cards@{SHA}/data/cards.parquet"}
    assert "done already" in done.stdout  # a tag stands for its commit
    gone = collect(hub, tmp_path, "--collect.path", f"hf://datasets/ferro/cards@{SHA}/no/cards.parquet", source="parquet")
    assert gone.returncode == 2
    assert "where the Hub has no file" in gone.stderr


def test_a_commit_needs_no_question_to_the_hub():
    path = f"hf://datasets/ferro/cards@{SHA}/cards.parquet"
    assert pinned(path, api=None) == path
