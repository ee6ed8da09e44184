"""Which units a source gives a number other than right behind it: in a column's head, a row, a key or another language; and which
units it has words for at all. Of a summary none of this is read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from data_prep.checks.numeric.quantities import MONEY, UNITS

Columns = Mapping[int, frozenset[str]]  # number of bars before a cell -> the units that the head has there

# "Size (GB)", "Time / h", "max_seconds". Not of a number before: "after 3 hours: 71". A "min" is the least more often, and
# "second" comes after the first.
_NAMED = re.compile(
    rf"(?<![^\W\d_])(?<![0-9])(?<![0-9][ -])({'|'.join(unit for unit in UNITS if len(unit) > 1 and unit not in ('min', 'second'))}"
    r"|(?<=[(\[_])(?:[shgw]|min)|(?<=/)[shgw]|(?<=/ )[shgw])(?![^\W\d_])"
)
_KEY_BEGINS = re.compile(r"[,;{}\[\]]|\. ")
KEY_CHARACTERS = 48
LONGEST_ROW = 3000  # characters: no table that people read is wider
LONGEST_LABEL = 120
_WORDS = re.compile(r"[^\W\d_]+")
_ASCII_WORDS = re.compile("[a-z]++")
# By the first letters: nouns of other languages, and some that nobody speaks (minuts); tCO₂eq.
_STEMS = {"minut": "minutes", "sekun": "seconds", "segun": "seconds", "stund": "hours", "heure": "hours", "horas": "hours"}
_OF_CARBON = {"tco": "tonnes", "kgc": "kg", "gco": "g"}
# What else speaks of a unit: 32G of memory, a key of the Trainer.
_SPEAKS_OF = {"g": "gb", "t": "tb", "m": "mb min", "k": "kb", "runtime": "seconds", "latency": "ms seconds"}


def unit_of_word(word: str) -> str:
    """ "minutes" of minuten; "" of what is no unit in another language."""
    return _STEMS.get(word[:5], "")


def named_by_column(head: str) -> Columns:
    cells = ((bars, frozenset(_named(cell))) for bars, cell in enumerate(head.split("|")))
    return {bars: units for bars, units in cells if units}


@lru_cache(maxsize=64)  # of a row it is asked for each of its numbers
def _named(text: str) -> Sequence[str]:
    lower = text.lower()
    return () if UNITS.keys().isdisjoint(_WORDS.findall(lower)) else _NAMED.findall(lower)


def announced(line: str, start: int, columns: Columns) -> Iterable[str]:
    """The units that the column, the row or the key of the bare number at `start` names: "Size (GB)", "Hours used: 150"."""
    if start > LONGEST_ROW:
        return ()
    if "|" in line:
        row = line[: line.find("|", 1, LONGEST_LABEL) + 1]
        return columns.get(line.count("|", 0, start), frozenset()).union(_named(row))
    before = line[max(0, start - KEY_CHARACTERS) : start].rstrip(" \"'*`")
    match before[-1:]:
        case ":":
            return _named(_KEY_BEGINS.split(before)[-1])
        case "=":
            return _named(" ".join(before.rstrip("= ").split()[-1:]))
    return ()


def spoken(lower: str) -> dict[str, frozenset[Decimal]]:
    """Kind of unit -> sizes. Where a source says hours and nothing of minutes, its bare numbers are none of minutes."""
    words = set((_ASCII_WORDS if lower.isascii() else _WORDS).findall(lower))
    begun = {word[:5] for word in words}
    words.update(unit for stem, unit in _STEMS.items() if stem in begun)
    words.update(unit for stem, unit in _OF_CARBON.items() if any(word.startswith(stem) for word in begun))
    words.update(unit for word, units in _SPEAKS_OF.items() if word in words for unit in units.split())
    found: dict[str, set[Decimal]] = defaultdict(set)
    for kind, size in (UNITS[word] for word in words & UNITS.keys()):
        found[kind].add(size)
    return {kind: frozenset(sizes) for kind, sizes in found.items() if kind != MONEY}
