"""Numbers of sentences against the names beside them, where the source's tables have these names.

A sentence is cut where a part with a name and a number of its own may begin. A name is bound to a number if they are the only
ones, if names and numbers take turns, or if they alone share a part. A setting in inline code is a name; one with a word for its
value ("seed zero", "no decay") is none. What is compared or computed is left alone. Where nothing is wrongly bound, outside.py asks of which row and column any
word is said.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from data_prep.cards.scan import matches_in_lines
from data_prep.checks.document import Document
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.quantities import Quantity
from data_prep.checks.result import Span
from data_prep.checks.tables.outside import COMPUTED, Scene, own_lines, strays
from data_prep.checks.tables.source import OPENING, SIZE, Labels, Place, Table, Tables, stems_of, step_form

MAX_WORDS = 8  # of one name
MAX_NUMBERS = 40  # of one sentence: with more nothing is plain, and time grows with their square
LEAD = 20  # characters before a name that opens its sentence: "On MMLU", "- **MMLU**"
NEAR = 25  # characters between a plain word and its number: "average of 71.6"

_WORD = re.compile(r"[A-Za-z0-9]+")
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]+\Z")
_GOES_ON = re.compile(r"[-_/+][A-Za-z0-9]|\.[0-9]|@")  # MMLU of MMLU-Pro
_WENT_ON = re.compile(r"[A-Za-z0-9][-_+.]\Z")
_IN_NAME = re.compile(r"\b[A-Z0-9][\w.]* \Z")  # "Tiny Falcon" is another model than "Falcon 7B"
_CODE = re.compile(r"(?<!`)`[A-Za-z][\w.-]{0,60}`(?!`)")  # a name of settings, which is no prose: `max_length`
# A name with a word for its value, which is no number here: "random seed zero", "no weight decay", "the seed is unset".
_HELD = re.compile(
    r"[ `*:=]{1,6}(?:(?:of|is|are|was|at|to|being|set|left|that|which) ){0,3}(?:zero|one|none|null|off|unset|disabled)\b",
    re.IGNORECASE,
)
_HOLDING = re.compile(r"\b(?:zero|no|without)(?: an?y?)? [*`]*\Z", re.IGNORECASE)
_COUNTED = re.compile(r"[0-9]%? \Z")  # "3 epochs" says nothing of another number
_SIZES = re.compile(r"\((?:[0-9.]{1,6} ?[bmk](?:\)|,? and |, ))+")  # "the larger models (3.8B, 5.8B)" are named by these
_STEP = re.compile(r"\b(?:steps?|epochs?|iterations?|seed|fold|stage|round) [*`]*\Z", re.IGNORECASE)
_BEFORE_SIZE = re.compile(r"(?:\b(?:the|its|own|our|larger|smaller|bigger)|\() ?[*`]*\Z", re.IGNORECASE)
_BEHIND_SIZE = re.compile(r"[*`]* (?:model|one|variant|version|sibling|checkpoint)|\)", re.IGNORECASE)
_MODEL = re.compile(r"^Model: [^\s/]{1,100}/(\S{1,100})$", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.;!?](?=\s)|\n(?=[ \t]*(?:[-*+>#|]|[0-9]+[.)]))|\n[ \t]*\n")
_CUT = re.compile(
    r",(?=\s)|\b(?:and|but|while|whereas|against|versus|vs|to|then)\b| [–—-] |:(?=[* ]{1,4}[a-z])"
    r"|\((?=[^()\n]{0,80}[a-z][^()\n]{0,80}[0-9])"
)
# Beside these a number is computed from cells, or belongs to what the name is compared with.
_COMPARED = re.compile(
    r"\b(?:than|versus|vs|against|beats?|compared|ahead|behind|above|below|over|under|unlike|points?|by|gaps?|differences?|differs?"
    r"|ratio|times|respectively|sum|lead|margin|between|outperform\w*|exceed\w*|surpass\w*)\b"
)


@dataclass(frozen=True)
class Mention:
    """A name of the source's tables in a summary."""

    form: str
    start: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """`text`: the whole summary in lower case. `cuts`: where parts begin."""

    text: str
    start: int
    end: int
    numbers: tuple[Quantity, ...]
    mentions: tuple[Mention, ...]
    cuts: tuple[int, ...]

    def part(self, at: int) -> tuple[int, int]:
        """The part that a character stands in."""
        number = bisect_right(self.cuts, at)
        return (self.start, *self.cuts)[number], (*self.cuts, self.end)[number]


Named = tuple[tuple[Mention, Labels], ...]


@dataclass(frozen=True)
class View:
    """A sentence as one table sees it. `named`: names of its rows, of its columns; `homes`: its cells that have each number."""

    table: Table
    sentence: Sentence
    named: tuple[Named, Named]
    homes: Mapping[Quantity, set[Place]]


@dataclass(frozen=True)
class Side:
    """A sentence as one side of a table sees it: names of its rows (or columns), and the numbers that the table has."""

    named: Named
    numbers: tuple[Quantity, ...]
    sentence: Sentence
    table: Table

    @cached_property
    def parts(self) -> dict[int, tuple[list[Labels], int]]:
        """The names and the count of numbers in each part."""
        found: dict[int, tuple[list[Labels], int]] = defaultdict(lambda: ([], 0))
        for mention, labels in self.named:
            found[self.place(mention.start)][0].append(labels)
        for number in self.numbers:
            names, count = found[self.place(number.start)]
            found[self.place(number.start)] = names, count + 1
        return dict(found)

    def place(self, at: int) -> int:
        return bisect_right(self.sentence.cuts, at)


def faults_in_sentences(document: Document, numbers: Sequence[Quantity], known: Tables, source: str) -> Iterator[Span]:
    """`numbers`: in order. Those of the summary's prose that stand beside a name which has others in the source's tables."""
    starts = [number.start for number in numbers]
    model = [match[1] for match in matches_in_lines(("Model: ",), _MODEL, source)]
    own = compact(model[-1]) if model else ""
    for start, end in _sentences(document):
        here = tuple(numbers[bisect_left(starts, start) : bisect_left(starts, end)])
        asked = [number for number in here if _is_specific(number) and known.having(number)]
        named = [match.span() for match in _SIZES.finditer(document.lower, start, end)] if asked else []
        asked = [number for number in asked if not any(begin < number.start < stop for begin, stop in named)]
        if not asked or len(here) > MAX_NUMBERS:
            continue
        shown = _with_code(document, start, end)
        mentions = tuple(sorted(_mentions(shown, start, end, here, known), key=lambda mention: mention.start))
        cuts = [cut.start() for cut in _CUT.finditer(document.lower, start, end)]
        cuts = [cut for cut in cuts if not any(mention.start < cut < mention.end for mention in mentions)]
        sentence = Sentence(document.lower, start, end, here, mentions, tuple(cuts))
        views = [_view(sentence, table) for table in _tables(mentions, asked, known)]
        scenes: list[Scene] | None = None
        for number in asked:
            fault = _fault(number, views, known)
            if fault and _is_half_named(sentence, *fault):
                fault = None
            if not fault and not any(mention.start == number.start for mention in mentions):
                scenes = _scenes(views, own) if scenes is None else scenes
                fault = _stray(number, scenes, known)
            if fault and not _is_told(source, number, sentence, *fault, known):
                yield Span(number.start, number.end, fault[0].reason(number, *fault[1:]))


def _tables(mentions: Sequence[Mention], asked: Sequence[Quantity], known: Tables) -> Iterator[Table]:
    """Those that have a name of the sentence; where none has, those with some of its numbers, whose words may be said."""
    if found := {index for mention in mentions for index in known.naming[mention.form]}:
        yield from (known.tables[index] for index in sorted(found))
    elif len(exact := [number for number in asked if "." in number.literal]) > 1:  # 4096 may be many things
        counts = Counter(id(table) for number in exact for table in known.having(number))
        yield from (table for table in known.tables if counts[id(table)] > 1)


def _scenes(views: Sequence[View], own: str) -> list[Scene]:
    """Each table's view with the words of the sentence; none where numbers are computed."""
    if not views:
        return []
    sentence = views[0].sentence
    whole = sentence.text, sentence.start, sentence.end
    if COMPUTED.search(*whole):
        return []
    words = stems_of(sentence.text[sentence.start : sentence.end])
    is_compared = _COMPARED.search(*whole) is not None
    scenes = []
    for view in views:
        rows, columns = (frozenset(line for _, lines in side for line in lines) for side in view.named)
        is_clear = {mention for mention, _ in view.named[0]}.isdisjoint(mention for mention, _ in view.named[1])
        mine = own_lines(view.table, own)
        scenes.append(Scene(sentence.text, view.table, (rows, columns), mine, words, view.homes, is_clear, is_compared))
    return scenes


def _stray(number: Quantity, scenes: Sequence[Scene], known: Tables) -> tuple[Table, Place, Place] | None:
    """A number that no table has where the words of the sentence lead."""
    tables = [scene.table for scene in scenes]
    if any(table not in tables for table in known.having(number)):
        return None
    found = None
    for scene in scenes:
        if scene.homes[number]:
            if not (places := strays(number, scene)):
                return None
            found = found or (scene.table, *places)
    return found


def _is_specific(number: Quantity) -> bool:
    """71.2 and 12,345, not 5: small whole numbers are shots, seeds and stages."""
    return number.kind != "date" and ("." in number.literal or number.kind == "percent" or len(number.literal) > 2)


def _sentences(document: Document) -> Iterator[tuple[int, int]]:
    """Sentences, and clauses after a semicolon, inside each block of prose."""
    for block in document.blocks:
        if block.kind in ("bullet", "text"):
            cuts = [match.end() for match in _SENTENCE_END.finditer(document.prose, block.start, block.end)]
            yield from pairwise(sorted({block.start, *cuts, block.end}))


def _with_code(document: Document, start: int, end: int) -> str:
    """The prose, with the names that a sentence has in code: beside a number they say whose it is."""
    text = document.prose
    if "`" in document.text:
        for code in _CODE.finditer(document.text, start, end):
            text = text[: code.start()] + code[0] + text[code.end() :]
    return text


def _mentions(text: str, start: int, end: int, numbers: Sequence[Quantity], known: Tables) -> Iterator[Mention]:
    """The longest names of the tables, from left to right."""
    words = list(_WORD.finditer(text, start, end))
    lower = [word[0].lower() for word in words]
    at = 0
    while at < len(words):
        if lower[at][:OPENING] not in known.openings:
            at += 1
            continue
        begin = words[at].start()
        for stop in range(min(at + MAX_WORDS, len(words)), at, -1):
            form = "".join(lower[at:stop])
            if form not in known.naming:
                form = f"^{form}"
                if form not in known.naming or _IN_NAME.search(text, max(0, begin - 20), begin):
                    continue
            finish = words[stop - 1].end()
            is_held = _HELD.match(text, finish) or _HOLDING.search(text, max(0, begin - 14), begin)
            if is_held or _is_name(text, begin, finish, numbers):
                if not is_held:
                    yield Mention(form, begin, finish)
                at = stop - 1
                break
        at += 1
    yield from _sizes_and_steps(text, start, numbers, known)


def _sizes_and_steps(text: str, start: int, numbers: Sequence[Quantity], known: Tables) -> Iterator[Mention]:
    """Numbers that name a row: "step 29500", "the 6.7B model"."""
    for number in numbers:
        begin, finish = number.start, number.end
        if _STEP.search(text, max(start, begin - 24), begin):
            form = step_form(number.literal)
        elif (size := SIZE.match(text, begin)) and (
            _BEFORE_SIZE.search(text, max(start, begin - 16), begin) or _BEHIND_SIZE.match(text, size.end())
        ):
            form, finish = f"~{compact(size[0])}", size.end()
        else:
            continue
        if form in known.naming:
            yield Mention(form, begin, finish)


def _is_name(text: str, begin: int, finish: int, numbers: Sequence[Quantity]) -> bool:
    """Not part of a longer word or of a number, nor a plain word far from any number."""
    if finish - begin < 2 or any(
        number.start <= begin < number.end or number.start < finish < number.end for number in numbers
    ):
        return False  # nor "PHP (4" of "PHP (4,942,186)"
    if _GOES_ON.match(text, finish) or _WENT_ON.search(text, max(0, begin - 2), begin):
        return False
    if not _PLAIN_WORD.match(text[begin:finish]):
        return True
    if _COUNTED.search(text, max(0, begin - 12), begin) and not any(0 <= begin - number.end < 3 for number in numbers):
        return False
    return finish - begin > 2 and any(0 <= number.start - finish < NEAR or 0 <= begin - number.end < NEAR for number in numbers)


# --- what is bound to what --------------------------------------------------------------------------------------------


def _view(sentence: Sentence, table: Table) -> View:
    rows, columns = (
        tuple((mention, names[mention.form]) for mention in sentence.mentions if mention.form in names) for names in table.named
    )
    return View(table, sentence, (rows, columns), {number: table.places(number) for number in sentence.numbers})


def _fault(number: Quantity, views: Sequence[View], known: Tables) -> tuple[Table, Place, Place] | None:
    """(table, a cell of the names beside the number, the cell that has it); None where any table has it beside these names."""
    found = None
    # Only a table that has it in one cell can say that it stands in the wrong one; the others may still have it in the right one.
    for view in sorted(views, key=lambda view: len(view.homes[number]) != 1):
        if found is None and len(view.homes[number]) != 1:
            return None
        table, bound = view.table, _bound(view, number)
        if bound is None:
            continue
        if table.holds(number, *bound) or any(
            _has(other, table, bound, number) for other in known.having(number) if other is not table
        ):
            return None
        if found is None and (places := table.moved(number, *bound)):
            found = table, *places
    return found


def _has(other: Table, table: Table, bound: tuple[Labels | None, Labels | None], number: Quantity) -> bool:
    """True where another table has the number beside a name that is bound to it."""
    homes = other.places(number)
    forms = {form for side in (0, 1) for label in bound[side] or () for form in table.labels[side][label].forms}
    return any(home[side] in other.named[side].get(form, ()) for form in forms for home in homes for side in (0, 1))


def _bound(view: View, number: Quantity) -> tuple[Labels | None, Labels | None] | None:
    """The rows and columns that are named beside the number, None for a side that is not; None where no side plainly is."""
    sentence = view.sentence
    here = tuple(other for other in sentence.numbers if other is number or view.homes[other])
    rows, columns = ({mention for mention, _ in named} for named in view.named)
    if rows & columns or any(
        0 <= other.start - mention.end < 3 and not view.homes[other] and other != number
        for mention in rows | columns
        for other in sentence.numbers
    ):
        return None  # "epoch 0" says nothing of other numbers
    sides = [Side(named, here, sentence, view.table) for named in view.named]
    places = [_beside(side, number, view.homes, at) for at, side in enumerate(sides)]
    if _UNCLEAR in places or places == [None, None]:
        return None
    if _COMPARED.search(sentence.text, *sentence.part(number.start)) and not any(_in_turn(side, number) for side in sides):
        return None
    return places[0], places[1]


_UNCLEAR: Labels = frozenset({-1})


def _beside(side: Side, number: Quantity, homes: Mapping[Quantity, set[Place]], at: int) -> Labels | None:
    """The label of this side that stands beside the number; None where none does, _UNCLEAR where it is not plain which."""
    if not side.named:
        return None
    first, labels = side.named[0]
    if len({found for _, found in side.named}) == 1:
        if _is_spent(side, number, homes, labels, at):
            return _UNCLEAR
        opens = first.start < side.numbers[0].start and first.start - side.sentence.start < LEAD
        others = [homes[other] for other in side.numbers if other is not number]
        if side.place(first.start) > side.place(number.start):
            return _UNCLEAR  # "128 tokens, batch size as in the paper"
        # A name that opens the sentence is that of all numbers, where it is that of all others.
        if not others or (opens and all(any(place[at] in labels for place in places) for places in others)):
            return labels
    if found := _in_turn(side, number):
        return found
    parts = side.parts
    if not parts[side.place(number.start)][0] and all(len(names) == count == 1 for names, count in parts.values() if names):
        return _of_part_before(side, number, parts)
    return _UNCLEAR


def _is_spent(side: Side, number: Quantity, homes: Mapping[Quantity, set[Place]], labels: Labels, at: int) -> bool:
    """True where the name has a number of its own and its row (or column) no other: "a batch size of 32 and 128 tokens"."""
    cells = {place for place in side.table.values if place[at] in labels}
    return len(cells) == 1 and any(cells & homes[other] for other in side.numbers if other is not number)


def _of_part_before(side: Side, number: Quantity, parts: dict[int, tuple[list[Labels], int]]) -> Labels | None:
    """ "MMLU rises from 64.3 to 71.2": the name of the part before, where a range goes on."""
    begin, _ = side.sentence.part(number.start)
    before = parts.get(side.place(number.start) - 1)
    return before[0][0] if before and before[0] and side.sentence.text.startswith("to ", begin) else None


def _in_turn(side: Side, number: Quantity) -> Labels | None:
    """The label where names and numbers take turns, in the whole sentence or in the number's part of it."""
    if len(side.numbers) == 1:
        return None
    marks: list[tuple[int, Labels | Quantity]] = [(mention.start, labels) for mention, labels in side.named]
    marks = sorted([*marks, *((other.start, other) for other in side.numbers)], key=lambda mark: mark[0])
    kinds = [isinstance(mark, Quantity) for _, mark in marks]
    if len(side.named) == len(side.numbers) and all(one != two for one, two in pairwise(kinds)):
        partner = marks[[mark for _, mark in marks].index(number) ^ 1][1]
        return None if isinstance(partner, Quantity) else partner
    parts, own = side.parts, side.place(number.start)
    around = [parts.get(place, ([], 0)) for place in (own - 1, own, own + 1)]
    names, count = around[1]
    if len(names) != 1 or count != 1 or any(names and not count for names, count in around):
        return None
    return names[0]


# --- what speaks against a fault --------------------------------------------------------------------------------------


def _is_half_named(sentence: Sentence, table: Table, place: Place, home: Place) -> bool:
    """True where the sentence has a word of the name that the table gives the number to, outside of plain names: "Reddit" of
    "Reddit comments", "challenges" of "F1 Challenge"; or where that name holds the one that is said."""
    here, there = table.side_of(place, home)
    # A size, a step and a beginning are of many names: two models of 7B are two.
    if any(form in whole for form in here.forms if form[0] not in "~^#" for whole in there.forms):
        return True
    words = _stems(there.text) - _stems(here.text)
    return any(
        match[0].rstrip("s") in words and not any(name.start <= match.start() < name.end for name in sentence.mentions)
        for match in _WORD.finditer(sentence.text, sentence.start, sentence.end)
    )


def _stems(text: str) -> set[str]:
    return {word.rstrip("s") for word in _WORD.findall(text.lower()) if len(word) > 2 and not word.isdigit()}


def _is_told(source: str, number: Quantity, sentence: Sentence, table: Table, place: Place, home: Place, known: Tables) -> bool:
    """True where the source's prose has the number: beside a name of the sentence, or not beside the one that the table gives
    it to."""
    owners = [form for side in (0, 1) for form in table.labels[side][home[side]].forms]
    said = {mention.form.lstrip("^") for mention in sentence.mentions}
    written = re.compile(rf"(?<![0-9.]){re.escape(number.literal)}(?![0-9]|\.[0-9])")
    for line in source.splitlines():
        plain = line.replace(",", "")
        if number.literal in plain and line not in known.lines and written.search(plain):
            words = compact(line)
            if any(form in words for form in said) or not any(form in words for form in owners):
                return True
    return False
