"""The addresses that a source offers, and the rule for links: each that is begun goes on towards one of them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from data_prep.cards.mentions import mentions, trimmed_url
from data_prep.checks.links import canonical

MOST_RESTS = 64  # ways on that are offered where the model knows none

_UNWRITABLE = re.compile(r"[\s<>\[\]\"'`|\\^]|[^\w\x00-\x7f]|[!_]\Z")
_UNWRITABLE_WITH_BRACKETS = re.compile(rf"{_UNWRITABLE.pattern}|[()]")
_TARGET = re.compile(r"\]\((?P<address>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?P<after>\([^\s()]*\Z|.?)")
_BARE = re.compile(r"https?:/[^\s<>\[\]\"'`|\\^]*", re.IGNORECASE)


@dataclass(frozen=True)
class Addresses:
    """`spelled` is sorted, so that what an address can go on to stands behind it; `known` has the check's canonical forms."""

    spelled: tuple[str, ...]
    known: frozenset[str]

    @classmethod
    def of(cls, source: str, model_id: str, known: frozenset[str]) -> Addresses:
        """As they stand in the source; those that the check knows by another name alone (a link's with a space, the model's
        own page) in canonical form. `http` may be `https`, and a paper's PDF its page."""
        found = {*mentions(source), f"https://huggingface.co/{model_id}"}
        found = {address for address in found if canonical(address) in known}
        found |= {_with_scheme(one) for one in known - {canonical(address) for address in found}}
        found |= {address.replace("http://", "https://", 1) for address in found}
        found |= {
            address.replace("arxiv.org/pdf/", "arxiv.org/abs/").removesuffix(".pdf") for address in found if "arxiv" in address
        }
        found = {_written(address) for address in found}
        return cls(tuple(sorted(address for address in found if canonical(address) in known)), known)

    def goes_on(self, begun: str) -> bool:
        """True where an address begins like this, or is this in another spelling (a closing slash, an anchor)."""
        at = bisect_left(self.spelled, begun)
        return (at < len(self.spelled) and self.spelled[at].startswith(begun)) or (bool(begun) and self.holds(begun))

    def holds(self, address: str) -> bool:
        return canonical(address) in self.known

    def rests(self, begun: str) -> Iterator[str]:
        """What may follow, the address's end included."""
        at = bisect_left(self.spelled, begun)
        for address in self.spelled[at : at + MOST_RESTS]:
            if not address.startswith(begun):
                return
            yield address[len(begun) :]


def _written(address: str) -> str:
    """Percent-encoded where a link's target or a bare address would end."""
    unwritable = _UNWRITABLE if address.count("(") == address.count(")") else _UNWRITABLE_WITH_BRACKETS
    return unwritable.sub(lambda match: f"%{ord(match[0]):02X}" if match[0].isascii() else quote(match[0]), address)


def _with_scheme(canonical_form: str) -> str:
    return canonical_form if ":" in canonical_form.partition("/")[0] else f"https://{canonical_form}"


class LinkRule:
    """Of a link's address, behind `](` or at a bare `http:/`: it goes on towards one of the source's, and ends as one, a
    link's with `)`. Code is left alone: the check does not read it."""

    kind = "link"

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    def refuses(self, line: str, added: str, closed: bool, excused: int) -> bool:
        text = line + added
        for match in _TARGET.finditer(text):
            asked = match.end() >= len(line) and match.start() >= excused and not _in_code(text, match.start())
            if asked and not self._target_stands(match["address"], match["after"], closed):
                return True
        for match in _BARE.finditer(text):
            is_target = text.startswith("](", match.start() - 2)  # which ends elsewhere
            asked = (
                match.end() >= len(line) and match.start() >= excused and not is_target and not _in_code(text, match.start())
            )
            if asked and not self._bare_stands(match[0], is_open=match.end() == len(text) and not closed):
                return True
        return False

    def _target_stands(self, address: str, after: str, closed: bool) -> bool:
        if after == ")":
            return self._addresses.holds(address)
        if after and not after.startswith("("):
            return False
        return not closed and self._addresses.goes_on(address + after)

    def _bare_stands(self, address: str, is_open: bool) -> bool:
        return (is_open and self._addresses.goes_on(address)) or self._addresses.holds(trimmed_url(address))

    def is_open(self, line: str) -> bool:
        """True where `line` ends in an address."""
        return open_address(line) is not None

    def ways_on(self, line: str) -> Iterator[str]:
        if (begun := open_address(line)) is not None:
            yield from (rest or ")" for rest in self._addresses.rests(begun))
            yield ")"
        yield from (" ", ".", "\n")


def open_address(line: str) -> str | None:
    """The beginning of an address that `line` ends in; None where it ends in none."""
    for match in _TARGET.finditer(line, max(0, line.rfind("]("))):
        if match.end() == len(line) and match["after"] != ")":
            return match["address"] + match["after"]
    at = line.rfind("http")
    bare = _BARE.match(line, at) if at >= 0 and line[max(0, at - 2) : at] != "](" else None
    return bare[0] if bare and bare.end() == len(line) else None


def _in_code(text: str, at: int) -> bool:
    return text.count("`", 0, at) % 2 == 1
