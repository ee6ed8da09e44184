"""Long texts searched where there may be something: at the letters that a pattern begins with, in the lines that have its signs.

The engine tries a pattern of several alternatives at every character, forty times as slowly as `str.find` goes on to the next place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# They equal another letter where case is ignored, and `str.lower` keeps them, or makes two of one.
_ODD = ("\u017f", "\u0130", "\u0131")


def places_of(signs: Sequence[str], text: str) -> list[int]:
    """Where any of the signs begins, in order."""
    found = []
    for sign in signs:
        at = text.find(sign)
        while at >= 0:
            found.append(at)
            at = text.find(sign, at + 1)
    return sorted(set(found))


def matches_at(signs: Sequence[str], pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """What `pattern.finditer(text)` gives, where each match begins with one of the `signs`, which are in small letters."""
    lower = text.lower()
    if len(lower) != len(text) or (not text.isascii() and any(odd in text for odd in _ODD)):
        yield from pattern.finditer(text)
        return
    end = 0
    for at in places_of(signs, lower):
        if at >= end and (match := pattern.match(text, at)):
            end = match.end()
            yield match


def without(signs: Sequence[str], pattern: re.Pattern[str], text: str) -> str:
    """What `pattern.sub(" ", text)` gives, where each match begins with one of the `signs`, which are in small letters."""
    parts, position = [], 0
    for match in matches_at(signs, pattern, text):
        parts.append(text[position : match.start()])
        position = match.end()
    return " ".join([*parts, text[position:]])


def lines_with(signs: Sequence[str], text: str) -> Iterator[tuple[int, int]]:
    """Where the lines begin and end that hold one of the signs, in order."""
    end = -1
    for at in places_of(signs, text):
        if at > end:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            yield text.rfind("\n", 0, at) + 1, end


def matches_in_lines(signs: Sequence[str], pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """What `pattern.finditer(text)` gives, where each match stays in one line and holds one of the signs."""
    for start, end in lines_with(signs, text):
        yield from pattern.finditer(text, start, end)
