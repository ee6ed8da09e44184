"""The passages that bear out one number, name, licence or link: those which the check would pass it for, were each all of the source.

So what is shown is what was checked, and nothing is parsed a second way. In its passage a place is narrowed to the characters
themselves where they can be told; otherwise the passage is the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from data_prep.cards.mentions import BARE, address_of, trimmed_url
from data_prep.checks.document import blank
from data_prep.checks.licences import agree, licences_in
from data_prep.checks.links import canonical
from data_prep.checks.names.grounding import compact, is_known
from data_prep.checks.numeric.grounding import is_grounded, numbers_of
from data_prep.checks.numeric.notation import plain_with_offsets
from data_prep.checks.numeric.quantities import Quantity, quantities
from data_prep.evidence.passages import NOTHING, Passage

MOST_NARROWED = 60  # numbers of one line that are tried one by one
MAX_LINE = 4_000  # characters: a longer line is a place as a whole
_ADDRESS = re.compile(BARE, re.IGNORECASE)
_WORD = re.compile(r"[^\W_]{3,}")
_SEAMS = r"[\W_]{0,3}"  # between the letters of a name, which each author joins in his own way


@dataclass(frozen=True, order=True)
class Place:
    """Characters `start` to `end` (exclusive) of the source."""

    start: int
    end: int


@dataclass(frozen=True)
class Looking:
    """For one piece of a summary. `holds`: whether a passage bears it out; `narrow`: the characters in such a passage that do."""

    holds: Callable[[Passage], bool]
    narrow: Callable[[Passage], Iterator[tuple[int, int]]]


def looking_for_number(found: Quantity) -> Looking:
    def holds(passage: Passage) -> bool:
        if not is_grounded(found, passage.numbers):
            return False
        return not passage.head or not is_grounded(found, passage.numbers_of_head)

    return Looking(holds, lambda passage: _number_in(found, passage))


def _number_in(found: Quantity, passage: Passage) -> Iterator[tuple[int, int]]:
    """The numbers of a line with which alone it still bears `found` out; else the same digits, which may be part of a name."""
    text, offsets = plain_with_offsets(passage.text)
    known = [(one.start, one.end) for one in quantities(text, bounds=False)][:MOST_NARROWED]
    if not is_grounded(found, numbers_of(passage.read_as(blank(text, known)))):
        for start, end in known:
            rest = blank(text, (other for other in known if other != (start, end)))
            if is_grounded(found, numbers_of(passage.read_as(rest))):
                yield offsets[start], offsets[end]
    for said, before in ((found.text, r"(?<![\w-])"), (found.literal, "(?<![0-9])")):
        if said:
            pattern = rf"{before}{re.escape(said)}(?![0-9])"
            yield from (match.span() for match in re.finditer(pattern, passage.text))


def looking_for_name(name: str) -> Looking:
    is_term = is_known(name, NOTHING)  # LLM or multi-GPU need no source; where one has them, it is shown
    key = compact(name)

    def holds(passage: Passage) -> bool:
        if is_term:
            return bool(key) and passage.names.has(name)
        return is_known(name, passage.names)

    return Looking(holds, lambda passage: _name_in(name, passage))


def _name_in(name: str, passage: Passage) -> Iterator[tuple[int, int]]:
    """The name, else the longest word of it that stands there: of an institute one word may."""
    yield from _letters_in(compact(name), passage)
    for word in sorted(_WORD.findall(name), key=len, reverse=True):
        yield from _letters_in(compact(word), passage)


def _letters_in(key: str, passage: Passage) -> Iterator[tuple[int, int]]:
    """Where the letters and digits of a name stand in a row, whatever joins them."""
    if key:
        pattern = _SEAMS.join(map(re.escape, key))
        yield from (match.span() for match in re.finditer(pattern, passage.text, re.IGNORECASE))


def looking_for_licence(identifier: str) -> Looking:
    def holds(passage: Passage) -> bool:
        return any(agree(identifier, known) for known in passage.licences)

    def narrow(passage: Passage) -> Iterator[tuple[int, int]]:
        yield from ((span.start, span.end) for span in licences_in(passage.text) if agree(identifier, span.label))

    return Looking(holds, narrow)


def looking_for_link(target: str) -> Looking:
    wanted = canonical(target)

    def narrow(passage: Passage) -> Iterator[tuple[int, int]]:
        for match in _ADDRESS.finditer(passage.text):
            spelt = trimmed_url(match[0])
            if canonical(address_of(spelt)) == wanted:
                yield match.start(), match.start() + len(spelt)

    return Looking(lambda passage: wanted in passage.links, narrow)


def places_in(passages: Sequence[Passage], looking: Looking, words: frozenset[str], most: int) -> tuple[Place, ...]:
    """The `most` places whose lines share most words with what the summary says around it, best first."""
    holding = [passage for passage in passages if looking.holds(passage)]
    holding.sort(key=lambda passage: (-len(passage.words & words), passage.start))
    return tuple(_placed(passage, looking) for passage in holding[:most])


def _placed(passage: Passage, looking: Looking) -> Place:
    text = passage.text
    spans = looking.narrow(passage) if len(text) <= MAX_LINE else iter(())
    start, end = next(spans, (len(text) - len(text.lstrip()), len(text.rstrip())))
    return Place(passage.start + start, passage.start + end)
