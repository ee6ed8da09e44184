"""Versions and ranks beside a name: "Orvan v0.3", top-5. Another one is as wrong as another size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_PLACES = 50  # of one name that are looked at: hostile text has thousands

WINDOW = 40  # characters behind a name in which its versions stand: "Orvan v0.3 (formerly v0.2)"

_NUMBER = r"[0-9]{1,6}(?:[._ -][0-9]{1,6}){0,4}"
_NUMBERS = re.compile(r"[0-9](?<![0-9.][0-9])[0-9]{0,5}(?:[._-][0-9]{1,6}){0,4}(?![0-9])")
_NEXT = re.compile(rf"[ (-]{{0,2}}(?P<word>v(?:er|ersion)?[ .-]?)?({_NUMBER})(?![a-z0-9])")
_NAMED = re.compile(rf"(?:(?<![a-uw-z0-9])v(?:er|ersion)?[ .-]?|(?<=[0-9])/)({_NUMBER})(?![a-z0-9])")
_ANY = re.compile(r"v(?<![a-z0-9]v)(?:er(?:sion)?)?[ ._-]?[0-9]")
_RANK = re.compile(
    r"top(?<![a-z0-9]top)[-_ @]?(?:k[\W_]{1,6})?[0-9]{1,4}(?:(?: ?[/,&] ?| and | or )[0-9]{1,4}(?!\.?[0-9])){0,5}"
)
_AT = re.compile(r"@([0-9]{1,4})(?![0-9])")


@dataclass(frozen=True)
class Versions:
    """Of a source. `text`: in lower case, with single spaces and hyphens; `numbers`: as they may be versions, and their
    beginnings; `ranks`: of top-1, empty where it has none; `any`: whether it speaks of versions at all."""

    text: str
    parted: str  # `text` with spaces for hyphens
    numbers: frozenset[str]
    ranks: frozenset[str]
    any: bool

    @classmethod
    def of(cls, source: str) -> Versions:
        lower = source.lower()
        text = " ".join(f".{lower}.".replace("_", "-").split())[1:-1]
        ranks = {number for match in _RANK.finditer(lower) for number in re.findall("[0-9]+", match[0])}
        return cls(
            text=text,
            parted=text.replace("-", " "),
            numbers=frozenset(number for found in set(_NUMBERS.findall(lower)) for number in _beginnings(found)),
            ranks=frozenset(ranks | set(_AT.findall(lower)) if ranks else ()),
            any=_ANY.search(lower) is not None,
        )

    def has(self, name: str, version: str) -> bool:
        """False where the source has another version of `name` and not this one; of no name ("") or of one that has no version
        there, where this number stands nowhere. A version may be told by its beginning: v1 for v1.5."""
        said, others = _plain(version), False
        for end in self._places(re.sub("[ _-]+", " ", name.lower())) if name else ():
            follows = _NEXT.match(self.text, end)
            named = _NAMED.findall(self.text, end, end + WINDOW)
            if any(said in _beginnings(number) for number in ([follows[2]] if follows else []) + named):
                return True
            # A plain word is a name's end only where it is joined: "uses v0.3" says of no "uses" which version it is.
            others |= bool(follows and follows["word"]) and (not name.islower() or self.text.startswith("-", end))
        if others:
            return False
        return said in self.numbers or ("." not in said and not self.any)  # "the second version"

    def has_rank(self, number: str) -> bool:
        """False for top-5 where the source has other ranks alone."""
        return not self.ranks or number in self.ranks

    def _places(self, name: str) -> Iterator[int]:
        """Where `name` ends in the text."""
        place = -1
        for _ in range(MOST_PLACES):
            place = self.parted.find(name, place + 1)
            if place < 0:
                return
            if not self.text[place - 1 : place].isalnum():
                yield place + len(name)


def _plain(version: str) -> str:
    return re.sub(r"[ _-]", ".", version).removesuffix(".0")


def _beginnings(version: str) -> list[str]:
    """1.4.2 is a 1.4 and a 1."""
    parts = _plain(version).split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
