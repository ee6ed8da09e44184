"""What the report's script draws cards from: a small index of every summary's figures, and each card's texts packed.

The texts of 300 cards are some 20 MB. Packed card by card they are a third of that, and the browser unpacks a card when it
is opened (or all of them, once, when somebody searches), with nothing but what is on the page.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from data_prep.checks.meaning import NO_FLAG
from data_prep.core.records import HeldOut
from eval.stats.figures import rounded
from eval.stats.records import Metrics

DIGITS = 4  # of a summary's figures: what a person sorts by

Piece = str | tuple[str, list[int]]
Mark = tuple[dict[str, Any], str, str]


def headline_decodings(metrics: Metrics, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """System -> the decoding that its figures rest on: the headline's, or its own where it is measured without having that
    one, as a baseline is, whose one text stands for both."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["system"], set()).add(row["decoding"])
    headline, chosen = metrics["decoding"], {}
    for system, cells in metrics["systems"].items():
        measured = any(cell["mean"] is not None for cell in cells.values())
        own = sorted(found.get(system, ()))
        chosen[system] = own[0] if own and measured and headline not in own else headline
    return chosen


def page_data(cards: Sequence[HeldOut], rows: Sequence[dict[str, Any]], metrics: Metrics) -> dict[str, Any]:
    """`index`: systems, metrics and per card its figures. `bodies`: per card, in the same order, source, reference and
    summaries as base64 of gzipped JSON. `rows` are those of scores.parquet."""
    systems = list(metrics["systems"])
    outputs: dict[str, list[dict[str, Any]]] = {card.id: [] for card in cards}
    for row in sorted(rows, key=lambda row: (systems.index(row["system"]), row["decoding"], row["sample"])):
        if row["id"] in outputs:
            outputs[row["id"]].append(row)
    kept = [
        {key: metric[key] for key in ("name", "label", "group", "unit", "better", "headline")} for metric in metrics["metrics"]
    ]
    names = [metric["name"] for metric in metrics["metrics"]]
    return {
        "index": {
            "systems": systems,
            "decoding": metrics["decoding"],
            "decodings": list(headline_decodings(metrics, rows).values()),
            "metrics": kept,
            "no_flag": NO_FLAG,
            "cards": [card_index(card, outputs[card.id], systems, names) for card in cards],
        },
        "bodies": [packed(card_body(card, outputs[card.id])) for card in cards],
    }


def card_index(card: HeldOut, rows: Sequence[dict[str, Any]], systems: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    return {
        "id": card.id,
        "title": card_title(card),
        "family": card.family,
        "words": len(card.source.split()),
        "slices": json.loads(rows[0]["slices"]) if rows else {},
        "outputs": [output_index(row, systems, names) for row in rows],
    }


def output_index(row: dict[str, Any], systems: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    return {
        "system": systems.index(row["system"]),
        "decoding": row["decoding"],
        "sample": row["sample"],
        "failed": [check["name"] for check in json.loads(row["checks"]) if not check["passed"]],
        "values": [rounded(row.get(name), DIGITS) for name in names],
    }


def card_body(card: HeldOut, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"source": card.source, "reference": card.reference, "outputs": [output_body(row) for row in rows]}


def output_body(row: dict[str, Any]) -> dict[str, Any]:
    """One summary: its text in pieces, each knowing the numbers of the marks on it; faults of checks come before their remarks and
    what a measure (a checker model) marks."""
    checks = json.loads(row["checks"])
    marks = [(span, check["name"], "check") for check in checks if not check["passed"] for span in check["spans"]]
    marks.sort(key=begin_and_end)
    marks += [(span, check["name"], "remark") for check in checks for span in check.get("remarks", ())]
    found = [(span, span.get("measure", "measure"), "measure") for span in json.loads(row["spans"])]
    marks += sorted(found, key=begin_and_end)
    return {
        "finished": row["finish_reason"] == "stop",
        "looped": row["finish_reason"] == "loop",
        "checks": [{key: check[key] for key in ("name", "passed", "reason")} for check in checks],
        "marks": [{"name": name, "kind": kind, "label": span["label"]} for span, name, kind in marks],
        "pieces": list(pieces(row["text"], [(span["start"], span["end"]) for span, _, _ in marks])),
        "thinking": row["thinking"],
    }


def begin_and_end(mark: Mark) -> tuple[int, int]:
    return mark[0]["start"], mark[0]["end"]


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """`text` cut where spans begin and end: plain strings, and strings with the indices of the spans that cover them.

    Cut here and not in the browser, whose strings count UTF-16 units: an emoji would shift every span behind it.
    """
    cuts = sorted({0, len(text), *(min(max(place, 0), len(text)) for span in spans for place in span)})
    for start, end in pairwise(cuts):
        covering = [index for index, (first, last) in enumerate(spans) if first <= start and end <= last]
        yield (text[start:end], covering) if covering else text[start:end]


def packed(value: Any) -> str:
    # No time in the header: the same texts are the same page.
    return base64.b64encode(gzip.compress(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), mtime=0)).decode()


def card_title(card: HeldOut) -> str:
    """The model's name as the source gives it, else the card's id."""
    named = re.search(r"^Model: (\S+)$", card.source, re.MULTILINE) or re.search(r"^# (.{1,80})$", card.source, re.MULTILINE)
    return named[1].strip() if named else card.id
