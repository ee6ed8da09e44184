"""The rule for the title: the first heading names the model that the page is about."""

from __future__ import annotations

import re

from data_prep.checks.names.grounding import compact

_HEADING = re.compile(r"[ ]{0,3}#{1,6}[ \t]")
_TITLE = re.compile(r"^#[ \t]+(.+)$", re.MULTILINE)
_AROUND = re.compile(r"^(?:model card(?: for)?|readme)\b[\s:–-]*|[\s:–-]*\bmodel card\s*$", re.IGNORECASE)
_PIECE = re.compile(r"[a-z0-9]+")
_NO_NAME = ("model", "card", "readme")


def names_of_model(card: str, model_id: str) -> tuple[str, ...]:
    """What the first heading may call the model: the id's last part, which is what it is given where it says neither, or
    what the card's own title says. People also write "T5 base for news" of t5-base-finetuned-news: half of a name's pieces name it."""
    title = _TITLE.search(card)
    said = _AROUND.sub("", title[1].strip().strip("*_ ")) if title else ""
    return tuple(name for name in (model_id.rpartition("/")[2], said) if len(compact(name)) > 1)


class HeadingRule:
    """Looks at the end of the first heading alone; `rest` is what the line still needs."""

    kind = "heading"

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._done = names, not names

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        text = line + added
        return closed and not self._done and bool(_HEADING.match(text)) and not self._is_named(text)

    def completed(self, line: str) -> None:
        self._done = self._done or bool(_HEADING.match(line))

    def rest(self, line: str) -> str:
        title = line.strip().lstrip("#").strip()
        return (": " if title else "" if line.endswith(" ") else " ") + self._names[0]

    def _is_named(self, line: str) -> bool:
        said = compact(line)
        pieces = [[piece for piece in _PIECE.findall(name.lower()) if piece not in _NO_NAME] for name in self._names]
        return any(sum(piece in said for piece in own) * 2 >= len(own) for own in pieces if own)
