"""A short plan of a summary: what it is going to state, in its order, each fact at the place of the source that has it.

    Overview: 55B parameters; 22.9 GB
    Evaluation: DROP 93.1; GSM8K 25.3
    papers.example/abs/2601.2429: 32 layers

Each line names a heading of the card, "front matter" or the address of a page, then facts in the source's own letters. Nothing is
put into words: what stands in a plan stands in the source, in one line of the place that is named.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from data_prep.cards.front_matter import split_front_matter
from data_prep.checks.document import lines_of
from data_prep.checks.facts import LANGUAGE_NAMES, facts_of
from data_prep.checks.names.grounding import compact
from data_prep.evidence.passages import Passage, passages_of
from data_prep.evidence.places import Looking, Place, places_in
from data_prep.evidence.summary import STATED, evidence_of
from data_prep.prompts.student import read_source

PLAN_VERSION = "1"  # of the words: other plans are other rows
FRONT_MATTER, CARD = "front matter", "card"  # CARD: what stands below the title
NAMED = (
    "base_model",
    "datasets",
    "languages",
    "library",
    "task",
)  # facts whose values are words, which need not look like names
MOST_LABEL = 5  # words before a colon that are the name of what follows
MOST_SECTION = 60  # characters
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_PAGE = re.compile(r'<source url="([^"]+)">\s*$')
_KEY = re.compile(r"[\s>*+-]*(?:\d+\.\s+)?([^:|\n]{2,60}?)\s*:(?!//)\s*\**\s*")
_MARKS = re.compile(r"\]\([^)]*\)|[*`#\[\]]+")
_BEHIND = re.compile(r"[ -]([A-Za-z]{3,})")
SMALL = "one two three four five six seven eight nine ten eleven twelve".split()
_EMPTY = ("and", "are", "for", "from", "has", "not", "than", "that", "the", "was", "were", "with")


@dataclass(frozen=True)
class PlannedFact:
    """Characters `start` to `end` (exclusive) of the source, the `place` that their line stands in, and the line's `label` for them."""

    place: str
    label: str
    start: int
    end: int


def plan_of(summary: str, source: str, count: Callable[[str], int], most: int) -> str:
    """The plan of a summary of `source` (a `source_text`), a place a line; at most `most` long by `count`: of a longer one each line
    keeps the same share of its facts, the first ones, and where that does not do the last lines go. "" where no line of the source
    states anything that the summary says."""
    lines = [
        (place, list(_texts(list(facts), source)))
        for place, facts in groupby(facts_planned(summary, source), key=lambda fact: fact.place)
    ]
    for share in range(20, 0, -1):
        if count(text := _written(lines, share / 20)) <= most:
            return text
    while count(text := _written(lines, 0)) > most:
        lines.pop()
    return text


def _written(lines: Sequence[tuple[str, list[str]]], share: float) -> str:
    kept = ((place, facts[: max(1, round(share * len(facts)))]) for place, facts in lines)
    return "\n".join(f"{place}: {'; '.join(facts)}" for place, facts in kept)


def _texts(facts: Sequence[PlannedFact], source: str) -> Iterator[str]:
    """Facts of one place in words: what has a label stands behind it, once."""
    for label, group in groupby(facts, key=lambda fact: fact.label):
        texts = [source[fact.start : fact.end] for fact in group]
        if label:
            yield " ".join([label, ", ".join(text for text in texts if compact(text) not in compact(label))]).rstrip()
        else:
            yield from texts


def facts_planned(summary: str, source: str) -> list[PlannedFact]:
    """In the order of the summary, none twice, without the model's own name. What stands side by side is one."""
    read = _Source(source)
    found: list[PlannedFact] = []
    for said, places in sorted(_said(summary, source, read), key=lambda one: one[0]):
        facts = [fact for place in places if (fact := read.fact(place)) and not _is_bare(fact, source)]
        if not facts or compact(summary[slice(*said)]) == read.own or any(_is_there(fact, found) for fact in facts):
            continue
        before = found[-1] if found else None
        if before and source[before.end : facts[0].start] == " " and before.label == facts[0].label:
            found[-1] = replace(before, end=facts[0].end)
        else:
            found.append(facts[0])
    return found


def _is_bare(fact: PlannedFact, source: str) -> bool:
    """True of a small number that nothing is said of: "three", "2"."""
    text = source[fact.start : fact.end].lower()
    return not fact.label and (len(text) == 1 or text in SMALL)


def _is_there(fact: PlannedFact, found: Sequence[PlannedFact]) -> bool:
    return any(fact.start < other.end and other.start < fact.end for other in found)


def _said(summary: str, source: str, read: _Source) -> Iterator[tuple[tuple[int, int], Sequence[Place]]]:
    """Characters of the summary with the places that bear them out."""
    for one in evidence_of(summary, source, ()):
        if one.standing == STATED and one.kind != "link":
            yield (one.start, one.end), one.places
    for name, fact in facts_of(source).items():
        for value in map(str, fact.values) if name in NAMED else ():
            if name == "languages" and value not in LANGUAGE_NAMES.values():  # a bare code: "as", "or" and "be" are words
                continue
            short = value.rstrip("/").rpartition("/")[2]
            if short and (match := re.search(rf"(?<!\w){re.escape(short)}(?!\w)", summary, re.IGNORECASE)):
                yield match.span(), read.places_of_word(short, fact_name=name)


class _Source:
    """Lines of a source with what they stand in."""

    def __init__(self, source: str) -> None:
        self.own = compact(read_source(source)[1].rpartition("/")[2])
        self._passages = passages_of(source)
        self._starts = [passage.start for passage in self._passages]
        self._matter = split_front_matter(source).end
        self._id_line = source.find("\n\nModel: ") + 2  # ours, not the card's
        self._sections = [one for one in _sections(source) if not 0 < one[0] < self._matter]  # YAML has comments, no headings

    def fact(self, place: Place) -> PlannedFact | None:
        """None where the place is a heading or a table's head, or a whole line, in which nothing could be told."""
        passage = self._passages[max(0, bisect_right(self._starts, place.start) - 1)]
        start, end, line = place.start, place.end, passage.text
        if (
            passage.start == self._id_line
            or end > passage.end
            or end - start > MOST_SECTION
            or _HEADING.match(line)
            or ("|" in line and not passage.head)
        ):
            return None
        if line[start - passage.start].isdigit() and (behind := _BEHIND.match(line, end - passage.start)):
            end += len(behind[0]) * (behind[1] not in _EMPTY)
        return PlannedFact(self._section(start), _label(passage, start - passage.start), start, end)

    def _section(self, position: int) -> str:
        if position < self._matter:
            return FRONT_MATTER
        name = self._sections[bisect_right(self._sections, (position, chr(0x10FFFF))) - 1][1]
        return CARD if self.own and self.own in compact(name) and "/" not in name else name

    def places_of_word(self, word: str, fact_name: str) -> Sequence[Place]:
        """Where a value of the front matter stands, as a word or, of a language, as its code."""
        spellings = [word]
        if fact_name == "languages":
            spellings += [code for code, name in LANGUAGE_NAMES.items() if name == word]
        for spelling, passages in zip(spellings, (self._passages, self._declared()), strict=False):
            spans = partial(_spans, re.compile(rf"(?<![\w/]){re.escape(spelling)}(?!\w)", re.IGNORECASE))
            holding = [passage for passage in passages if any(spans(passage))]
            if found := places_in(holding, Looking(bool, spans), frozenset(), 1):
                return found
        return ()

    def _declared(self) -> list[Passage]:
        return [passage for passage in self._passages if passage.start < self._matter]


def _spans(pattern: re.Pattern[str], passage: Passage) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in pattern.finditer(passage.text))


def _sections(source: str) -> Iterator[tuple[int, str]]:
    """Offsets at which a place begins, and its name: headings of the card, then addresses of pages."""
    yield 0, CARD
    fenced = in_page = False  # a page's own headings name no place: its address does
    for start, line in lines_of(source):
        fenced ^= line.lstrip().startswith("```")
        if page := _PAGE.match(line):
            fenced, in_page = False, True
            yield start, re.sub(r"^https?://", "", page[1])
        elif not fenced and not in_page and (heading := _HEADING.match(line)) and (name := _plain(heading[1])):
            yield start, name


def _label(passage: Passage, at: int) -> str:
    """What a line calls what stands at character `at` of it: the first cell of a row and, of several, the column's head; or the
    words before a colon."""
    line = passage.text
    if "|" in line:
        cells, heads = _cells(line), _cells(passage.head)
        column = line[:at].lstrip().removeprefix("|").count("|")
        of = f" {heads[column]}" if len(heads) > 2 and 0 < column < len(heads) else ""
        return _plain(cells[0] + of)
    key = _KEY.match(line)
    if key and key.end() <= at and len(key[1].split()) <= MOST_LABEL:
        return _plain(key[1])
    return ""


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _plain(text: str) -> str:
    return " ".join(_MARKS.sub("", text).split())[:MOST_SECTION].rstrip(" :;")
