"""A summary -> what it states, piece by piece, for a checker to hold against the source.

Every bullet, every row of a table and every sentence of prose is one statement, remarks included: what nobody can check
is not supported either. Headings state nothing; a bullet's heading goes with it, since "apache-2.0" alone says little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from data_prep.checks.document import Block, Document, read, rendered_words

FEWEST_WORDS = 2
# Inline code states things too (`apache-2.0`); without its ticks the parser gives it back as words. Fences stay.
_TICKS = re.compile(r"(?<!`)`{1,2}(?!`)")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*_]{0,3}(?P<gap>\s+)(?=[\"'(\[*_]{0,3}[A-Z0-9])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|cf|et al|fig|eq|sec|no|approx|ca|dr|mr|ms|prof|inc|resp)|(?:^|\s)[a-z])\.$", re.I
)
_DELIMITER_ROW = re.compile(r"[ \t]*\|?[ \t:|-]*-[ \t:|-]*(?:\n|\Z)")


@dataclass(frozen=True)
class Statement:
    """One thing a summary says: `text` as a reader sees it, `start` to `end` (exclusive) in the summary."""

    text: str
    context: str  # heading over a bullet or a table's row; empty for prose
    start: int
    end: int

    @property
    def claim(self) -> str:
        return f"{self.context}: {self.text}" if self.context else self.text


def statements(summary: str) -> list[Statement]:
    """In the order of the summary. Never raises; an empty list where nothing is said."""
    document = read(_TICKS.sub(lambda ticks: " " * len(ticks[0]), summary))
    return [statement for statement in _all(document) if len(rendered_words(statement.text)) >= FEWEST_WORDS]


def _all(document: Document) -> Iterator[Statement]:
    heading, titles = "", []
    for start, group in groupby(document.blocks, key=lambda block: block.start):
        blocks = list(group)
        kind = blocks[0].kind
        if kind == "heading":
            heading = _words(blocks[0].text).rstrip(":")
        elif kind == "bullet":
            for block in blocks:
                yield Statement(_words(block.text), heading, *_trimmed(document.text, block.start, block.end))
        elif kind == "cell":
            if _DELIMITER_ROW.match(document.text, blocks[0].end):
                titles = [_words(block.text) for block in blocks]
            else:
                yield Statement(_row(titles, blocks), heading, *_trimmed(document.text, start, blocks[0].end))
        else:
            yield from (sentence for block in blocks for sentence in _sentences(document, block))


def _row(titles: list[str], cells: list[Block]) -> str:
    texts = [_words(cell.text) for cell in cells]
    named = titles if len(titles) == len(texts) else [""] * len(texts)
    return "; ".join(f"{title}: {text}" if title else text for title, text in zip(named, texts, strict=True) if text)


def _sentences(document: Document, block: Block) -> Iterator[Statement]:
    # `prose` is as long as the text and holds no addresses, whose dots end nothing.
    prose, start = document.prose[: block.end], block.start
    ends = [
        match for match in _SENTENCE_END.finditer(prose, block.start) if not _ABBREVIATION.search(prose[start : match.start()])
    ]
    for stop, following in [*((match.start("gap"), match.end()) for match in ends), (block.end, block.end)]:
        raw = document.text[start:stop]
        yield Statement(_words(" ".join(part.text for part in read(raw).blocks)), "", *_trimmed(document.text, start, stop))
        start = following


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _words(text: str) -> str:
    return " ".join(text.split())
