"""Groups of things that stand together, and those that a list or a table makes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from data_prep.checks.derived.words import PLAIN_WORD, stem, stems
from data_prep.checks.numeric.quantities import quantities

FAMILY = "items of one name"
TOTAL = re.compile(r"\b(?:g?mean|average|avg|overall|total|sum|macro|micro|all)\b", re.IGNORECASE)
_SIZED = re.compile(r"(?<![\w.])[0-9]{1,4}(?:\.[0-9]{1,2})?[BM]\b")
_DIGIT = re.compile("[0-9]")
_PLAIN = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?\Z")  # most figures; a longer one may be a date or the number of a paper
CACHED_CELLS = 4_096
_TAGS = re.compile(r"(?:[^,.:;|={}\[\]\"']{1,40},[ ]){3,80}[^,.:;|={}\[\]\"']{1,40}")


@dataclass(frozen=True)
class Group:
    """`size` things of one kind. `named`: stems of the words that say what they are; `held`: those of the things themselves.
    `explicit`: a list, a table or an enumeration, which may be counted in words that the source does not use."""

    size: int
    kind: str
    named: frozenset[str]
    held: frozenset[str] = frozenset()
    explicit: bool = True


def shared(items: Iterable[str]) -> frozenset[str]:
    """Stems that stand in most of the items: they say what the items are."""
    rows = [stems(item[:200]) for item in items]
    counts = Counter(word for row in rows for word in row if len(word) > 2)
    return frozenset(word for word, count in counts.items() if count > len(rows) / 2 and count > 1)


def families(items: Sequence[str], named: frozenset[str] = frozenset()) -> Iterator[Group]:
    """Items that begin with one word: the WordNet four of eight signals."""
    firsts = Counter(stem(re.split("['’-]", word[0])[0]) for item in items if (word := PLAIN_WORD.search(item)))
    for first, count in firsts.items():
        if 1 < count < len(items) and len(first) > 2:
            yield Group(count, FAMILY, frozenset({first}), frozenset({first}), explicit=False)


def tags(line: str) -> Iterator[Group]:
    """ "Negative prompt: lowres, text, cropped, fog", as samples in code have it."""
    start = line.find(": ") + 2 if ": " in line[:60] else 0
    if line.count(", ") > 2 and _TAGS.fullmatch(tags := line[start:].strip(" ,")):
        yield Group(tags.count(", ") + 1, "tags of a prompt", frozenset(("tag", "term", "keyword")), explicit=False)


def of_table(header: list[str], rows: list[list[str]], above: frozenset[str]) -> Iterator[Group]:
    if not rows:
        return
    first = [row[0] for row in rows]
    held = stems(" ".join([*first, *header]))
    # What stands in the corner says what the rows are; what stands above the table, what the rest is.
    of_rows = (stems(header[0]) or above) | shared(first) | {"row"}
    yield from without_totals(first, "rows of a table", of_rows, held)
    of_columns = (above - stems(header[0])) | shared(header[1:]) | {"column"}
    if sum(bool(_SIZED.search(name)) for name in header[1:]) > len(header[1:]) / 2:
        of_columns |= {"model"}
    yield Group(len(header), "columns of a table", frozenset({"column"}), held, explicit=False)
    yield from without_totals([name for name in header[1:] if name], "columns of a table", of_columns, held)
    # A row with one cell is the heading of those below it.
    headings = sum(sum(map(bool, row)) == 1 for row in rows)
    yield Group(headings, "headings in a table", stems(" ".join(header)), held, explicit=False)
    ticks = sum(bool(cell.strip("-–—✗ ")) and not any(map(str.isalnum, cell)) for row in rows for cell in row)
    yield Group(ticks, "ticks in a table", frozenset({"tick", "link"}), held)
    yield from families(first)
    yield from families(header)
    yield from _averaged(first, list(zip(*rows, strict=False))[1:], held)
    yield from _averaged(header, rows, held)
    for place, name in enumerate(header):
        cells = [row[place] for row in rows if place < len(row)]
        yield from _of_column(name, cells, stems(header[0]) if place else frozenset(), held)


def _of_column(name: str, cells: list[str], of_rows: frozenset[str], held: frozenset[str]) -> Iterator[Group]:
    """The different values of a column, the rows that share one, and the cells with a mark or link in them."""
    values = Counter(cell for cell in cells if cell.strip("-–—x✗ "))
    filled = sum(values.values())
    if filled < len(cells) or len(values) == 1:
        yield Group(filled, "filled cells of a column", stems(name), held, explicit=False)
    if len(values) < filled:
        yield Group(len(values), "values of a column", stems(name), held, explicit=False)
        for value, count in values.items():
            yield Group(count, "rows with one value", stems(value) | of_rows, held, explicit=False)


def without_totals(names: list[str], kind: str, named: frozenset[str], held: frozenset[str]) -> Iterator[Group]:
    yield Group(len(names), kind, named, held)
    yield Group(sum(not TOTAL.search(name) for name in names), kind, named, held)


def _averaged(names: Sequence[str], lines: Sequence[Sequence[str]], held: frozenset[str]) -> Iterator[Group]:
    """What an average or total is of: the cells before it that make it, in the first two lines that cross it."""
    for at, name in enumerate(names):
        if at < 2 or not TOTAL.search(name):
            continue
        cut = [[figure(cell) for cell in line[: at + 1]] for line in lines[:2] if len(line) > at]
        for count in range(2, at + 1):
            if cut and all(_make(line[at - count : at], line[at]) for line in cut):
                yield Group(
                    count, "figures of an average", stems(name) | {"task", "dataset", "row", "column"}, held, explicit=False
                )


def _make(parts: list[Decimal | None], whole: Decimal | None) -> bool:
    """True where the whole is the mean or the sum of the parts, rounded."""
    if whole is None or None in parts:
        return False
    exponent = whole.as_tuple().exponent
    added = sum((part for part in parts if part is not None), Decimal(0))
    near = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
    return abs(added / len(parts) - whole) <= near or abs(added - whole) <= near


def has_digit(text: str) -> bool:
    return _DIGIT.search(text) is not None or (not text.isascii() and any(map(str.isdigit, text)))


@lru_cache(CACHED_CELLS)
def figure(cell: str) -> Decimal | None:
    """The number of a cell that holds a single one."""
    if _PLAIN.match(cell):
        return Decimal(cell)
    numbers = list(quantities(cell[:40], bounds=False)) if has_digit(cell[:40]) else []
    return numbers[0].readings[0].value if len(numbers) == 1 and numbers[0].readings else None
