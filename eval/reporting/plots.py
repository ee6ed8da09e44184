"""The report's plots, as inline SVG: intervals, differences, lengths, copying, slices, curves of training. No library, no script.

Colours are the style sheet's, so that a plot is right in light and dark. Every plot has a name for those who do not see
it; its figures also stand in a table or on the mark itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from data_prep.core.text import bracketed, figure
from eval.reporting.training_log import Curve
from eval.stats.claims import excludes_zero, pairs
from eval.stats.records import Comparison, MetricRecord, Metrics, Systems

BIN = 50  # words per bar
SHORTEST_AXIS, LONGEST_AXIS = 700, 1500  # words; what is longer stands in the last bar
AXES = (0.1, 0.25, 0.5, 1.0)  # half widths of the difference plot
COLOURS = 8  # --c0 to --c7 of the style sheet; the ninth system begins again
SCATTER = (200, 130)
LANE = 9  # height of one system's line in a slice plot
DOTTED = 40  # points of a curve up to which each is marked


def place(value: float, low: float, high: float) -> str:
    """Where a value stands on an axis, in percent; what is beyond stands at the end."""
    return f"{100 * (min(max(value, low), high) - low) / (high - low):.2f}%"


def range_mark(
    mean: float, ci95: Sequence[float] | None, low: float, high: float, band: float | None = None, middle: float | None = None
) -> Markup:
    """A mean with its interval on an axis. `band`: half width of the grey band around `middle`, the smallest difference
    that would have been found."""
    parts = [Markup('<svg class="range" aria-hidden="true" height="11" width="100%">')]
    if band is not None and middle is not None:
        left, right = max(middle - band, low), min(middle + band, high)
        width = 100 * (right - left) / (high - low)
        parts.append(
            Markup('<rect class="blind" x="{}" width="{:.2f}%" y="0" height="11"/>').format(place(left, low, high), width)
        )
    parts.append(Markup('<line class="axis" x1="0" x2="100%" y1="5.5" y2="5.5"/>'))
    if middle is not None:
        at = place(middle, low, high)
        parts.append(Markup('<line class="zero" x1="{}" x2="{}" y1="0" y2="11"/>').format(at, at))
    if ci95:
        ends = (place(ci95[0], low, high), place(ci95[1], low, high))
        parts.append(Markup('<line class="interval" x1="{}" x2="{}" y1="5.5" y2="5.5"/>').format(*ends))
    parts.append(Markup('<circle cx="{}" cy="5.5" r="3"/></svg>').format(place(mean, low, high)))
    return Markup("").join(parts)


def differences(metrics: Metrics) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """The forest plot: group -> pair of systems -> `axis` (its half width, the same for a pair in both groups) and `lines`.
    Of the checks the declared ones only; shares only, since they share an axis."""
    plotted = {
        metric["name"]: metric
        for metric in metrics["metrics"]
        if metric["unit"] == "share" and (metric["headline"] or metric["group"] == "independent")
    }
    groups: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for rows in pairs(metrics["comparisons"], plotted):
        reach = max(
            (abs(end) for row in rows for end in (row["difference"], *(row["ci95"] or ())) if end is not None), default=0
        )
        axis = next((axis for axis in AXES if reach <= axis), AXES[-1])
        for row in rows:
            metric = plotted[row["metric"]]
            panel = groups.setdefault(metric["group"], {}).setdefault((row["a"], row["b"]), {"axis": axis, "lines": []})
            panel["lines"].append(difference_line(row, metric["label"], axis))
    return {name: groups[name] for name in sorted(groups)}  # checks before independent, as everywhere


def difference_line(row: Comparison, label: str, axis: float) -> dict[str, Any]:
    mark = None
    if row["difference"] is not None:
        mark = range_mark(row["difference"], row["ci95"], -axis, axis, row.get("detectable"), 0.0)
    return {**row, "label": label, "decided": excludes_zero(row), "mark": mark}


def lengths(systems: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share of each system's summaries per BIN words. The last bar holds what is longer than the axis."""
    words = {system: [row["words"] for row in rows if row["system"] == system] for system in systems}
    longest = max((count for counts in words.values() for count in counts), default=0)
    top = int(min(max(longest, SHORTEST_AXIS), LONGEST_AXIS))
    bars = -(-top // BIN)
    shares = {}
    for system, counts in words.items():
        places = [min(int(count) // BIN, bars - 1) for count in counts]
        shares[system] = [places.count(bar) / max(1, len(counts)) for bar in range(bars)]
    tallest = max((share for heights in shares.values() for share in heights), default=0) or 1.0
    return {"bin": BIN, "bars": bars, "clipped": longest > bars * BIN, "tallest": tallest, "shares": shares}


def histogram(name: str, shares: Sequence[float], tallest: float, band: tuple[int, int]) -> Markup:
    """One system's lengths over the accepted band (words)."""
    svg = Markup('<svg viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" aria-label="Lengths of {}">').format(
        len(shares), name
    )
    svg += Markup('<rect class="band" x="{}" width="{}" y="0" height="100"/>').format(band[0] / BIN, (band[1] - band[0]) / BIN)
    bar = Markup(
        '<rect class="bar" x="{:.2f}" width="0.88" y="{:.1f}" height="{:.1f}"><title>{} to {} words: {:.1f}%</title></rect>'
    )
    for number, share in enumerate(shares):
        if share:
            height = 94 * share / tallest
            ends = (number * BIN, (number + 1) * BIN - 1)
            svg += bar.format(number + 0.06, 100 - height, height, *ends, share * 100)
    return svg + Markup("</svg>")


def copying(metrics: Metrics, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Coverage against density by system (Grusky et al. 2018, extractive fragments); None where they are not measured."""
    names = [metric["name"] for metric in metrics["metrics"]]
    density = next((name for name in names if name.endswith("density")), None)
    if density is None or (coverage := density.removesuffix("density") + "coverage") not in names:
        return None
    points = {
        system: [
            (row[coverage], row[density])
            for row in rows
            if row["system"] == system and row[coverage] is not None and row[density] is not None
        ]
        for system in metrics["systems"]
    }
    positive = [y for found in points.values() for _, y in found if y > 0]
    if not positive:
        return None
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    decades = (max(low, -1), max(high, low + 1, 0))
    return {
        "low": 10.0 ** decades[0],
        "high": 10.0 ** decades[1],
        "plots": {s: scatter(s, p, decades) for s, p in points.items()},
    }


def scatter(name: str, points: Sequence[tuple[float, float]], decades: tuple[int, int]) -> Markup:
    """Share of copied words on x (0 to 1), mean length of copied runs on y (log). One path for all dots: thousands of
    elements would slow the page."""
    width, height = SCATTER
    low, high = decades
    svg = Markup('<svg class="scatter" viewBox="0 0 {} {}" role="img" aria-label="Coverage and density of {}">').format(
        width, height, name
    )
    for decade in range(low, high + 1):
        y = height * (1 - (decade - low) / (high - low))
        svg += Markup('<line class="axis" x1="0" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(width, y, y)
        svg += Markup('<text x="2" y="{:.1f}">{:g}</text>').format(y + (9 if decade == high else -2), 10.0**decade)
    dots = []
    for x, y in points:
        level = (math.log10(max(y, 10.0**low)) - low) / (high - low)
        dots.append(f"M{width * min(max(x, 0), 1):.1f} {height * (1 - level):.1f}h0")
    return svg + Markup('<path class="dots" d="{}"/></svg>').format("".join(dots))


def slice_panels(metrics: Metrics) -> dict[str, list[dict[str, Any]]]:
    """Slice -> one panel per declared metric, each with a line per value and system."""
    declared = [metric for metric in metrics["metrics"] if metric["headline"]]
    panels: dict[str, list[dict[str, Any]]] = {}
    for name, values in metrics["slices"].items():
        for metric in declared:
            lanes = [
                {
                    "value": value,
                    "n": max(counts(systems, metric["name"]), default=0),
                    "mark": lanes_mark(systems, metric, metrics),
                }
                for value, systems in values.items()
            ]
            panels.setdefault(name, []).append({"metric": metric, "lanes": lanes})
    return panels


def counts(systems: Systems, metric: str) -> Iterable[int]:
    return (measured[metric]["n"] for measured in systems.values() if metric in measured)


def lanes_mark(systems: Systems, metric: MetricRecord, metrics: Metrics) -> Markup:
    """One lane per system, in the order of the tables, so that colour is not the only thing that tells them apart."""
    order, name, unit = list(metrics["systems"]), metric["name"], metric["unit"]
    high = 1.0 if unit == "share" else top_of(metrics, name)
    height = LANE * len(order) + 2
    marks, spoken = Markup(""), []
    for lane, system in enumerate(order):
        cell = systems.get(system, {}).get(name)
        y = 1 + LANE * (lane + 0.5)
        marks += Markup('<line class="axis" x1="0" x2="100%" y1="{}" y2="{}"/>').format(y, y)
        if cell is None or cell["mean"] is None:
            continue
        words = f"{system}: {figure(cell['mean'], unit)}{bracketed(cell['ci95'], unit, figure)}, n {cell['n']}"
        spoken.append(words)
        marks += Markup('<g class="c{}"><title>{}</title>').format(lane % COLOURS, words)
        if cell["ci95"]:
            ends = (place(cell["ci95"][0], 0, high), place(cell["ci95"][1], 0, high))
            marks += Markup('<line class="interval" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(*ends, y, y)
        marks += Markup('<circle cx="{}" cy="{}" r="3.2"/></g>').format(place(cell["mean"], 0, high), y)
    name_of = f"{metric['label']}: {'; '.join(spoken)}"
    svg = Markup('<svg class="lanes" role="img" aria-label="{}" width="100%" height="{}">{}</svg>')
    return svg.format(name_of, height, marks)


def top_of(metrics: Metrics, name: str) -> float:
    found = [
        end
        for values in metrics["slices"].values()
        for systems in values.values()
        for measured in systems.values()
        if name in measured
        for end in (measured[name]["mean"], *(measured[name]["ci95"] or ()))
        if end is not None
    ]
    return max(found, default=1.0) or 1.0


def short(value: float) -> str:
    """A figure of a training log, which may be 3e−06 or 120,000."""
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "−")


def curve_plot(curve: Curve, steps: int) -> dict[str, Any]:
    """A curve over all `steps` that are to be trained, on an axis from its lowest value to its highest."""
    values = [value for points in curve.series.values() for _, value in points]
    low, high = min(values), max(values)
    last = max(steps, *(points[-1][0] for points in curve.series.values()))
    lines, spoken = Markup(""), []
    for number, (name, points) in enumerate(curve.series.items()):
        ends = [f"{short(value)} at step {step}" for step, value in (points[0], points[-1])]
        spoken.append(f"{name} from {' to '.join(ends)}")
        places = [
            f"{100 * step / max(last, 1):.2f} {96 - 92 * ((value - low) / (high - low) if high > low else 0.5):.2f}"
            for step, value in points
        ]
        lines += Markup('<path class="c{}" d="M{}"/>').format(number, "L".join(places))
        if len(points) <= DOTTED:
            lines += Markup('<path class="c{} dots" d="{}"/>').format(number, "".join(f"M{place}h0" for place in places))
    svg = Markup('<svg class="curve" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}: {}">{}</svg>')
    return {"svg": svg.format(curve.label, "; ".join(spoken), lines), "low": low, "high": high, "steps": last}
