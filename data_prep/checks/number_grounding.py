"""Numbers: each one in a summary is one that the sources give, after unit expansion and correct rounding."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from data_prep.checks.document import Document, lines_of
from data_prep.checks.quantities import (
    MONEY,
    SCALES,
    UNITS,
    Quantity,
    Reading,
    binary_aliases,
    contains,
    quantities,
    without_labels,
)
from data_prep.checks.result import CheckResult, Span, looked_up

NUMBERS_EXPECTED = 5  # a source with this many distinct numbers deserves a summary with one

_SIZE_IN_NAME = re.compile(r"(?<![0-9.])([0-9]+(?:\.[0-9]+)?)[ -]?([KkMmBbTt])(?![A-Za-z])")
_COLUMN_SCALE = re.compile(r"\((?:in )?([KMBT]|thousand|million|billion|trillion)s?\)", re.IGNORECASE)
_NAME_AND_NUMBER = re.compile(r"(?<![A-Za-z])([A-Za-z]{1,40})[\s_-]?([0-9]+(?:\.[0-9]+)*)")
_VERSION = re.compile(r"(?<![0-9.])([0-9]+\.[0-9]+)\.[0-9]+")
_URL = re.compile(r"(?:https?://|data:)[^\s<>\[\]\"'|)]+", re.IGNORECASE)
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})+(?![0-9.,])")
# A source that says these says the number too.
_SAME_AS = {
    2: r"both|dual|twice|double|doubled|pair|second|two-fold|halves",
    3: r"third|triple|thrice",
    4: r"fourth|quadruple|quarter",
}


@dataclass(frozen=True)
class Numbers:
    """The sources' numbers. The tuples are sorted. `percent` also holds what a percentage in a summary may be taken from:
    benchmark scores written without the sign (decimals and table cells from 0 to 100) and fractions (0.712 for 71.2%)."""

    plain: tuple[Decimal, ...] = ()
    percent: tuple[Decimal, ...] = ()
    signed_percent: tuple[Decimal, ...] = ()
    dates: frozenset[tuple[int | None, int | None, int | None]] = frozenset()
    named: frozenset[str] = frozenset()  # "llama3.1": a number that belongs to a name
    versions: frozenset[str] = frozenset()
    units: Mapping[Decimal, frozenset[str]] = field(default_factory=dict)  # of plain numbers that have some
    amounts: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)  # kind of unit -> amounts in its base unit
    signs: Mapping[Decimal, str] = field(default_factory=dict)  # values that stand nowhere without a sign -> "+", "-", "+-"
    distinct: int = 0


def numbers_of(source: str, counts: Iterable[int] = ()) -> Numbers:
    """Indexes the numbers of a source text. `counts` are lengths of its lists: eight languages are listed, not counted."""
    text = _URL.sub(" ", source)
    plain, percent, signed, dates = {Decimal(count) for count in counts if count > 1}, set(), set(), set()
    written: dict[str, set[Decimal]] = {"": set(), "+": set(), "-": set()}  # values by their sign
    units: dict[Decimal, set[str]] = defaultdict(set)
    for offset, line in lines_of(text):
        scales = _table_scales(line, text, offset)
        for found in quantities(line, bounds=False):
            values = {reading.value for reading in found.readings}
            written[found.sign] |= values
            if found.kind == "date" and found.date:
                dates.add(found.date)
                plain.update(Decimal(part) for part in found.date if part)
            elif found.kind == "percent":
                signed |= values
            else:
                plain |= values
                for value in values if found.unit else ():
                    units[value].add(found.unit)
                percent |= _as_percent(found, in_table="|" in line)
                plain.update(value.scaleb(power) for value in values for power in scales)
    distinct = len(plain) + len(signed)
    others = _otherwise(text)
    plain |= others
    plain |= {alias for value in plain for alias in binary_aliases(value)}
    return Numbers(
        plain=tuple(sorted(plain)),
        percent=tuple(sorted(percent | signed)),
        signed_percent=tuple(sorted(signed)),
        signs=_signs(written, others),
        dates=frozenset(dates),
        named=frozenset(f"{word}{number}".lower() for word, number in _NAME_AND_NUMBER.findall(text)),
        versions=frozenset(_VERSION.findall(text)),
        units={value: frozenset(found) for value, found in units.items()},
        amounts=_amounts(units),
        distinct=distinct,
    )


def _signs(written: Mapping[str, set[Decimal]], unsigned: set[Decimal]) -> dict[Decimal, str]:
    """The signs of the values that stand nowhere without one, neither among those `written` nor the `unsigned`."""
    signed = (written["+"] | written["-"]) - written[""] - unsigned
    return {value: "".join(sign for sign in "+-" if value in written[sign]) for value in signed}


def _amounts(units: Mapping[Decimal, Iterable[str]]) -> dict[str, tuple[Decimal, ...]]:
    """What the source gives in units, in the base unit of each kind, sorted."""
    found: dict[str, set[Decimal]] = defaultdict(set)
    for value, names in units.items():
        for kind, size in (UNITS[name] for name in names):
            found[kind].add(value * size)
    return {kind: tuple(sorted(values)) for kind, values in found.items()}


def _table_scales(line: str, text: str, offset: int) -> set[int]:
    """Powers of ten that a table announces: "Params (B)" above, 3.2 in the row. The header is looked for in the lines before."""
    if "|" not in line:
        return set()
    above = text[max(0, offset - 3000) : offset + len(line)]
    return {SCALES[match[1].lower()] for match in _COLUMN_SCALE.finditer(above)} if "(" in above else set()


def _as_percent(found: Quantity, in_table: bool) -> set[Decimal]:
    value = found.readings[0].value
    if "." not in found.literal and not (in_table and not found.counts):
        return set()
    fraction = {value * 100} if 0 < value < 1 and len(found.literal) > 3 else set()
    return fraction | ({value} if 0 <= value <= 100 else set())


def _otherwise(text: str) -> set[Decimal]:
    """Numbers that are said in another way: sizes in names (Lumen-3B supports "3B parameters"), thousands set apart by
    spaces, words for them."""
    lower = text.lower()  # three times as fast as ignoring case
    sizes = {Decimal(number).scaleb(SCALES[unit.lower()]) for number, unit in _SIZE_IN_NAME.findall(text) if len(number) < 12}
    spaced = {Decimal(match[0].replace(" ", "")) for match in _SPACED_THOUSANDS.finditer(text) if len(match[0]) < 24}
    return sizes | spaced | {Decimal(value) for value, words in _SAME_AS.items() if re.search(rf"\b(?:{words})\b", lower)}


def is_grounded(found: Quantity, known: Numbers) -> bool:
    """True where the sources give this number, in any spelling, or one that it is a correct rounding of."""
    if found.kind == "date":
        return _has_date(found, known)
    if found.sign and _has_other_sign(found, known):
        return False
    if found.kind == "percent":
        return any(contains(known.percent, reading) for reading in found.readings)
    if any(contains(known.plain, reading) and _has_unit(found.unit, reading, known) for reading in found.readings):
        return True
    if found.unit and _converted(found, known):
        return True
    if found.literal and not found.counts and any(contains(known.signed_percent, reading) for reading in found.readings):
        return True  # "71.2 on MMLU" for 71.2%; "45 languages" for 45% is no match
    return found.literal in known.versions or (bool(found.leading) and found.leading + found.literal in known.named)


def _has_unit(unit: str, reading: Reading, known: Numbers) -> bool:
    """False where the source gives each number that the reading may stand for in other units of this kind: 24 GB for 24 MB."""
    if not unit:
        return True
    kind, size = UNITS[unit]
    for value in known.plain[bisect_left(known.plain, reading.low) :]:
        if value > reading.high:
            return False
        sizes = [UNITS[name][1] for name in known.units.get(value, ()) if UNITS[name][0] == kind]
        if not sizes or size in sizes:
            return True
    return False


def _has_date(found: Quantity, known: Numbers) -> bool:
    """A day without a year is wrong where the sources have that day of other months alone; else it is its number."""
    if any(_agrees(found.date, date) for date in known.dates):
        return True
    if not found.date or not found.readings or any(date[2] == found.date[2] for date in known.dates):
        return False
    return any(contains(known.plain, reading) for reading in found.readings)


def _has_other_sign(found: Quantity, known: Numbers) -> bool:
    """-3.4 where the sources say +3.4; not where they give the number without a sign anywhere."""
    signs = [
        known.signs.get(value, found.sign)
        for values in (known.plain, known.percent)
        for reading in found.readings
        for value in values[bisect_left(values, reading.low) : bisect_right(values, reading.high)]
    ]
    return bool(signs) and not any(found.sign in sign for sign in signs)


def _converted(found: Quantity, known: Numbers) -> bool:
    """0.48 s where the source says 480 ms."""
    kind, size = UNITS[found.unit]
    if kind == MONEY:
        return False
    amounts = known.amounts.get(kind, ())
    return any(contains(amounts, Reading(r.value * size, r.low * size, r.high * size)) for r in found.readings)


def _agrees(date: tuple[int | None, int | None, int | None] | None, known: tuple[int | None, int | None, int | None]) -> bool:
    return date is not None and all(part is None or part == other for part, other in zip(date, known, strict=True))


def summary_quantities(document: Document) -> list[Quantity]:
    """The numbers of a summary's prose. Not those in addresses, code, names, enumerators and labels."""
    return list(quantities(without_labels(document.prose)))


def check_numbers(found: list[Quantity], known: Numbers) -> CheckResult:
    """`value`: share of the summary's numbers that the sources give; 0 where the summary has none although the sources
    have NUMBERS_EXPECTED or more."""
    if not found:
        passed = known.distinct < NUMBERS_EXPECTED
        reason = "no number" + ("" if passed else f", although the sources give {known.distinct}")
        return CheckResult("numbers", passed, None if passed else 0.0, reason)
    wrong = [Span(quantity.start, quantity.end, quantity.text) for quantity in found if not is_grounded(quantity, known)]
    return looked_up("numbers", len(found), wrong, len(wrong))
