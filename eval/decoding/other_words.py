"""What says an earlier thing again in other words: lines, parts of a line, and rows of a table.

IN_A_ROW lines that have a SHARE of their words from one earlier line each and no number or longer word of the source's of their own are
a loop, and so are parts of a line with a SHARE_OF_PART from an earlier part, or two rows of a table as in an earlier one. None of 729
references of real cards has that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from data_prep.chat.loops import said_in

SHARE, SHARE_OF_PART = 3 / 4, 3 / 5
IN_A_ROW = 2
LEAST_WORDS = 4
ADDRESS = re.compile(r"\]\([^)]*\)?|https?://\S+")
AROUND = re.compile(r"^\W+|\W+$")

_PART_END = re.compile(r"[,;:.!?]\s")


def words_of(line: str) -> list[str]:
    """In lower case, without addresses and the marks around them."""
    pieces = ADDRESS.sub("] ", said_in(line)).lower().split()
    return [word for piece in pieces if (word := AROUND.sub("", piece))]


def goes_round(line: str, named: Collection[str] = ()) -> bool:
    """Whether parts of the line in a row are like earlier ones of it. The last part may not be whole yet; rows of tables are alike."""
    if line.lstrip().startswith("|"):
        return False
    parts = list(map(words_of, _PART_END.split(line)[:-1]))
    alike = [_is_alike(part, parts[:at], SHARE_OF_PART, named) for at, part in enumerate(parts)]
    return any(all(alike[at : at + IN_A_ROW]) for at in range(len(alike) - IN_A_ROW + 1))


def _is_alike(words: Sequence[str], earlier: Sequence[Sequence[str]], share: float, named: Collection[str]) -> bool:
    """Whether one of the earlier has that share of the words, and neither a number nor one of the words in `named` comes for the first time."""
    counted, wanted = Counter(words), share * len(words)
    news = {word for word in words if word in named or any(map(str.isdigit, word))}
    return (
        len(words) >= LEAST_WORDS
        and any((counted & Counter(other)).total() >= wanted for other in earlier)
        and news <= set().union(*earlier)
    )


class OtherWords:
    """Of the lines so far. `is_alike`: the last one says an earlier one again."""

    def __init__(self, named: Collection[str] = ()) -> None:
        """`named`: words of the source, in lower case: a line with another of them says another thing."""
        self._named = named
        self._lines: list[list[str]] = []  # words of each, headings and tables apart
        self._row = ""  # of a table, if the last line was one
        self._rows: set[tuple[str, str]] = set()  # each with the one before it
        self._in_a_row, self.is_alike = 0, False

    def completed(self, line: str) -> bool:
        """A line that is not blank is done; whether it ends a loop."""
        self.is_alike = self._says_again(line)
        copies = self._copies_table(said_in(line.rstrip()))
        return copies or self._in_a_row >= IN_A_ROW or goes_round(line, self._named)

    def begin_anew(self) -> None:
        """What was alike so far in a row is given up."""
        self._in_a_row = 0

    def _says_again(self, line: str) -> bool:
        if line.lstrip().startswith(("#", "|")) or len(words := words_of(line)) < LEAST_WORDS:
            return False
        alike = _is_alike(words, self._lines, SHARE, self._named)
        self._in_a_row = self._in_a_row + 1 if alike else 0
        self._lines.append(words)
        return alike

    def _copies_table(self, said: str) -> bool:
        """Whether the last two lines are two unlike rows with figures of an earlier table."""
        before, self._row = self._row, said if said.startswith("|") and re.search(r"\d", said) else ""
        pair = (before, self._row)
        if not all(pair) or before == self._row:
            return False
        known = pair in self._rows
        self._rows.add(pair)
        return known
