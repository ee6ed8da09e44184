"""Results in Weights & Biases: every summary as a row, the figures with their intervals, the page and metrics.json as files.

The run stands in the group of its run folder, beside the training stages. With WANDB_MODE=offline it lies in <run_dir>/wandb.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.checks.meaning import meanings
from data_prep.core.files import stable_id
from data_prep.core.recipe import Recipe
from eval.stats.records import Metrics

OFFLINE = ("offline", "dryrun", "disabled")


def check_wandb() -> None:
    """Before any work: raises ValueError where wandb is not installed, or would ask for a login."""
    try:
        import wandb
    except ImportError:
        raise ValueError("report.report_to is wandb, which is not installed; pip install wandb, or report_to: none") from None
    if wandb.setup().settings.mode not in OFFLINE and not wandb.login(prompt=False, verify=False):
        raise ValueError(
            "report.report_to is wandb and there is no login; set WANDB_API_KEY, run wandb login, or set WANDB_MODE=offline "
            "and sync later"
        )


def log_report(
    recipe: Recipe[Any], project: str, rows: Sequence[dict[str, Any]], metrics: Metrics, files: Sequence[Path]
) -> None:
    """One finished wandb run of job type `report`; a second one of the same run folder continues the same."""
    import wandb

    folder = recipe.run_dir.resolve()
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", project),
        group=folder.name,
        job_type="report",
        name=f"{folder.name}-report",
        id=stable_id(str(folder), "report"),
        resume="allow",
        notes="\n\n".join(meanings(metrics["metrics"])),
        dir=os.environ.get("WANDB_DIR", str(folder)),
        config={"recipe": recipe.resolved(), "cards": metrics["cards"], "families": metrics["families"]},
        save_code=False,
    )
    columns = table_columns(metrics)
    run.log({"summaries": wandb.Table(columns=[*columns], data=[table_row(row, columns) for row in rows])})
    run.summary.update(dict(summary_values(metrics)))
    artifact = wandb.Artifact(re.sub(r"[^\w.-]+", "-", f"{folder.name}-report", flags=re.ASCII), "report")
    for path in files:
        artifact.add_file(str(path), name=path.name)
    run.log_artifact(artifact)
    run.finish()


def table_columns(metrics: Metrics) -> list[str]:
    headline = [metric["name"] for metric in metrics["metrics"] if metric["headline"]]
    return ["id", "family", "system", "decoding", "sample", *headline, "failed", "text"]


def table_row(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    failed = ", ".join(check["name"] for check in json.loads(row["checks"]) if not check["passed"])
    return [{**row, "failed": failed}.get(column) for column in columns]


def summary_values(metrics: Metrics) -> Iterator[tuple[str, float | int]]:
    """`system/metric/mean`, `/low`, `/high`, `/n`, and `b-a/metric/...` of the differences."""
    for system, measured in metrics["systems"].items():
        for name, cell in measured.items():
            yield from values(f"{system}/{name}", cell["mean"], cell)
    for row in metrics["comparisons"]:
        yield from values(f"{row['b']}-{row['a']}/{row['metric']}", row["difference"], row)


def values(key: str, mean: float | None, cell: Mapping[str, Any]) -> Iterator[tuple[str, float | int]]:
    if mean is None:
        return
    yield f"{key}/mean", mean
    if cell["ci95"]:
        yield f"{key}/low", cell["ci95"][0]
        yield f"{key}/high", cell["ci95"][1]
    yield f"{key}/n", cell["n"]
