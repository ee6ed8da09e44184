"""Scores every system's summaries of the held-out cards, with an interval beside each mean and each difference.

    python -m eval.score --config recipes/demo/eval.yaml

Reads   <run_dir>/data/heldout.jsonl, <run_dir>/eval/generations/<system>.jsonl
Writes  <run_dir>/eval/scores.parquet   one row per system, card and sample: metrics, text, checks with their spans
        <run_dir>/eval/metrics.json     means, paired differences, and what each metric is

The checks are the ones that accept training data. Samples of one card are averaged first, so the unit is the card;
intervals resample families of cards. A difference of [a, b] is b minus a, on the cards where both were measured.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from data_prep.checks import CheckResult
from data_prep.manifest import Manifest, versions
from data_prep.recipe import Block, Recipe, command, did_you_mean
from data_prep.schema import Generation, HeldOut, read_jsonl, replacing, write_json
from eval.measure import METRICS, Measured, measure
from eval.statistic import Estimate, estimate_mean, holm, sign_flip_p

DIGITS = 6  # of figures in metrics.json: below what any interval resolves, above what two machines' sums differ by


class ScoreConfig(Block):
    """Block `score` of an eval recipe."""

    systems: list[str] = []
    """Systems in the order of the tables. Empty: every file in eval/generations, by name."""
    comparisons: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Pairs [a, b]; the difference is b minus a. Empty: each system against the one before it and against the first."""
    headline: list[str] = ["all_pass", "length_pass", "structure_pass", "fact_recall", "numbers_grounded", "links_grounded"]
    """Metrics named before looking: set in bold, and their p-values corrected for being several (Holm)."""
    bootstrap_samples: int = Field(default=10_000, ge=1000)
    """Draws of each interval and each p-value."""
    allow_missing: bool = False
    """Score a system that lacks summaries of some cards; how many is reported."""


@dataclass(frozen=True)
class Scored:
    """One summary with all that was measured of it."""

    card: HeldOut
    generation: Generation
    measured: Measured


@dataclass(frozen=True)
class System:
    """A system's summaries; `missing` counts the cards and samples it has none for."""

    name: str
    generations: list[Generation]
    missing: int


def main(recipe: Recipe[ScoreConfig]) -> None:
    config, folder = recipe.block, recipe.run_dir / "eval"
    heldout, generations = recipe.run_dir / "data" / "heldout.jsonl", folder / "generations"
    scores, metrics = folder / "scores.parquet", folder / "metrics.json"
    manifest = Manifest(folder / "score.manifest.json", "score", recipe.resolved(), [heldout, generations], [scores, metrics])
    if not manifest.is_done():
        cards = read_cards(heldout)
        systems = read_systems(generations, cards, config)
        rows = score(cards, systems)
        write_scores(scores, rows)
        write_json(metrics, summarise(cards, systems, rows, config, recipe.seed))
        manifest.write(summaries=len(rows), missing={system.name: system.missing for system in systems})
    print_table(json.loads(metrics.read_text(encoding="utf-8")))


def read_cards(path: Path) -> dict[str, HeldOut]:
    """Held-out cards by id, in file order. Raises ValueError where there are none or an id stands twice."""
    cards: dict[str, HeldOut] = {}
    for card in read_jsonl(path, HeldOut):
        if card.id in cards:
            raise ValueError(f"{path} holds card {card.id} twice; make it again with data_prep.examples")
        cards[card.id] = card
    if not cards:
        raise ValueError(f"{path} holds no card, so there is nothing to score; give data_prep.split more cards")
    return cards


def read_systems(folder: Path, cards: dict[str, HeldOut], config: ScoreConfig) -> list[System]:
    """The systems to score, in the order of the tables."""
    found = sorted(path.stem for path in folder.glob("*.jsonl"))
    if not found:
        raise ValueError(f"{folder} holds no summaries; run eval.generate first")
    wanted = config.systems or found
    for name in {*wanted, *(name for pair in config.comparisons for name in pair)}:
        if name not in found:
            raise ValueError(f'no summaries by "{name}" in {folder}. {did_you_mean(name, found)} Or run eval.generate for it.')
        if name not in wanted:
            raise ValueError(f'score.comparisons names "{name}", which score.systems leaves out; add it there')
    known = [metric.name for metric in METRICS]
    for name in config.headline:
        if name not in known:
            raise ValueError(f'score.headline names "{name}", which is no metric. {did_you_mean(name, known)}')
    for name in sorted(set(found) - set(wanted)):
        print(f"score: {name} is not in score.systems and is left out")
    return [read_system(folder / f"{name}.jsonl", cards, config.allow_missing) for name in wanted]


def read_system(path: Path, cards: dict[str, HeldOut], allow_missing: bool) -> System:
    """One system's summaries, in the cards' order. Raises ValueError where they are not of these cards, or not of all."""
    found: dict[tuple[str, int], Generation] = {}
    for generation in read_jsonl(path, Generation):
        key = (generation.id, generation.sample)
        if generation.system != path.stem:
            raise ValueError(f'{path} holds a summary by "{generation.system}"; one file holds one system, named like it')
        if generation.id not in cards:
            raise ValueError(f"{path} summarises card {generation.id}, which is not held out; delete it and run eval.generate")
        if key in found:
            raise ValueError(f"{path} holds card {generation.id}, sample {generation.sample} twice; delete one of the lines")
        found[key] = generation
    if not found:
        raise ValueError(f"{path} holds no summary; run eval.generate again")
    expected = [(card, sample) for card in cards for sample in sorted({sample for _, sample in found})]
    missing = [key for key in expected if key not in found]
    if missing and not allow_missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of {len(expected)} summaries, first of card {missing[0][0]}; "
            "run eval.generate again, it goes on where it stopped, or pass --score.allow_missing true"
        )
    return System(path.stem, [found[key] for key in expected if key in found], len(missing))


def score(cards: dict[str, HeldOut], systems: Sequence[System]) -> list[Scored]:
    todo = [generation for system in systems for generation in system.generations]
    progress = tqdm(todo, desc="score", unit=" summaries", mininterval=1)
    return [Scored(cards[one.id], one, measure(cards[one.id], one)) for one in progress]


def summarise(
    cards: dict[str, HeldOut], systems: Sequence[System], rows: Sequence[Scored], config: ScoreConfig, seed: int
) -> dict[str, Any]:
    """The content of metrics.json."""
    families = np.array([card.family for card in cards.values()])
    values = card_means(cards, rows)
    names = [system.name for system in systems]

    def described(estimate: Estimate) -> dict[str, Any]:
        interval = None if estimate.low is None else [round(estimate.low, DIGITS), round(estimate.high, DIGITS)]
        mean = None if estimate.mean is None else round(estimate.mean, DIGITS)
        note = {"note": estimate.note} if estimate.note else {}
        return {"mean": mean, "ci95": interval, "n": estimate.n, "families": estimate.families, **note}

    def estimated(numbers: np.ndarray, bounds: tuple[float, float] | None) -> dict[str, Any]:
        return described(estimate_mean(numbers, families, config.bootstrap_samples, seed, bounds))

    def compared(a: str, b: str, name: str, bounds: tuple[float, float] | None) -> dict[str, Any]:
        difference = values[b, name] - values[a, name]
        estimate = estimated(difference, bounds and (bounds[0] - bounds[1], bounds[1] - bounds[0]))
        p = sign_flip_p(difference, families, config.bootstrap_samples, seed)
        return {"a": a, "b": b, "metric": name, "difference": estimate.pop("mean"), "p": p and round(p, DIGITS), **estimate}

    pairs = config.comparisons or default_comparisons(names)
    comparisons = [compared(a, b, metric.name, metric.bounds) for a, b in pairs for metric in METRICS]
    return {
        "cards": len(cards),
        "families": len(set(families)),
        "metrics": [dataclasses.asdict(metric) | {"headline": metric.name in config.headline} for metric in METRICS],
        "systems": {name: {m.name: estimated(values[name, m.name], m.bounds) for m in METRICS} for name in names},
        "missing": {system.name: system.missing for system in systems},
        "comparisons": with_holm(comparisons, config.headline),
        "bootstrap": {"samples": config.bootstrap_samples, "seed": seed, "resampled": "families"},
        "versions": versions(),
    }


def card_means(cards: dict[str, HeldOut], rows: Sequence[Scored]) -> dict[tuple[str, str], np.ndarray]:
    """(system, metric) -> one value per card: the mean over its samples, NaN where none was measured."""
    collected: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        for name, value in row.measured.metrics.items():
            per_card = collected.setdefault((row.generation.system, name), {})
            if value is not None:
                per_card.setdefault(row.card.id, []).append(value)
    return {
        key: np.array([np.mean(per_card[card]) if card in per_card else np.nan for card in cards])
        for key, per_card in collected.items()
    }


def default_comparisons(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each system against the one before it, then each against the first."""
    return list(dict.fromkeys([*pairwise(names), *((names[0], name) for name in names[1:])]))


def with_holm(comparisons: list[dict[str, Any]], headline: Sequence[str]) -> list[dict[str, Any]]:
    """Adds `p_holm` to the comparisons of headline metrics, corrected within each pair of systems."""
    declared: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in comparisons:
        if row["metric"] in headline:
            declared.setdefault((row["a"], row["b"]), []).append(row)
    for rows in declared.values():
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p_holm"] = p and round(p, DIGITS)
    return comparisons


def write_scores(path: Path, rows: Sequence[Scored]) -> None:
    text = {name: pa.string() for name in ("id", "system", "family", "finish_reason", "text", "checks")}
    numbers = {metric.name: pa.float64() for metric in METRICS}
    schema = pa.schema({**text, "sample": pa.int64(), **numbers})
    with replacing(path, "wb") as handle:
        pq.write_table(pa.Table.from_pylist([score_row(row) for row in rows], schema), handle)


def score_row(row: Scored) -> dict[str, Any]:
    return {
        "id": row.card.id,
        "system": row.generation.system,
        "family": row.card.family,
        "sample": row.generation.sample,
        "finish_reason": row.generation.finish_reason,
        # Parquet holds UTF-8 only; "?" for a lone surrogate keeps every offset.
        "text": row.generation.text.encode("utf-8", "replace").decode("utf-8"),
        "checks": json.dumps([check_row(check) for check in row.measured.checks]),
        **row.measured.metrics,
    }


def check_row(check: CheckResult) -> dict[str, Any]:
    return dataclasses.asdict(check)


def print_table(metrics: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    headline = [metric for metric in metrics["metrics"] if metric["headline"]]
    table = Table(title=f"{metrics['cards']} held-out cards of {metrics['families']} families: mean [95% interval], n")
    table.add_column("system")
    for metric in headline:
        table.add_column(metric["label"], justify="right")
    for name, measured in metrics["systems"].items():
        table.add_row(escape(name), *(table_cell(measured[metric["name"]], metric["unit"]) for metric in headline))
    console.print(table)
    for name, count in metrics["missing"].items():
        if count:
            console.print(f"{escape(name)} lacks {count} summaries; its figures stand on the others", highlight=False)


def table_cell(measured: dict[str, Any], unit: str) -> str:
    scale = 100 if unit == "share" else 1
    if measured["mean"] is None:
        return "not measured"
    interval = "no interval"
    if measured["ci95"]:
        interval = f"[{measured['ci95'][0] * scale:.1f}, {measured['ci95'][1] * scale:.1f}]"
    return escape(f"{measured['mean'] * scale:.1f}\n{interval}\nn={measured['n']}")


if __name__ == "__main__":
    command("score", ScoreConfig, main, __doc__, "eval.score")
