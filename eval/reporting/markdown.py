"""The results as Markdown to paste, and what other stages measured as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_prep.checks.meaning import meanings
from data_prep.core.text import bracketed, figure, markdown_table, probability, signed
from eval.stats.records import Figure, MetricRecord, Metrics, Scores

MEAN_FIELDS = ("mean", "ci95", "n", "families", "note")  # of a figure with its interval


def measure_rows(figures: Any, label: str = "") -> Iterator[tuple[str, str, str, str]]:
    """What a measure says of a system, whatever it is, as rows (what, value, interval, n). A share is told by its interval
    within 0 to 1."""
    if not isinstance(figures, dict):
        yield label, f"{figures:g}" if isinstance(figures, float) else str(figures), "", ""
        return
    if "mean" in figures:
        ci95, mean = figures.get("ci95"), figures["mean"]
        unit = "share" if all(value is None or 0 <= value <= 1 for value in (mean, *(ci95 or ()))) else ""
        spelled = f"{figure(ci95[0], unit)} to {figure(ci95[1], unit)}" if ci95 else "–"
        yield label, figure(mean, unit) + ("%" if unit and mean is not None else ""), spelled, str(figures.get("n", ""))
    for name, value in figures.items():
        if name not in MEAN_FIELDS and value is not None:
            yield from measure_rows(value, f"{label}, {name.replace('_', ' ')}" if label else name.replace("_", " "))


def markdown_results(metrics: Metrics) -> str:
    """results.md: declared metrics by system and their paired differences, independent metrics, then preferences."""
    headline = [metric for metric in metrics["metrics"] if metric["headline"]]
    independent = [metric for metric in metrics["metrics"] if metric["group"] == "independent" and not metric["headline"]]
    lines = [
        f"{metrics['cards']} held-out cards of {metrics['families']} families, {metrics['decoding']} decoding. Shares in percent, "
        "mean [95% interval] (n cards); intervals resample families.",
        "",
        systems_table(metrics, headline),
        *meaning_lines(metrics["metrics"]),
        "",
        differences_table(metrics, headline),
    ]
    if independent:
        lines += ["", "Independent metrics, which selected no training data:", "", systems_table(metrics, independent)]
    preferences = [
        row for measure in metrics["measures"].values() if measure["printed"] for row in measure.get("preferences", ())
    ]
    if preferences:
        lines += ["", "Preferences, each pair in both orders, a tie half a win:", "", preferences_table(preferences)]
    unprinted = {name: measure for name, measure in metrics["measures"].items() if not measure["printed"]}
    for name, measure in unprinted.items():
        lines += ["", f"Not printed: {plain(name)}, {plain(measure.get('reason') or 'no reason given')}"]
    return "\n".join(lines) + "\n"


def meaning_lines(metrics: Sequence[MetricRecord]) -> list[str]:
    """What the headline metrics mean, as a list below their table; nothing where none rests on a check."""
    lines = [f"- {plain(line)}" for line in meanings(metrics)]
    return ["", *lines] if lines else []


def systems_table(metrics: Metrics, columns: Sequence[MetricRecord]) -> str:
    rows = (
        [name, *(markdown_cell(measured.get(metric["name"]), metric["unit"]) for metric in columns)]
        for name, measured in metrics["systems"].items()
    )
    return plain_table(["system", *(metric["label"] for metric in columns)], rows, 1)


def differences_table(metrics: Scores, headline: Sequence[MetricRecord]) -> str:
    declared = {metric["name"]: metric for metric in headline}
    rows = []
    for row in metrics["comparisons"]:
        if metric := declared.get(row["metric"]):
            points = signed(row["difference"], metric["unit"]) + bracketed(row["ci95"], metric["unit"], signed)
            p = probability(row.get("p_holm", row["p"]))
            rows.append([f"{row['b']} − {row['a']}", metric["label"], points, p, str(row["n"])])
    return plain_table(["difference", "metric", "points", "p (Holm)", "n"], rows, 2)


def preferences_table(preferences: Sequence[dict[str, Any]]) -> str:
    rows = []
    for row in preferences:
        rate = figure(row["win_rate"], "share") + bracketed(row["ci95"], "share", figure)
        consistent = figure(row["positional_consistency"], "share")
        rows.append([row["b"], row["a"], row["judge"], rate, probability(row["p"]), str(row["n"]), consistent])
    return plain_table(["preferred", "over", "judge", "win rate", "p", "n", "consistent in both orders"], rows, 3)


def markdown_cell(measured: Figure | None, unit: str) -> str:
    if measured is None or measured["mean"] is None:
        return "not measured"
    return f"{figure(measured['mean'], unit)}{bracketed(measured['ci95'], unit, figure)} (n={measured['n']})"


def plain_table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    names, *lines = [[plain(cell) for cell in row] for row in [head, *rows]]
    return markdown_table(names, lines, texts)


def plain(text: str) -> str:
    """One line without markup: a system may be called anything, and the table is pasted into pages that render HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
