"""The rule for numbers, and for names that hold digits: each is one that the checks find in the source."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

from data_prep.checks.document import Document, lowered, read
from data_prep.checks.licences import licences_in
from data_prep.checks.names.grounding import check_names, compact
from data_prep.checks.numeric.grounding import is_grounded, summary_quantities
from data_prep.checks.source_index import SourceIndex
from eval.decoding.link_rule import open_address
from eval.decoding.spellings import CHUNK, Spellings

LOOK_BACK = 80  # characters of a line in which what is still open stands
DIGITS = re.compile(r"[0-9]")

# A word with a digit that the line ends in, or the one before: a unit, a month or "billion" may be on its way. A comma belongs to it
# while digits may follow.
_OPEN = re.compile(
    rf"(?:{CHUNK}|(?<=[0-9])[,'](?=[0-9]))*[0-9](?:{CHUNK}|(?<=[0-9])[,'](?=[0-9]|\Z))*(?:[ \u00a0][^\W\d_]*)?\Z"
)
_WORD = re.compile(rf"(?:{CHUNK}|(?<=[0-9])[,'](?=[0-9]))*\Z")
_JOINT = re.compile(r"[\s/,:–—+×&-]")
_LETTER = re.compile(r"(?:(?<=[ \u00a0])[KMBT])?\Z")  # "3 T" may be trillions or Tweets, and a dead end neither way
# Numbers of lists and notes, before the sign that makes them one.
_LABEL_BEGUN = re.compile(r"[ \t>*_#-]*\(?[0-9]{1,2}(?:\.[0-9]{1,2})*[.)]?|.*\[\^?[0-9]{1,3}(?:[,-][0-9]{0,3})*", re.DOTALL)


class NumberRule:
    """A number that has ended is one that `numbers` accepts where it stands, with unit, sign and what is counted; a name with a
    digit is one that `names` accepts. One that is still open is such a one already or can become one."""

    kind = "number"

    def __init__(self, known: SourceIndex, spellings: Spellings, names: tuple[str, ...]) -> None:
        self._known, self._spellings, self._names = known, spellings, names
        self._read = ("", read(""))

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        start = self._open_at(line)
        if start is None:
            digit = DIGITS.search(added)
            if not digit:
                return False
            text = line + added[: digit.start()]
            start = _WORD.search(text, max(0, len(text) - LOOK_BACK)).start()  # type: ignore[union-attr]  # or matches nothing
        if start < excused or open_address(line) is not None or "://" in (line + added)[start:]:
            return False
        text = line + added
        undecided = 0 if closed else len(_LETTER.search(text)[0])  # type: ignore[index]  # it matches nothing, too
        if self._stands(text[: len(text) - undecided], start):
            return False
        return closed or not self._becomes_right(text, start)

    def is_open(self, line: str) -> bool:
        return self._open_at(line) is not None

    def ways_on(self, line: str) -> Iterator[str]:
        start = self._open_at(line)
        if start is not None:
            begun = line[start:]
            yield from (end[len(begun) :] for end in self._spellings.ends(begun) if len(end) > len(begun))
        yield from (" ", ".", ",", "\n", " the", " a", ")")

    @staticmethod
    def _open_at(line: str) -> int | None:
        tail = max(0, len(line) - LOOK_BACK)
        if not DIGITS.search(line, tail):
            return None
        found = _OPEN.search(line, tail)
        return found.start() if found else None

    def _stands(self, text: str, start: int) -> bool:
        """True where each number of `text` behind `start`, and each name there that holds a digit, is right as it stands."""
        document = self._document(text, start)
        numbers = [found for found in summary_quantities(document) if found.end > start and DIGITS.search(found.text)]
        if not all(is_grounded(found, self._known.numbers) for found in numbers):
            return False
        licences = list(licences_in(document.prose))
        wrong = check_names(document, licences, self._known.names).spans
        return not any(span.end > start and DIGITS.search(text, span.start, span.end) for span in wrong)

    def _document(self, text: str, start: int) -> Document:
        """What is before `start` read as the checks read it, what follows taken as prose."""
        if text.count("`", 0, start) % 2:  # code that is a command or an option is not read, which its end will show
            whole = read(text.lstrip(" \t") + "`" * (text.count("`") % 2))
            pad = " " * (len(text) - len(text.lstrip(" \t")))
            return replace(whole, text=text, prose=pad + whole.prose, lower=pad + whole.lower)
        before = text[:start].lstrip(" \t")  # else the item of a list within a list would be code
        if self._read[0] != before:
            self._read = (before, read(before))
        prose = " " * (start - len(before)) + self._read[1].prose + text[start:]
        return replace(self._read[1], text=text, prose=prose, lower=lowered(prose))

    def _becomes_right(self, text: str, start: int) -> bool:
        if _LABEL_BEGUN.fullmatch(text):
            return True
        open_part = text[start:]
        joints = [0, *(match.end() for match in _JOINT.finditer(open_part))]
        for joint in joints:
            begun = open_part[joint:]
            if DIGITS.search(begun) and any(
                self._stands(text[: start + joint] + end, start) for end in self._spellings.ends(begun)
            ):
                return True
        return self._is_name_begun(re.split(r"[\s,/]", open_part)[-1])

    def _is_name_begun(self, begun: str) -> bool:
        """ "Llama-3" on its way to "Llama-3.1", which the source writes "Llama 3.1"."""
        key = compact(begun)
        if not key[:1].isalpha() or key.isalpha():
            return False
        at = bisect_left(self._names, key)
        return at < len(self._names) and self._names[at].startswith(key)
