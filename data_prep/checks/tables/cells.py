"""Right number, wrong place: a number of the summary that stands beside one name, and in the source's tables beside another.

Only where the binding is plain: in a sentence, one name and one number, or names and numbers in turn (sentences.py), or no word for
the row or column that the number is from, where words lead to all others (outside.py); in a summary's own table, which is read here, where most other cells agree with the source's. Renamed rows and columns are told by their
cells. A number that the source gives for that name anywhere, in a table or in prose, is right.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from data_prep.checks.document import Document
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.quantities import Quantity
from data_prep.checks.result import Span
from data_prep.checks.tables.sentences import faults_in_sentences
from data_prep.checks.tables.source import (
    MANY,
    PLAIN_NUMBER,
    Cell,
    Label,
    Labels,
    Place,
    Table,
    Tables,
    label_of,
    markdown_grids,
)

MOST_WRONG = 3  # cells of a table, or a third of those that agree: with more it is another table
FEWEST = 6  # one in so many numbers of a table must be in the source's to compare the two

# The summary says that the source has two columns the wrong way round.
_SET_RIGHT = re.compile(
    r"\b(?:swapped|exchanged|transposed) (?:columns?|rows?|headers?)\b|"
    r"\b(?:columns?|rows?|headers?|headings?|labels?|values|figures)\b[^.\n]{0,40}"
    r"\b(?:swapped|exchanged|interchanged|transposed|reversed|switched|mixed up|the wrong way round)\b"
)
_SET_RIGHT_WORDS = "swapped exchanged interchanged transposed reversed switched".split() + ["mixed up", "the wrong way"]
_SEVERAL = re.compile("[,/&+]")

Spots = list[tuple[Place, set[Place]]]  # where each number of the summary's table is, and where the source's has it
Fault = tuple[Table, Place, Place]  # the cell that is named, and the one that has the number
Matched = tuple[dict[int, Labels], dict[int, Labels]]  # rows and columns of the summary's table -> of the source's


@dataclass(frozen=True)
class Own:
    """A table of the summary. `labels`: of its rows, of its columns; `cells`: the numbers of each."""

    labels: tuple[list[Label], list[Label]]
    cells: Mapping[Place, list[Quantity]]

    @cached_property
    def joins(self) -> dict[Place, frozenset[str]]:
        """The labels that the row and the column of each cell may make together."""
        found = {}
        for r, c in self.cells:
            one, two = self.labels[0][r], self.labels[1][c] if c < len(self.labels[1]) else None
            if one.text and two and two.text:
                found[r, c] = frozenset(form for a in one.forms for b in two.forms for form in (a + b, b + a))
        return found

    @cached_property
    def count(self) -> int:
        return sum(map(len, self.cells.values()))


def misplaced(document: Document, numbers: Sequence[Quantity], known: Tables, source: str) -> list[Span]:
    """The numbers of the summary that the source's tables have in another place."""
    if not known.tables or not numbers:
        return []
    grids = [rows for rows in markdown_grids(document.prose) if rows[0] and rows[-1]] if "|" in document.prose else []
    inside = [(rows[0][0].start, rows[-1][-1].end) for rows in grids]
    told = [number for number in numbers if not any(start <= number.start < end for start, end in inside)]
    found = [
        span
        for rows, (start, end) in zip(grids, inside, strict=True)
        for span in _in_own(_own(rows, numbers, start, end), known, document.lower)
    ]
    return [*found, *(() if _is_set_right(document.lower) else faults_in_sentences(document, told, known, source))]


def _is_set_right(text: str) -> bool:
    return any(word in text for word in _SET_RIGHT_WORDS) and _SET_RIGHT.search(text) is not None


def _own(rows: list[list[Cell]], numbers: Sequence[Quantity], start: int, end: int) -> Own:
    inside = [number for number in numbers if start <= number.start < end and number.kind not in ("date", "version")]
    cells = {}
    for r, row in enumerate(rows[1:]):
        for c, cell in enumerate(row):
            if not c and not PLAIN_NUMBER.match(cell.text.strip()):
                continue  # a label; a first cell that is a number alone is one of the figures, as in source.py
            held = [number for number in inside if cell.start <= number.start < cell.end]
            if len(held) > 1 and _SEVERAL.search(row[0].text):
                continue  # "beta1, beta2 | 0.9, 0.999": each is of another name
            if held:
                cells[r, c] = held
    return Own(([label_of(row[0].text) for row in rows[1:]], [label_of(cell.text) for cell in rows[0]]), cells)


def _in_own(own: Own, known: Tables, text: str) -> Iterator[Span]:
    """The summary's table against each of the source's, as it stands or turned over, whichever agrees more."""
    right: set[Quantity] = set()
    wrong: dict[Quantity, Fault] = {}
    for table in known.tables:
        fine, faults = _compared(own, table)
        if len(fine) * 2 < own.count:
            fine, faults = max((fine, faults), _compared(own, table.turned), key=lambda way: len(way[0]))
        joined, more = _joined(own, table) if len(fine) < own.count else (set(), {})
        right |= (fine - more.keys()) | joined  # a label of both is nearer than votes
        wrong = {**faults, **more, **wrong}
    wrong = {number: fault for number, fault in wrong.items() if number not in right}
    exchanged = {fault[1:] for fault in wrong.values()} if wrong and _is_set_right(text) else set()
    for number, (table, place, home) in wrong.items():
        if (home, place) not in exchanged:
            yield Span(number.start, number.end, table.reason(number, place, home))


def _joined(own: Own, table: Table) -> tuple[set[Quantity], dict[Quantity, Fault]]:
    """The same where a row and a column of the summary's make one label of the source's: "dev" and "MLS" for "MLS dev"."""
    right: set[Quantity] = set()
    wrong: dict[Quantity, Fault] = {}
    for place, forms in own.joins.items():
        held = own.cells[place]
        for side in (0, 1):
            names = table.named[side]
            lines = frozenset[int]().union(*(names[form] for form in forms if form in names))
            rows, columns = (lines, None) if side == 0 else (None, lines)
            for number in held if lines else ():
                if table.holds(number, rows, columns):
                    right.add(number)
                elif places := table.moved(number, rows, columns, MANY):
                    wrong[number] = (table, *places)
    return right, {number: fault for number, fault in wrong.items() if right and number not in right}


def _compared(own: Own, table: Table) -> tuple[set[Quantity], dict[Quantity, Fault]]:
    """The numbers that stand where the source's table has them, and those that it has in another place."""
    spots = [(place, table.places(number)) for place, held in own.cells.items() for number in held]
    if sum(bool(homes) for _, homes in spots) < max(2, own.count // FEWEST):
        return set(), {}
    named = _named(own, table)
    matched = _matched(spots, named)
    right, wrong = set(), {}
    for (r, c), held in own.cells.items():
        rows, columns = matched[0].get(r), matched[1].get(c)
        if rows is None or columns is None:
            continue
        for number in held:
            if table.holds(number, rows, columns):
                right.add(number)
            else:
                wrong[number] = table.moved(number, rows, columns, MANY)
    enough = 1 if _is_sure(spots, named, matched) else 2
    if len(wrong) > max(MOST_WRONG, len(right) // 3) or len(right) < enough:
        return right, {}
    return right, {number: (table, *places) for number, places in wrong.items() if places}


def _is_sure(spots: Spots, named: Matched, matched: Matched) -> bool:
    """True where every row and column that is matched is named, or has no number that is not in the one it is matched with."""
    return all(
        line in named[side] or all(labels & {home[side] for home in homes} for place, homes in spots if place[side] == line)
        for side in (0, 1)
        for line, labels in matched[side].items()
    )


def _named(own: Own, table: Table) -> Matched:
    """Which rows and columns of the source's table the labels of the summary's name, by their longest form that names any."""
    found: Matched = ({}, {})
    for side in (0, 1):
        names = table.named[side]
        for line, label in enumerate(own.labels[side]):
            parts = _SEVERAL.split(label.text)
            if len(parts) > 1 and compact(label.text) not in names and sum(compact(part) in names for part in parts) > 1:
                continue  # "beta, epsilon"
            if form := max((form for form in label.forms if form in names), key=len, default=""):
                found[side][line] = names[form]
    return found


def _matched(spots: Spots, named: Matched) -> Matched:
    """Rows and columns of the summary's table with those of the source's: by name, and by most of their cells."""
    matched: Matched = (dict(named[0]), dict(named[1]))
    # Of all cells: two that are exchanged stay in their row or column.
    loose = [_votes(spots, side, {}) for side in (0, 1)]
    counts = [Counter(place[side] for place, _ in spots) for side in (0, 1)]
    for side in (1, 0, 1, 0):
        votes = _votes(spots, side, matched[1 - side])
        for line, count in counts[side].items():
            if line in named[side]:
                chosen = _of_named(named[side][line], votes[line], loose[side][line], count)
            else:
                chosen = _of_all(votes[line], count // 2 + 1) or _of_all(loose[side][line], count)
            if chosen:
                matched[side][line] = chosen
            else:
                matched[side].pop(line, None)
    return matched


def _votes(spots: Spots, side: int, across: Mapping[int, Labels]) -> dict[int, Counter[int]]:
    """For each row (or column) how many of its cells the source has in each of its own, where they fit what columns (or rows) are
    matched with, which is `across`."""
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for place, homes in spots:
        if homes:
            fits = across.get(place[1 - side])
            votes[place[side]].update({home[side] for home in homes if fits is None or home[1 - side] in fits})
    return votes


def _of_named(named: Labels, votes: Counter[int], loose: Counter[int], count: int) -> Labels | None:
    """Those with most votes; None where the cells are those of another label, or of none."""
    most, some = max(votes[label] for label in named), max(loose[label] for label in named)
    if max(votes.values(), default=0) > some + 1 or (count > 2 and not some):
        return None
    return frozenset(label for label in named if votes[label] == most)


def _of_all(votes: Counter[int], least: int) -> Labels | None:
    """The one label that has most votes, two and `least` of them at least."""
    best = votes.most_common(2)
    if not best or best[0][1] < max(2, least) or (len(best) > 1 and best[1][1] == best[0][1]):
        return None
    return frozenset({best[0][0]})
