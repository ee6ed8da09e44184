"""The rule for the page's form: one title of level one, and none of the marks that frame the prompt."""

from __future__ import annotations

from data_prep.prompts import DELIMITERS
from eval.generation.pieces import Pieces


class FormRule:
    """A small model goes back to its prompt: it writes `</model_card>` behind the page, or the title again."""

    kind = "form"

    def __init__(self, pieces: Pieces) -> None:
        self._has_heading = False
        # Where "##" is two tokens, "#" may be the first of them.
        self._tells_levels = pieces.text(pieces.tokens("## A")[0]).startswith("##")

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        text = line + added
        if any(mark in text[max(0, len(line) - len(mark)) :] for mark in DELIMITERS):
            return True
        title = text.startswith("# ") and not line.startswith("# ")
        return self._has_heading and (title or (self._tells_levels and text == "#"))

    def is_open(self, line: str) -> bool:
        """True where `line` may end in the beginning of a mark."""
        return "<" in line[-max(map(len, DELIMITERS)) :]

    def completed(self, line: str) -> None:
        self._has_heading = self._has_heading or line.startswith("#")
