"""What a source says in cells: Markdown and HTML tables, `key: value` lines, lists of scores, results in front matter.

Each becomes a `Table`: labels of rows and columns in every form that a summary may use, and the numbers of each cell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from data_prep.cards.front_matter import split_front_matter
from data_prep.checks.document import lines_of
from data_prep.checks.names import compact
from data_prep.checks.quantities import Reading, quantities

MAX_CELLS = 4_000  # of one source: cards are hostile, and a summary quotes a few dozen
MAX_LABEL = 120  # characters of a label that are read
LABEL_COLUMNS = 3  # that may be needed to tell rows apart: "Cerebras-GPT | 111M"

_RULE = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")
_MARKUP = re.compile(r"\]\([^()\s]{0,300}\)|<[^<>\n]{0,300}>|\\|&[a-z]{2,8};")
_ASIDE = re.compile(r"\([^()]{0,80}\)|\[[^\[\]]{0,80}\]\Z")
_OWNED = re.compile(r"(?<=[\w.-]/)[\w.-][\w.() -]*\Z")
_KEY = re.compile(r"[ \t>]*(?:[-*+][ \t]+)?([^\W\d][^:=|\n]{0,60})[:=][ \t*_`]*(?=[~≈<>+-]?[0-9])([^\n]{1,40})\Z")
_PAIR = re.compile(r"\s*(?:and\s+)?[*_`]*([^\W\d][^,;:()\n]{0,40}?)[*_`]*\s?[:( ]\s?([0-9]{1,3}(?:\.[0-9]+)?[ ]?%?)\)?[.*]*\s*\Z")
_PLAIN = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?\Z")
_WORD = re.compile(r"[^\W_]+")
_LETTER = re.compile(r"[^\W\d_]")

Place = tuple[int, int]  # row, column


@dataclass(frozen=True)
class Label:
    """`text`: for people; `forms`: compact spellings that name it."""

    text: str
    forms: frozenset[str]


@dataclass(frozen=True)
class Cell:
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Table:
    """`labels`: of the rows, of the columns. `values`: the numbers of each cell that has some. `sorted`: the same, by value."""

    labels: tuple[tuple[Label, ...], tuple[Label, ...]]
    values: Mapping[Place, tuple[Decimal, ...]]
    texts: Mapping[Place, str]
    sorted: tuple[tuple[Decimal, int, int], ...]

    def places(self, readings: Iterable[Reading]) -> set[Place]:
        """The cells that hold a number which one of the readings equals or is rounded from."""
        found = set()
        for reading in readings:
            at = bisect_left(self.sorted, (reading.low, -1, -1))
            while at < len(self.sorted) and self.sorted[at][0] <= reading.high:
                found.add(self.sorted[at][1:])
                at += 1
        return found


@dataclass(frozen=True)
class Tables:
    """`named`: which labels a form may mean: (table, 0 for rows and 1 for columns, number)."""

    tables: tuple[Table, ...]
    named: Mapping[str, tuple[tuple[int, int, int], ...]]
    lines: frozenset[str]  # that cells were read from; what else the source says is prose


def tables_of(source: str) -> Tables:
    """All tables of a source text, in order."""
    found, lines = [], set()
    room = MAX_CELLS
    for grid, origin in _grids(source):
        room -= sum(map(len, grid))
        if room < 0:
            break
        if table := _table(grid):
            found.append(table)
            lines.update(origin)
    if results := _model_index(source):
        found.append(results)
    named: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for number, table in enumerate(found):
        for dimension in (0, 1):
            for index, label in enumerate(table.labels[dimension]):
                for form in label.forms:
                    named[form].append((number, dimension, index))
    return Tables(tuple(found), {form: tuple(places) for form, places in named.items()}, frozenset(lines))


def label_of(*texts: str) -> Label:
    """The label that the first cells of a row make, or the head of a column; a number alone is a form that no
    sentence has, "#500": of steps and epochs in tables."""
    parts = [" ".join(_MARKUP.sub(" ", text[:MAX_LABEL]).split()).strip("*_`[]|: ") for text in texts]
    forms = set()
    for part in [*parts, " ".join(parts)]:
        plain = _ASIDE.sub(" ", part)
        forms |= {compact(form) for form in (part, plain, plain.partition(",")[0], *_OWNED.findall(part), *_OWNED.findall(plain))}
    numbers = {f"#{form}" for part in parts for form in (part, _ASIDE.sub("", part).strip()) if _PLAIN.match(form)}
    return Label(" ".join(filter(None, parts)), frozenset({form for form in forms if re.search("[a-z]", form)} | numbers))


def markdown_grids(text: str) -> Iterator[list[list[Cell]]]:
    """Tables of `text` as rows of cells, the head first. A table is a line of dashes with lines of pipes around it."""
    above: tuple[int, str] = (0, "")
    rows: list[list[Cell]] = []
    for start, line in lines_of(text):
        if rows:
            if "|" in line:
                rows.append(_cells(line, start))
                continue
            yield rows
            rows = []
        if "-" in line and "|" in above[1] and ("|" in line) and _RULE.match(line.rstrip()):
            rows = [_cells(above[1], above[0])]
        above = (start, line)
    if rows:
        yield rows


def _cells(line: str, start: int) -> list[Cell]:
    content = line.rstrip()
    begin = len(content) - len(content.lstrip(" \t>"))
    begin += content.startswith("|", begin)
    content = content[:-1] if content.endswith("|") and len(content) > begin else content
    cells = []
    for text in content[begin:].split("|"):
        cells.append(Cell(text, start + begin, start + begin + len(text)))
        begin += len(text) + 1
    return cells


def _grids(source: str) -> Iterator[tuple[list[list[str]], list[str]]]:
    """Texts of cells, and the lines that they are from."""
    lines = source.splitlines()
    for rows in markdown_grids(source):
        yield [[cell.text for cell in row] for row in rows], [source[row[0].start : row[-1].end] for row in rows if row]
    yield from _html_grids(source)
    start = _after_front_matter(lines)
    run: list[tuple[str, str]] = []
    origin: list[str] = []
    for line in [*lines[start:], ""]:
        match = _KEY.match(line.rstrip()) if (":" in line or "=" in line) and "|" not in line else None
        if match:
            run.append((match[1], match[2]))
            origin.append(line)
            continue
        if len(run) > 1:
            yield [["", ""], *map(list, run)], origin
        run, origin = [], []
        if pairs := _pairs(line):
            yield [["", ""], *pairs], [line]


def _after_front_matter(lines: Sequence[str]) -> int:
    if not lines or lines[0].strip() != "---":
        return 0
    return next((number for number, line in enumerate(lines[1:], 2) if line.strip() == "---"), 0)


def _pairs(line: str) -> list[list[str]]:
    """ "Scores: MMLU 64.3, GSM8K 71.2": nothing but names with one number each."""
    if len(line) > 1000 or "," not in line or "." not in line or "|" in line:
        return []
    said = line.rpartition(": ")[2] if line.count(": ") == 1 else line
    matches = [_PAIR.match(piece) for piece in re.split(r"[,;](?=\s)", said)]
    return [[match[1], match[2]] for match in matches if match] if len(matches) > 1 and all(matches) else []


def _html_grids(source: str) -> Iterator[tuple[list[list[str]], list[str]]]:
    """HTML tables without merged cells: where cells are merged, columns cannot be counted."""
    lower, at = source.lower(), 0
    while (start := lower.find("<table", at)) >= 0:
        end = lower.find("</table", start)
        at = end if end > 0 else len(source)
        inside = source[start:at]
        if not re.search(r"(?:row|col)span", inside, re.IGNORECASE):
            rows = [re.split(r"<t[hd]\b[^<>]{0,300}>", row, flags=re.IGNORECASE)[1:] for row in re.split(r"<tr\b", inside, flags=re.IGNORECASE)]
            yield [[_MARKUP.sub(" ", cell) for cell in row] for row in rows if row], inside.splitlines()


def _table(grid: list[list[str]]) -> Table | None:
    """The first row is the head, the first cells of the others are their labels."""
    rows = [row for row in grid[1:] if len(row) > 1 and any(cell.strip() for cell in row)]
    if not rows:
        return None
    width = _label_width(rows)
    head = [label_of(text) for text in grid[0]]
    values, texts = {}, {}
    for r, row in enumerate(rows):
        for c, text in enumerate(row[: len(head)]):
            if (c or _PLAIN.match(text.strip())) and (numbers := _numbers(text)):
                values[r, c], texts[r, c] = numbers, " ".join(text.split()).strip("*_` ")
    steps = _steps(rows, width)
    labels = tuple(
        replace(label, forms=label.forms | _beginnings(label.text) | {f"#{row[column].strip()}" for column in steps})
        for label, row in ((label_of(*row[:width]), row) for row in rows)
    )
    return _made(labels, tuple(head), values, texts)


def _beginnings(text: str) -> set[str]:
    """ "Falcon" and "Llama 2" of "Falcon 7B" and "Llama 2 7B", with a sign before them: they name all rows that begin so, and
    only a sentence is that short."""
    words = _WORD.findall(text.rpartition("/")[2])
    found = {compact("".join(words[:count])) for count in range(1, min(len(words), 6))} if words and len(words[0]) > 3 else set()
    return {f"^{form}" for form in found if len(form) > 3}


def _steps(rows: list[list[str]], width: int) -> list[int]:
    """Columns that count upwards: rows of a log are called by their step."""
    found = []
    for column in range(width, min(map(len, rows)) if len(rows) > 1 else 0):
        texts = [row[column].strip() for row in rows]
        if all(map(_PLAIN.match, texts)) and all(float(a) < float(b) for a, b in pairwise(texts)):
            found.append(column)
    return found


def _label_width(rows: list[list[str]]) -> int:
    for width in range(1, LABEL_COLUMNS + 1):
        if len({tuple(row[:width]) for row in rows}) == len(rows):
            return width
    return 1


def _numbers(text: str) -> tuple[Decimal, ...]:
    """The numbers of a cell, as percentages and as fractions too: tables leave the sign out."""
    if not any(character.isdigit() for character in text):
        return ()
    found = set()
    for quantity in quantities(text.replace("\\", ""), bounds=False):
        found |= {reading.value for reading in quantity.readings}
        if quantity.literal:
            found.add(Decimal(quantity.literal))  # "4.87 B" is 4.87 where the head of a column says billions
    return tuple(sorted(found | {value * 100 for value in found if 0 < value < 1}))


def _made(
    rows: tuple[Label, ...], columns: tuple[Label, ...], values: Mapping[Place, tuple[Decimal, ...]], texts: Mapping[Place, str]
) -> Table | None:
    if len(values) < 2:
        return None
    by_value = sorted((value, *place) for place, numbers in values.items() for value in numbers)
    return Table((rows, columns), values, texts, tuple(by_value))


def _model_index(source: str) -> Table | None:
    """Results in front matter: data sets are rows, metrics are columns."""
    if "model-index" not in source:
        return None
    rows, columns, values, texts = [], {}, {}, {}
    for result in _dicts(split_front_matter(source).metadata.get("model-index"), "results"):
        dataset = result.get("dataset")
        names = [str(dataset.get(key) or "") for key in ("name", "type")] if isinstance(dataset, dict) else []
        rows.append(Label(names[0] if names else "", frozenset(form for name in names for form in label_of(name).forms)))
        for metric in _dicts([result], "metrics"):
            names = [str(metric.get(key) or "") for key in ("name", "type")]
            label = Label(names[0] or names[1], frozenset(form for name in names for form in label_of(name).forms))
            place = len(rows) - 1, columns.setdefault(label, len(columns))
            texts[place] = str(metric.get("value") or "")[:40]
            values[place] = (*values.get(place, ()), *_numbers(texts[place]))
    return _made(tuple(rows), tuple(columns), {place: found for place, found in values.items() if found}, texts)


def _dicts(entries: Any, key: str) -> Iterator[dict[str, Any]]:
    """The mappings in the lists that stand under `key` of each entry, whatever else is there."""
    for entry in entries if isinstance(entries, list) else ():
        inner = entry.get(key) if isinstance(entry, dict) else None
        yield from (item for item in (inner if isinstance(inner, list) else ()) if isinstance(item, dict))
