"""Figures as people read them, and the results as Markdown to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

MEAN_FIELDS = ("mean", "ci95", "n", "families", "note")  # of a figure with its interval


def figure(value: float | None, unit: str) -> str:
    """A share in percent with one digit; others whole from 10 on, where a tenth says nothing."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{value * 100:.1f}"
    return f"{value:.1f}" if abs(value) < 10 else f"{value:.0f}"


def signed(value: float | None, unit: str) -> str:
    text = figure(value, unit)
    if value is None or float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", "−") if value < 0 else f"+{text}"


def probability(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


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


def excludes_zero(ci95: Sequence[float] | None) -> bool:
    return bool(ci95 and (ci95[0] > 0 or ci95[1] < 0))


def markdown_results(metrics: dict[str, Any]) -> str:
    """results.md: declared metrics by system and their paired differences, independent metrics, then preferences."""
    headline = [metric for metric in metrics["metrics"] if metric["headline"]]
    independent = [metric for metric in metrics["metrics"] if metric["group"] == "independent" and not metric["headline"]]
    lines = [
        f"{metrics['cards']} held-out cards of {metrics['families']} families, {metrics['decoding']} decoding. Shares in percent, "
        "mean [95% interval] (n cards); intervals resample families.",
        "",
        *systems_table(metrics, headline),
        "",
        *differences_table(metrics, headline),
    ]
    if independent:
        lines += ["", "Independent metrics, which selected no training data:", "", *systems_table(metrics, independent)]
    preferences = [
        row for measure in metrics["measures"].values() if measure["printed"] for row in measure.get("preferences", ())
    ]
    if preferences:
        lines += ["", "Preferences, each pair in both orders, a tie half a win:", "", *preferences_table(preferences)]
    unprinted = {name: measure for name, measure in metrics["measures"].items() if not measure["printed"]}
    for name, measure in unprinted.items():
        lines += ["", f"Not printed: {plain(name)}, {plain(measure.get('reason') or 'no reason given')}"]
    return "\n".join(lines) + "\n"


def systems_table(metrics: dict[str, Any], columns: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield table_row(["system", *(metric["label"] for metric in columns)])
    yield table_row(["---", *("---:" for _ in columns)])
    for name, measured in metrics["systems"].items():
        yield table_row([name, *(markdown_cell(measured.get(metric["name"]), metric["unit"]) for metric in columns)])


def differences_table(metrics: dict[str, Any], headline: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield table_row(["difference", "metric", "points", "p (Holm)", "n"])
    yield table_row(["---", "---", "---:", "---:", "---:"])
    declared = {metric["name"]: metric for metric in headline}
    for row in metrics["comparisons"]:
        if metric := declared.get(row["metric"]):
            points = signed(row["difference"], metric["unit"]) + bracketed(row["ci95"], metric["unit"], signed)
            p = probability(row.get("p_holm", row["p"]))
            yield table_row([f"{row['b']} − {row['a']}", metric["label"], points, p, str(row["n"])])


def preferences_table(preferences: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield table_row(["preferred", "over", "judge", "win rate", "p", "n", "consistent in both orders"])
    yield table_row(["---", "---", "---", "---:", "---:", "---:", "---:"])
    for row in preferences:
        rate = figure(row["win_rate"], "share") + bracketed(row["ci95"], "share", figure)
        consistent = figure(row["positional_consistency"], "share")
        yield table_row([row["b"], row["a"], row["judge"], rate, probability(row["p"]), str(row["n"]), consistent])


def markdown_cell(measured: dict[str, Any] | None, unit: str) -> str:
    if measured is None or measured["mean"] is None:
        return "not measured"
    return f"{figure(measured['mean'], unit)}{bracketed(measured['ci95'], unit, figure)} (n={measured['n']})"


def bracketed(ci95: Sequence[float] | None, unit: str, spell: Callable[[float | None, str], str]) -> str:
    return f" [{spell(ci95[0], unit)}, {spell(ci95[1], unit)}]" if ci95 else ""


def table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(plain(cell).replace("|", "\\|") for cell in cells) + " |"


def plain(text: str) -> str:
    """One line without markup: a system may be called anything, and the table is pasted into pages that render HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
