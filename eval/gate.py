"""Says whether a tuned model may be published: it beats the model it came from, and gives nothing up for it.

    python -m eval.gate --config recipes/demo/eval.yaml --gate.tuned aligned --gate.base base

Reads   <run_dir>/eval/metrics.json, score.manifest.json and generations/<tuned>.manifest.json
Writes  <run_dir>/eval/gate.json   the verdict, its reasons and figures, and the hash of the model that it is about

Exit code 0: passed. 1: not passed, with the reasons. 2: no verdict, something is missing or misspelt.
Every metric in `gate.metrics` must be won: the 95% interval of the paired difference lies on the better side of 0, and p is
at most 0.05, corrected (Holm) where it is a headline metric: what eval.score does not claim wins nothing here. Every other
headline metric and every guard must be held: the interval ends no further than the margin on the worse side. A wide interval
that reaches beyond it fails too: that a model gives nothing up has to be shown, not assumed. Few cards show little, so set
the margin to the loss that you would accept. Where held-out cards, generations or measures changed after eval.score, there is
no verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.checks.form import LENGTH_MAX
from data_prep.core.files import sha256_file, write_changed
from data_prep.core.manifest import content_hash
from data_prep.core.recipe import Block, Recipe, command, did_you_mean
from data_prep.core.text import plural
from eval.runs.scored import read_metrics, refuse_changed
from eval.runs.summaries import refuse_twice
from eval.stats.claims import LEVEL, amount, difference, is_shown, toward_better
from eval.stats.records import Comparison, MetricRecord, Metrics

EXIT_NOT_PASSED = 1
MARGIN = 0.01  # of a share: a point
MOST = {"share": 1.0, "words": float(LENGTH_MAX)}  # a margin of so much holds nothing
NEEDED = ("metrics", "systems", "missing", "comparisons", "decoding")


class GateConfig(Block):
    """Block `gate` of an eval recipe."""

    tuned: str
    """The system that would be published."""
    base: str
    """The system that it has to beat."""
    metrics: list[str] | None = None
    """Metrics to be won. Null: the headline metrics. An empty list: none, all are to be held, as of a quantised copy."""
    guards: list[str] = []
    """More metrics to be held, beside the headline metrics that need not be won."""
    margin: dict[str, float] = {}
    """Metric -> how much of it may be lost, in its own unit (0.02 is 2 points). A metric not named: 0.01."""


def main(recipe: Recipe[GateConfig]) -> None:
    config, folder = recipe.block, recipe.run_dir / "eval"
    metrics = read_metrics(recipe.run_dir, NEEDED)
    verdict = decide(config, metrics)
    figures = {"model_sha256": model_hash(folder, config.tuned), "metrics_json_sha256": sha256_file(folder / "metrics.json")}
    refuse_changed(recipe.run_dir)
    text = json.dumps(verdict | figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_changed(path := folder / "gate.json", text)
    for reason in verdict["reasons"]:
        print(f"gate: {reason}")
    won, held = (sum(row["must"] == must for row in verdict["metrics"].values()) for must in ("win", "hold"))
    if not verdict["passed"]:
        print(f"gate: not passed, {config.tuned} against {config.base}: {plural(len(verdict['reasons']), 'reason')}, {path}")
        raise SystemExit(EXIT_NOT_PASSED)
    beaten = f"beats {config.base} in {plural(won, 'metric')} and holds {held} more"
    only_held = f"holds {plural(held, 'metric')} of {config.base}"
    print(f"gate: passed, {config.tuned} {beaten if won else only_held}, {path}")


def decide(config: GateConfig, metrics: Metrics) -> dict[str, Any]:
    """The verdict as gate.json holds it, without the hashes. Raises ValueError where a figure that it needs is not there."""
    must_win, must_hold = declared(config, metrics)
    by_name = {metric["name"]: metric for metric in metrics["metrics"]}
    reasons, figures = list(incomplete(config, metrics)), {}
    for name in [*must_win, *must_hold]:
        row, metric = comparison(config, metrics, name), by_name[name]
        margin = None if name in must_win else config.margin.get(name, MARGIN)
        reason = not_won(row, metric, config.base) if margin is None else not_held(row, metric, margin, config.base)
        reasons += [f"{config.tuned} {reason}"] if reason else []
        kept = {key: row.get(key) for key in ("difference", "ci95", "p", "p_holm", "detectable", "n", "families")}
        figures[name] = {"must": "win" if margin is None else "hold", "margin": margin, "passed": not reason, **kept}
    found = {"decoding": metrics["decoding"], "metrics": figures}
    return {"passed": not reasons, "reasons": reasons, "tuned": config.tuned, "base": config.base, **found}


def declared(config: GateConfig, metrics: Metrics) -> tuple[list[str], list[str]]:
    """The metrics to win and those to hold. Raises ValueError for one that is not there or has no better direction."""
    for name in (config.tuned, config.base):
        if name not in metrics["systems"]:
            raise ValueError(f'gate names "{name}", which was not scored. {did_you_mean(name, list(metrics["systems"]))}')
    if config.tuned == config.base:
        raise ValueError(f"gate.tuned and gate.base are both {config.base}; name two systems")
    better = {metric["name"]: metric["better"] for metric in metrics["metrics"]}
    headline = [metric["name"] for metric in metrics["metrics"] if metric["headline"]]
    for key, names in (("metrics", config.metrics or []), ("guards", config.guards)):
        refuse_twice(names, f"gate.{key}")
    must_win = headline if config.metrics is None else config.metrics
    must_hold = [name for name in dict.fromkeys([*headline, *config.guards]) if name not in must_win]
    held_back = [name for name, measure in metrics.get("measures", {}).items() if not measure["printed"]]
    hint = f" Held back, as their own check failed: the measures of {', '.join(held_back)}." if held_back else ""
    for key, names in (("metrics", must_win), ("guards", must_hold), ("margin", list(config.margin))):
        for name in names:
            if name not in better:
                raise ValueError(f'gate.{key} names "{name}", which is no metric. {did_you_mean(name, list(better))}{hint}')
            if better[name] is None:
                raise ValueError(f'gate.{key} names "{name}", of which neither more nor less is better; leave it out')
    units = {metric["name"]: metric["unit"] for metric in metrics["metrics"]}
    for name, margin in config.margin.items():
        if name not in must_hold:
            raise ValueError(f'gate.margin names "{name}", which is not to be held but won; add it to gate.guards or drop it')
        if not 0 <= margin < MOST[units[name]]:
            raise ValueError(
                f"gate.margin.{name} is {margin}, and a margin is at least 0 and below {MOST[units[name]]:g} ({units[name]}), "
                "or it would hold nothing; give the loss that you would accept, as 0.02 for 2 points"
            )
    return must_win, must_hold


def incomplete(config: GateConfig, metrics: Metrics) -> Iterator[str]:
    for name in (config.tuned, config.base):
        if count := metrics["missing"].get(name, 0):
            yield f"{name} lacks {plural(count, 'summary', 'summaries')}, which may be the hard ones: run eval.generate and eval.score again"


def comparison(config: GateConfig, metrics: Metrics, name: str) -> Comparison:
    """The paired difference tuned minus base, turned around where it was scored the other way."""
    for row in metrics["comparisons"]:
        if row["metric"] != name:
            continue
        if (row["a"], row["b"]) == (config.base, config.tuned):
            return row
        if (row["a"], row["b"]) == (config.tuned, config.base):
            ends = row["ci95"] and [-row["ci95"][1], -row["ci95"][0]]
            return row | {"difference": None if row["difference"] is None else -row["difference"], "ci95": ends}
    raise ValueError(
        f"metrics.json compares {config.tuned} with {config.base} in no {name}; "
        f"add [{config.base}, {config.tuned}] to score.comparisons and run eval.score again"
    )


def not_won(row: Comparison, metric: MetricRecord, base: str) -> str | None:
    """Why the metric is not won, as the end of a sentence; None where it is."""
    ends = toward_better(row, metric)
    if ends is None:
        return unmeasured(row, metric, base)
    if ends[0] > 0 and is_shown(row | {"p_holm": deciding_p(row)}):
        return None
    opening = f'does not beat {base} in "{metric["label"]}": {difference(row, metric)}'
    if ends[1] < 0:
        return f"{opening}, it is worse"
    if ends[0] > 0:
        p = deciding_p(row)
        why = "there is no p" if p is None else f"p is {p:.3f}{' after correction' * ('p_holm' in row)}"
        return f"{opening}; {why}, and at most {LEVEL:g} is needed"
    power = f"; {row['n']} cards find {amount(row['detectable'], metric)} four times in five" if row.get("detectable") else ""
    return f"{opening} leaves 0 possible{power}"


def deciding_p(row: Comparison) -> float | None:
    """p as corrected for the number of headline metrics; of another metric, which stands alone, its own."""
    return row["p_holm"] if "p_holm" in row else row.get("p")


def not_held(row: Comparison, metric: MetricRecord, margin: float, base: str) -> str | None:
    """Why the metric is not held, as the end of a sentence; None where it is."""
    ends = toward_better(row, metric)
    if ends is None:
        return unmeasured(row, metric, base)
    if ends[0] >= -margin:
        return None
    limit = f'the margin of {amount(margin, metric)} in "{metric["label"]}": {difference(row, metric)}'
    if ends[1] < -margin:
        return f"falls behind {base} by more than {limit}"
    supported = amount(-ends[0], metric)
    return f"is not shown to stay within {limit} allows a loss of {supported}; score more held-out cards or accept it in gate.margin"


def unmeasured(row: Comparison, metric: MetricRecord, base: str) -> str:
    why = row.get("note") or "nothing was measured"
    return f'has no interval against {base} in "{metric["label"]}" ({why}); score more held-out cards'


def model_hash(folder: Path, tuned: str) -> str | None:
    """Content hash of the model whose summaries were scored, so that the verdict can be held against the folder that is
    published. None where a Hub id or a baseline wrote them. Raises ValueError where the scores are of other summaries."""
    summaries, record = folder / "generations" / f"{tuned}.jsonl", folder / "generations" / f"{tuned}.manifest.json"
    again = "run eval.generate and eval.score again"
    if not record.exists():
        raise ValueError(f'{record} is missing, so nothing says which model "{tuned}" is; {again}')
    generated = json.loads(record.read_text(encoding="utf-8"))
    if generated["outputs"].get(summaries.name) != content_hash(summaries):
        raise ValueError(f"{summaries} is not what {record.name} says eval.generate wrote; {again}")
    return next((digest for name, digest in generated["inputs"].items() if name != "heldout.jsonl"), None)


if __name__ == "__main__":
    command("gate", GateConfig, main, __doc__, "eval.gate")
