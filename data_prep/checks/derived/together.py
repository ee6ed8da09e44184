"""What stands together in a text: lists, tables, enumerations and the like, with their lengths and the words that name them.

Read line by line, with patterns that cannot run on: a source is any text whatsoever. It is no Markdown parser: a list that is read in
two pieces costs a count that is not recognised, no more.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

from data_prep.cards.front_matter import split_front_matter
from data_prep.checks.facts import LANGUAGE_NAMES
from data_prep.checks.numeric.quantities import WORD, quantities
from data_prep.checks.tables.source import markdown_grids

MAX_LINES = 6_000  # beyond these nothing is looked for
MAX_LINE = 4_000  # characters of one
TELLING = 3  # a word that stands in more lists than these tells none apart
MAX_SHAPES = 400  # of each kind that is told by its shape
CACHED_STEMS = 8_192  # a source has some 1,500 words, and says each of them in several lists
MAX_ITEM_WORDS = 7  # of an enumeration: what is longer is a clause
MAX_BETWEEN = 600  # characters of one entry of a printed list
FAMILY = "items of one name"
PRINTED = "entries of a printed list"
AUTHORS = "authors"
UNFILLED = "parts without content"

STOP = frozenset(
    "of in on for with and or that which who are is was were be has have from to at by as than the a an its their it they can do does did "
    "not but while when where since so if per each against versus vs under over among between into through using used also only".split()
)
SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
TOTAL = re.compile(r"\b(?:g?mean|average|avg|overall|total|sum|macro|micro|all)\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\([^()\s]{0,500}\)")
_URL = re.compile(r"https?://[^\s<>\[\]\"'|)]{1,500}")
_MARKS = re.compile(r"(?=[<*`_])(?:<[^<>\n]{1,300}>|[*`]{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w))")
_ITEM = re.compile(r"([ \t>]{0,40})(?:[-*+•–]|\(?[0-9]{1,2}[.)])[ \t]+(?=\S)")
_HEADING = re.compile(r"[ ]{0,3}(#{1,6})[ \t]+(\S.*)")
_BOLD_LINE = re.compile(r"[ \t]{0,3}(?:\*\*|__)([^*_]{1,80})(?:\*\*|__):?[ \t]*$")
_KEY = re.compile(r"[ \t>\"'-]{0,12}[A-Za-z][\w ()/@.-]{0,40}?([\"' ]{0,2}[:=](?!//)|[ \t]{2,60}(?=[0-9<>~-]))[ \t]{0,40}\S")
_FENCE = re.compile(r"[ \t>]{0,12}(?:`{3,}|~{3,})")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NUMBERED = re.compile(rf"(?<![\w.])(?:[0-9][0-9,.]{{0,12}}|{WORD})[ -]((?:[a-z][a-z-]{{0,20}}[ ]?){{1,4}})")
_CLAUSE_END = re.compile(r":(?=\s)|[()\[\]]|\s[–—-]\s")
_COMMA = re.compile(r"[,、，]\s*(?:(?P<last>(?:and|or|as well as)\s|&\s?))?")
_AND = re.compile(r"\s(?:and|or|as well as)\s|\s?&\s?")
_SLASHES = re.compile(r"(?<![\w/.:])[^\W_][\w+-]{0,30}(?: ?/ ?[^\W_][\w+-]{0,30}){1,20}(?![\w/]|\.\w)")
_BIBTEX = re.compile(r"^[ \t]{0,8}@[A-Za-z]{3,20}[{(]", re.MULTILINE)
_AUTHORS = re.compile(r"\bauthors?\s{0,4}=\s{0,4}([{\"])", re.IGNORECASE)
_AUTHOR_END = re.compile(r"\sand\s")
_CITED = re.compile(r"(?<!\w)(?:[^\W\d_][\w'’-]{1,30},[ ](?:[A-Z]\.[ -]?){1,4},?[ ]{0,2}(?:&[ ]|and[ ])?){2,60}")
_CITED_NAME = re.compile(r",[ ][A-Z]\.")
MAX_AUTHORS = 5_000  # characters that the authors of one entry take
_FILE = re.compile(r"(?<![\w/.-])[\w/.-]{0,80}[\w-]\.([a-z]{2,11})\b")
_IMAGE = re.compile(r"(?P<linked>\[)?!\[[^\]\n]{0,200}\]\(([^)\s]{0,300})|<img\b([^>]{0,300})", re.IGNORECASE)
_BADGE = re.compile(r"badge|shields\.io", re.IGNORECASE)
_COMMENT = re.compile(r"<!--")
_UNFILLED = re.compile(r"\bmore information (?:is )?needed\b", re.IGNORECASE)
_HTML_COLUMN = re.compile(r"<t[hd]\b(?:[^<>]{0,200}?\bcolspan\s?=\s?[\"']?(?P<span>[0-9]{1,2}))?", re.IGNORECASE)
_REPORT_ROW = re.compile(r"[ \t]*(\S{1,40}(?:[ ]\S{1,20}){0,2})(?:[ \t]{1,40}[0-9][0-9.,]{0,20}){3,8}[ \t]*$")
_SAID = re.compile(r"^[ \t]{0,8}(?:\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”)[ \t]{0,8}$", re.MULTILINE)
_CAPTION = re.compile(r"[ \t]{0,8}(?:_[^_\n]{1,200}_|\*[^*\n]{1,200}\*|<i>[^<\n]{1,200}</i>)(?:<br ?/?>)?[ \t]*$")
_SIZED = re.compile(r"(?<![\w.])[0-9]{1,4}(?:\.[0-9]{1,2})?[BM]\b")
_TAGS = re.compile(r"(?:[^,.:;|={}\[\]\"']{1,40},[ ]){3,80}[^,.:;|={}\[\]\"']{1,40}")
_TABLE = re.compile(r"<table\b", re.IGNORECASE)
_HTML_LIST = re.compile(r"<(/?)(table|tr|ul|ol|li)\b", re.IGNORECASE)
_OPENS_LIST = re.compile(r"[=:]\s{0,2}(?=[\[({])")
_KEY_BEFORE = re.compile(r"(?<!\w)(\w{1,40})['\"]?\s{0,2}\Z")
_NEXT_ENTRY = re.compile(r"(?:\}\s{0,9},\s{0,40}\{|\)\s{0,9},\s{0,40}\(|\]\s{0,9},\s{0,40}\[)")

# Words for one kind of thing, each line led by the one that stands for all.
_ALIKE = """
model checkpoint variant version sibling sister network architecture size
dataset corpus corpora data source collection subset
author people person contributor researcher writer colleague co-author coauthor
class label type category kind entity
task benchmark test evaluation suite
metric measure score figure result value
image picture photo illustration screenshot rendering
file script module
example sentence prompt query widget question snippet demonstration
section heading chapter
parameter hyperparameter setting argument option
step stage phase component part element
link address url reference
column field attribute feature input variable
row entry line item bullet
domain area topic subject
limitation limit risk weakness caveat
news newspaper outlet
""".strip().splitlines()
_CANONICAL = {word: line.split()[0] for line in _ALIKE for word in line.split()}


def line_around(text: str, position: int) -> tuple[int, int]:
    end = text.find("\n", position)
    return text.rfind("\n", 0, position) + 1, len(text) if end < 0 else end


def sentence_around(text: str, position: int) -> tuple[int, int]:
    """Where the sentence at a position starts and ends, within its line."""
    start, end = line_around(text, position)
    ends = [match.end() for match in SENTENCE_END.finditer(text, start, position)]
    after = SENTENCE_END.search(text, position, end)
    return ends[-1] if ends else start, after.end() if after else end


@lru_cache(CACHED_STEMS)
def stem(word: str) -> str:
    """One form for singular and plural, and one word for those that name the same kind of thing."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    if word not in _CANONICAL and len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") else word[: -2 if word.endswith(("sses", "xes", "ches", "shes")) else -1]
    return _CANONICAL.get(word, word)


def stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, _WORD.findall(text)))


_LANGUAGES = stems(" ".join(LANGUAGE_NAMES.values()))


@dataclass(frozen=True)
class Group:
    """`size` things of one kind. `named`: stems of the words that say what they are; `held`: those of the things themselves.
    `explicit`: a list, a table or an enumeration, which may be counted in words that the source does not use."""

    size: int
    kind: str
    named: frozenset[str]
    held: frozenset[str] = frozenset()
    explicit: bool = True


@dataclass(frozen=True)
class Together:
    """`blocks`: texts whose numbers stand together, each a list or a sentence. `running`: the words alone, in order."""

    groups: tuple[Group, ...]
    blocks: tuple[str, ...]
    words: frozenset[str]
    text: str

    @cached_property
    def telling(self) -> frozenset[str]:
        """Words that few lists hold: a sentence that has one speaks of that list."""
        counts = Counter(word for held in {group.held for group in self.groups} for word in held)
        return frozenset(word for word, count in counts.items() if count <= TELLING and len(word) > 2)

    @cached_property
    def numbered(self) -> frozenset[str]:
        """What stands behind a number in the source: "12 attention heads" numbers heads."""
        return frozenset().union(*(stems(match[1]) for match in _NUMBERED.finditer(self.text.lower()))) - STOP

    @cached_property
    def running(self) -> str:
        return running(self.text)


def running(text: str) -> str:
    """The words of a text in small letters, with a space around each: State-of-the-art is state of the art."""
    return f" {' '.join(_WORD.findall(text.lower().replace('-', ' ')))} "


def together_of(text: str) -> Together:
    """All that stands together in `text`, in time that is linear in its length."""
    front = split_front_matter(text)
    page = _Page()
    for line in front.body.splitlines()[:MAX_LINES]:
        page.add(line[:MAX_LINE])
    page.end_section()
    tables = page.tables + len(_TABLE.findall(front.body))
    page.groups.append(Group(tables, "tables", frozenset({"table"}), explicit=False))
    groups = [*_of_metadata(front.metadata), *page.groups, *_of_headings(page.headings), *_of_shapes(front.body)]
    for piece, heading in page.texts:
        groups += [*_enumerations(piece, heading), *_entries(piece, heading)]
    sentences = [sentence for piece, _ in page.texts for sentence in SENTENCE_END.split(piece)]
    sized = dict.fromkeys(group for group in groups if group.size > 1)
    return Together(tuple(sized), tuple([*page.lists, *sentences]), stems(text), text)


@dataclass
class _List:
    """An open list: the column its markers stand in, and the words before it."""

    indent: int
    named: frozenset[str]
    items: list[str] = field(default_factory=list)


class _Page:
    """Reads a body line by line and keeps what it found."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.lists: list[str] = []
        self.texts: list[tuple[str, frozenset[str]]] = []  # paragraphs, items and long cells, with their heading
        self.headings: list[tuple[int, str]] = []
        self._heading: frozenset[str] = frozenset()
        self._intro: frozenset[str] = frozenset()
        self._open: list[_List] = []
        self._rows: list[str] = []
        self._keys: list[str] = []
        self._keys_named: frozenset[str] = frozenset()
        self._mark = ""  # what parts key and value in them
        self._paragraph: list[str] = []
        self._captions: list[str] = []  # lines of the section in italics
        self._in_code = False
        self._blank = False
        self._report: list[str] = []  # names of the rows of a printed table
        self.tables = 0

    def add(self, line: str) -> None:
        if _FENCE.match(line):
            self.close()
            self._end_report()
            self._in_code = not self._in_code
        elif self._in_code:
            if row := _REPORT_ROW.match(line):
                self._report.append(row[1])
            self.groups += _tags(line)
        elif not line.strip():
            self._end_block()
            self._blank = True
        elif heading := _HEADING.match(line) or _BOLD_LINE.match(line):
            self.end_section()
            self._start_section(heading)
        elif line.count("|") > 1 or (self._rows and "|" in line):
            self._row(line)
        elif item := _ITEM.match(line):
            self._item(line, item)
        else:
            self._text(line)
        self._blank = not line.strip()

    def close(self) -> None:
        """Ends all that is open."""
        self._end_block()
        self._end_keys()
        self._close_lists(-1)

    def _end_report(self) -> None:
        """Rows of a table that is printed in code, most often the classes of a report."""
        named = self._heading | self._intro | {"row", "class"}
        self.groups += _without_totals(self._report, "rows of a table", named, stems(" ".join(self._report)))
        self._report = []

    def end_section(self) -> None:
        self.close()
        held = stems("\n".join(self._captions))
        self.groups.append(
            Group(len(self._captions), "lines in italics", self._heading | {"row", "image"}, held, explicit=False)
        )
        self._captions = []

    def _start_section(self, heading: re.Match[str]) -> None:
        text = plain(heading[heading.lastindex or 0])
        self.headings.append((len(heading[1]) if heading[0].lstrip().startswith("#") else 7, text))
        self._heading = self._intro = stems(text)

    def _end_block(self) -> None:
        if self._paragraph:
            text = "\n".join(self._paragraph)
            self.texts.append((text, self._heading))
            # "per-entity scores" are of entities.
            self._intro = stems(SENTENCE_END.split(text.strip(" .:"))[-1][-200:].replace("-", " "))
            self._paragraph = []
        if self._rows:
            self._close_table()

    def _end_keys(self) -> None:
        if len(self._keys) > 1:
            self._add_list(self._keys, "lines of one kind", self._keys_named)
        self._keys = []

    def _add_list(self, items: Sequence[str], kind: str, named: frozenset[str]) -> None:
        self.lists.append("\n".join(items))
        held = stems(self.lists[-1])
        self.groups.append(Group(len(items), kind, named | shared(items), held))
        self.groups += _families(items, named)

    def _key(self, line: str) -> None:
        if key := _KEY.match(line):
            if self._keys and self._mark != key[1].strip():
                self._end_keys()
            if not self._keys:
                self._keys_named = self._heading | self._intro
            self._mark = key[1].strip()
            self._keys.append(line)
        elif line.strip():
            self._end_keys()

    def _text(self, line: str) -> None:
        if _CAPTION.match(line):
            self._captions.append(plain(line))
        if self._open and self._blank and line[:1] not in " \t":
            self._close_lists(-1)
        if self._open:
            self._open[-1].items[-1] += " " + line.strip()
            return
        if self._rows:
            self._end_block()
        self._key(line)
        self._paragraph.append(plain(line))

    def _item(self, line: str, item: re.Match[str]) -> None:
        self._end_block()
        self._end_keys()
        indent = len(item[1].expandtabs(4))
        self._close_lists(indent)
        if not self._open or self._open[-1].indent < indent:
            above = stems(self._open[-1].items[-1][:200]) if self._open else self._heading | self._intro
            self._open.append(_List(indent, above))
        self._open[-1].items.append(plain(line[item.end() :]))

    def _close_lists(self, indent: int) -> None:
        """Ends the lists whose items stand further in than `indent`; -1 ends all."""
        while self._open and self._open[-1].indent > indent:
            ended = self._open.pop()
            self._add_list(ended.items, "items of a list", ended.named)
            self.texts += [(item, ended.named) for item in ended.items]
            if indent < 0 and not self._open:
                self._intro = self._heading

    def _row(self, line: str) -> None:
        if not self._rows:
            self.close()
        self._rows.append(line)

    def _close_table(self) -> None:
        for grid in markdown_grids("\n".join(self._rows)):
            header, *rows = ([plain(cell.text) for cell in row] for row in grid)
            rows = [row for row in rows if any(cell.strip("-: ") for cell in row)]
            self.tables += 1
            self.groups += _of_table(header, rows, self._heading | self._intro)
            self.texts += [
                (cell, stems(name)) for row in rows for name, cell in zip(header, row, strict=False) if len(cell) > 20
            ]
        self._rows = []


def plain(text: str) -> str:
    """`text` without markup: links as their text, no addresses, no stars, backticks and tags."""
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "://" in text:
        text = _URL.sub(" ", text)
    return _MARKS.sub("", text).strip()


def shared(items: Iterable[str]) -> frozenset[str]:
    """Stems that stand in most of the items: they say what the items are."""
    rows = [stems(item[:200]) for item in items]
    counts = Counter(word for row in rows for word in row if len(word) > 2)
    return frozenset(word for word, count in counts.items() if count > len(rows) / 2 and count > 1)


def _families(items: Sequence[str], named: frozenset[str] = frozenset()) -> Iterator[Group]:
    """Items that begin with one word: the WordNet four of eight signals."""
    firsts = Counter(stem(re.split("['’-]", word[0])[0]) for item in items if (word := _WORD.search(item)))
    for first, count in firsts.items():
        if 1 < count < len(items) and len(first) > 2:
            yield Group(count, FAMILY, frozenset({first}), frozenset({first}), explicit=False)


def _tags(line: str) -> Iterator[Group]:
    """ "Negative prompt: lowres, text, cropped, fog", as samples in code have it."""
    start = line.find(": ") + 2 if ": " in line[:60] else 0
    if line.count(", ") > 2 and _TAGS.fullmatch(tags := line[start:].strip(" ,")):
        yield Group(tags.count(", ") + 1, "tags of a prompt", frozenset(("tag", "term", "keyword")), explicit=False)


# --- tables -----------------------------------------------------------------------------------------------------------


def _of_table(header: list[str], rows: list[list[str]], above: frozenset[str]) -> Iterator[Group]:
    if not rows:
        return
    first = [row[0] for row in rows]
    held = stems(" ".join([*first, *header]))
    # What stands in the corner says what the rows are; what stands above the table, what the rest is.
    of_rows = (stems(header[0]) or above) | shared(first) | {"row"}
    yield from _without_totals(first, "rows of a table", of_rows, held)
    of_columns = (above - stems(header[0])) | shared(header[1:]) | {"column"}
    if sum(bool(_SIZED.search(name)) for name in header[1:]) > len(header[1:]) / 2:
        of_columns |= {"model"}
    yield Group(len(header), "columns of a table", frozenset({"column"}), held, explicit=False)
    yield from _without_totals([name for name in header[1:] if name], "columns of a table", of_columns, held)
    # A row with one cell is the heading of those below it.
    headings = sum(sum(map(bool, row)) == 1 for row in rows)
    yield Group(headings, "headings in a table", stems(" ".join(header)), held, explicit=False)
    ticks = sum(bool(cell.strip("-–—✗ ")) and not any(map(str.isalnum, cell)) for row in rows for cell in row)
    yield Group(ticks, "ticks in a table", frozenset({"tick", "link"}), held)
    yield from _families(first)
    yield from _families(header)
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


def _without_totals(names: list[str], kind: str, named: frozenset[str], held: frozenset[str]) -> Iterator[Group]:
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


def figure(cell: str) -> Decimal | None:
    numbers = list(quantities(cell[:40], bounds=False)) if any(map(str.isdigit, cell[:40])) else []
    return numbers[0].readings[0].value if len(numbers) == 1 and numbers[0].readings else None


# --- front matter, headings, shapes -----------------------------------------------------------------------------------


def _of_metadata(value: Any, key: str = "") -> Iterator[Group]:
    """Lists of the front matter, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _of_metadata(inner, str(name))
    elif isinstance(value, list):
        held = stems(" ".join(item for item in value if isinstance(item, str)))
        yield Group(len(value), "items of a list", stems(key.replace("_", " ").replace("-", " ")), held)
        for inner in value[:100]:
            yield from _of_metadata(inner, key if isinstance(inner, list) else "")


def _of_headings(headings: list[tuple[int, str]]) -> Iterator[Group]:
    """Headings of one level below one heading."""
    below: dict[tuple[int, int], list[str]] = defaultdict(list)
    above: list[tuple[int, int]] = []  # level and place of the headings that hold the current one
    for place, (level, text) in enumerate(headings):
        while above and above[-1][0] >= level:
            above.pop()
        below[(above[-1][1] if above else -1, level)].append(text)
        above.append((level, place))
    for (parent, _), texts in below.items():
        named = stems(headings[parent][1]) if parent >= 0 and headings[parent][0] > 1 else frozenset()
        yield Group(len(texts), "headings", named | {"section"}, stems(" ".join(texts)), explicit=False)


def _of_shapes(body: str) -> Iterator[Group]:
    """Things that are told by their shape, wherever they stand: they are counted only under their own name."""
    fences = sum(bool(_FENCE.match(line)) for line in body.splitlines())
    images = list(_IMAGE.finditer(body))
    shown = sum(not image["linked"] and not _BADGE.search(image[2] or image[3] or "") for image in images)
    for size, kind, named in (
        (len(_BIBTEX.findall(body)), "BibTeX entries", "row bibtex citation link paper"),
        (len(images), "images", "image"),
        (shown, "images that are no badges", "image sample"),
        (len(_COMMENT.findall(body)), "HTML comments", "comment"),
        (len(_UNFILLED.findall(body)), UNFILLED, "section placeholder field"),
        (len(_SAID.findall(body)), "lines in quotation marks", "row example image caption quotation"),
        (fences // 2, "blocks of code", "block example code"),
    ):
        yield Group(size, kind, frozenset(named.split()), explicit=False)
    yield from _authors(body)
    files: dict[str, set[str]] = defaultdict(set)
    # The pattern tries every letter anew, and few words hold a point before another letter.
    for match in (match for word in body.split() if "." in word[:-1] for match in _FILE.finditer(word)):
        files[match[1]].add(match[0])
    for ending, names in files.items():
        yield Group(len(names), "files of one kind", frozenset(("file", ending)), explicit=False)
    yield from _of_html(body)
    yield from _of_brackets(body)
    yield from _entries(body, frozenset())


def _authors(body: str) -> Iterator[Group]:
    """Authors of BibTeX entries, and of lines as "Moor, A., Tarn, B. C., & Rill, E.". Held are their names."""
    for match in islice(_AUTHORS.finditer(body), MAX_SHAPES):
        names = _until_closed(body[match.end() : match.end() + MAX_AUTHORS], "}" if match[1] == "{" else match[1])
        yield Group(len(_AUTHOR_END.findall(names)) + 1, AUTHORS, frozenset({"author"}), stems(names), explicit=False)
    for match in islice(_CITED.finditer(body), MAX_SHAPES):
        yield Group(len(_CITED_NAME.findall(match[0])), AUTHORS, frozenset({"author"}), stems(match[0]), explicit=False)


def _until_closed(text: str, closing: str) -> str:
    r"""`text` up to the mark that closes it; "Sol{\`e}ne" has a bracket inside."""
    depth = 0
    for place, character in enumerate(text):
        if character == closing and not depth:
            return text[:place]
        depth += {"{": 1, "}": -1}.get(character, 0)
    return ""


def _of_html(body: str) -> Iterator[Group]:
    """Rows of HTML tables and items of HTML lists."""
    open_at: list[list[int]] = []  # where each opened, and how many it holds
    for match in islice(_HTML_LIST.finditer(body), 5 * MAX_SHAPES):
        closing, tag = match[1], match[2].lower()
        if tag in ("li", "tr"):
            if open_at and not closing:
                open_at[-1][1] += 1
        elif not closing:
            open_at.append([match.start(), 0])
        elif open_at:
            start, count = open_at.pop()
            before = stems(plain(body[max(0, start - 200) : start]))
            for size in (count, count - 1) if tag == "table" else (count,):
                yield Group(size, "rows of a table" if tag == "table" else "items of a list", before | {"row"})
            if tag == "table":
                yield from _html_columns(body[start : start + MAX_LINE])


def _html_columns(table: str) -> Iterator[Group]:
    """Columns of an HTML table, as many as its first row spans, with the column of names and without."""
    row = re.split(r"</tr|<tr", table, maxsplit=2, flags=re.IGNORECASE)[1:2]
    count = sum(int(cell["span"] or 1) for cell in _HTML_COLUMN.finditer(row[0])) if row else 0
    for size in (count, count - 1):
        yield Group(size, "columns of a table", frozenset({"column"}), explicit=False)


def _of_brackets(body: str) -> Iterator[Group]:
    """`labels = ["A", "B"]` in code or output: counted under the name before it."""
    opened = (
        (match.end(), _KEY_BEFORE.search(body, max(0, match.start() - 43), match.start()))
        for match in _OPENS_LIST.finditer(body)
    )
    for start, key in islice(((start, key[1]) for start, key in opened if key), MAX_SHAPES):
        depth, commas, quote, filled = 0, 0, "", False
        for character in body[start : start + 1000]:
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote, filled = character, True
            elif character in "[({":
                depth += 1
            elif character in "])}":
                depth -= 1
                if not depth:
                    break
            elif depth == 1 and character == ",":
                commas, filled = commas + 1, False
            filled = filled or (depth > 0 and character.isalnum())
        if not depth:
            yield Group(commas + filled, "items of a list", stems(key.replace("_", " ")), explicit=False)


def _entries(text: str, named: frozenset[str]) -> Iterator[Group]:
    """`[{'entity': ...}, {'entity': ...}]` and `('new', 0.09), ('old', 0.04)`: what is printed entry by entry is counted under the
    words of the first entry and those around it."""
    start, end, count = 0, -MAX_BETWEEN, 1
    for joint in islice(_NEXT_ENTRY.finditer(text), 20 * MAX_SHAPES):
        between = text[end : joint.start()] if end > 0 else ""
        if joint.start() - end > MAX_BETWEEN or "\n\n" in between or "](" in between or "|" in between:
            if count > 1:
                yield _printed(text, start, count, named)
            start, count = joint.start(), 1
        count, end = count + 1, joint.end()
    if count > 1:
        yield _printed(text, start, count, named)


def _printed(text: str, start: int, count: int, named: frozenset[str]) -> Group:
    first = stems(text[max(0, start - 200) : start].replace("_", " "))
    return Group(count, PRINTED, named | first, explicit=False)


# --- sentences --------------------------------------------------------------------------------------------------------


def _enumerations(text: str, heading: frozenset[str]) -> Iterator[Group]:
    """ "English, French and German", also with slashes and semicolons, and "A and B", which is no list by itself."""
    for sentence in SENTENCE_END.split(text.replace("\n", " ") if "\n" in text else text):
        if ";" in sentence and (count := len([part for part in sentence.split(";") if part.strip()])) > 2:
            yield Group(count, "items of an enumeration", stems(sentence[:200]) | heading, stems(sentence))
        if "/" in sentence:
            for match in _SLASHES.finditer(sentence):
                around = sentence[max(0, match.start() - 60) : match.end() + 30]
                yield Group(match[0].count("/") + 1, "items of an enumeration", stems(around), stems(match[0]), explicit=False)
        before = ""
        for clause in _CLAUSE_END.split(sentence):
            for part in clause.split(";"):
                yield from _enumeration(part, before, heading)
            before = clause if clause.strip() else before


def _enumeration(clause: str, before: str, heading: frozenset[str]) -> Iterator[Group]:
    parts, last = [], False
    position = 0
    for joint in _COMMA.finditer(clause):
        parts.append(clause[position : joint.start()])
        position, last = joint.end(), bool(joint["last"])
    parts.append(clause[position:])
    pair = _AND.search(parts[-1])
    if len(parts) == 1 and not pair:
        return  # most clauses
    lead, tail = parts[0].split(), parts[-1].split()
    named = stems(" ".join([*before.split()[-8:], *lead[-6:], *tail[:5]])) | (
        heading if len(lead) < 4 and not before else frozenset()
    )
    held = stems(clause)
    if len(held & _LANGUAGES) > len(parts) / 2:
        named |= {"language"}
    if len(parts) == 1:
        yield Group(len(_AND.findall(clause)) + 1, "items of an enumeration", named, held, explicit=False)
        return
    yield from _families(parts)
    run = 1
    for part in reversed(parts[:-1]):
        run += 1
        if len(part.split()) > MAX_ITEM_WORDS:
            break  # what leads to the first item
    ended = last or bool(pair) or (len(parts) > 4 and all(len(part.split()) <= MAX_ITEM_WORDS for part in parts[1:]))
    bounded = all(len(part.split()) <= MAX_ITEM_WORDS for part in parts)
    if ended or bounded:
        size = run + (bool(pair) and not last)
        yield Group(size, "items of an enumeration", named, held, explicit=size > 2)
