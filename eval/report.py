"""Makes one self-contained page of the scores: tables, differences, lengths, and every card beside its summaries.

    python -m eval.report --config recipes/demo/eval.yaml

Reads   <run_dir>/data/heldout.jsonl, <run_dir>/eval/scores.parquet, <run_dir>/eval/metrics.json
Writes  <run_dir>/eval/report.html   opens from disk, loads nothing from anywhere
        <run_dir>/eval/results.md    the headline figures as a table to paste

What the cards are filtered by stands in the page's address, so a view can be sent to a colleague:
report.html#show=base&show=sft&fails=numbers&differ=1&q=tokenizer&open=CARD_ID
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from data_prep.checks.form import LENGTH_MAX, LENGTH_MIN
from data_prep.manifest import Manifest
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import HeldOut, read_jsonl, replacing

HERE = Path(__file__).parent
PAGE_FILES = tuple(HERE / name for name in ("report.html.j2", "report.css", "report.js"))
GROUPS = {
    "checks": ("Checks (also used to select training data)", "A system tuned on what they accept is expected to do well here."),
    "independent": ("Independent", "Measures that selected nothing."),
}
BIN = 50  # words per bar
SHORTEST_AXIS, LONGEST_AXIS = 700, 1500  # words; what is longer stands in the last bar
AXES = (0.1, 0.25, 0.5, 1.0)  # half widths of the difference plot

Piece = str | tuple[str, list[int]]


class ReportConfig(Block):
    """Block `report` of an eval recipe."""

    title: str = "Summaries of model cards"
    """Heading of the page."""
    cards: int = Field(default=200, ge=0)
    """How many cards to show with their texts, in the order of heldout.jsonl; tables and plots always cover all."""


def main(recipe: Recipe[ReportConfig]) -> None:
    folder = recipe.run_dir / "eval"
    heldout, scores, metrics = recipe.run_dir / "data" / "heldout.jsonl", folder / "scores.parquet", folder / "metrics.json"
    report, results = folder / "report.html", folder / "results.md"
    inputs = [heldout, scores, metrics, *PAGE_FILES]
    manifest = Manifest(folder / "report.manifest.json", "report", recipe.resolved(), inputs, [report, results])
    if manifest.is_done():
        return
    if not scores.exists() or not metrics.exists():
        raise ValueError(f"{folder} lacks scores.parquet or metrics.json; run eval.score first")
    cards = list(read_jsonl(heldout, HeldOut))
    rows = pq.read_table(scores).to_pylist()
    measured = json.loads(metrics.read_text(encoding="utf-8"))
    write_text(report, render_page(recipe.block, cards, rows, measured))
    write_text(results, markdown_table(measured))
    manifest.write(cards=len(cards), bytes=report.stat().st_size)
    print(f"report: {report} ({report.stat().st_size / 1e6:.1f} MB), table to paste: {results}")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as handle:
        handle.write(text)


def render_page(config: ReportConfig, cards: Sequence[HeldOut], rows: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> str:
    """The page. Texts of cards and summaries are untrusted: the template escapes them, the script sets them as text, and
    the page's policy lets no script run but ours (by its hash) and nothing load."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"figure": figure, "signed": signed, "probability": probability}
    script = (HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shown = cards[: config.cards]
    return environment.get_template("report.html.j2").render(
        title=config.title,
        metrics=metrics,
        groups=[(*GROUPS[name], [m for m in metrics["metrics"] if m["group"] == name]) for name in GROUPS],
        units={metric["name"]: metric["unit"] for metric in metrics["metrics"]},
        differences=differences(metrics),
        lengths=lengths(list(metrics["systems"]), rows),
        band=(LENGTH_MIN, LENGTH_MAX),
        data=page_data(shown, list(metrics["systems"]), rows),
        shown=len(shown),
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def differences(metrics: dict[str, Any]) -> dict[str, Any]:
    """The difference plot: per pair of systems its rows, and one axis for all. Headline and independent shares only."""
    plotted = {
        m["name"]: m for m in metrics["metrics"] if m["unit"] == "share" and (m["headline"] or m["group"] == "independent")
    }
    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in metrics["comparisons"]:
        if row["metric"] in plotted:
            panels.setdefault((row["a"], row["b"]), []).append({**row, "label": plotted[row["metric"]]["label"]})
    reach = max((abs(end) for rows in panels.values() for row in rows for end in row["ci95"] or ()), default=1.0)
    axis = next((axis for axis in AXES if reach <= axis), AXES[-1])
    return {"axis": axis, "panels": panels}


def lengths(systems: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share of each system's summaries per BIN words. The last bar holds what is longer than the axis."""
    words = {system: [row["words"] for row in rows if row["system"] == system] for system in systems}
    longest = max((count for counts in words.values() for count in counts), default=0)
    top = int(min(max(longest, SHORTEST_AXIS), LONGEST_AXIS))
    bars = -(-top // BIN)
    shares = {}
    for system, counts in words.items():
        places = [min(int(count) // BIN, bars - 1) for count in counts]
        shares[system] = [places.count(place) / max(1, len(counts)) for place in range(bars)]
    tallest = max((share for heights in shares.values() for share in heights), default=0) or 1.0
    return {"bin": BIN, "bars": bars, "clipped": longest > bars * BIN, "tallest": tallest, "shares": shares}


def page_data(cards: Sequence[HeldOut], systems: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the script draws cards from."""
    outputs: dict[str, list[dict[str, Any]]] = {card.id: [] for card in cards}
    for row in sorted(rows, key=lambda row: (systems.index(row["system"]), row["sample"])):
        if row["id"] in outputs:
            outputs[row["id"]].append(output(row))
    return {
        "systems": list(systems),
        "cards": [
            {
                "id": card.id,
                "title": card_title(card),
                "family": card.family,
                "source": card.source,
                "reference": card.reference,
                "outputs": outputs[card.id],
            }
            for card in cards
        ],
    }


def output(row: dict[str, Any]) -> dict[str, Any]:
    """One summary for the page: its text in pieces, each knowing the numbers of the faults that mark it."""
    checks = json.loads(row["checks"])
    marks = [(span, check["name"]) for check in checks if not check["passed"] for span in check["spans"]]
    marks.sort(key=lambda mark: (mark[0]["start"], mark[0]["end"]))
    return {
        "system": row["system"],
        "sample": row["sample"],
        "finished": row["finish_reason"] == "stop",
        "words": row["words"],
        "recall": row["fact_recall"],
        "checks": [{key: check[key] for key in ("name", "passed", "reason")} for check in checks],
        "marks": [{"check": name, "label": span["label"]} for span, name in marks],
        "pieces": list(pieces(row["text"], [(span["start"], span["end"]) for span, _ in marks])),
    }


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """`text` cut where spans begin and end: plain strings, and strings with the indices of the spans that cover them.

    Cut here and not in the browser, whose strings count UTF-16 units: an emoji would shift every span behind it.
    """
    cuts = sorted({0, len(text), *(min(max(place, 0), len(text)) for span in spans for place in span)})
    for start, end in pairwise(cuts):
        covering = [index for index, (first, last) in enumerate(spans) if first <= start and end <= last]
        yield (text[start:end], covering) if covering else text[start:end]


def card_title(card: HeldOut) -> str:
    """The model's name as the source gives it, else the card's id."""
    named = re.search(r"^Model: (\S+)$", card.source, re.MULTILINE) or re.search(r"^# (.{1,80})$", card.source, re.MULTILINE)
    return named[1].strip() if named else card.id


def figure(value: float | None, unit: str) -> str:
    """A share in percent, one digit; words whole."""
    if value is None:
        return "–"
    return f"{value * 100:.1f}" if unit == "share" else f"{value:.0f}"


def signed(value: float | None, unit: str) -> str:
    text = figure(value, unit)
    if value is None or float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", "−") if value < 0 else f"+{text}"


def probability(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def markdown_table(metrics: dict[str, Any]) -> str:
    """Headline metrics by system, then their paired differences."""
    headline = [metric for metric in metrics["metrics"] if metric["headline"]]
    lines = [
        f"{metrics['cards']} held-out cards of {metrics['families']} families. Percent, mean [95% interval]; intervals resample families.",
        "",
        table_row(["system", *(metric["label"] for metric in headline)]),
        table_row(["---", *("---:" for _ in headline)]),
    ]
    for name, measured in metrics["systems"].items():
        lines.append(table_row([name, *(markdown_cell(measured[m["name"]], m["unit"], metrics["cards"]) for m in headline)]))
    lines += [
        "",
        table_row(["difference", "metric", "points", "p (Holm)", "n"]),
        table_row(["---", "---", "---:", "---:", "---:"]),
    ]
    for row in metrics["comparisons"]:
        metric = next((metric for metric in headline if metric["name"] == row["metric"]), None)
        if metric:
            points = signed(row["difference"], metric["unit"]) + interval(row["ci95"], metric["unit"], signed)
            pair = f"{row['b']} − {row['a']}"
            lines.append(table_row([pair, metric["label"], points, probability(row["p_holm"]), str(row["n"])]))
    return "\n".join(lines) + "\n"


def markdown_cell(measured: dict[str, Any], unit: str, cards: int) -> str:
    n = "" if measured["n"] == cards else f" (n={measured['n']})"
    return figure(measured["mean"], unit) + interval(measured["ci95"], unit, figure) + n


def interval(ci95: Sequence[float] | None, unit: str, spell: Any) -> str:
    return f" [{spell(ci95[0], unit)}, {spell(ci95[1], unit)}]" if ci95 else ""


def table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    command("report", ReportConfig, main, __doc__, "eval.report")
