"""Owners of repositories: acme/foo-base is not openai/foo-base.

A slash stands between alternatives too (train/test), so only what the source links, quotes, sets in code or lists by itself is taken
for a repository.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from data_prep.cards.scan import matches_in_lines

_CHAIN = re.compile(r"[\w.+-](?<![\w.+-].)[\w.+-]*(?:/[\w.+-]*\w)+")
_HOSTS = ("huggingface.co", "hf.co", "github.com")
_KINDS = frozenset(("datasets", "spaces", "models"))
_QUOTES = frozenset("\"'`[")
KEY_CHARACTERS = 34
_LISTED = re.compile(r"^(?:[ \t]*-|[\w ]{1,30}:) ?\Z")


@dataclass(frozen=True)
class Owners:
    """Of a source, in compact form. `of_name`: what stands before a slash and a name; `repositories`: the names among them that
    belong to somebody."""

    of_name: Mapping[str, set[str]]
    repositories: frozenset[str]

    @classmethod
    def of(cls, source: str, compact: Callable[[str], str]) -> Owners:
        chains, owned = set[str](), set[str]()
        for match in matches_in_lines(("/",), _CHAIN, source):
            chains.add(match[0])
            parts = match[0].split("/")
            if parts[0].lower().removeprefix("www.") in _HOSTS:
                parts = [part for part in parts[1:] if part not in _KINDS]
                owned.update(parts[1:2])
            elif len(parts) == 2 and _stands_alone(source, *match.span()):
                owned.add(parts[1])
        of_name = defaultdict[str, set[str]](set)
        for chain in chains:
            for owner, name in pairwise(map(compact, chain.split("/"))):
                of_name[name].add(owner)
        return cls(dict(of_name), frozenset(map(compact, owned)) - {""})


def _stands_alone(source: str, start: int, end: int) -> bool:
    """True in quotes, code or a link's text, and on a line of its own behind a dash or a key."""
    if source[start - 1 : start] in _QUOTES:
        return True
    if source[end : end + 2].strip(" \r")[:1] not in ("", "\n"):
        return False
    near = max(0, start - KEY_CHARACTERS)
    line = source.rfind("\n", near, start) + 1
    return (line > 0 or near == 0) and _LISTED.match(source[line:start]) is not None
