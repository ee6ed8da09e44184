"""What training left in a run's folder, as curves. Training and evaluation meet in files only: these are a finished stage's manifest
and, until that is written, the log so far.

Nothing is counted twice: what a resumed run trained again replaces what it had logged, and a step's lines become one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.core.text import plural

# What is drawn, in this order, where it is logged. Names of the log are TRL's and ours (training/monitoring, training/loop/reward.py).
CURVES = {
    "loss": "loss",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "pairs with chosen ahead",
    "rewards/chosen": "reward of chosen",
    "rewards/rejected": "reward of rejected",
    "reward": "reward",
    "reward_std": "spread of rewards",
    "kl": "KL from the SFT model",
    "completions/mean_length": "tokens of a sample",
    "completions/clipped_ratio": "cut by the token limit",
    "mean_token_accuracy": "token accuracy",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "speed/tokens_per_second": "tokens a second",
    "speed/utilisation": "share of matmul rate",
}
PART = "parts/"  # of a reward


@dataclass(frozen=True)
class Curve:
    """One quantity over the steps: by "train" and "validation" the points (step, value) that were logged."""

    label: str
    series: dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Training:
    """One training of a run. `place`: its folder; `told`: how far it is; `steps`: how many it takes, 0 where nobody knows yet."""

    place: str
    method: str
    told: str
    steps: int
    curves: list[Curve]
    parts: list[Curve]


def trainings(run_dir: Path) -> list[Training]:
    """Those of the run and of its rounds, in the order they are made; [] where none was begun."""
    rounds = sorted(run_dir.glob("round-*"), key=number)
    folders = [run_dir / "sft", run_dir / "aligned", *(folder / "aligned" for folder in rounds)]
    if not any(folder.is_dir() for folder in folders):
        return []
    return [training(folder, folder.relative_to(run_dir).as_posix()) for folder in folders if folder.is_dir() or not rounds]


def training(folder: Path, place: str) -> Training:
    manifest = read(folder / ("sft.manifest.json" if folder.name == "sft" else "align.manifest.json"))
    state, result = read_state(folder), manifest.get("result", {})
    log = by_step(result.get("history") or state.get("log_history", []))
    steps = int(result.get("steps") or state.get("max_steps", 0))
    if manifest:
        told = f"Finished after {plural(steps, 'step')} on {plural(result.get('rows', 0), 'row')}."
    elif log:
        told = f"Not finished: the log ends at step {max(log):,} of {steps:,}. Run eval.report again to see what came since."
    else:
        told = "Begun, and nothing is logged yet." if folder.is_dir() else f"Nothing is trained in {folder}."
    parts = sorted({key for entry in log.values() for key in entry if key.startswith(PART)})
    return Training(
        place,
        method(place, manifest or read(folder / "started.manifest.json")),
        told,
        steps,
        list(curves(log, CURVES)),
        list(curves(log, {key: key.removeprefix(PART) for key in parts})),
    )


def method(place: str, begun: dict[str, Any]) -> str:
    recipe = begun.get("recipe", {})
    if recipe.get("rejection_sampling"):
        return "SFT on its own best samples"
    if place == "sft" or not begun:
        return "SFT" if place == "sft" else "alignment"
    return "GRPO" if "sampling.jsonl" in begun.get("inputs", {}) else f"on pairs, loss {recipe.get('loss_type', 'sigmoid')}"


def read_state(folder: Path) -> dict[str, Any]:
    """The log so far. Runs of before it was kept by itself have that of their newest checkpoint."""
    saved = sorted(folder.glob("checkpoint-*"), key=number, reverse=True)
    return next((state for place in (folder, *saved) if (state := read(place / "trainer_state.json"))), {})


def number(path: Path) -> int:
    return int(re.sub(r"\D", "", path.name) or 0)


def read(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is none, or half of one, of a run killed while it saved."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def by_step(history: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    log: dict[int, dict[str, float]] = {}
    for entry in history:
        finite = {key: value for key, value in entry.items() if isinstance(value, (int, float)) and math.isfinite(value)}
        log.setdefault(int(entry["step"]), {}).update(finite)
    return dict(sorted(log.items()))


def curves(log: dict[int, dict[str, float]], labels: dict[str, str]) -> Iterator[Curve]:
    for key, label in labels.items():
        named = {"train": key, "validation": f"eval_{key}"}
        series = {name: [(step, entry[key]) for step, entry in log.items() if key in entry] for name, key in named.items()}
        if any(series.values()):
            yield Curve(label, {name: points for name, points in series.items() if points})


def table(curves: list[Curve]) -> tuple[list[str], list[tuple[int, list[float | None]]]]:
    """All that is drawn, in figures: heads of the columns, and a row for each step."""
    columns = {
        curve.label + (", validation" if name == "validation" else ""): dict(points)
        for curve in curves
        for name, points in curve.series.items()
    }
    steps = sorted({step for points in columns.values() for step in points})
    return list(columns), [(step, [points.get(step) for points in columns.values()]) for step in steps]
