"""Numbers of a sentence that its words do not lead to, where they lead to all others: a row or column that is nowhere named.

Weaker evidence than a name bound to a number (sentences.py), so more must agree. A cell that the sentence does name must be left
without its number; a number said twice must have one cell only; of two that are compared, both must be of one row or column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from data_prep.checks.numeric.quantities import Quantity
from data_prep.checks.tables.source import Place, Table

MOST_VACANT = 3  # cells that are named and whose number is not said: with more it is not plain which is meant

COMPUTED = re.compile(
    r"\b(?:points?|gaps?|differences?|differs?|ratio|times|sum|margin|altogether|together|others?|another|rest|remaining|lead"
    r"|best|highest|lowest|largest|smallest|worst|top|next|second|rival|runner-up|ranges?)\b"
)
_AGAINST = re.compile(r"[\s%*)]*(?:against|versus|vs\.?|compared (?:to|with)|to)[\s*(]*\Z")

Lines = frozenset[int]


@dataclass(frozen=True)
class Scene:
    """A sentence as one table sees it. `named`: the rows and columns that are named in full, `own`: those of the card's model;
    `homes`: the cells that have each number; `is_clear`: no name is of a row and of a column."""

    text: str
    table: Table
    named: tuple[Lines, Lines]
    own: tuple[Lines, Lines]
    words: frozenset[str]
    homes: Mapping[Quantity, set[Place]]
    is_clear: bool
    is_compared: bool

    @cached_property
    def touched(self) -> tuple[Lines, Lines]:
        """Those that are named in full, or by all their words, or by one that few have."""
        one, two = (
            self.named[side].union(
                *(lines for stem, lines in self.table.by_stem[side].items() if stem in self.words),
                (line for line, stems in enumerate(self.table.stems[side]) if stems and stems <= self.words),
            )
            for side in (0, 1)
        )
        return one, two

    @cached_property
    def marked(self) -> tuple[Lines, Lines]:
        """Those that are named in full, or by a word that no other has."""
        one, two = (
            self.named[side].union(
                *(
                    lines
                    for stem, lines in self.table.by_stem[side].items()
                    if len(lines) == 1 and len(stem) > 3 and stem in self.words
                )
            )
            for side in (0, 1)
        )
        return one, two

    def partner(self, number: Quantity) -> Quantity | None:
        """What the number is compared with: "64.3 against 71.2"."""
        for other in self.homes:
            first, last = sorted((number, other), key=lambda one: one.start)
            if other is not number and 0 < last.start - first.end < 25 and _AGAINST.match(self.text, first.end, last.start):
                return other
        return None


def strays(number: Quantity, scene: Scene) -> tuple[Place, Place] | None:
    """(a cell that the sentence names, the cell that has the number)."""
    if not scene.homes[number]:
        return None
    if not scene.is_clear:
        return _twice(number, scene)
    return _twice(number, scene) or _apart(number, scene) or _outside(number, scene)


def own_lines(table: Table, own: str) -> tuple[Lines, Lines]:
    """The rows or the columns whose label has most in common with the name of the card's model."""
    shared = {
        (side, line): max((min(len(form), len(own)) for form in label.forms if _is_own(form, own)), default=0)
        for side in (0, 1)
        for line, label in enumerate(table.labels[side])
    }
    most = max(shared.values(), default=0)
    best = {place for place, length in shared.items() if most and length == most}
    sides = {side for side, _ in best}
    rows, columns = (frozenset(line for side, line in best if side == asked and len(sides) == 1) for asked in (0, 1))
    return rows, columns


def _is_own(form: str, own: str) -> bool:
    """A label that is a small part of a long name, such as a data set's, may be another model's."""
    is_most = form in own and len(form) * 2 >= len(own)
    return len(own) > 2 and len(form) > 1 and form[0] not in "#^~" and (is_most or own in form)


def _twice(number: Quantity, scene: Scene) -> tuple[Place, Place] | None:
    """A number with one cell that is said twice, where a cell beside it is named and its number not said."""
    same = [
        other for other in scene.homes if other is not number and (other.literal, other.unit) == (number.literal, number.unit)
    ]
    is_long = "." in number.literal or len(number.literal) > 4  # a batch of 720 may be told twice
    if len(scene.homes[number]) > 1 or not same or not (is_long or scene.partner(number) in same):
        return None
    (home,) = scene.homes[number]
    stated = {place for other, places in scene.homes.items() if other.literal != number.literal for place in places}
    rows, columns = (scene.marked[side] | scene.own[side] for side in (0, 1))
    beside = [*((line, home[1]) for line in sorted(rows)), *((home[0], line) for line in sorted(columns))]
    vacant = [place for place in beside if place != home and place in scene.table.values and place not in stated]
    return (vacant[0], home) if vacant and any(scene.named) else None


def _apart(number: Quantity, scene: Scene) -> tuple[Place, Place] | None:
    """Two that are compared, and of no row or column together."""
    other = scene.partner(number)
    mine, its = scene.homes[number], scene.homes[other] if other else set()
    if not its or any(one[0] == two[0] or one[1] == two[1] for one in mine for two in its):
        return None
    if len(mine) > 1 or len(its) > 1:
        return None
    (home,), (two,) = mine, its
    for side in (0, 1):
        place = (two[0], home[1]) if side == 0 else (home[0], two[1])
        if place in scene.table.values and two[side] in scene.marked[side] and home[side] not in scene.touched[side]:
            return place, home
    return None


def _outside(number: Quantity, scene: Scene) -> tuple[Place, Place] | None:
    """A number of a row (or column) that no word leads to, where words lead to those of all others."""
    others = [other for other in scene.homes if scene.homes[other] and other.literal != number.literal]
    stated = {home for other in others for home in scene.homes[other]}
    if scene.is_compared and len(others) < 2 and not any(scene.own):
        return None  # "it beats Tulvex 7B with 64.3"
    for side in (0, 1):
        if not _is_outside(number, scene, side, others):
            continue
        across = scene.touched[1 - side] | scene.own[1 - side]
        homes = [home for home in sorted(scene.homes[number]) if not scene.marked[1 - side] or home[1 - side] in across]
        crossed = any(home[1 - side] in scene.named[1 - side] for home in homes)
        if not crossed and len(others) < (1 if scene.named[side] else 2):
            continue
        lines = sorted(scene.marked[side] | scene.own[side])
        places = [((line, home[1]) if side == 0 else (home[0], line), home) for home in homes for line in lines]
        vacant = [(place, home) for place, home in places if place in scene.table.values and place not in stated]
        if 0 < len(vacant) <= MOST_VACANT:
            return vacant[0]
    return None


def _is_outside(number: Quantity, scene: Scene, side: int, others: Sequence[Quantity]) -> bool:
    """True where some row (or column) is named, none of those of the number, and one of each other number."""
    near = scene.touched[side] | scene.own[side]
    mine = scene.homes[number]
    if not scene.marked[side] | scene.own[side] or any(home[side] in near for home in mine):
        return False
    if any(all(home[side] not in near for home in scene.homes[other]) for other in others):
        return False
    if (partner := scene.partner(number)) and not (scene.own[side] and scene.named[side]):
        # "71.2 against 68.9": the second may be that of a model which is not named.
        return not any(one[1 - side] == two[1 - side] for one in mine for two in scene.homes[partner])
    return True
