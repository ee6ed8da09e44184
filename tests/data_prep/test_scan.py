"""What is searched where its letters stand is what is found everywhere."""

from __future__ import annotations

import random
import re

from data_prep.cards.scan import lines_with, matches_at, matches_in_lines, without

PATTERN = re.compile(r"(?<!x)(?:ab+|ba|\\$k[a-z]?)", re.IGNORECASE)
SIGNS = ("ab", "ba", "$k")


def test_matches_are_those_of_the_whole_text() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        text = "".join(rng.choices("abABx$kK \n\u212a\u0130\u017f", k=rng.randrange(12)))
        whole = [match.span() for match in PATTERN.finditer(text)]
        assert [match.span() for match in matches_at(SIGNS, PATTERN, text)] == whole, text
        assert without(SIGNS, PATTERN, text) == PATTERN.sub(" ", text)


def test_lines_that_hold_a_sign() -> None:
    text = "a=1\nb\n\nc=2=3\n=d"
    assert [text[start:end] for start, end in lines_with(("=", "3"), text)] == ["a=1", "c=2=3", "=d"]
    found = matches_in_lines(("=",), re.compile(r"^\w=|\w$", re.MULTILINE), text)
    assert [match[0] for match in found] == ["a=", "1", "c=", "3", "d"]
