"""The rule for the page's length, as the check `length` counts it: no end before its least words, and none of it beyond its most."""

from __future__ import annotations

from data_prep.chat.replies import split_thinking
from data_prep.checks.document import read
from data_prep.checks.form import LENGTH_MAX, LENGTH_MIN


def words_in(text: str) -> int:
    document = read(split_thinking(text)[0])
    return len(document.words) + document.words_cut


def without_bare_headings(text: str) -> str:
    """Of a page that was cut: without headings that stand over nothing, at its end or before one of their own level. In code a # is none."""
    found, fenced = list[str](), False
    for line in [*text.split("\n"), "#"]:
        fenced ^= line.lstrip().startswith("```")
        if line.startswith("#") and not fenced:
            while found and (not found[-1].strip() or _is_bare(found[-1], line)):
                found.pop()
            found += [""] if found and line != "#" else []
        found.append(line)
    return "\n".join(found[:-1]).rstrip()


def _is_bare(heading: str, following: str) -> bool:
    return heading.startswith("#") and _level(following) <= _level(heading)


def _level(heading: str) -> int:
    return len(heading) - len(heading.lstrip("#"))


class LengthRule:
    """A page that ends by itself between the two is never touched."""

    kind = "length"

    def refuses_end(self, text: str) -> bool:
        return words_in(text) < LENGTH_MIN

    def is_full(self, text: str) -> bool:
        """True where `text`, whose last line is done, is too long: what follows could only be cut again."""
        return len(text.split()) > LENGTH_MAX and words_in(text) > LENGTH_MAX

    def shortened(self, text: str) -> str:
        """Without its last lines; as it is where that leaves too little."""
        if not self.is_full(text):
            return text
        lines = text.rstrip().split("\n")
        while lines and not self._fits("\n".join(lines)):
            lines.pop()
        shorter = without_bare_headings("\n".join(lines))
        return shorter if words_in(shorter) >= LENGTH_MIN else text

    @staticmethod
    def _fits(text: str) -> bool:
        return words_in(text) <= LENGTH_MAX and not read(text).unclosed_fences
