"""Research and write, killed at random moments: the rerun ends as an undisturbed run does and asks for nothing twice."""

import hashlib
import json
import random
import re
import sqlite3
import subprocess
import sys
import time

import pytest
from chat_server import ChatServer
from commands import ROOT
from test_research_pages import ARTICLE, WORDS, Mirror

from data_prep.cards.parse import parse_card
from data_prep.core.files import read_jsonl, write_json, write_jsonl
from data_prep.core.records import RawCard, SourceRecord

pytestmark = pytest.mark.slow
CARDS = 16
KILLS = 5  # of each stage


def mark(body):
    """One mark for one question: messages and temperature."""
    return hashlib.sha256(json.dumps([body["messages"], body["temperature"]]).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def servers():
    pages = {
        f"/https/osk.github.io/brindle-{n}b-page": (
            "text/html",
            ARTICLE.format(f"<h1>Brindle {n}B</h1><p>{WORDS}</p>").encode(),
        )
        for n in range(CARDS)
    }
    with (
        Mirror(pages, answer_s=0.05) as mirror,
        ChatServer(answer_s=0.08, reply=lambda body: f"- mark:{mark(body)}") as teacher,
    ):
        yield mirror, teacher


def make_run(run_dir):
    cards = [
        parse_card(RawCard(f"osk/Brindle-{n}B", f"Brindle {n}. Our page: https://osk.github.io/brindle-{n}b-page", "test"))
        for n in range(CARDS)
    ]
    write_jsonl(run_dir / "data" / "cards.jsonl", cards)
    write_jsonl(run_dir / "data" / "attached.jsonl", [])
    split = {"families": {}, "splits": {card.id: "train" for card in cards}, "config": {}}
    write_json(run_dir / "data" / "split.json", split)
    return run_dir


def command(stage, run_dir, servers):
    mirror, teacher = servers
    endpoint = f"{{model: scribe, base_url: '{teacher.url}', licence: mit, concurrency: 2}}"
    options = {
        "research": [
            "--research.teacher", endpoint, "--research.fetch.mirror", mirror.url, "--research.fetch.concurrency", "2",
        ],
        "write": ["--write.teachers", f"[{endpoint}]", "--write.candidates", "2", "--write.temperatures", "[0.3, 0.9]"],
    }  # fmt: skip
    return [sys.executable, "-m", f"data_prep.{stage}", "--run_dir", str(run_dir), *options[stage]]


def finish(stage, run_dir, servers):
    done = subprocess.run(command(stage, run_dir, servers), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def kept(run_dir):
    """Marks of the questions whose answers, and paths of the pages whose text, are on disk."""
    found = set()
    for name, query in (("answers", "SELECT text FROM answers"), ("pages", "SELECT url FROM pages")):
        path = run_dir / "data" / f"{name}.sqlite"
        if path.exists():
            with sqlite3.connect(path) as file:
                if file.execute("SELECT name FROM sqlite_master WHERE name = ?", (name,)).fetchone():
                    found |= {text.replace("://", "/") for (text,) in file.execute(query)}
    return {re.sub(r"^- mark:", "", text) for text in found}


def asked(servers):
    mirror, teacher = servers
    return [path.lstrip("/") for path in mirror.asked] + [mark(body) for body in teacher.bodies]


def rows(run_dir, stage):
    if stage == "write":
        return (run_dir / "data" / "candidates.jsonl").read_text()
    sources = [vars(row) | {"fetched_at": ""} for row in read_jsonl(run_dir / "data" / "sources.jsonl", SourceRecord)]
    return (run_dir / "data" / "notes.jsonl").read_text(), sources


def test_a_killed_stage_goes_on_and_asks_for_nothing_that_it_has(tmp_path, servers):
    calm, killed = make_run(tmp_path / "calm"), make_run(tmp_path / "killed")
    rng, cut_off = random.Random(7), 0
    for stage in ("research", "write"):
        finish(stage, calm, servers)
        for kill in range(KILLS + 1):
            have, before = kept(killed), len(asked(servers))
            if kill == KILLS:
                finish(stage, killed, servers)
            else:
                process = subprocess.Popen(
                    command(stage, killed, servers), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                wanted = before + rng.randint(2, 6)  # a moment of work, not of start-up
                while process.poll() is None and len(asked(servers)) < wanted:
                    time.sleep(0.005)
                cut_off += process.poll() is None
                process.kill()
                process.wait()
            assert not have & set(asked(servers)[before:])
        assert rows(killed, stage) == rows(calm, stage)
        assert len(kept(killed)) >= CARDS
    assert cut_off == 2 * KILLS, "a kill came too late to say anything"
