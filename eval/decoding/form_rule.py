"""The rule for the page's form: it begins with a heading, has one title, no section whose name begins with a number, and none of the
marks that frame the prompt."""

from __future__ import annotations

import re

from data_prep.prompts.student import DELIMITERS
from eval.decoding.pieces import Pieces

_CODE = re.compile(r"`[^`]*`?")
_NO_HEADING = re.compile(r"#{1,6}[^#\s]|#{7}")  # "#lumen" is text to Markdown
_NUMBERED = re.compile(r"#{2,6}\s+\W{0,3}[0-9]")  # of 4,658 headings of references none: a figure out of a table


class FormRule:
    """A small model goes back to its prompt: it writes `</model_card>` behind the page, or the title again."""

    kind = "form"

    def __init__(self, pieces: Pieces) -> None:
        self._has_heading = self._begun = False
        # Where "##" is two tokens, "#" may be the first of them.
        self._tells_levels = pieces.text(pieces.tokens("## A")[0]).startswith("##")

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        text = line + added
        if any(mark in text[max(0, len(line) - len(mark)) :] for mark in DELIMITERS):
            return True
        if not self._begun and text.strip() and not text.lstrip().startswith(("#", "<")):  # "<" of thoughts
            return True
        title = text.startswith("# ") and not line.startswith("# ")
        unread = _NO_HEADING.match(text) and not _NO_HEADING.match(line)
        numbered = _NUMBERED.match(text) and not _NUMBERED.match(line)
        return bool(unread or numbered) or (self._has_heading and (title or (self._tells_levels and text == "#")))

    def ways_on(self, line: str) -> tuple[str, ...]:
        return (" ", "\n") if self._begun else ("# ", "#")

    def is_open(self, line: str) -> bool:
        """True where `line` may end in the beginning of a mark or of a heading, and where the page begins."""
        return not line.strip("#") or "<" in line[-max(map(len, DELIMITERS)) :]

    @staticmethod
    def owed(line: str) -> str:
        """What is to be written before `line` may end: the marks of an emphasis that is open."""
        return "**" if _CODE.sub("", line).count("**") % 2 else ""

    def wrote(self, text: str) -> None:
        self._begun = self._begun or bool(text.strip())

    def completed(self, line: str) -> None:
        self._has_heading = self._has_heading or line.startswith("#")
