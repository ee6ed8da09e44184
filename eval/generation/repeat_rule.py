"""The rule for what was said before: no sentence or line of substance a second time, no long run of tokens a third time.

A sentence counts as the check `repetition` counts it: four words or more, whatever its marks and case, so a page that passes the
check is never touched. It is refused where its last sign would complete it, which leaves the model to end it differently.

A run is RUN tokens without an address: as long as two sentences, or three of the long names that a card's summary rightly repeats,
so that the third copy is a loop and nothing else. In tables, whose rows may be equal, it is the sixth copy.

A model that goes on to repeat itself has nothing more to say. Where it was refused PATIENCE times since its last line of substance
that it wrote unhindered, or where the text ends in a loop for all that (`loops.py`: short lines, numbers), it is stuck: the end token is all that
it is allowed, and the text is kept up to the line in which that began.
"""

from __future__ import annotations

import re
from collections import Counter

from eval.generation.loops import CYCLE, cycle, is_substantial, repeated_block, said_in

RUN = 24
COPIES, COPIES_IN_TABLE = 2, 5  # that may stand before the next is refused
PATIENCE = 4
LEAST_WORDS = 4
LOOK_EVERY = 8  # tokens

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_ADDRESS = re.compile(r"\]\([^)]*\)?|https?://\S+")
_LETTER = re.compile(r"[^\W\d_]")


def _key(sentence: str) -> str:
    """ "" where it is too short to count."""
    words = re.findall(r"\w+", _ADDRESS.sub("]", sentence).lower())
    return " ".join(words) if len(words) >= LEAST_WORDS else ""


def _sentences(line: str) -> list[str]:
    return [] if line.lstrip().startswith("|") else _SENTENCE_END.split(said_in(line))


class RepeatRule:
    kind = "repeat"

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._lines: list[str] = []  # that are no blank ones, without their marks
        self._runs: Counter[tuple[int, ...]] = Counter()
        self._run: list[int] = []  # tokens since the last address
        self._refused, self._refused_here, self._new_until, self._count = 0, False, 0, 0
        self.looping = False

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        ends = added.rstrip()[-1:] in (".", "!", "?") and not (line + added).rstrip()[-2:-1].isdigit()
        if not closed and not ends and not (added[-1:].isspace() and line[-1:] in (".", "!", "?")):
            return False
        last = next((one for one in reversed(_sentences(line + added)) if one.strip()), "")
        return bool(key := _key(last)) and key in self._seen

    def refuses_run(self, line: str, token: int, is_word: bool) -> bool:
        """Of the run that `token` would complete."""
        if len(self._run) < RUN - 1 or not is_word:
            return False
        allowed = COPIES_IN_TABLE if line.lstrip().startswith("|") else COPIES
        return self._runs[(*self._run[1 - RUN :], token)] >= allowed

    def said(self, token: int, line: str, in_address: bool) -> None:
        """A token is written; `line` is what now stands in the line."""
        self._run = [] if in_address else [*self._run[1 - RUN :], token]
        if len(self._run) == RUN:
            self._runs[tuple(self._run)] += 1
        self._count += 1
        if len(line) >= CYCLE and self._count % LOOK_EVERY == 0:
            self.looping = self.looping or cycle(0, line) is not None

    def completed(self, line: str, number: int) -> None:
        """A line is done; `number` counts newlines."""
        if not line.strip():
            return
        said = said_in(line.rstrip())
        new = is_substantial(said) and said not in self._lines
        self._seen |= {key for sentence in _sentences(line) if (key := _key(sentence))}
        self._lines.append(said)
        self.looping = self.looping or repeated_block(self._lines) is not None
        if new and not self._refused_here and not self.is_stuck:
            self._refused, self._new_until = 0, number
        self._refused_here = False

    def sentence_done(self, line: str) -> None:
        """Of a paragraph that goes on: its sentences so far count."""
        self._seen |= {key for sentence in _sentences(line)[:-1] if (key := _key(sentence))}

    def was_refused(self) -> None:
        self._refused, self._refused_here = self._refused + 1, True

    @property
    def is_stuck(self) -> bool:
        return self.looping or self._refused >= PATIENCE

    @property
    def new_lines(self) -> int:
        """Newlines up to which the text is worth keeping once it is stuck."""
        return self._new_until
