"""A source cut into lines, each read by the readers of the checks when it is first asked.

A line is what a person looks up. A row of a table means little without its head, so it is read together with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from data_prep.checks.document import lines_of
from data_prep.checks.facts import list_lengths
from data_prep.checks.licences import named_in
from data_prep.checks.links import links_of
from data_prep.checks.names.grounding import Names, names_of
from data_prep.checks.numeric.grounding import Numbers, numbers_of

MAX_PASSAGES = 4_000  # of one source: a longer one is a log, and reading each line for each number would take minutes
WORD = re.compile(r"[^\W_]{2,}")
NOTHING = names_of("")


@dataclass(frozen=True)
class Passage:
    """A line of the source, without its end, from character `start`. `head`: the first line of the table that it is a row of; ""
    elsewhere."""

    text: str
    start: int
    head: str = ""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @cached_property
    def numbers(self) -> Numbers:
        return numbers_of(self.read_as(self.text))

    @cached_property
    def numbers_of_head(self) -> Numbers:
        return numbers_of(self.head)

    @cached_property
    def names(self) -> Names:
        return names_of(self.text)

    @cached_property
    def links(self) -> frozenset[str]:
        return links_of(self.text)

    @cached_property
    def licences(self) -> frozenset[str]:
        return frozenset(named_in(self.text))

    @cached_property
    def words(self) -> frozenset[str]:
        return words_of(self.read_as(self.text))

    def read_as(self, text: str) -> str:
        """`text` in the place of the line's own, below its head."""
        return f"{self.head}\n{text}" if self.head else text


def passages_of(source: str) -> list[Passage]:
    """The lines that hold something, the first MAX_PASSAGES of them."""
    found, head = [], ""
    for start, line in lines_of(source):
        text = line.rstrip("\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
        if "|" not in text:
            head = ""
        if WORD.search(text) or any(character.isdigit() for character in text):
            found.append(Passage(text, start, head))
        if "|" in text and not head:
            head = text
        if len(found) == MAX_PASSAGES:
            break
    return found


def counted_lists(source: str) -> list[Passage]:
    """The front matter, where it lists several languages, data sets or base models: its lengths may be said."""
    lengths = [count for count in list_lengths(source) if count > 1]
    end = source.find("\n---", 3)
    return [Passage(source[:end], 0)] if lengths and end > 0 else []


def words_of(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in WORD.findall(text))
