"""The Hub source against a server on loopback that speaks the Hub's own answers and error headers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from commands import run_command

SHA = "c0ffee" + "0" * 34
CARD = b"---\nlicense: mit\n---\n# Brindle\n\n" + b"Brindle reads long letters and answers them in one short sentence. " * 5
MODELS = {
    "ferro/brindle": {"README.md": len(CARD), "model.safetensors": 10},
    "ferro/bare": {"model.safetensors": 10},
    "ferro/huge": {"README.md": 5_000_000},
}
REFUSALS = {"ferro/gated": (403, "GatedRepo"), "ferro/gone": (404, "RepoNotFound"), "ferro/odd": (418, "")}


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/api/models":
            author = parse_qs(parts.query)["author"][0]
            self.answer(200, json.dumps([{"id": name} for name in MODELS if name.startswith(author)]).encode())
        elif parts.path.startswith("/api/models/"):
            self.model("/".join(parts.path.split("/")[3:5]))
        elif parts.path == f"/ferro/brindle/resolve/{SHA}/README.md":
            self.answer(200, CARD, {"X-Repo-Commit": SHA, "ETag": '"e"'})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def model(self, name):
        if name == "ferro/busy":
            self.answer(503, b"")
        elif name in REFUSALS:
            status, code = REFUSALS[name]
            self.answer(status, b"", {"X-Error-Code": code} if code else {})
        else:
            files = [{"rfilename": file, "size": size} for file, size in MODELS[name].items()]
            self.answer(200, json.dumps({"id": name, "sha": SHA, "siblings": files}).encode())

    def answer(self, status, body, headers=None):
        self.server.asked.append((self.command, self.path, self.headers.get("authorization")))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def collect(hub, tmp_path, *arguments):
    port = hub if isinstance(hub, int) else hub.server_port
    environment = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "hf_test",
    }
    common = ("-m", "data_prep.collect", "--run_dir", str(tmp_path / "run"), "--collect.source", "hub")
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


def test_an_author_stands_for_all_models_up_to_the_limit(hub, tmp_path):
    assert collect(hub, tmp_path, "--collect.authors", "[ferro]", "--collect.limit", "2").returncode == 0
    assert [row["model_id"] for row in rows(tmp_path, "cards")] == ["ferro/brindle"]
    assert [row["id"] for row in rows(tmp_path, "rejected")] == ["ferro/bare"]


def test_a_hub_that_asks_to_wait_or_is_away_stops_the_stage_without_setting_anything_aside(hub, tmp_path):
    for place, arguments in ((hub, "[ferro/busy]"), (1, "[ferro/brindle]")):  # nothing listens on port 1
        done = collect(place, tmp_path, "--collect.ids", arguments)
        assert done.returncode == 2
        assert "does not answer" in done.stderr
        assert "run again" in done.stderr
        assert not (tmp_path / "run" / "data" / "cards.jsonl").exists()
