"""Loops: a small model that has said all it knows says it again until the token limit. Found here; `eval/decoding/loops.py` ends them.

Two rules, on characters, so that a stream in this process and the finished text of a server are judged alike. Thresholds are set
so that what people write stays: a table with equal rows, a list of short items, a rule of dashes, one bullet below each of three models.

*Lines.* Blank lines apart, a text loops where it ends in a block of up to MOST_LINES lines that stands COPIES times in a row, and
the block has a line of substance (SUBSTANCE words and characters, not of a table): nobody writes a sentence three times running.
A block without one, "- yes" or equal rows, may stand SHORT_COPIES - 1 times. Copies apart count too, where a line of substance is
completed the LINE_LIMIT-th time. A bullet's mark and number are no part of a line: loops count on.

*Within a line.* The line ends in one unit repeated over CYCLE characters at least and COPIES + 1 times at least ("and more and
more"). In a line of a table twice as often over four times as much: rows of zeros and rulers are long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

SUBSTANCE_WORDS = 4  # as in the check `repetition`
SUBSTANCE_CHARACTERS = 20
COPIES = 3
SHORT_COPIES = 8
LINE_LIMIT = 6
MOST_LINES = 12
CYCLE = 120
LONGEST_UNIT = 400
LOOPS_VERSION = 1  # of these rules: under others the same model writes another text
LOOK = 64  # characters between two looks at a text that is there already: some 16 tokens

_MARK = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\(?[0-9]{1,4}[.)](?:[ \t]+|$))?")


def loop_end(text: str) -> int | None:
    """Where to cut a `text` that ends in a loop, so that what repeats stands once; None where it ends in none."""
    lines, open_line = _lines(text)
    found = cycle(*open_line)
    if found is None and lines:
        said = [line for _, _, line in lines]
        first = repeated_block(said)
        if first is not None:
            found = lines[first][1]
        elif is_substantial(said[-1]) and said.count(said[-1]) >= LINE_LIMIT:
            found = lines[_nth(said, 2)][0]
    return found


def _nth(said: Sequence[str], number: int) -> int:
    """Place of the copy with this number of the last line."""
    return [at for at, line in enumerate(said) if line == said[-1]][number - 1]


def _lines(text: str) -> tuple[list[tuple[int, int, str]], tuple[int, str]]:
    """The lines that are complete, blank ones apart: start, end and what they say. And the start and text of the last one,
    which may go on."""
    found, start = list[tuple[int, int, str]](), 0
    for raw in text.splitlines(keepends=True):
        line = raw.rstrip()
        if raw[-1] not in "\r\n":
            return found, (start, raw)
        if line:
            found.append((start, start + len(line), said_in(line)))
        start += len(raw)
    return found, (start, "")


def said_in(line: str) -> str:
    """A line without its bullet or number."""
    return line[_MARK.match(line).end() :].strip()  # type: ignore[union-attr]  # it matches nothing, too


def is_substantial(said: str) -> bool:
    return len(said) >= SUBSTANCE_CHARACTERS and len(said.split()) >= SUBSTANCE_WORDS and not said.startswith("|")


def repeated_block(said: Sequence[str]) -> int | None:
    """Number of the last line of the first copy, where the lines end in a block that repeats."""
    for size in range(1, min(MOST_LINES, len(said) // COPIES) + 1):
        start = len(said) - size
        while start and said[start - 1] == said[start - 1 + size]:
            start -= 1
        repeated = len(said) - start
        wanted = COPIES if any(map(is_substantial, said[-size:])) else SHORT_COPIES
        if repeated >= wanted * size:
            return start + size - 1
    return None


def cycle(start: int, line: str) -> int | None:
    """Where the first unit ends, in a line that ends in one unit repeated: the shortest, found by Knuth's failure function of
    the reversed line."""
    table = line.lstrip().startswith("|")
    least, copies = (4 * CYCLE, 2 * (COPIES + 1)) if table else (CYCLE, COPIES + 1)
    if len(line) < least:
        return None
    tail = line[-max(least, copies * LONGEST_UNIT) :][::-1]
    fail = [0] * len(tail)
    for at in range(1, len(tail)):
        length = fail[at - 1]
        while length and tail[at] != tail[length]:
            length = fail[length - 1]
        fail[at] = length + (tail[at] == tail[length])
        unit, covered = at + 1 - fail[at], at + 1
        if covered >= max(least, copies * unit):
            return start + _begin(line, unit) + unit
    return None


def _begin(line: str, unit: int) -> int:
    """Where the run of units begins that the line ends in."""
    at = len(line) - unit
    while at and line[at - 1] == line[at - 1 + unit]:
        at -= 1
    return at


def looped(text: str) -> bool:
    """Whether a finished text stood in a loop at any time: whoever had watched it being written would have ended it there."""
    return any(loop_end(text[:end]) is not None for end in _looks(text))


def _looks(text: str) -> Iterator[int]:
    """Where a text is looked at: at the ends of lines, and every so often within them."""
    yield from sorted({*range(LOOK, len(text), LOOK), *(end.end() for end in re.finditer(r"\n", text)), len(text)})
