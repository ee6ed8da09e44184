"""Results of a run as a card shows them: every figure with its interval and the number of cards, and what is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.checks.meaning import NO_FLAG
from data_prep.core.files import sha256_file
from data_prep.core.manifest import content_hash
from data_prep.core.text import bracketed, markdown_table, signed
from training.release.figures import Figure, Metric, Metrics
from training.release.provenance import read_json

WEAK = 0.1
PROBES = {
    "counterfactual": "cards with figures changed",
    "injected": "cards with an instruction planted",
    "missing": "cards with a fact taken out",
    "long": "overlong cards",
}
BASELINES = {
    "lead": "the first words of the card, no model",
    "front_matter": "a template over the card's metadata, no model",
    "extractive": "sentences picked from card and notes, no model",
    "reference": "the reference summaries themselves",
}
LEVEL = 0.05  # of p, corrected for the number of headline metrics: what eval.stats.claims asks of a claim


def results(run_dir: Path, metrics: Metrics, system: str, verdict: dict[str, Any]) -> str:
    """The section's Markdown. Raises ValueError where the report's tables are of other figures than metrics.json."""
    headline = [metric for metric in metrics["metrics"] if metric["headline"]]
    parts = [
        f"The published model is `{system}`. " + describe_metrics(metrics),
        *filter(None, [describe_systems(run_dir / "eval", metrics, system)]),
        *([gate_words(verdict, metrics)] if verdict.get("passed") else []),
        reported(run_dir / "eval" / "results.md").strip(),
        "### What these figures show",
        bullets(metrics.get("claims", ())) or "No difference between two systems is shown.",
    ]
    if missing := list(not_shown(metrics, headline, system)):
        parts += ["### What they do not show", bullets(missing)]
    parts += [*slices(metrics, headline, system), *probes(metrics, system)]
    if page := reported(run_dir / "eval" / "example.md").strip():
        parts += ["### An example", page]
    return "\n\n".join(parts)


def describe_metrics(metrics: Metrics) -> str:
    checks = [metric["label"] for metric in metrics["metrics"] if metric["group"] == "checks" and metric["headline"]]
    others = [metric["label"] for metric in metrics["metrics"] if metric["group"] == "independent"]
    said = ""
    if checks:
        said = (
            "These checks also selected training data, so a model tuned on what they accept does well in them by construction: "
            f"{'; '.join(checks)}. "
        )
    return said + (f"Independent of the training data: {'; '.join(others)}." if others else "No independent measure was taken.")


def describe_systems(folder: Path, metrics: Metrics, system: str) -> str:
    """What the other rows of the tables are, as far as their manifests say."""
    said = []
    for name in metrics["systems"]:
        model = (
            (read_json(folder / "generations" / f"{name}.manifest.json") or {}).get("recipe", {}).get("system", {}).get("model")
        )
        if name != system and isinstance(model, str) and model.startswith("baseline:"):
            kind = model.removeprefix("baseline:")
            said.append(f"`{name}` is {BASELINES.get(kind, kind)}")
    return f"Of the other rows, {'; '.join(said)}." if said else ""


def reported(path: Path) -> str:
    """A text that eval.report wrote. Raises ValueError where it is not as it was written, or of other figures."""
    record = read_json(path.parent / "report.manifest.json") or {}
    fresh = record.get("inputs", {}).get("metrics.json") == sha256_file(path.parent / "metrics.json")
    if not fresh or record.get("outputs", {}).get(path.name) != content_hash(path):
        raise ValueError(f"{path} is not the report of {path.parent / 'metrics.json'}; run eval.report again")
    return path.read_text(encoding="utf-8")


def model_index(folder: Path, system: str, title: str) -> list[dict[str, Any]]:
    """The front matter's `model-index` as eval.report wrote it. Raises ValueError where it is of another system."""
    import yaml

    path = folder / "model-index.yaml"
    if not path.exists() or not (folder / "eval_results" / f"{safe(system)}.yaml").exists():
        raise ValueError(f'{path} is not about "{system}"; run eval.report with --report.system {system}')
    return [entry | {"name": title} for entry in yaml.safe_load(reported(path))["model-index"]]


def safe(system: str) -> str:
    """As eval.report names the system's file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", system)


def not_shown(metrics: Metrics, headline: Sequence[Metric], system: str) -> Iterator[str]:
    """The headline differences of the published system that allow no claim."""
    by_name = {metric["name"]: metric for metric in headline}
    for row in metrics["comparisons"]:
        metric = by_name.get(row["metric"])
        if metric is None or system not in (row["a"], row["b"]):
            continue
        ends, p = row["ci95"], row.get("p_holm")
        if ends and (ends[0] > 0 or ends[1] < 0) and p is not None and p <= LEVEL:
            continue
        interval = bracketed(ends, metric["unit"], spelled) or ", no interval"
        difference = spelled(row["difference"], metric["unit"])
        yield (
            f'A difference between {row["b"]} and {row["a"]} in "{metric["label"]}": {difference}{interval} '
            f"{'points' if metric['unit'] == 'share' else metric['unit']}, n={row['n']}."
        )


def slices(metrics: Metrics, headline: Sequence[Metric], system: str) -> Iterator[str]:
    """The published system by kind of card."""
    rows = []
    for name, values in metrics.get("slices", {}).items():
        for value, systems in values.items():
            if measured := systems.get(system):
                cells = (cell(measured.get(metric["name"]), metric["unit"]) for metric in headline)
                rows.append([name.replace("_", " "), value, *cells])
    if rows:
        yield "### By kind of card"
        yield "Small groups: their intervals are wide, and so many comparisons find differences by chance."
        yield markdown_table(["slice", "value", *(metric["label"] for metric in headline)], rows)


def probes(metrics: Metrics, system: str) -> Iterator[str]:
    """The published system on cards that were changed on purpose."""
    kinds, labels = metrics.get("probes") or {}, metrics.get("probe_metrics") or []
    rows = []
    for kind, systems in kinds.items():
        for metric in labels:
            if measured := systems.get(system, {}).get(metric["name"]):
                told = cell(measured, metric.get("unit", "share"))
                rows.append([PROBES.get(kind, kind), metric["label"], metric.get("better") or "neither", told])
    if rows:
        yield "### On cards changed on purpose"
        yield (
            "Changed figures show whether it follows the card or its memory, taken-out facts whether it invents them, planted "
            "instructions whether it obeys them."
        )
        yield markdown_table(["held-out cards", "measure", "better", "mean [95% interval] (n)"], rows)


def weak_spots(metrics: Metrics, system: str) -> Iterator[str]:
    """What the probes found: faults in a tenth of the cards or more, and losses against the unchanged card."""
    labels = {metric["name"]: metric for metric in metrics.get("probe_metrics") or ()}
    for kind, systems in (metrics.get("probes") or {}).items():
        for name, measured in systems.get(system, {}).items():
            metric, mean, ends = labels[name], measured["mean"], measured.get("ci95")
            faulty = metric["better"] == "lower" and mean is not None and mean >= WEAK
            lost = metric["better"] == "higher" and ends and ends[1] < 0
            if faulty or lost:
                told = cell(measured, metric.get("unit", "share"))
                yield f'Measured on {PROBES.get(kind, kind)}: "{metric["label"]}" {told}, in percent.'


def headline_figures(metrics: Metrics, system: str) -> str:
    """One sentence: every headline metric of the published system."""
    measured = metrics["systems"][system]
    said = [
        f"{metric['label']} {cell(measured.get(metric['name']), metric['unit'])}"
        for metric in metrics["metrics"]
        if metric["headline"]
    ]
    return (
        f"Measured on held-out cards, {metrics['decoding']} decoding, percent with 95% interval: {'; '.join(said)}. {NO_FLAG}"
    )


def gate_words(verdict: dict[str, Any], metrics: Metrics) -> str:
    """What the gate asked for, where it passed."""
    labels = {metric["name"]: metric["label"] for metric in metrics["metrics"]}
    won = [labels[name] for name, row in verdict["metrics"].items() if row["must"] == "win"]
    held = [f"{labels[name]} (within {row['margin']:g})" for name, row in verdict["metrics"].items() if row["must"] == "hold"]
    said = f"The release gate passed: better than `{verdict['base']}` in {'; '.join(won)}"
    return said + (f"; not worse in {'; '.join(held)}." if held else ".")


def cell(measured: Figure | None, unit: str) -> str:
    if not measured or measured["mean"] is None:
        return "not measured"
    return f"{spelled(measured['mean'], unit)}{bracketed(measured.get('ci95'), unit, spelled)} (n={measured['n']})"


def spelled(value: float | None, unit: str, form: str = "") -> str:
    """A share in percent, anything else in three digits."""
    return signed(value, unit, form or ".3g", plus="")


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
