"""Right number, wrong place: a number of the summary that stands beside one name, and in the source's tables beside another.

Only where the binding is plain: one name and one number, or names and numbers in turn; in a summary's own table, where most of
its other cells agree with the source's. A number that the source gives for that name anywhere, in a table or in prose, is right.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from data_prep.checks.document import Document
from data_prep.checks.names import compact
from data_prep.checks.quantities import Quantity, Reading, contains
from data_prep.checks.result import Span
from data_prep.checks.source_tables import Cell, Place, Table, Tables, label_of, markdown_grids

MAX_WORDS = 8  # of one name
_WORD = re.compile(r"[A-Za-z0-9]+")
_SENTENCE_END = re.compile(r"[.;!?](?=\s)|\n(?=[ \t]*(?:[-*+>#|]|[0-9]+[.)]))|\n[ \t]*\n")
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]+\Z")
_COUNTED = re.compile(r"[0-9]%? \Z")  # "3 epochs" says nothing of another number
LEAD = 20  # characters before a name that opens its sentence: "On MMLU", "- **MMLU**"
NEAR = 25  # characters between a plain word and its number: "average of 71.6"
# Numbers that were computed from cells, or that stand beside a name they are compared with.
_COMPARED = re.compile(
    r"\b(?:than|versus|vs|against|beats?|compared|ahead|behind|above|below|over|under|unlike|points?|by|gaps?|differences?|differs?"
    r"|ratio|times|respectively|sum|lead|margin|between|outperform\w*|exceed\w*|surpass\w*)\b"
)

# Between parts of a sentence that may have a name and a number each.
_CUT = re.compile(r",(?=\s)|\b(?:and|but|while|whereas|against|versus|vs|to|then)\b| [–—-] ")


@dataclass(frozen=True)
class Mention:
    """A name of the source's tables in a summary."""

    form: str
    start: int
    end: int


@dataclass(frozen=True)
class Bound:
    """A number and the labels beside it; None where none is named."""

    number: Quantity
    rows: frozenset[int] | None
    columns: frozenset[int] | None


def misplaced(document: Document, numbers: Sequence[Quantity], known: Tables, source: str) -> Iterator[Span]:
    """Numbers of the summary that stand beside a name which the source gives others for, and belong to another name."""
    if not known.tables or not numbers:
        return
    grids = list(markdown_grids(document.prose))
    inside = [(rows[0][0].start, rows[-1][-1].end) for rows in grids if rows[0] and rows[-1]]
    for rows in grids:
        yield from _in_table(rows, numbers, known)
    told = [number for number in numbers if not any(start <= number.start < end for start, end in inside)]
    for start, end in _sentences(document):
        here = [number for number in told if start <= number.start < end]
        if any(map(_is_specific, here)):
            yield from _in_sentence(document, start, end, here, known, source)


def _is_specific(number: Quantity) -> bool:
    """71.2 and 12,345, not 5: small whole numbers are shots, seeds and stages."""
    return number.kind != "date" and ("." in number.literal or number.kind == "percent" or len(number.literal) > 2)


def _sentences(document: Document) -> Iterator[tuple[int, int]]:
    """Sentences and clauses after a semicolon, inside each block of prose."""
    for block in document.blocks:
        if block.kind in ("bullet", "text"):
            cuts = [match.end() for match in _SENTENCE_END.finditer(document.prose, block.start, block.end)]
            yield from pairwise(sorted({block.start, *cuts, block.end}))


# --- sentences --------------------------------------------------------------------------------------------------------


def _in_sentence(
    document: Document, start: int, end: int, numbers: list[Quantity], known: Tables, source: str
) -> Iterator[Span]:
    mentions = list(_mentions(document.prose, start, end, numbers, known))
    if not mentions:
        return
    cuts = [cut.start() for cut in _CUT.finditer(document.lower, start, end)]
    cuts = [cut for cut in cuts if not any(mention.start < cut < mention.end for mention in mentions)]
    for number in filter(_is_specific, numbers):
        said: list[tuple[Table, Place, Place]] = []
        part = bisect_right(cuts, number.start)
        compared = _COMPARED.search(document.lower, [start, *cuts][part], [*cuts, end][part]) is not None
        for index, table in enumerate(known.tables):
            homes = table.places(number.readings)
            bound = _bound(index, table, number, numbers, mentions, known, cuts, compared, start)
            if bound is None:
                continue
            if _holds(table, bound, homes) or any(_has(other, table, bound, number, known) for other in range(len(known.tables)) if other != index):
                said = []
                break
            if (there := _elsewhere(table, bound, homes)) is not None:
                said.append((table, *there))
        if said and not _is_half_named(document.lower, start, end, mentions, said[0]) and not _is_told(source, number, mentions, said[0], known):
            yield _span(number, *said[0])


def _mentions(text: str, start: int, end: int, numbers: Sequence[Quantity], known: Tables) -> Iterator[Mention]:
    """The longest names of the tables, from left to right. Not parts of a longer word (MMLU of MMLU-Pro), nor plain words far
    from any number."""
    words = [match.span() for match in _WORD.finditer(text, start, end)]
    at = 0
    while at < len(words):
        begin = words[at][0]
        for stop in range(min(at + MAX_WORDS, len(words)), at, -1):
            finish = words[stop - 1][1]
            form = text[begin:finish].lower() if stop == at + 1 else compact(text[begin:finish])
            form = form if form in known.named else f"^{form}"
            if form in known.named and _is_name(text, begin, finish, numbers):
                yield Mention(form, begin, finish)
                at = stop - 1
                break
        at += 1


def _is_name(text: str, begin: int, finish: int, numbers: Sequence[Quantity]) -> bool:
    if finish - begin < 2 or any(number.start <= begin < number.end for number in numbers):
        return False
    if re.match(r"[-_/+][A-Za-z0-9]|\.[0-9]|@", text[finish : finish + 2]) or re.search(r"[A-Za-z0-9][-_+.]\Z", text[max(0, begin - 2) : begin]):
        return False
    if not _PLAIN_WORD.match(text[begin:finish]):
        return True
    if _COUNTED.search(text[max(0, begin - 12) : begin]) and not any(0 <= begin - number.end < 3 for number in numbers):
        return False
    return finish - begin > 2 and any(
        0 <= number.start - finish < NEAR or 0 <= begin - number.end < NEAR for number in numbers
    )


def _bound(
    index: int, table: Table, number: Quantity, numbers: Sequence[Quantity], mentions: Sequence[Mention], known: Tables, cuts: Sequence[int], compared: bool, start: int
) -> Bound | None:
    """What of the table is named beside the number; None where nothing is, or not plainly."""
    here = [other for other in numbers if other is number or table.places(other.readings)]
    sides = []
    for dimension in (0, 1):
        named = [(mention, _indices(mention.form, index, dimension, known)) for mention in mentions]
        named = [(mention, found) for mention, found in named if found]
        sides.append(named)
    if {mention for mention, _ in sides[0]} & {mention for mention, _ in sides[1]}:
        return None
    others = [table.places(other.readings) for other in here if other is not number]
    places = [
        _beside(side, number, here, cuts, start, lambda found, at=at: all(any(home[at] in found for home in homes) for homes in others))
        for at, side in enumerate(sides)
    ]
    if any(place is _UNCLEAR for place in places) or places == [None, None]:
        return None
    if compared and not any(_in_turn(side, number, here, cuts) for side in sides):
        return None
    return Bound(number, places[0], places[1])


_UNCLEAR: frozenset[int] = frozenset({-1})


def _indices(form: str, index: int, dimension: int, known: Tables) -> frozenset[int]:
    return frozenset(label for table, side, label in known.named.get(form, ()) if (table, side) == (index, dimension))


def _beside(
    named: Sequence[tuple[Mention, frozenset[int]]], number: Quantity, numbers: Sequence[Quantity], cuts: Sequence[int], start: int, supported: Callable[[frozenset[int]], bool]
) -> frozenset[int] | None:
    """The label of this side that stands beside the number: the only one, before all numbers, or in turn with them."""
    if not named:
        return None
    if len({found for _, found in named}) == 1:
        first = named[0][0].start
        if len(numbers) == 1 or (first < numbers[0].start and first - start < LEAD and supported(named[0][1])):
            return named[0][1]
    parts = _parts(named, numbers, cuts)
    own = bisect_right(cuts, number.start)
    if found := _in_turn(named, number, numbers, cuts):
        return found
    if not parts[own][0] and all(len(names) == count == 1 for names, count in parts.values() if names):
        return None
    return _UNCLEAR


def _in_turn(
    named: Sequence[tuple[Mention, frozenset[int]]], number: Quantity, numbers: Sequence[Quantity], cuts: Sequence[int]
) -> frozenset[int] | None:
    """The label where names and numbers take turns, in the whole sentence or in the number's part of it."""
    marks = sorted([*((mention.start, found) for mention, found in named), *((other.start, other) for other in numbers)], key=_first)
    if len(named) == len(numbers) > 1 and all(isinstance(a, Quantity) != isinstance(b, Quantity) for (_, a), (_, b) in pairwise(marks)):
        at = next(place for place, (_, mark) in enumerate(marks) if mark is number)
        mark = marks[at ^ 1][1]
        return None if isinstance(mark, Quantity) else mark
    part = bisect_right(cuts, number.start)
    if len(numbers) == 1:
        return None
    held = _parts(named, numbers, cuts)
    around = [held.get(place, ([], 0)) for place in (part - 1, part, part + 1)]
    if any(bool(names) != bool(count) for names, count in around) or len(around[1][0]) != 1 or around[1][1] != 1:
        return None
    return around[1][0][0]


def _parts(
    named: Sequence[tuple[Mention, frozenset[int]]], numbers: Sequence[Quantity], cuts: Sequence[int]
) -> dict[int, tuple[list[frozenset[int]], int]]:
    """The names and the count of numbers in each part of a sentence."""
    held: dict[int, tuple[list[frozenset[int]], int]] = defaultdict(lambda: ([], 0))
    for mention, found in named:
        held[bisect_right(cuts, mention.start)][0].append(found)
    for number in numbers:
        names, count = held[bisect_right(cuts, number.start)]
        held[bisect_right(cuts, number.start)] = names, count + 1
    return held


def _first(mark: tuple[int, Any]) -> int:
    return mark[0]


def _holds(table: Table, bound: Bound, homes: set[Place]) -> bool:
    """True where a cell of the names beside the number has it."""
    if any(_is_in(place, bound) for place in homes):
        return True
    return any(_is_scaled(bound.number, values) for place, values in table.values.items() if _is_in(place, bound))


def _has(other: int, table: Table, bound: Bound, number: Quantity, known: Tables) -> bool:
    """True where another table has the number beside a name that is bound to it."""
    found = known.tables[other].places(number.readings)
    for side, said in enumerate((bound.rows, bound.columns)):
        for form in {form for label in said or () for form in table.labels[side][label].forms}:
            if any(home[at] in _indices(form, other, at, known) for home in found for at in (0, 1)):
                return True
    return False


def _is_in(place: Place, bound: Bound) -> bool:
    row, column = place
    return (bound.rows is None or row in bound.rows) and (bound.columns is None or column in bound.columns)


def _is_scaled(number: Quantity, values: Sequence) -> bool:
    """1.55B where a column of millions has 1550."""
    return any(
        contains(values, Reading(*(part.scaleb(power) for part in (reading.value, reading.low, reading.high))))
        for reading in number.readings
        for power in (-9, -6, -3, -2, 2, 3, 6, 9)
    )


def _elsewhere(table: Table, bound: Bound, homes: set[Place]) -> tuple[Place, Place] | None:
    """(a cell of the names beside the number, the only cell that has the number), in one row or column; else None."""
    if len(homes) != 1:
        return None
    home = next(iter(homes))
    for place in table.values:
        if _is_in(place, bound) and (place[0] == home[0]) != (place[1] == home[1]):
            return place, home
    return None


def _is_half_named(lower: str, start: int, end: int, mentions: Sequence[Mention], said: tuple[Table, Place, Place]) -> bool:
    """True where the sentence has a word of the name that the table gives the number to, outside of plain names: "Reddit" of
    "Reddit comments", "challenges" of "F1 Challenge"; or where that name holds the one that is said."""
    table, place, home = said
    side = 0 if place[0] != home[0] else 1
    label, other = table.labels[side][home[side]], table.labels[side][place[side]]
    if any(form in whole for form in other.forms for whole in label.forms):
        return True
    spans = [(mention.start, mention.end) for mention in mentions]
    words = {word.rstrip("s") for word in _WORD.findall(label.text.lower())} - {word.rstrip("s") for word in _WORD.findall(other.text.lower())}
    return any(
        match[0].rstrip("s") in words and not any(begin <= match.start() < finish for begin, finish in spans)
        for match in _WORD.finditer(lower, start, end)
        if len(match[0]) > 2 and not match[0].isdigit()
    )


def _is_told(
    source: str, number: Quantity, mentions: Sequence[Mention], said: tuple[Table, Place, Place], known: Tables
) -> bool:
    """True where the source's prose has the number, and not beside the name that the table gives it to alone."""
    table, _, home = said
    forms = [form for side in (0, 1) for form in table.labels[side][home[side]].forms]
    others = {mention.form for mention in mentions}
    for line in source.splitlines():
        if number.literal not in line.replace(",", "") or line in known.lines:
            continue
        if not re.search(rf"(?<![0-9.]){re.escape(number.literal)}(?![0-9]|\.[0-9])", line.replace(",", "")):
            continue
        name = compact(line)
        if any(form in name for form in others) or not any(form in name for form in forms):
            return True
    return False


def _span(number: Quantity, table: Table, place: Place, home: Place) -> Span:
    side = 0 if place[0] != home[0] else 1
    there, here = (_short(table.labels[side][where[side]].text) for where in (home, place))
    return Span(number.start, number.end, f"{number.text} stands beside {there} in the source, {here} has {_short(table.texts[place])}")


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:22] + "..."


# --- the summary's own tables -------------------------------------------------------------------------------------------


def _in_table(rows: list[list[Cell]], numbers: Sequence[Quantity], known: Tables) -> Iterator[Span]:
    """The summary's table against each of the source's, as it stands and turned over."""
    cells = _numbers_by_place(rows, numbers)
    right: set[Quantity] = set()
    wrong: dict[Quantity, Span] = {}
    for index in range(len(known.tables)):
        ways = [_compared(rows, cells, index, turned, known) for turned in (False, True)]
        fine, faults = max(ways, key=lambda way: len(way[0]))
        right |= fine
        for number, span in faults:
            wrong.setdefault(number, span)
    yield from (span for number, span in wrong.items() if number not in right)


def _numbers_by_place(rows: list[list[Cell]], numbers: Sequence[Quantity]) -> dict[Place, list[Quantity]]:
    found: dict[Place, list[Quantity]] = {}
    begin, end = rows[0][0].start, rows[-1][-1].end if rows[-1] else rows[0][-1].end
    inside = [number for number in numbers if begin <= number.start < end and number.kind != "date"]
    for r, row in enumerate(rows[1:]):
        for c, cell in enumerate(row):
            if c and (held := [number for number in inside if cell.start <= number.start < cell.end]):
                found[r, c] = held
    return found


def _compared(
    rows: list[list[Cell]], cells: Mapping[Place, list[Quantity]], index: int, turned: bool, known: Tables
) -> tuple[set[Quantity], list[tuple[Quantity, Span]]]:
    """The numbers that stand where the source's table has them, and those that it has in another place."""
    table = known.tables[index]
    turn: Callable[[Place], Place] = (lambda place: place[::-1]) if turned else (lambda place: place)
    homes = {number: {turn(place) for place in table.places(number.readings)} for held in cells.values() for number in held}
    if sum(map(bool, homes.values())) < 2:
        return set(), []
    named = _named(rows, index, turned, known)
    matched = _aligned(cells, homes, named)
    right, wrong = set(), []
    for (r, c), held in cells.items():
        for number in held:
            bound = Bound(number, matched[0].get(r), matched[1].get(c))
            if bound.rows is None or bound.columns is None:
                continue
            there = {turn(place): values for place, values in table.values.items() if _is_in(turn(place), bound)}
            if any(place in there for place in homes[number]) or any(_is_scaled(number, values) for values in there.values()):
                right.add(number)
            elif there:
                wrong.append((number, next(iter(there)), homes[number]))
    sure = all(
        (bound.rows is not None and bound.columns is not None)
        and (place[0] in named[0] or all(bound.rows & {home[0] for home in homes[one]} for where, ones in cells.items() if where[0] == place[0] for one in ones))
        and (place[1] in named[1] or all(bound.columns & {home[1] for home in homes[one]} for where, ones in cells.items() if where[1] == place[1] for one in ones))
        for place, bound in ((place, Bound(held[0], matched[0].get(place[0]), matched[1].get(place[1]))) for place, held in cells.items())
        if bound.rows is not None and bound.columns is not None
    )
    if len(wrong) > max(3, len(right) // 3) or len(right) < (1 if sure else 2):
        return right, []
    spans = []
    for number, place, found in wrong:
        near = [home for home in found if (home[0] == place[0]) != (home[1] == place[1])]
        if len(found) == 1 and near:
            spans.append((number, _span(number, table, turn(place), turn(near[0]))))
    return right, spans


def _named(rows: list[list[Cell]], index: int, turned: bool, known: Tables) -> tuple[dict[int, frozenset[int]], ...]:
    """Which rows and columns of the source's table the labels of the summary's name."""
    found: tuple[dict[int, frozenset[int]], ...] = ({}, {})
    labels = [[label_of(row[0].text) for row in rows[1:]], [label_of(cell.text) for cell in rows[0]]]
    for side in (0, 1):
        dimension = 1 - side if turned else side
        for place, label in enumerate(labels[side]):
            if not _indices(compact(label.text), index, dimension, known) and sum(bool(_indices(compact(part), index, dimension, known)) for part in re.split("[,/&+]", label.text)) > 1:
                continue  # "beta, epsilon"
            for form in sorted(label.forms, key=len, reverse=True):
                if meant := _indices(form, index, dimension, known):
                    found[side][place] = meant
                    break
    return found


def _aligned(
    cells: Mapping[Place, list[Quantity]], homes: Mapping[Quantity, set[Place]], named: tuple[dict[int, frozenset[int]], ...]
) -> tuple[dict[int, frozenset[int]], ...]:
    """Rows and columns of the summary's table with those of the source's: by name, and by most of their cells."""
    matched = (dict(named[0]), dict(named[1]))
    for side in (1, 0, 1, 0):
        votes: dict[int, Counter[int]] = defaultdict(Counter)
        loose: dict[int, Counter[int]] = defaultdict(Counter)  # where two are exchanged, they are at least in the same line
        for place, held in cells.items():
            other = matched[1 - side].get(place[1 - side])
            for number in held:
                votes[place[side]].update({home[side] for home in homes[number] if other is None or home[1 - side] in other})
                loose[place[side]].update({home[side] for home in homes[number]})
        for place in {place[side] for place in cells}:
            held = sum(len(held) for where, held in cells.items() if where[side] == place)
            label = named[side].get(place)
            if chosen := _elected(votes[place], label, held, loose[place]) or (not label and _elected(loose[place], label, 2 * held - 1, loose[place])):
                matched[side][place] = chosen
            else:
                matched[side].pop(place, None)
    return matched


def _elected(votes: Counter[int], named: frozenset[int] | None, held: int, loose: Counter[int]) -> frozenset[int] | None:
    """Of the named labels those with most votes; without a name the one that clearly has most."""
    best = votes.most_common(2)
    if named:
        most = max(votes[index] for index in named)
        some = max(loose[index] for index in named)
        if (best and best[0][1] > some + 1) or (held > 2 and not some):
            return None
        return frozenset(index for index in named if votes[index] == most)
    if best and best[0][1] > 1 and 2 * best[0][1] > held and (len(best) == 1 or best[0][1] > best[1][1]):
        return frozenset({best[0][0]})
    return None
