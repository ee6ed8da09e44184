"""Answers to the probes, measured by kind and system. See eval/probes.py for what the kinds are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.core.files import read_jsonl
from data_prep.core.records import Generation, Probe
from eval.probing.metrics import CHANGES, PROBE_METRICS, against_own, measure_probe
from eval.runs.summaries import read_generations
from eval.scoring.aggregate import BootstrapSettings, Scored
from eval.scoring.cache import ScoreStore

Answers = dict[str, dict[str, Generation]]  # system -> probe -> its summary


def read_answers(folder: Path, probes: Mapping[str, Probe], systems: Sequence[str]) -> Answers:
    """The answers of those `systems` that have any. Raises ValueError where one is to no such probe, or there twice."""
    answers: Answers = {}
    for name in systems:
        path = folder / f"{name}.jsonl"
        if not path.exists():
            continue
        answers[name] = {}
        for place, row in read_generations(path):
            if row.id not in probes:
                raise ValueError(
                    f"{place} answers probe {row.id}, which data/probes.jsonl does not hold: the probes were made anew; "
                    f"delete {path.name} and run eval.generate --stage probe"
                )
            if row.id in answers[name]:
                raise ValueError(f"{place} answers probe {row.id} twice; delete one of the lines")
            answers[name][row.id] = row
    return answers


def read_probes(path: Path) -> dict[str, Probe]:
    return {probe.id: probe for probe in read_jsonl(path, Probe)} if path.exists() else {}


def probe_figures(
    probes: Mapping[str, Probe], answers: Answers, rows: Sequence[Scored], store: ScoreStore, draws: int, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """kind -> system -> metric -> figure, and what each metric is called. Nothing where no system answered."""
    own = {
        (row.generation.system, row.card.id): row.metrics
        for row in rows
        if row.generation.decoding == "greedy" and not row.generation.sample
    }
    measured: dict[tuple[str, str, str], dict[str, float]] = {}  # kind, system, metric -> probe -> value
    for probe in probes.values():
        for system, found in answers.items():
            if probe.id not in found:
                continue
            text = found[probe.id].text
            values = store.measured(["probe", text, probe.id], partial(measure_probe, text, probe))
            for name, value in against_own(values, own.get((system, probe.card_id))).items():
                cells = measured.setdefault((probe.kind, system, name), {})
                if value is not None:
                    cells[probe.id] = value
    reckoning = BootstrapSettings({probe.id: probe.family for probe in probes.values()}, draws, seed)
    figures: dict[str, Any] = {}
    for metric in PROBE_METRICS:
        bounds = (-1.0, 1.0) if metric.name in CHANGES else (0.0, 1.0)
        for kind in sorted({probe.kind for probe in probes.values()}):
            for system in answers:
                if (kind, system, metric.name) in measured:
                    cards = [probe.id for probe in probes.values() if probe.kind == kind]
                    figure = reckoning.mean(measured[kind, system, metric.name], cards, bounds)
                    figures.setdefault(kind, {}).setdefault(system, {})[metric.name] = figure
    used = {name for systems in figures.values() for found in systems.values() for name in found}
    known = [
        {key: asdict(metric)[key] for key in ("name", "label", "better")} for metric in PROBE_METRICS if metric.name in used
    ]
    return dict(sorted(figures.items())), known
