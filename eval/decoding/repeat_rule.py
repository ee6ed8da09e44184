"""The rule for what was said before: no sentence or line of substance a second time, no run of RUN words either.

A sentence counts as the check `repetition` counts it: four words or more, whatever its marks and case, so a page that passes the
check is never touched. It is refused where its last sign would complete it, which leaves the model to end it differently.

A run of RUN words within a line, addresses and marks apart, is refused where its last word begins. People hardly write one twice: of
the 228 references to train on 7 do, of 300 pages of the invented world 1. Tables, whose rows are alike, are left to `loops.py`.

No heading comes twice either, of any level (of 314 references none has one), nor one without words.

A model is stuck where it was refused PATIENCE times since its last line of substance that it wrote unhindered, where the text ends in a
loop for all that (`loops.py`: short lines, numbers), and where it says the same in other words: IN_A_ROW lines that have a SHARE of their
words from one earlier line each and no number or longer word of the source's of their own, or parts of a line from an earlier part, or two rows of a table as in an earlier
one. None of 729 references of real cards has that. The lines since are given up, and the page ends or goes on with a new section (`grounded.py`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

from data_prep.chat.loops import CYCLE, cycle, is_substantial, repeated_block, said_in

RUN = 5
PATIENCE = 24
LEAST_WORDS = 4
LEAST_BEGUN = 2  # characters by which a word's first token tells which word it will be
LOOK_EVERY = 8  # tokens
SHARE, SHARE_OF_PART = 3 / 4, 3 / 5
IN_A_ROW = 2

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_ADDRESS = re.compile(r"\]\([^)]*\)?|https?://\S+")
_PART_END = re.compile(r"[,;:.!?]\s")
_OPEN_WORD = re.compile(r"[^\s\[(*\"]*\Z")
_AROUND = re.compile(r"^\W+|\W+$")


def _key(sentence: str) -> str:
    """ "" where it is too short to count."""
    words = re.findall(r"\w+", _ADDRESS.sub("]", sentence).lower())
    return " ".join(words) if len(words) >= LEAST_WORDS else ""


def _title(line: str) -> str:
    return line.strip("# \t").lower()


def _sentences(line: str) -> list[str]:
    return [] if line.lstrip().startswith("|") else _SENTENCE_END.split(said_in(line))


def _words(line: str) -> list[str]:
    """In lower case, without addresses and the marks around them."""
    pieces = _ADDRESS.sub("] ", said_in(line)).lower().split()
    return [word for piece in pieces if (word := _AROUND.sub("", piece))]


def _runs(line: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The runs of the line, and its sentences that are shorter than a run and long enough to count: all but the last word, and that."""
    sentences = _sentences(line)
    words = _words(line) if sentences else []
    short = [said for one in sentences if len(said := _words(one)) == LEAST_WORDS]
    for *before, last in [*(words[at : at + RUN] for at in range(len(words) - RUN + 1)), *short]:
        yield tuple(before), last


def _is_alike(words: Sequence[str], earlier: Sequence[Sequence[str]], share: float, named: Collection[str]) -> bool:
    """Whether one of the earlier has that share of the words, and neither a number nor one of the words in `named` comes for the first time."""
    counted, wanted = Counter(words), share * len(words)
    news = {word for word in words if word in named or any(map(str.isdigit, word))}
    return (
        len(words) >= LEAST_WORDS
        and any((counted & Counter(other)).total() >= wanted for other in earlier)
        and news <= set().union(*earlier)
    )


def goes_round(line: str, named: Collection[str] = ()) -> bool:
    """Whether parts of the line in a row are like earlier ones of it. The last part may not be whole yet; rows of tables are alike."""
    if line.lstrip().startswith("|"):
        return False
    parts = list(map(_words, _PART_END.split(line)[:-1]))
    alike = [_is_alike(part, parts[:at], SHARE_OF_PART, named) for at, part in enumerate(parts)]
    return any(all(alike[at : at + IN_A_ROW]) for at in range(len(alike) - IN_A_ROW + 1))


class RepeatRule:
    kind = "repeat"

    def __init__(self, named: Collection[str] = ()) -> None:
        """`named`: words of the source, in lower case: a line with another of them says another thing."""
        self._named = named
        self._seen: set[str] = set()
        self._lines: list[str] = []  # that are no blank ones, without their marks
        self._next: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)  # what came after all but the last word of a run
        self._titles: set[str] = set()
        self._words: list[list[str]] = []  # of each line, headings and tables apart
        self._alike = 0  # lines in a row
        self._row = ""  # of a table, if the last line was one
        self._rows: set[tuple[str, str]] = set()  # each with the one before it
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
        begun = _AROUND.sub("", (open_word + added).lower())
        if not begun or len(open_word) >= LEAST_BEGUN or line.lstrip().startswith("|"):
            return False
        line = line.removesuffix(open_word)
        sentence = _words(_SENTENCE_END.split(line)[-1])
        before = {tuple(_words(line)[1 - RUN :]), *([tuple(sentence)] if len(sentence) == LEAST_WORDS - 1 else [])}
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
        is_alike = self._says_again(line)
        new = is_substantial(said) and said not in self._lines and not is_alike
        self._seen |= {key for sentence in _sentences(line) if (key := _key(sentence))}
        for run, last in _runs(line):
            self._next[run].add(last)
        self._lines.append(said)
        if line.startswith("#"):
            self._titles.add(_title(line))
        again = self._alike >= IN_A_ROW or goes_round(line, self._named) or self._copies_table(said)
        if given_up:  # in the middle of it: that is known
            self._alike = 0
        else:
            self.looping = self.looping or again or repeated_block(self._lines) is not None
        if new and not self._refused_here and not self.is_stuck:
            self._refused, self._new_until = 0, number
        self._refused_here = False

    def _says_again(self, line: str) -> bool:
        if line.lstrip().startswith(("#", "|")) or len(words := _words(line)) < LEAST_WORDS:
            return False
        alike = _is_alike(words, self._words, SHARE, self._named)
        self._alike = self._alike + 1 if alike else 0
        self._words.append(words)
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

    def was_refused(self) -> None:
        self._refused, self._refused_here = self._refused + 1, True

    def start_over(self, written: int = 0) -> None:
        """The lines in which it was stuck are given up, and it may go on with others. `written`: newlines up to the end of lines that are
        written for it, which are worth keeping."""
        self._new_until = max(self._new_until, written)
        self._refused, self._alike, self.looping, self.gave_up, self._given_up = 0, 0, False, False, True

    @property
    def is_stuck(self) -> bool:
        return self.looping or self.gave_up or self._refused >= PATIENCE

    @property
    def new_lines(self) -> int:
        """Newlines up to which the text is worth keeping once it is stuck."""
        return self._new_until
