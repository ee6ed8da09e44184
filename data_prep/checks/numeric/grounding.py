"""Numbers: each one in a summary is one that the sources give, after unit expansion and correct rounding."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from data_prep.cards.scan import without
from data_prep.checks.document import Document, blank
from data_prep.checks.numeric.notation import plain as plain_notation
from data_prep.checks.numeric.notation import plain_with_offsets
from data_prep.checks.numeric.other_spellings import (
    Date,
    dates_of,
    identifiers_of,
    is_keyed_score,
    names_and_versions,
    numbers_apart_in,
    sizes_of,
    values_of,
)
from data_prep.checks.numeric.quantities import (
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
from data_prep.checks.numeric.units import Columns, announced, named_by_column, spoken, unit_of_word
from data_prep.checks.result import CheckResult, Derived, Span, looked_up

_STEM = 5  # letters that second and seconds share
_SCORE = re.compile(r"\b(?:points?|pts)\b")
_LETTERS = re.compile(r"[^\W\d_]+")
_DAY = re.compile(r"(?:19|20)[0-9]{6}")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_VERSION_NUMBERS = re.compile(r"[0-9.]+")
_VERSION_WORD = re.compile("version|revision|release|edition")
_POINT_ZEROS = re.compile(r"(?:\.0)+\Z")
_LAST_LETTERS = re.compile(r"[^\W\d_]+\Z")
_NO_SCALES = frozenset[int]()
NUMBERS_EXPECTED = 5  # a source with this many distinct numbers deserves a summary with one

# "Params (B)", "Params [M]" or "Params / M" of a column.
_COLUMN_SCALE = re.compile(
    r"[(\[/,](?:in | ?# ?| )?(?P<scale>[KMBT]|thousand|million|billion|trillion)s?(?:[)\]]| *(?=\|))",
    re.IGNORECASE,
)
_WIDE_GAP = re.compile(r"(?<=[0-9]) {2,4}(?=[KMBT](?![A-Za-z]))")  # 12  K of a table
_TRUNCATES = re.compile(r"\b(?:truncated|truncation|cut (?:to|off|after) |not rounded|shortened)")
_DATE_IN_NAME = re.compile("%20(?=(?:19|20)[0-9]{2}-)")  # of an address
_ROW_NUMBER = re.compile(r"^[ ]{0,3}\|[ ]{0,8}([0-9]{1,2})[ ]{0,8}\|", re.MULTILINE)
_SPACED = re.compile(r"(?<![\w.,/–-])(?<![0-9] )[1-9][0-9]{0,2}(?: [0-9]{3})+(?![\w,]|\.[0-9]| [0-9])")  # 766 000
_URL = re.compile(r"(?:https?://|data:)[^\s<>\[\]\"'|)]+", re.IGNORECASE)


@dataclass(frozen=True)
class Numbers:
    """The sources' numbers. The tuples are sorted. `percent` also holds what a percentage in a summary may be taken from:
    benchmark scores written without the sign (decimals and table cells from 0 to 100) and fractions (0.712 for 71.2%)."""

    plain: tuple[Decimal, ...] = ()
    percent: tuple[Decimal, ...] = ()
    signed_percent: tuple[Decimal, ...] = ()
    dates: frozenset[Date] = frozenset()
    named: frozenset[str] = frozenset()  # "llama3.1": a number that belongs to a name
    versions: frozenset[str] = frozenset()
    identifiers: Mapping[Decimal, frozenset[str]] = field(default_factory=dict)  # `patch14`: 14 -> "patch"
    rounded: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)  # decimals by what they count, "seconds"
    units: Mapping[Decimal, frozenset[str]] = field(default_factory=dict)  # of plain numbers that have some
    amounts: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)  # kind of unit -> amounts in its base unit
    spoken: Mapping[str, frozenset[Decimal]] = field(default_factory=dict)  # kind of unit -> sizes that there is a word for
    counted: frozenset[Decimal] = frozenset()  # with a noun behind them, which may be a unit of another language
    signs: Mapping[Decimal, str] = field(default_factory=dict)  # values that stand nowhere without a sign -> "+", "-", "+-"
    distinct: int = 0


@dataclass
class _Written:
    """What a source's numbers are, as they are read one after the other."""

    plain: set[Decimal]
    percent: set[Decimal] = field(default_factory=set)
    signed: set[Decimal] = field(default_factory=set)
    dates: set[Date] = field(default_factory=set)
    signs: dict[str, set[Decimal]] = field(default_factory=lambda: {"": set(), "+": set(), "-": set()})  # values by their sign
    units: dict[Decimal, set[str]] = field(default_factory=lambda: defaultdict(set))
    decimals: dict[str, set[Decimal]] = field(default_factory=lambda: defaultdict(set))  # by what they count
    counted: set[Decimal] = field(default_factory=set)

    def add(self, found: Quantity, line: str, scales: frozenset[int], columns: Columns) -> None:
        values = {reading.value for reading in found.readings}
        self.signs[found.sign] |= values
        if found.kind == "date" and found.date:
            self.add_date(found.date, self.plain)
        elif found.kind == "percent":
            self.signed |= values
        else:
            self.plain |= values
            behind = "" if found.unit else line[found.end : found.end + 12].lstrip(" -").lower()
            unit = found.unit or unit_of_word(behind)
            for name in [unit] if unit else () if found.noun else announced(line, found.start, columns):
                for value in values:
                    self.units[value].add(name)
            if behind[:1].isalpha():
                self.counted |= values
            if found.noun and "." in found.literal:
                self.decimals[found.noun[:_STEM]] |= values
            self.percent |= _as_percent(found, line)
            self.plain.update(value.scaleb(power) for value in values for power in scales)
            self.signed.update([found.share.value] if found.share else ())

    def add_date(self, date: Date, values: set[Decimal]) -> None:
        self.dates.add(date)
        values.update(Decimal(part) for part in date if part)


def numbers_of(source: str, counts: Iterable[int] = ()) -> Numbers:
    """Indexes the numbers of a source text. `counts` are lengths of its lists: eight languages are listed, not counted."""
    source = plain_notation(source)
    source = _DATE_IN_NAME.sub(" ", _WIDE_GAP.sub(" ", source) if "  " in source else source)
    text = without(("http", "data:"), _URL, source)
    found = _Written({Decimal(count) for count in counts if count > 1})
    head: tuple[Columns, frozenset[int]] | None = None  # units and scales of the table that the line is in
    read = set[str]()  # lines that stand in no table: pages of one site have many in common
    for line in text.splitlines(keepends=True):
        if "|" in line:
            head = head or (named_by_column(line), _scales(line))
        else:
            head = None
            if line in read:
                continue
            read.add(line)
        stated = list(quantities(line, bounds=False))
        if not stated:
            continue
        columns, scales = (head[0], head[1] | _scales(line)) if head else ({}, _scales(line) if ":" in line else _NO_SCALES)
        for quantity in stated:
            found.add(quantity, line, scales, columns)
    distinct = len(found.plain) + len(found.signed)
    named, versions = names_and_versions(source)
    identifiers, alone = identifiers_of(source)
    values, commas = values_of(text)
    others = (
        values | commas | sizes_of(source, text) | alone | numbers_apart_in(_URL.findall(source) if "%20" in source else ())
    )
    for date in dates_of(source):
        found.add_date(date, others)
    plain = found.plain | others
    plain |= {alias for value in plain for alias in binary_aliases(value)}
    return Numbers(
        plain=tuple(sorted(plain)),
        percent=tuple(sorted(found.percent | found.signed | {value for value in commas if value <= 100})),
        signed_percent=tuple(sorted(found.signed)),
        signs=_signs(found.signs, others),
        dates=frozenset(found.dates),
        named=named,
        versions=versions,
        identifiers=identifiers,
        rounded={noun: tuple(sorted(decimals)) for noun, decimals in found.decimals.items()},
        units={value: frozenset(units) for value, units in found.units.items()},
        amounts=_amounts(found.units),
        spoken=spoken(text.lower()),
        counted=frozenset(found.counted),
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


def _scales(line: str) -> frozenset[int]:
    """Powers of ten that a row announces: "Params (B)" above, 3.2 below."""
    return frozenset(SCALES[scale.lower()] for scale in _COLUMN_SCALE.findall(line))


def _as_percent(found: Quantity, line: str) -> set[Decimal]:
    value = found.readings[0].value
    if found.to_percent:
        return {value}
    if "." not in found.literal and not ("|" in line and not found.counts) and not is_keyed_score(line, found):
        return set()
    fraction = {value * 100} if 0 < value < 1 else set()
    return fraction | ({value} if 0 <= value <= 100 else set())


def is_grounded(found: Quantity, known: Numbers) -> bool:
    """True where the sources give this number, in any spelling, or one that it is a correct rounding of."""
    if found.kind == "date":
        return _has_date(found, known)
    if found.kind == "version":
        return _has_version(found.literal, known)
    if found.sign and _has_other_sign(found, known):
        return False
    if found.kind == "percent":
        return any(contains(known.percent, reading) for reading in found.readings)
    if found.unit and _has_other_unit(found, known):
        return _converted(found, known) or _is_rounded(found, known)
    if any(contains(known.plain, reading) and _has_unit(found.unit, reading, known) for reading in found.readings):
        return True
    if found.unit and _converted(found, known):
        return True
    if found.share and _is_share(found.share, known):
        return True
    if found.literal and not found.counts and any(contains(known.signed_percent, reading) for reading in found.readings):
        return True  # "71.2 on MMLU" for 71.2%; "45 languages" for 45% is no match
    if _DAY.fullmatch(found.literal) and _day(found.literal) in known.dates:
        return True
    return any(holds(found, known) for holds in (_is_rounded, _is_score_of_fraction, _is_of_name, _is_in_identifier))


def _is_share(share: Reading, known: Numbers) -> bool:
    """Nine in ten for 90% or a fraction of 0.9; a score of 90 is none."""
    fraction = Reading(share.value / 100, share.low / 100, share.high / 100)
    return contains(known.signed_percent, share) or contains(known.plain, fraction)


def _is_rounded(found: Quantity, known: Numbers) -> bool:
    """12 seconds for 12.4 seconds: what is counted is the same. A number of one digit is meant exactly."""
    if not found.counts or not found.literal.isdigit() or len(found.literal) < 2:
        return False
    value, half = Decimal(found.literal), Decimal("0.5")
    if contains(known.rounded.get(found.noun[:_STEM], ()), Reading(value, value - half, value + half)):
        return True
    if not found.unit:
        return False
    kind, size = UNITS[found.unit]
    return kind != MONEY and contains(
        known.amounts.get(kind, ()), Reading(value * size, (value - half) * size, (value + half) * size)
    )


def _is_score_of_fraction(found: Quantity, known: Numbers) -> bool:
    """A score of 88.19 for 0.8819, and 0.712 for 71.2%."""
    if "." not in found.literal or found.text != found.literal or found.counts or found.unit:
        return False
    [reading, *_] = found.readings
    if reading.value > 1:
        return contains(known.percent, reading)
    if len(found.literal) <= len("0.1"):  # meant exactly: rounded it would stand for 5 to 15%
        return reading.value * 100 in known.signed_percent
    return contains(known.signed_percent, Reading(reading.value * 100, reading.low * 100, reading.high * 100))


def _is_of_name(found: Quantity, known: Numbers) -> bool:
    """A version, and a number behind the name that it belongs to: version 1.5, Llama 3.1, wav2vec 2.0, AIME 2024 for AIME24."""
    if not found.literal or _is_scaled(found):
        return False
    spelled = {found.literal, found.literal.removesuffix(".0")}
    is_bare = found.text == found.literal and not found.unit
    is_called_version = _VERSION_WORD.search(found.beside) is not None
    may_be_version = is_bare and (not found.counts or is_called_version)
    if is_bare and is_called_version and any(name.rstrip("0123456789.") + found.literal == name for name in known.named):
        return True
    if may_be_version and not _SCORE.search(found.beside) and not spelled.isdisjoint(known.versions):
        return True
    if _YEAR.fullmatch(found.literal):
        spelled.add(found.literal[2:])
    elif len(found.literal) == 2:
        spelled.add(f"20{found.literal}")
    ending = _LAST_LETTERS.search(found.leading)
    leading = {found.leading, ending[0]} if ending else {found.leading} - {""}
    return any(word + number in known.named for word in leading for number in spelled)


def _has_version(said: str, known: Numbers) -> bool:
    """4.18.0 is another version than 4.18.1, and the same as a plain 4.18."""
    numbers = _VERSION_NUMBERS.match(said)[0].rstrip(".")  # type: ignore[index]  # it begins with a digit
    short = _POINT_ZEROS.sub("", numbers)
    return numbers in known.versions or (short.count(".") < 2 and (short in known.versions or Decimal(short) in known.plain))


def _is_in_identifier(found: Quantity, known: Numbers) -> bool:
    """12 layers for `12L`, patch size 14 for `patch14`, 8-bit for Q8_0, 80 GB for A100-80GB; three-dimensional for 3D."""
    if found.kind != "plain" or (found.literal and (not found.literal.isdigit() or _is_scaled(found))):
        return False
    affixes = known.identifiers.get(found.readings[0].value, ())
    words = (found.noun, found.unit, *_LETTERS.findall(found.beside)) if affixes else ()
    return any(
        word.startswith(affix) for affix in affixes for word in (words if len(affix) > 1 or not affix else (found.noun,))
    )


def _is_scaled(found: Quantity) -> bool:
    """True of 6T: the 6 of GPT-J-6B does not give it."""
    return found.readings[0].value != Decimal(found.literal)


def _has_other_unit(found: Quantity, known: Numbers) -> bool:
    """True where the source gives this very number in other units of the kind alone, or bare while it speaks of others alone."""
    kind, size = UNITS[found.unit]
    value = found.readings[0].value
    sizes = {UNITS[name][1] for name in known.units.get(value, ()) if UNITS[name][0] == kind}
    if sizes:
        return size not in sizes
    worded = known.spoken.get(kind, ())
    return bool(worded) and size not in worded and value not in known.counted


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


def _day(digits: str) -> Date:
    """Of 20210807."""
    return int(digits[:4]), int(digits[4:6]), int(digits[6:])


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


def _agrees(date: Date | None, known: Date) -> bool:
    return date is not None and all(part is None or part == other for part, other in zip(date, known, strict=True))


def summary_quantities(document: Document) -> list[Quantity]:
    """The numbers of a summary's prose. Not those in addresses, code, names, enumerators and labels."""
    text, offsets = plain_with_offsets(without_labels(document.prose))
    text = _SPACED.sub(lambda number: number[0].replace(" ", "\u202f"), _without_row_numbers(text))
    all_cut = _TRUNCATES.search(document.lower) is not None
    found = [_cut_off(one) if all_cut or text.startswith(("…", "..."), one.end) else one for one in quantities(text)]
    if len(text) == len(document.prose):
        return found
    return [_moved(one, offsets[one.start], offsets[one.end], document.text) for one in found]


def _without_row_numbers(text: str) -> str:
    """The rows of a table that are numbered 1, 1, 2, 3 in its first column have no numbers for it."""
    runs: list[list[re.Match[str]]] = [[]]
    for row in _ROW_NUMBER.finditer(text):
        goes_on = runs[-1] and int(row[1]) - int(runs[-1][-1][1]) in (0, 1)
        if not goes_on:
            runs.append([])
        if goes_on or row[1] == "1":
            runs[-1].append(row)
    return blank(text, (row.span(1) for run in runs if len(run) > 1 for row in run))


def _cut_off(found: Quantity) -> Quantity:
    """0.1795… is 0.17957 as well, and 0.1795 on a page that says that scores are cut: what follows is left out, not rounded."""
    if "." not in found.literal or len(found.readings) != 1:
        return found
    value = found.readings[0].value
    step = Decimal(1).scaleb(value.as_tuple().exponent)  # type: ignore[arg-type]
    return found._replace(readings=(Reading(value, value, value + step),))


def _moved(found: Quantity, start: int, end: int, text: str) -> Quantity:
    return found._replace(text=text[start:end], start=start, end=end)


def check_numbers(
    found: list[Quantity],
    known: Numbers,
    derive: Callable[[Sequence[Quantity]], list[Derived]] | None = None,
    is_doubtful: Callable[[Quantity], bool] = lambda unstated: False,
) -> CheckResult:
    """`value`: share of the summary's numbers that the sources give; 0 where the summary has none although the sources
    have NUMBERS_EXPECTED or more. `derive` finds those that follow from the sources among the numbers that they do not state; of the
    others those that are `is_doubtful` are remarked, and the rest is wrong."""
    if not found:
        passed = known.distinct < NUMBERS_EXPECTED
        reason = "no number" + ("" if passed else f", although the sources give {known.distinct}")
        return CheckResult("numbers", passed, None if passed else 0.0, reason)
    unstated = [quantity for quantity in found if not is_grounded(quantity, known)]
    derived = derive(unstated) if derive and unstated else []
    follows = {one.start for one in derived}
    open_ones = [quantity for quantity in unstated if quantity.start not in follows]
    doubtful = {quantity.start for quantity in open_ones if is_doubtful(quantity)}
    spans = [Span(quantity.start, quantity.end, quantity.text) for quantity in open_ones]
    wrong = [span for span in spans if span.start not in doubtful]
    remarks = [span for span in spans if span.start in doubtful]
    return looked_up("numbers", len(found), wrong, len(wrong), derived, remarks)
