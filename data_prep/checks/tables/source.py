"""What a source says in cells: Markdown and HTML tables, `key: value` lines, lists of scores, results in front matter.

Each becomes a `Table`: labels of rows and columns in every form that a summary may use, and the numbers of each cell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from data_prep.cards.front_matter import split_front_matter
from data_prep.checks.document import lines_of
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.quantities import Quantity, quantities

MAX_CELLS = 6_000  # of one source: cards are hostile, and a summary quotes a few dozen
MAX_TABLES = 60
CACHED_CELLS = 4_096
MAX_LABEL = 120  # characters of a label that are read
MANY = 50  # cells with one number, or rows of one name: they say nothing, and cost time
_SCALES = (0, -9, -6, -3, -2, 2, 3, 6, 9)  # powers of ten: 1.55B where a column of millions has 1550, 0.712 for 71.2
OPENING = 4  # letters by which most words are seen to begin no name
STEM = 5  # letters that tell words apart
LABEL_COLUMNS = 3  # that may be needed to tell rows apart: "Orvan | 3B | base"

_RULE = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")
_MARKUP = re.compile(r"\]\([^()\s]{0,300}\)|<[^<>\n]{0,300}>|\\|&[a-z]{2,8};")
_TURNED = re.compile(r"([^()]+) \(([^()]+)\)")
_ASIDE = re.compile(r"\([^()]{0,80}\)|\[[^\[\]]{0,80}\]\Z")
_OWNED = re.compile(r"(?<=[\w.-]/)[\w.-][\w.() -]*\Z")
PLAIN_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?\Z")
_BARE_NUMBER = re.compile(r"[ \t*]*([0-9]{1,12}(?:\.[0-9]{1,18})?)[ ]?%?[ \t*]*\Z")
_DIGIT = re.compile("[0-9]")
_KEY = re.compile(r"[ \t>]*(?:[-*+][ \t]+)?[*_`]{0,3}([^\W\d][^:=|\n]{0,60})[:=][ \t*_`]*(?=[~≈<>+-]?[0-9])([^\n]{1,40})\Z")
_PAIR = re.compile(
    r"\s*(?:and\s+)?[*_`]*([^\W\d][^,;:()\n]{0,40}?)[*_`]*\s?[:( ]\s?([0-9]{1,3}(?:\.[0-9]+)?[ ]?%?)\)?[.*]*\s*\Z"
)
_HTML_ROW = re.compile(r"<tr\b", re.IGNORECASE)
_HTML_CELL = re.compile(r"<t[hd]\b[^<>]{0,300}>", re.IGNORECASE)
_HTML_MERGED = re.compile(r"(?:row|col)span", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_SAME = {"avg": "avera", "mean": "avera", "acc": "accur", "prec": "preci", "rec": "recal", "param": "param", "lr": "learn"}
_STEM_WORD = re.compile(r"[a-z0-9]+")

SIZE = re.compile(r"(?<![\w.])([0-9]{1,3}(?:\.[0-9]{1,2})?[BbMm])(?![\w.])")

Place = tuple[int, int]  # row, column
Labels = frozenset[int]  # numbers of rows, or of columns
Grid = list[list[str]]  # texts of cells, the head first


@dataclass(frozen=True)
class Label:
    """`text`: for people. `forms`: compact spellings that name it; "#500" is the number 500, and "^llama2" the beginning of
    "Llama 2 7B", which is enough in a sentence."""

    text: str
    forms: frozenset[str]


@dataclass(frozen=True)
class Cell:
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Table:
    """`labels`: of the rows, of the columns. `values`: the numbers of each cell that has some. `named`: rows and columns by form."""

    labels: tuple[tuple[Label, ...], tuple[Label, ...]]
    values: Mapping[Place, tuple[Decimal, ...]]
    texts: Mapping[Place, str]
    named: tuple[Mapping[str, Labels], Mapping[str, Labels]]

    @cached_property
    def by_value(self) -> list[tuple[Decimal, int, int]]:
        return sorted((value, *place) for place, values in self.values.items() for value in values)

    @cached_property
    def stems(self) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
        """The words of each label, cut to what their forms have in common."""
        rows, columns = ([stems_of(label.text) for label in side] for side in self.labels)
        return rows, columns

    @cached_property
    def by_stem(self) -> tuple[dict[str, Labels], dict[str, Labels]]:
        """The rows and the columns that have each word, but for words that most have."""
        found: tuple[dict[str, set[int]], dict[str, set[int]]] = (defaultdict(set), defaultdict(set))
        for side in (0, 1):
            for line, stems in enumerate(self.stems[side]):
                for stem in stems:
                    found[side][stem].add(line)
        rows, columns = (
            {stem: frozenset(lines) for stem, lines in found[side].items() if len(lines) <= max(2, len(self.labels[side]) // 4)}
            for side in (0, 1)
        )
        return rows, columns

    @cached_property
    def turned(self) -> Table:
        """The same with rows for columns."""
        values = {(column, row): found for (row, column), found in self.values.items()}
        texts = {(column, row): text for (row, column), text in self.texts.items()}
        return Table(self.labels[::-1], values, texts, self.named[::-1])

    def places(self, number: Quantity, power: int = 0) -> set[Place]:
        """The cells that hold the number, or one that is rounded to it, times ten to the `power`; MANY at most."""
        found: set[Place] = set()
        for reading in number.readings:
            low, high = reading.low.scaleb(power), reading.high.scaleb(power)
            at = bisect_left(self.by_value, (low, -1, -1))
            while at < len(self.by_value) and self.by_value[at][0] <= high and len(found) < MANY:
                found.add(self.by_value[at][1:])
                at += 1
        return found

    def holds(self, number: Quantity, rows: Labels | None, columns: Labels | None) -> bool:
        """True where a cell of these rows and columns has the number, in whatever scale, or where too many have it; None stands
        for all."""
        if len(self.places(number)) == MANY:
            return True
        return any(_is_in(place, rows, columns) for power in _SCALES for place in self.places(number, power))

    def moved(self, number: Quantity, rows: Labels | None, columns: Labels | None, most: int = 1) -> tuple[Place, Place] | None:
        """(a cell of these rows and columns, one of at most `most` that have the number), where they stand in one row or column."""
        homes = self.places(number)
        for home in sorted(homes) if len(homes) <= most else ():
            if number.unit and not self._says(home, number.unit):
                continue
            for place in self.values:
                if _is_in(place, rows, columns) and (place[0] == home[0]) != (place[1] == home[1]):
                    return place, home
        return None

    def _says(self, place: Place, unit: str) -> bool:
        """True where the cell or its labels have the unit: 1.2 TB is no 1.2B."""
        said = f"{self.texts[place]} {self.labels[0][place[0]].text} {self.labels[1][place[1]].text}"
        return re.search(rf"(?<![a-z]){re.escape(unit)}(?![a-z])", said.lower()) is not None

    def side_of(self, place: Place, home: Place) -> tuple[Label, Label]:
        """The labels that two cells of one row or column differ by."""
        side = 0 if place[0] != home[0] else 1
        return self.labels[side][place[side]], self.labels[side][home[side]]

    def reason(self, number: Quantity, place: Place, home: Place) -> str:
        here, there = (_short(label.text) for label in self.side_of(place, home))
        return f"{number.text} stands beside {there} in the source, {here} has {_short(self.texts[place])}"


def stems_of(text: str) -> frozenset[str]:
    """ "scores" and "scored" are one word here."""
    stems = (word.rstrip("s")[:STEM] for word in _STEM_WORD.findall(text.lower()) if len(word) > 1 and not word.isdigit())
    return frozenset(_SAME.get(stem, stem) for stem in stems)


_OF_A_RUN = stems_of("training evaluation validation test")


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."


def _is_in(place: Place, rows: Labels | None, columns: Labels | None) -> bool:
    return (rows is None or place[0] in rows) and (columns is None or place[1] in columns)


@dataclass(frozen=True)
class Tables:
    """`naming`: the tables that have a form. `lines`: those that cells were read from; what else the source says is prose."""

    tables: tuple[Table, ...]
    naming: Mapping[str, tuple[int, ...]]
    lines: frozenset[str]

    @cached_property
    def by_value(self) -> list[tuple[Decimal, int]]:
        """Every number, with the tables that it stands in."""
        return sorted({(value, at) for at, table in enumerate(self.tables) for cell in table.values.values() for value in cell})

    @cached_property
    def openings(self) -> frozenset[str]:
        """How the forms begin: with no other word does a name begin."""
        plain = [form.lstrip("^") for form in self.naming]
        return frozenset(form[:length] for form in plain for length in range(1, OPENING + 1))

    def having(self, number: Quantity) -> list[Table]:
        """The tables that have the number, or one that is rounded to it."""
        found = set[int]()
        for reading in number.readings:
            at = bisect_left(self.by_value, (reading.low, -1))
            while at < len(self.by_value) and self.by_value[at][0] <= reading.high:
                found.add(self.by_value[at][1])
                at += 1
        return [self.tables[at] for at in sorted(found)]


def tables_of(source: str) -> Tables:
    """All tables of a source text, in order."""
    found: list[Table | None] = []
    lines: set[str] = set()
    room = MAX_CELLS
    for grid, origin in _grids(source):
        room -= sum(map(len, grid))
        if room < 0 or len(found) > MAX_TABLES:
            break
        found.append(_table(grid))
        lines.update(origin)
    tables = tuple(table for table in (*found, _model_index(source)) if table)
    naming: dict[str, list[int]] = defaultdict(list)
    for number, table in enumerate(tables):
        for form in {*table.named[0], *table.named[1]}:
            naming[form].append(number)
    return Tables(tables, {form: tuple(numbers) for form, numbers in naming.items()}, frozenset(lines))


# --- labels -----------------------------------------------------------------------------------------------------------


@lru_cache(CACHED_CELLS)
def label_of(*texts: str) -> Label:
    """The label that the first cells of a row make, or the head of a column."""
    parts = [_cleaned(text) for text in texts]
    forms = set()
    for part in parts if len(parts) == 1 else [*parts, " ".join(parts)]:
        plain = _ASIDE.sub(" ", part) if "(" in part or "[" in part else part
        for form in {
            part,
            plain,
            plain.partition(",")[0],
            _TURNED.sub(r"\2 \1", part) if "(" in part else part,  # Macro F1 for "F1 (macro)"
            *(_OWNED.findall(part) + _OWNED.findall(plain) if "/" in part else ()),
        }:
            forms.add(step_form(form) if PLAIN_NUMBER.match(form.strip()) else compact(form))
    return Label(" ".join(filter(None, parts)), frozenset(form for form in forms if form[:1] == "#" or not _is_digits(form)))


def step_form(number: str) -> str:
    """Of a row that is called by a number: epoch 1.0 and epoch 1 are one."""
    plain = number.strip().replace(",", "")
    return f"#{plain.rstrip('0').rstrip('.') if '.' in plain else plain}"


def _is_digits(form: str) -> bool:
    return not form or form.isdigit()


def _cleaned(text: str) -> str:
    text = text[: 4 * MAX_LABEL]
    if "<" in text or "](" in text or "\\" in text or "&" in text:
        text = _MARKUP.sub(" ", text)
    return " ".join(text.split()).strip("*_`[]|: ")[:MAX_LABEL]


@lru_cache(CACHED_CELLS)
def beginnings_of(text: str) -> frozenset[str]:
    """Falcon and Llama 2 of "Falcon 7B" and "Llama 2 7B", but not Training of "Training Loss"."""
    found = {f"~{compact(size)}" for size in SIZE.findall(text)}
    words = _WORD.findall(text.rpartition("/")[2])
    for count in range(1, min(len(words), 6)):
        if len(words[0]) > 3 and not stems_of(" ".join(words[:count])) <= _OF_A_RUN:
            found.add(f"^{compact(''.join(words[:count]))}")
    return frozenset(found)


# --- grids ------------------------------------------------------------------------------------------------------------


def markdown_grids(text: str) -> Iterator[list[list[Cell]]]:
    """Tables of `text` as rows of cells, the head first. A table is a line of dashes with lines of pipes around it."""
    above: tuple[int, str] = (0, "")
    rows: list[list[Cell]] = []
    for start, line in lines_of(text):
        if rows and "|" in line:
            rows.append(_cells(line, start))
            continue
        if rows:
            yield rows
            rows = []
        if "|" in above[1] and "|" in line and "-" in line and _RULE.match(line.rstrip()):
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


def _grids(source: str) -> Iterator[tuple[Grid, list[str]]]:
    """Each grid, and the lines that it is from."""
    if "|" in source:
        for rows in markdown_grids(source):
            lines = _lines_between(source, rows)
            for grid in _side_by_side([[cell.text for cell in row] for row in rows]):
                yield grid, lines
    if "<t" in source:
        yield from _html_grids(source)
    yield from _key_grids(source.splitlines())


def _side_by_side(grid: Grid) -> Iterator[Grid]:
    """The tables that stand beside one another in a grid, with an empty column between."""
    empty = [
        column
        for column, head in enumerate(grid[0])
        if column and not head.strip() and not any("".join(row[column : column + 1]).strip() for row in grid)
    ]
    for start, end in pairwise([-1, *empty, max(map(len, grid))]):
        if end - start > 2 or not empty:
            yield [row[start + 1 : end] for row in grid]


def _lines_between(source: str, rows: list[list[Cell]]) -> list[str]:
    return source[source.rfind("\n", 0, rows[0][0].start) + 1 : rows[-1][-1].end + 1].splitlines()


def _html_grids(source: str) -> Iterator[tuple[Grid, list[str]]]:
    """HTML tables without merged cells: where cells are merged, columns cannot be counted."""
    at = 0
    while (start := source.find("<table", at)) >= 0:
        end = source.find("</table", start)
        at = end if end > 0 else len(source)
        inside = source[start:at]
        if not _HTML_MERGED.search(inside):
            rows = [_HTML_CELL.split(row)[1:] for row in _HTML_ROW.split(inside)]
            yield [[_MARKUP.sub(" ", cell) for cell in row] for row in rows if row], inside.splitlines()


def _key_grids(lines: Sequence[str]) -> Iterator[tuple[Grid, list[str]]]:
    """Runs of `key: value` lines and lists of scores in one line, after the front matter: tables of two columns."""
    run: Grid = []
    origin: list[str] = []
    for line in [*lines[_after_front_matter(lines) :], ""]:
        if match := _KEY.match(line.rstrip()) if (":" in line or "=" in line) and "|" not in line else None:
            run.append([match[1], match[2]])
            origin.append(line)
            continue
        if len(run) > 1:
            yield [["", ""], *run], origin
        run, origin = [], []
        if "," in line and "." in line and (pairs := _pairs(line)):
            yield [["", ""], *pairs], [line]


def _after_front_matter(lines: Sequence[str]) -> int:
    if not lines or lines[0].strip() != "---":
        return 0
    return next((number for number, line in enumerate(lines[1:], 2) if line.strip() == "---"), 0)


def _pairs(line: str) -> Grid:
    """ "Scores: MMLU 64.3, GSM8K 71.2": nothing but names with one number each."""
    if "|" in line or len(line) > 1000 or not _DIGIT.search(line):
        return []
    said = line.rpartition(": ")[2] if line.count(": ") == 1 else line
    matches = []
    for piece in re.split(r"[,;](?=\s)", said):
        if not (match := _PAIR.match(piece)):
            return []
        matches.append([match[1], match[2]])
    return matches if len(matches) > 1 else []


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(grid: Grid) -> Table | None:
    """The first row is the head; the first cells of the others are their labels."""
    rows = [row for row in grid[1:] if len(row) > 1 and any(cell.strip() for cell in row)]
    if not rows:
        return None
    width = _label_width(rows)
    steps = _steps(rows)
    labels = []
    for row in rows:
        label = label_of(*row[:width])
        more = {step_form(row[column]) for column in steps}
        labels.append(Label(label.text, label.forms | more | beginnings_of(label.text)))
    values, texts = {}, {}
    for r, row in enumerate(rows):
        for c, text in enumerate(row[: len(grid[0])]):
            # A first cell that is a number alone is one of the figures: logs begin with the loss.
            if (c or PLAIN_NUMBER.match(text.strip())) and (numbers := cell_numbers(text)):
                values[r, c], texts[r, c] = numbers, _cleaned(text)
    heads = [label_of(text) for text in grid[0]]
    heads = [Label(head.text, head.forms | beginnings_of(head.text)) for head in heads]
    return _made((tuple(labels), tuple(heads)), values, texts)


def _steps(rows: Grid) -> list[int]:
    """Columns that count upwards: rows of a log are called by their step or epoch."""
    found = []
    for column in range(min(map(len, rows)) if len(rows) > 1 else 0):
        texts = [row[column].strip() for row in rows]
        if all(map(PLAIN_NUMBER.match, texts)) and all(float(one) < float(two) for one, two in pairwise(texts)):
            found.append(column)
    return found


def _label_width(rows: Grid) -> int:
    for width in range(1, LABEL_COLUMNS + 1):
        if len({tuple(row[:width]) for row in rows}) == len(rows):
            return width
    return 1


@lru_cache(CACHED_CELLS)
def cell_numbers(text: str) -> tuple[Decimal, ...]:
    """The numbers of a cell, fractions as percentages too: tables leave the sign out."""
    if bare := _BARE_NUMBER.match(text):  # most cells, in a tenth of the time
        value = Decimal(bare[1])
        return (value, value * 100) if 0 < value < 1 else (value,)
    if not _DIGIT.search(text):
        return ()
    found = set()
    for quantity in quantities(text.replace("\\", ""), bounds=False):
        found |= {reading.value for reading in quantity.readings}
        if quantity.literal:
            found.add(Decimal(quantity.literal))  # "4.87 B" is 4.87 under a head that says billions
    return tuple(found | {value * 100 for value in found if 0 < value < 1})


def _made(
    labels: tuple[tuple[Label, ...], tuple[Label, ...]], values: Mapping[Place, tuple[Decimal, ...]], texts: Mapping[Place, str]
) -> Table | None:
    if len(values) < 2:
        return None
    named: tuple[dict[str, set[int]], dict[str, set[int]]] = (defaultdict(set), defaultdict(set))
    for side in (0, 1):
        filled = {place[side] for place in values}  # "Model" and "Benchmark" head no figures
        for number in filled:
            for form in labels[side][number].forms:
                named[side][form].add(number)
    rows, columns = ({form: frozenset(lines) for form, lines in found.items() if len(lines) < MANY} for found in named)
    return Table(labels, values, texts, (rows, columns))


def _model_index(source: str) -> Table | None:
    """Results in front matter: data sets are rows, metrics are columns."""
    if "model-index" not in source:
        return None
    rows: list[Label] = []
    columns: dict[Label, int] = {}
    values: dict[Place, tuple[Decimal, ...]] = {}
    texts: dict[Place, str] = {}
    for result in _dicts(split_front_matter(source).metadata.get("model-index"), "results"):
        rows.append(_entry_label(result.get("dataset")))
        for metric in _dicts([result], "metrics"):
            place = len(rows) - 1, columns.setdefault(_entry_label(metric), len(columns))
            text = str(metric.get("value") or "")[:40]
            if numbers := cell_numbers(text):
                values[place], texts[place] = (*values.get(place, ()), *numbers), text
    return _made((tuple(rows), tuple(columns)), values, texts)


def _entry_label(entry: Any) -> Label:
    names = [str(entry.get(key) or "") for key in ("name", "type")] if isinstance(entry, dict) else [""]
    return Label(next(filter(None, names), ""), frozenset(form for name in names for form in label_of(name).forms))


def _dicts(entries: Any, key: str) -> Iterator[dict[str, Any]]:
    """The mappings in the lists that stand under `key` of each entry, whatever else is there."""
    for entry in entries if isinstance(entries, list) else ():
        inner = entry.get(key) if isinstance(entry, dict) else None
        yield from (item for item in (inner if isinstance(inner, list) else ()) if isinstance(item, dict))
