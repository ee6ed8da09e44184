"""A small run of invented cards to be judged, and the stage run on it against a scripted judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chat_server import ChatServer

from data_prep.core.files import write_jsonl
from data_prep.core.recipe import load
from data_prep.core.records import Generation, HeldOut
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards
from eval.judge import main
from eval.judging.task import JudgeConfig

CARDS = 20


def make_run(run_dir: Path, cards: int = CARDS) -> Path:
    """Cards in families of two; "full" summarises them truly, "part" says half of it, "wrong" speaks of a card of another family."""
    raws = list(raw_cards(seed=5, cards=cards))
    held_out = [
        HeldOut(f"card{i:02}", [], source_text(raw.model_id, str(raw.content), raw.notes), raw.summaries[0], f"family{i // 2}")
        for i, raw in enumerate(raws)
    ]
    write_jsonl(run_dir / "data" / "heldout.jsonl", held_out)
    systems = {
        "full": lambda i: raws[i].summaries[1],
        "part": lambda i: raws[i].summaries[1][: len(raws[i].summaries[1]) // 2],
        "wrong": lambda i: raws[(i + 2) % cards].summaries[1],
    }
    for system, text in systems.items():
        rows = [Generation(f"{system}-{card.id}", card.id, system, text(i), "stop", 1, 1) for i, card in enumerate(held_out)]
        write_jsonl(run_dir / "eval" / "generations" / f"{system}.jsonl", rows)
    return run_dir


def arguments(run_dir: Path, server: ChatServer, *more: str, models: Sequence[str] = ("perfect",), **judge: Any) -> list[str]:
    endpoint = {"base_url": server.url, "api_key_env": "TEST_CHAT_KEY", "family": "script"}
    named = [{"model": model, **endpoint, **judge} for model in models]
    options = ["--judge.judges", json.dumps(named), "--judge.comparisons", "[[part, full], [wrong, full]]"]
    return ["--run_dir", str(run_dir), *options, "--judge.gate_items", "10", "--judge.bootstrap_samples", "1000", *more]


def judge(run_dir: Path, server: ChatServer, *more: str, **judge: Any) -> dict[str, Any]:
    """judge.json after the stage has run."""
    main(load("judge", JudgeConfig, arguments(run_dir, server, *more, **judge)))
    return json.loads((run_dir / "eval" / "measures" / "judge.json").read_text())
