"""Copying: how much of a summary is lifted from the sources word for word.

Coverage and density of Grusky et al. 2018 ("Newsroom"), with their greedy fragments: from each word of the summary on, the
longest run that the source holds. A run ends where its bullet or paragraph ends, so that sentences picked one by one, each a
bullet of its own, are not taken for one long passage.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from data_prep.cards.scan import without
from data_prep.checks.document import Document, lowered
from data_prep.checks.result import CheckResult, Span, listed

# A sentence of English prose ends before: of the runs in references of the invented world the longest has some 20 words,
# a sentence that the extractive writer takes has at most 60, and the first 400 words of a card hold whole paragraphs.
LONGEST_RUN = 60
PLACES = 500  # of one pair of words that are looked at: bounds the time on text that repeats itself

_WORD = re.compile(r"[^\W_]++(?:[-.,'’][^\W_]++)*+")
_ASCII_WORD = re.compile(r"[a-z0-9]++(?:[-.,'][a-z0-9]++)*+")  # the same where nothing else is, in half the time
_UNREAD = re.compile(r"\]\([^()\s]*\)|https?://[^\s<>\[\]\"'`)]+|<[!/A-Za-z][^<>\n]{0,200}>|&[a-z]{2,8};")


@dataclass(frozen=True)
class SourceWords:
    """A source's words in order, and where each pair of neighbours stands. Addresses and HTML tags are left out: nobody reads them."""

    words: tuple[str, ...]
    places: Mapping[tuple[str, str], Sequence[int]]
    known: frozenset[str]


@dataclass(frozen=True)
class Fragment:
    """`length` words from number `start` of the text on, all of them in the source in this order."""

    start: int
    length: int


def words_of(text: str) -> list[str]:
    """Lower-case runs of letters and digits; "8.3", "long-context" and "model's" are one word each."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(lowered(text))


def index_words(source: str) -> SourceWords:
    words = words_of(without(("](", "http", "<", "&"), _UNREAD, source))
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, pair in enumerate(pairwise(words)):
        places[pair].append(place)
    for found in places.values():
        del found[PLACES:]
    return SourceWords(tuple(words), dict(places), frozenset(words))


def extractive_fragments(words: Sequence[str], source: SourceWords) -> Iterator[Fragment]:
    """The greedy fragments F(A, S) of Grusky et al. 2018, section 3: disjoint, in order, each the longest at its start."""
    at, words = 0, tuple(words)
    while at < len(words):
        length = 1 if words[at] in source.known else 0
        for place in source.places.get((words[at], words[at + 1]), ()) if at + 1 < len(words) else ():
            if words[at : at + length] != source.words[place : place + length]:
                continue
            while at + length < len(words) and place + length < len(source.words):
                if words[at + length] != source.words[place + length]:
                    break
                length += 1
            if at + length == len(words):
                break
        if length:
            yield Fragment(at, length)
        at += max(1, length)


def coverage_density(summary_words: Sequence[str], source: SourceWords) -> tuple[float, float] | None:
    """(coverage, density) of one run of words. Coverage: share of the words that stand in a fragment, 0 to 1. Density: mean
    over the words of the length of their fragment, in words. None for no words."""
    if not summary_words:
        return None
    lengths = [fragment.length for fragment in extractive_fragments(summary_words, source)]
    return sum(lengths) / len(summary_words), sum(length**2 for length in lengths) / len(summary_words)


def check_copying(document: Document, source: SourceWords) -> CheckResult:
    """`value`: density in words, fragments counted inside blocks; None where the summary has no words."""
    total = squares = longest = 0
    spans, lifted = [], []
    for block in document.blocks:
        words = words_of(block.text)
        total += len(words)
        for fragment in extractive_fragments(words, source):
            squares += fragment.length**2
            longest = max(longest, fragment.length)
            if fragment.length > LONGEST_RUN:
                passage = " ".join(words[fragment.start : fragment.start + fragment.length])
                lifted.append(f"{fragment.length} words, “{passage[:50]}”")
                spans.append(Span(block.start, block.end, f"{fragment.length} words in a row as in the sources"))
    value = squares / total if total else None
    if not lifted:
        return CheckResult("copying", True, value, f"the longest run taken from the sources has {longest} words")
    reason = f"lifted word for word, at most {LONGEST_RUN} in a row allowed: {listed(lifted)}"
    return CheckResult("copying", False, value, reason, spans)
