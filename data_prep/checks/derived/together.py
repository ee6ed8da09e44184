"""What stands together in a text: lists, tables, enumerations and the like, with their lengths and the words that name them.

Read line by line, with patterns that cannot run on: a source is any text whatsoever. It is no Markdown parser: a list that is read in
two pieces costs a count that is not recognised, no more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from data_prep.cards.front_matter import split_front_matter
from data_prep.checks.derived.enumerations import enumerations
from data_prep.checks.derived.groups import Group, families, of_table, shared, tags, without_totals
from data_prep.checks.derived.shapes import MAX_LINE, entries, is_fence, of_headings, of_metadata, of_shapes
from data_prep.checks.derived.words import SENTENCE_END, STOP, plain, running, stems
from data_prep.checks.numeric.quantities import WORD
from data_prep.checks.tables.source import markdown_grids

MAX_LINES = 6_000  # beyond these nothing is looked for
MOST_INTRO = 200  # characters of the sentence before a list
TELLING = 3  # a word that stands in more lists than these tells none apart
_ITEM = re.compile(r"([ \t>]{0,40})(?:[-*+•–]|\(?[0-9]{1,2}[.)])[ \t]+(?=\S)")
_HEADING = re.compile(r"[ ]{0,3}(#{1,6})[ \t]+(\S.*)")
_BOLD_LINE = re.compile(r"[ \t]{0,3}(?:\*\*|__)([^*_]{1,80})(?:\*\*|__):?[ \t]*$")
_KEY = re.compile(r"[ \t>\"'-]{0,12}[A-Za-z][\w ()/@.-]{0,40}?([\"' ]{0,2}[:=](?!//)|[ \t]{2,60}(?=[0-9<>~-]))[ \t]{0,40}\S")
_NUMBERED = re.compile(rf"(?<![\w.-])(?:[0-9][0-9,.]{{0,12}}|{WORD})[ -]((?:[a-z][a-z-]{{0,20}}[ ]?){{1,4}})")
_REPORT_ROW = re.compile(r"[ \t]*(\S{1,40}(?:[ ]\S{1,20}){0,2})(?:[ \t]{1,40}[0-9][0-9.,]{0,20}){3,8}[ \t]*$")
_CAPTION = re.compile(r"[ \t]{0,8}(?:_[^_\n]{1,200}_|\*[^*\n]{1,200}\*|<i>[^<\n]{1,200}</i>)(?:<br ?/?>)?[ \t]*$")
_TABLE = re.compile(r"<table\b", re.IGNORECASE)
# With what a line may begin that a pattern is asked about: most lines are none of these.
_ITEM_SIGNS = frozenset("-*+•–(0123456789")
_CAPTION_SIGNS = frozenset("_*<")


@dataclass(frozen=True)
class Together:
    """All that stands together in `text`, in time that is linear in its length. `running`: the words alone, in order."""

    text: str

    @cached_property
    def _page(self) -> _Page:
        page = _Page()
        for line in split_front_matter(self.text).body.splitlines()[:MAX_LINES]:
            page.add(line[:MAX_LINE])
        page.end_section()
        return page

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        front, page = split_front_matter(self.text), self._page
        tables = page.tables + len(_TABLE.findall(front.body))
        groups = [*of_metadata(front.metadata), *(group for found in page.groups for group in found())]
        groups.append(Group(tables, "tables", frozenset({"table"}), explicit=False))
        groups += [*of_headings(page.headings), *of_shapes(front.body)]
        for piece, named in dict.fromkeys(page.texts):  # what is said twice makes the same groups
            heading = _stems(named)
            groups += [*enumerations(piece, heading), *entries(piece, heading)]
        return tuple(dict.fromkeys(group for group in groups if group.size > 1))

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """Texts whose numbers stand together, each a list or a sentence."""
        sentences = (sentence for piece, _ in self._page.texts for sentence in SENTENCE_END.split(piece))
        return (*self._page.lists, *sentences)

    @cached_property
    def words(self) -> frozenset[str]:
        return stems(self.text)

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


Named = tuple[str, ...]  # texts whose words name what stands below them


def _stems(named: Named) -> frozenset[str]:
    return frozenset[str]().union(*map(stems, named))


@dataclass
class _List:
    """An open list: the column its markers stand in, and the words before it."""

    indent: int
    named: Named
    items: list[str] = field(default_factory=list)


def _heading(line: str) -> re.Match[str] | None:
    match line.lstrip(" \t")[:1]:
        case "#":
            return _HEADING.match(line)
        case "*" | "_":
            return _BOLD_LINE.match(line)
    return None


class _Page:
    """Reads a body line by line and keeps what it found. `groups` are made when they are asked for: most sources are only asked
    which numbers stand together."""

    def __init__(self) -> None:
        self.groups: list[Callable[[], Iterable[Group]]] = []
        self.lists: list[str] = []
        self.texts: list[tuple[str, Named]] = []  # paragraphs, items and long cells, with their heading
        self.headings: list[tuple[int, str]] = []
        self._heading: Named = ()
        self._intro: Named = ()
        self._open: list[_List] = []
        self._rows: list[str] = []
        self._keys: list[str] = []
        self._keys_named: Named = ()
        self._mark = ""  # what parts key and value in them
        self._paragraph: list[str] = []
        self._captions: list[str] = []  # lines of the section in italics
        self._in_code = False
        self._blank = False
        self._report: list[str] = []  # names of the rows of a printed table
        self.tables = 0

    def add(self, line: str) -> None:
        if is_fence(line):
            self.close()
            self._end_report()
            self._in_code = not self._in_code
        elif self._in_code:
            if row := _REPORT_ROW.match(line):
                self._report.append(row[1])
            self.groups.append(partial(tags, line))
        elif not line.strip():
            self._end_block()
            self._blank = True
        elif heading := _heading(line):
            self.end_section()
            self._start_section(heading)
        elif line.count("|") > 1 or (self._rows and "|" in line):
            self._row(line)
        elif line.lstrip(" \t>")[:1] in _ITEM_SIGNS and (item := _ITEM.match(line)):
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
        self.groups.append(partial(_of_report, self._report, (*self._heading, *self._intro)))
        self._report = []

    def end_section(self) -> None:
        self.close()
        if self._captions:
            self.groups.append(partial(_of_captions, self._captions, self._heading))
        self._captions = []

    def _start_section(self, heading: re.Match[str]) -> None:
        text = plain(heading[heading.lastindex or 0])
        self.headings.append((len(heading[1]) if heading[0].lstrip().startswith("#") else 7, text))
        self._heading = self._intro = (text,)

    def _end_block(self) -> None:
        if self._paragraph:
            text = "\n".join(self._paragraph)
            self.texts.append((text, self._heading))
            # "per-entity scores" are of entities.
            end = text.strip(" .:")[-MOST_INTRO - 2 :]  # the point before it, and the space behind
            self._intro = (SENTENCE_END.split(end)[-1][-MOST_INTRO:].replace("-", " "),)
            self._paragraph = []
        if self._rows:
            self._close_table()

    def _end_keys(self) -> None:
        if len(self._keys) > 1:
            self._add_list(self._keys, "lines of one kind", self._keys_named)
        self._keys = []

    def _add_list(self, items: Sequence[str], kind: str, named: Named) -> None:
        self.lists.append("\n".join(items))
        self.groups.append(partial(_of_list, items, kind, named))

    def _key(self, line: str) -> None:
        if (":" in line or "=" in line or "  " in line or "\t" in line) and (key := _KEY.match(line)):
            if self._keys and self._mark != key[1].strip():
                self._end_keys()
            if not self._keys:
                self._keys_named = (*self._heading, *self._intro)
            self._mark = key[1].strip()
            self._keys.append(line)
        elif line.strip():
            self._end_keys()

    def _text(self, line: str) -> None:
        if line.lstrip(" \t")[:1] in _CAPTION_SIGNS and _CAPTION.match(line):
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
            above = (self._open[-1].items[-1][:200],) if self._open else (*self._heading, *self._intro)
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
            self.groups.append(partial(_of_table, header, rows, (*self._heading, *self._intro)))
            self.texts += [(cell, (name,)) for row in rows for name, cell in zip(header, row, strict=False) if len(cell) > 20]
        self._rows = []


# --- groups of what is read -------------------------------------------------------------------------------------------


def _of_report(names: list[str], named: Named) -> Iterator[Group]:
    return without_totals(names, "rows of a table", _stems(named) | {"row", "class"}, stems(" ".join(names)))


def _of_captions(lines: list[str], named: Named) -> Iterator[Group]:
    yield Group(len(lines), "lines in italics", _stems(named) | {"row", "image"}, stems("\n".join(lines)), explicit=False)


def _of_list(items: Sequence[str], kind: str, named: Named) -> Iterator[Group]:
    above = _stems(named)
    yield Group(len(items), kind, above | shared(items), stems("\n".join(items)))
    yield from families(items, above)


def _of_table(header: list[str], rows: list[list[str]], named: Named) -> Iterator[Group]:
    return of_table(header, rows, _stems(named))
