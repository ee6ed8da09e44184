"""The rule for what was said before: no sentence or line of substance a second time, no run of RUN words either.

A sentence counts as the check `repetition` counts it: four words or more, whatever its marks and case, so a page that passes the
check is never touched. It is refused where its last sign would complete it, which leaves the model to end it differently.

A run of RUN words within a line, addresses and marks apart, is refused where its last word begins. People hardly write one twice: of
the 228 references to train on 7 do, of 300 pages of the invented world 1. Tables, whose rows are alike, are left to `loops.py`.

No heading comes twice either, of any level (of 314 references none has one), nor one without words.

A model is stuck where it was refused PATIENCE times since its last line of substance that it wrote unhindered, where the text ends in a
loop for all that (`loops.py`: short lines, numbers), also one in other words (`other_words.py`). The lines since are given up, and the page
ends or goes on with a new section (`grounded.py`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator

from data_prep.chat.loops import CYCLE, cycle, is_substantial, repeated_block, said_in
from eval.decoding.other_words import ADDRESS, AROUND, LEAST_WORDS, OtherWords, goes_round, words_of

RUN = 5
PATIENCE = 24
LEAST_BEGUN = 2  # characters by which a word's first token tells which word it will be
LOOK_EVERY = 8  # tokens

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_OPEN_WORD = re.compile(r"[^\s\[(*\"]*\Z")


def _key(sentence: str) -> str:
    """ "" where it is too short to count."""
    words = re.findall(r"\w+", ADDRESS.sub("]", sentence).lower())
    return " ".join(words) if len(words) >= LEAST_WORDS else ""


def _title(line: str) -> str:
    return line.strip("# \t").lower()


def _sentences(line: str) -> list[str]:
    return [] if line.lstrip().startswith("|") else _SENTENCE_END.split(said_in(line))


def _runs(line: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The runs of the line, and its sentences that are shorter than a run and long enough to count: all but the last word, and that."""
    sentences = _sentences(line)
    words = words_of(line) if sentences else []
    short = [said for one in sentences if len(said := words_of(one)) == LEAST_WORDS]
    for *before, last in [*(words[at : at + RUN] for at in range(len(words) - RUN + 1)), *short]:
        yield tuple(before), last


class RepeatRule:
    kind = "repeat"

    def __init__(self, named: Collection[str] = ()) -> None:
        """`named`: words of the source, in lower case: a line with another of them says another thing."""
        self._named = named
        self._seen: set[str] = set()
        self._lines: list[str] = []  # that are no blank ones, without their marks
        self._next: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)  # what came after all but the last word of a run
        self._titles: set[str] = set()
        self._others = OtherWords(named)
        self._refused, self._refused_here, self._new_until, self._count = 0, False, 0, 0
        self.looping = self.gave_up = self._given_up = False

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        if line.startswith("#"):
            return closed and _title(line + added) in {"", *self._titles}
        ends = added.rstrip()[-1:] in (".", "!", "?") and not (line + added).rstrip()[-2:-1].isdigit()
        if not closed and not ends and not (added[-1:].isspace() and line[-1:] in (".", "!", "?")):
            return False
        *before, last = [one for one in _sentences(line + added) if one.strip()] or [""]
        return bool(key := _key(last)) and (key in self._seen or key in map(_key, before))

    def refuses_word(self, line: str, added: str) -> bool:
        """Of a word that begins with `added` and would complete a run. One letter tells nothing: then the next token is asked about."""
        open_word = "" if added[:1].isspace() else _OPEN_WORD.search(line)[0]  # type: ignore[index]  # it matches nothing, too
        begun = AROUND.sub("", (open_word + added).lower())
        if not begun or len(open_word) >= LEAST_BEGUN or line.lstrip().startswith("|"):
            return False
        line = line.removesuffix(open_word)
        sentence = words_of(_SENTENCE_END.split(line)[-1])
        before = {tuple(words_of(line)[1 - RUN :]), *([tuple(sentence)] if len(sentence) == LEAST_WORDS - 1 else [])}
        follows = {last for run, last in _runs(line) if run in before}.union(*(self._next.get(run, ()) for run in before))
        return any(word == begun or (len(begun) >= LEAST_BEGUN and word.startswith(begun)) for word in follows)

    def wrote(self, line: str, is_code: bool) -> None:
        """A token is written; `line` is what now stands in the line."""
        self._count += 1
        if len(line) >= CYCLE and self._count % LOOK_EVERY == 0:
            self.looping = self.looping or cycle(0, line) is not None or (not is_code and goes_round(line, self._named))

    def completed(self, line: str, number: int) -> None:
        """A line is done; `number` counts newlines."""
        given_up, self._given_up = self._given_up, False
        if not line.strip():
            return
        said = said_in(line.rstrip())
        again = self._others.completed(line)
        new = is_substantial(said) and said not in self._lines and not self._others.is_alike
        self._seen |= {key for sentence in _sentences(line) if (key := _key(sentence))}
        for run, last in _runs(line):
            self._next[run].add(last)
        self._lines.append(said)
        if line.startswith("#"):
            self._titles.add(_title(line))
        if given_up:  # in the middle of it: that is known
            self._others.begin_anew()
        else:
            self.looping = self.looping or again or repeated_block(self._lines) is not None
        if new and not self._refused_here and not self.is_stuck:
            self._refused, self._new_until = 0, number
        self._refused_here = False

    def was_refused(self) -> None:
        self._refused, self._refused_here = self._refused + 1, True

    def start_over(self, written: int = 0) -> None:
        """The lines in which it was stuck are given up, and it may go on with others. `written`: newlines up to the end of lines that are
        written for it, which are worth keeping."""
        self._new_until = max(self._new_until, written)
        self._refused, self.looping, self.gave_up, self._given_up = 0, False, False, True
        self._others.begin_anew()

    @property
    def is_stuck(self) -> bool:
        return self.looping or self.gave_up or self._refused >= PATIENCE

    @property
    def new_lines(self) -> int:
        """Newlines up to which the text is worth keeping once it is stuck."""
        return self._new_until
