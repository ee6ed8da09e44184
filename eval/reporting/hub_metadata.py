"""One system's figures in the two forms in which a model repository on the Hub holds results. Nothing is pushed from here.

`model-index` goes into the front matter of the model card; `.eval_results/*.yaml` are files of the repository, which the
Hub shows and counts for leaderboards of data sets that are registered for it. Shares are in percent in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from data_prep.checks.meaning import sentence_of
from data_prep.core.files import replacing
from eval.stats.records import Metrics

DATASET_NAME = "held-out model cards"


def write_card_metadata(metrics: Metrics, system: str, model: str, dataset: str, index: Path, folder: Path) -> None:
    """Writes `index` (model-index.yaml, as front matter takes it) and `folder`/<system>.yaml, which replaces what an earlier
    choice of system left there."""
    write_yaml(index, {"model-index": eval_results_to_model_index(model, eval_results(metrics, system, dataset))})
    target = folder / f"{safe(system)}.yaml"
    write_yaml(target, eval_result_entries_to_yaml(eval_entries(metrics, system, dataset)))
    for other in folder.glob("*.yaml"):
        if other != target:
            other.unlink()


def safe(name: str) -> str:
    """A system's name in the characters of file names and task ids."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def write_yaml(path: Path, value: Any) -> None:
    with replacing(path) as handle:
        yaml.safe_dump(value, handle, sort_keys=False, allow_unicode=True, width=120)


def eval_results(metrics: Metrics, system: str, dataset: str) -> list[EvalResult]:
    """One per declared or independent metric that was measured, and one per preference for `system`."""
    return [
        EvalResult(
            task_type="summarization",
            task_name="Summaries of model cards",
            dataset_type=dataset,
            dataset_name=DATASET_NAME,
            dataset_split="heldout",
            metric_type=one["type"],
            metric_name=one["name"],
            metric_value=one["value"],
            metric_args=one["args"],
        )
        for one in figures(metrics, system)
    ]


def eval_entries(metrics: Metrics, system: str, dataset: str) -> list[EvalResultEntry]:
    return [
        EvalResultEntry(dataset_id=dataset, task_id=one["type"], value=one["value"], notes=note(one))
        for one in figures(metrics, system)
    ]


def figures(metrics: Metrics, system: str) -> list[dict[str, Any]]:
    """type, name, value and what the value rests on: interval, n, families, decoding and whether the metric chose data."""
    found = []
    for metric in metrics["metrics"]:
        cell = metrics["systems"][system].get(metric["name"])
        if cell is None or cell["mean"] is None or not (metric["headline"] or metric["group"] == "independent"):
            continue
        basis = {"decoding": metrics["decoding"], "selected_training_data": metric["group"] == "checks"}
        if sentence := sentence_of(metric["name"]):
            basis["meaning"] = sentence
        found.append(described(metric["name"], metric["label"], metric["unit"], cell["mean"], cell, basis))
    for measure in metrics["measures"].values():
        for row in measure.get("preferences", ()) if measure["printed"] else ():
            if row["b"] == system and row["win_rate"] is not None:
                name = f"preferred over {row['a']} by {row['judge']}"
                basis = {"against": row["a"], "judge": row["judge"], "positional_consistency": row["positional_consistency"]}
                found.append(described(f"win_rate_over_{safe(row['a'])}", name, "share", row["win_rate"], row, basis))
    return found


def described(kind: str, name: str, unit: str, value: float, cell: Mapping[str, Any], basis: dict[str, Any]) -> dict[str, Any]:
    scale = 100 if unit == "share" else 1
    interval = [round(end * scale, 2) for end in cell["ci95"]] if cell["ci95"] else None
    args = {"unit": "percent" if unit == "share" else unit, "ci95": interval, "n": cell["n"], "families": cell["families"]}
    return {"type": kind, "name": name, "value": round(value * scale, 2), "args": args | basis}


def note(one: dict[str, Any]) -> str:
    args = one["args"]
    interval = f"95% interval {args['ci95'][0]} to {args['ci95'][1]}" if args["ci95"] else "no interval"
    rest = [f"{args['decoding']} decoding"] if "decoding" in args else []
    rest += ["the check also selected training data"] if args.get("selected_training_data") else []
    said = ", ".join([f"{one['name']}: {interval}", f"n {args['n']} cards of {args['families']} families", args["unit"], *rest])
    return f"{said}. {args['meaning']}" if "meaning" in args else said
