"""True figures and names of a source's tables and lists, put in the wrong place of a true summary: one each.

A list of scores is a table of two columns. Nothing here asks whether the page is false afterwards, which the checks tell.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from data_prep.checks.tables.source import Place, Table, Tables

_FIGURE = re.compile(r"\d[\d,]*\.?\d+")  # one digit alone stands in too many places
_NAME = re.compile(r"[^*`|<>\[\]]*[^\W\d]{2}[^*`|<>\[\]]*")  # half of an emphasis would be a fault of form
MOST_CELLS = 600  # of one table: a summary quotes a few
LONGEST_NAME = 40

Misplacer = Callable[[Tables, str, random.Random], str]


@dataclass(frozen=True)
class Spot:
    """Where the summary has the figure of a cell: `line` is the line around it."""

    start: int
    end: int
    line: tuple[int, int]
    table: Table
    place: Place


def _another_row(tables: Tables, summary: str, rng: random.Random) -> str:
    """A figure of the same column."""
    return _moved(tables, summary, rng, side=0)


def _another_column(tables: Tables, summary: str, rng: random.Random) -> str:
    """A figure of the same row: where columns are benchmarks, the score of another one."""
    return _moved(tables, summary, rng, side=1)


def _moved(tables: Tables, summary: str, rng: random.Random, side: int) -> str:
    """`side`: 0 where the two cells differ in their row, 1 where in their column."""
    edits = [
        (spot.start, spot.end, text)
        for spot in spots(tables, summary)
        for place, text in spot.table.texts.items()
        if _differ_in(spot.place, place, side) and _FIGURE.fullmatch(text) and text != summary[spot.start : spot.end]
    ]
    return _edited(summary, edits, rng)


def _neighbour(tables: Tables, summary: str, rng: random.Random) -> str:
    """The name of another row or column, in the line of a figure, in place of the figure's own."""
    edits = []
    for spot in spots(tables, summary):
        line = summary[slice(*spot.line)]
        for side, labels in enumerate(spot.table.labels):
            own = labels[spot.place[side]].text
            at = _standing(own).search(line) if _is_name(own) else None
            if at:
                neighbours = {labels[place[side]].text for place in spot.table.values} - {own}
                names = [name for name in sorted(neighbours) if _is_name(name) and not _standing(name).search(line)]
                edits += [(spot.line[0] + at.start(), spot.line[0] + at.end(), name) for name in names]
    return _edited(summary, edits, rng)


MISPLACERS: dict[str, Misplacer] = {
    "figure of another row": _another_row,
    "figure of another column": _another_column,
    "neighbour's name": _neighbour,
}


def spots(tables: Tables, summary: str) -> Iterator[Spot]:
    """The figures of the summary that stand in a cell of the source's tables as they are written there, and in one alone."""
    for table in tables.tables:
        cells = list(table.texts.items())[:MOST_CELLS]
        texts = [text for _, text in cells]
        for place, text in cells:
            if text not in summary or not _FIGURE.fullmatch(text) or texts.count(text) > 1:
                continue
            for match in _standing(text).finditer(summary):
                line = summary.rfind("\n", 0, match.start()) + 1, summary.find("\n", match.end())
                yield Spot(*match.span(), (line[0], line[1] if line[1] > 0 else len(summary)), table, place)


def _standing(text: str) -> re.Pattern[str]:
    """The text as a whole: no part of a longer number, name or address."""
    return re.compile(rf"(?<![\w.,/-]){re.escape(text)}(?![\w/-]|[.,]\d)", re.IGNORECASE)


def _differ_in(one: Place, other: Place, side: int) -> bool:
    return one[side] != other[side] and one[1 - side] == other[1 - side]


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def _edited(summary: str, edits: list[tuple[int, int, str]], rng: random.Random) -> str:
    if not edits:
        return summary
    start, end, new = rng.choice(edits)
    return summary[:start] + new + summary[end:]
