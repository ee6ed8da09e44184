"""Measures that other stages wrote (entailment checkers, judges): merged by name, without knowing what they measure.

eval/measures/<name>.json says which metrics there are and what each system's figures are; <name>.jsonl holds one line a summary,
by the key of its Generation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.core.files import read_dicts
from eval.scoring.metrics import METRICS, Metric

FIELDS = ("name", "label", "group", "unit", "better")
PASSED_ON = ("printed", "reason", "notes", "systems", "preferences")


@dataclass(frozen=True)
class Measure:
    """One stage's figures. `rows`: key of a summary -> its metrics and spans; empty where the measure is not to be printed."""

    name: str
    summary: dict[str, Any]
    metrics: list[Metric]
    rows: Mapping[str, tuple[dict[str, float | None], list[dict[str, Any]]]]
    lacking: int  # summaries it says nothing of

    @property
    def passed_on(self) -> dict[str, Any]:
        """What metrics.json holds of it."""
        found = {name: self.summary[name] for name in PASSED_ON if self.summary.get(name) is not None}
        notes = list(found.get("notes", []))
        if self.lacking:
            notes.append(
                f"{self.lacking} of the summaries scored have no figures by {self.name}; they count for nothing in its means."
            )
        return {"printed": True, "systems": {}, **found, "notes": notes}

    def of(self, key: str) -> tuple[dict[str, float | None], list[dict[str, Any]]]:
        """Metrics (None where the summary lacks them) and spans of one summary."""
        metrics, spans = self.rows.get(key, ({}, []))
        return {metric.name: metrics.get(metric.name) for metric in self.metrics}, spans


def read_measures(folder: Path, keys: Mapping[str, str]) -> list[Measure]:
    """Every measure in `folder`, by name. `keys`: the system of each summary that is scored. Raises ValueError where one is
    unreadable, of other summaries, or in the way of another."""
    taken = {metric.name: "eval.score" for metric in METRICS}
    measures = []
    for path in sorted(folder.glob("*.json")):
        measure = read_measure(path, keys)
        for metric in measure.metrics:
            if metric.name in taken:
                raise ValueError(f'{path} names a metric "{metric.name}", as {taken[metric.name]} does; rename it there')
            taken[metric.name] = path.name
        measures.append(measure)
    for path in sorted(folder.glob("*.jsonl")):
        if not path.with_suffix(".json").exists():
            raise ValueError(f"{path} has no {path.stem}.json beside it; run the stage that writes it to its end, or delete it")
    return measures


def read_measure(path: Path, keys: Mapping[str, str]) -> Measure:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        metrics = [Metric(**{name: row[name] for name in FIELDS}) for row in summary["metrics"]]
    except (ValueError, KeyError, TypeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is no summary of a measure ({what}); run the stage that writes it again") from None
    for metric in metrics:
        if metric.group != "independent" or metric.unit not in ("share", "words"):
            raise ValueError(
                f'{path} puts "{metric.name}" into group "{metric.group}", unit "{metric.unit}"; a measure is "independent" '
                'and a "share" or "words"'
            )
    if not metrics or summary.get("printed") is False:
        return Measure(path.stem, summary, [], {}, 0)
    rows = read_rows(path.with_suffix(".jsonl"), metrics)
    known = {key: row for key, row in rows.items() if key in keys}
    if not known:
        raise ValueError(
            f"{path.with_suffix('.jsonl')} holds {len(rows)} summaries and none of those scored here: it is of other summaries; "
            f"run eval.{path.stem} again, or delete both {path.stem} files"
        )
    measured = {keys[key] for key in known}
    if old := sorted({*keys.values()} & {*summary.get("systems", ())} - measured):
        raise ValueError(
            f"{path} has figures of {', '.join(old)} of other summaries than are scored here; run eval.{path.stem} again, or delete both "
            f"{path.stem} files"
        )
    return Measure(path.stem, summary, metrics, known, len(keys) - len(known))


def read_rows(path: Path, metrics: list[Metric]) -> dict[str, tuple[dict[str, float | None], list[dict[str, Any]]]]:
    if not path.exists():
        raise ValueError(f"{path} is missing beside {path.stem}.json; run the stage that writes both again")
    rows = {}
    for number, row in enumerate(read_dicts(path), 1):
        values = row.get("metrics")
        if not isinstance(row.get("key"), str) or not isinstance(values, dict):
            raise ValueError(f'{path}:{number} has no "key" and "metrics"; run the stage that writes it again')
        for metric in metrics:
            value = values.get(metric.name)
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise ValueError(f"{path}:{number} has {metric.name} {value!r}, expected a number or null")
        rows[row["key"]] = (values, row.get("spans") or [])
    return rows
