"""Differences, sums, means, ratios, shares and products that a word announces, of numbers that stand together in the source.

An operation needs its word at the number, and operands that the sentence names or repeats: any two numbers of a page give nearly
every third one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import combinations, islice
from math import prod

from data_prep.checks.derived.groups import TOTAL, figure, has_digit
from data_prep.checks.derived.words import STOP, line_around, sentence_around
from data_prep.checks.document import Document
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.quantities import WORD, Quantity, has_number_word, quantities
from data_prep.checks.tables.source import Table, Tables, tables_of

MAX_PAIRS = 40_000  # pairs of operands that are tried for one number
MAX_JOINED = 4  # numbers of one operation in a row
MAX_VALUES = 60  # of a column, row, list or sentence
FEW = 6  # numbers of one line that are told apart by little
MAX_FACTORS = 12  # numbers of one line of which three are multiplied
CACHED_OPERATIONS = 512  # each number is tried twice
EXACT = 3  # digits that are no accident
_COLUMN = "a column"
_SENTENCE = "the summary"
_OWN_TABLE = "its table"
_TOTALS = frozenset("total all sum overall average avg mean".split())
_OWN = "(own)"  # labels the row of the model itself, whatever the sentence calls it

# What stands right before or behind a number that says how it was reckoned.
_VAGUE = r"only|about|just|some|roughly|nearly|almost|over|under|around|a[ ]little|well|more[ ]than|less[ ]than"
_ABOUT = rf"(?:[ ](?:of|is|are|was|by|to|at|from|another|further|{_VAGUE}))*[ ]"
_BEFORE = {
    "difference": rf"\b(?:by|gains?|gained|drop(?:s|ped)?|leads?|lead|gap|margin|difference|loss|los[et]s?|costs?|leaving|leaves"
    rf"|improvements?|increases?|decreases?|rise|fall|differ|remaining)(?:[ ](?:grows|widens|narrows|shrinks))?{_ABOUT}\Z|(?<!\w)\+\Z",
    "points": r"(?!)",
    "ratio": rf"\b(?:factor|ratio)(?:[ ]of[ ]one)?{_ABOUT}\Z",
    "share": rf"\b(?:mak(?:es?|ing)(?:[ ]up)?|suppl(?:y|ies)|accounts?[ ]for|shares?|remaining|proportion|fraction){_ABOUT}\Z"
    r"|[0-9][ ]?(?:[^\W\d_]+[ ]){0,2}\(\Z",
    "sum": rf"\b(?:total\w*|sums?|add(?:s|ing)?[ ]up|(?:together|combined|in[ ]all)(?:,?[ ](?:they|these|those|it|all))?"
    rf"(?:[ ](?:comes?|amounts?|adds?[ ]up|makes?|reach|reaches|have|has|holds?))?|makes?|supply|supplies){_ABOUT}\Z",
    "mean": rf"\b(?:averag\w+|mean){_ABOUT}\Z",
    "product": rf"(?:(?<=[0-9])[ ]is|\b(?:that[ ]is|which[ ]is|hence|thus|so|makes?|giv(?:es?|ing)|impl(?:y|ies)|or|total\w*)|=|,(?=[ ](?:about|roughly)))"
    rf"(?:[ ]at[ ]most)?{_ABOUT}\Z",
}
_BEHIND = {
    "difference": r"[ ]?(?:percentage[ ])?points?\b|[ ](?:[^\W_]+[ ]){0,2}(?:more|less|fewer|above|below|lower|higher|better|worse|ahead|behind"
    r"|short|shorter|longer|smaller|larger|faster|slower|apart|unused|idle|left)\b",
    "points": r"[ ]?(?:percentage[ ])?points?\b|[ ]?pp\b",
    "ratio": r"[ -]?(?:times|fold)\b|[ ]?[x×](?![\w×])|[ ](?:[^\W\d_]+[ ]){1,2}(?:per|an?|each)\b",
    "share": r"[ ](?:of|share)\b",
    "sum": r"[ ](?:[^\W\d_]+[ ]){0,3}(?:in[ ](?:total|all)|together|combined|altogether)\b",
    "mean": r"[ ](?:[^\W\d_]+[ ]){0,2}on[ ]average\b",
    "product": r"(?!)",
}
_OPERATIONS = {name: (re.compile(_BEFORE[name], re.IGNORECASE), re.compile(_BEHIND[name], re.IGNORECASE)) for name in _BEFORE}
_JOINED = re.compile(rf"(?:(?:\b(?:to|and|or|against|but|then)(?:[ ](?:by|{_VAGUE}))*|,)[ ]|\()\Z", re.IGNORECASE)
_ANY_NUMBER = re.compile(rf"(?<![\w.-])(?:[0-9][0-9.,]*[0-9]|[0-9]|(?!one\b){WORD})(?!\w)", re.IGNORECASE)
_POINTS = re.compile(r"[ ]?(?:percentage[ ]points?|pp)\Z", re.IGNORECASE)
_SQUARE = re.compile(r"(?<![\w.])([0-9]{1,5})[ ]?(?:by|x|×)[ ]?\1(?![\w.])")
_FRACTION = re.compile(
    r"[ -](third|quarter|fifth|sixth|seventh|eighth|ninth|tenth)s[ ]of[ ](?:(?:the|its|all|about|some)[ ]){0,2}", re.IGNORECASE
)
_PARTS = {name: number for number, name in enumerate("third quarter fifth sixth seventh eighth ninth tenth".split(), 3)}
_NEAR = Decimal("0.025")  # by so much a share may differ from two thirds and the like
_ADDING = frozenset(("sum", "mean"))  # operations that take all numbers of a line, whatever the sentence names
_SAID_IN_WORDS = ("ratio", "points")  # operations whose result is a number in words as well
_TOKEN = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?")
_SEVERAL = re.compile(r"\d[^\d]+\d")
_NAMELESS = frozenset[str]()


@dataclass(frozen=True)
class NumberLine:
    """Numbers that stand together: a column, a row, a list or a sentence. `labels`: tokens that name each of them; `named`: those
    that name the line."""

    values: tuple[Decimal, ...]
    labels: tuple[frozenset[str], ...]
    named: frozenset[str]
    place: str

    @cached_property
    def is_labelled(self) -> bool:
        return any(self.labels)

    @cached_property
    def distinct(self) -> frozenset[Decimal]:
        return frozenset(self.values)


def operands_of(blocks: Iterable[str], tables: Tables, own_name: str) -> tuple[NumberLine, ...]:
    """Columns and rows of tables, and the numbers of each list or sentence. `own_name`: the model's, as compact() gives it."""
    return (*(line for table in tables.tables for line in _number_lines(table, own_name)), *_of_blocks(blocks))


def _tokens_of(text: str) -> frozenset[str]:
    """Words and numbers that may tell one row from another."""
    tokens = _TOKEN.findall(text.lower())
    whole = ["".join(tokens)] if len(tokens) < 4 else []  # "Truthful QA" is TruthfulQA
    single = [token[:-1] for token in tokens if len(token) > 4 and token.endswith("s") and token.isalpha()]  # calls, per call
    return frozenset(token for token in [*tokens, *single, *whole] if len(token) > 1)


def _of_blocks(blocks: Iterable[str]) -> Iterator[NumberLine]:
    """A line for each block with several numbers; of blocks that are alike, the same one."""
    read: dict[str, NumberLine | None] = {}
    for block in blocks:
        if block not in read:
            read[block] = _of_block(block) if has_digit(block) else None
        if line := read[block]:
            yield line


def _of_block(block: str) -> NumberLine | None:
    if not _SEVERAL.search(block) and not has_number_word(block):
        return None
    found = (quantity.readings[0].value for quantity in quantities(block, bounds=False) if quantity.readings)
    values = tuple(islice(found, MAX_VALUES))
    # Nothing names its numbers, and so its own name is not asked for.
    return NumberLine(values, (_NAMELESS,) * len(values), _NAMELESS, "a sentence or list") if len(values) > 1 else None


def _number_lines(table: Table, own_name: str) -> Iterator[NumberLine]:
    """Columns and rows. Totals and averages are no operands of their column."""
    names = [_tokens_of(label.text) for label in table.labels[1]]
    labels = [
        _tokens_of(label.text) | ({_OWN} if own_name and own_name in compact(label.text) else set())
        for label in table.labels[0]
    ]
    columns: dict[int, list[tuple[Decimal, frozenset[str]]]] = {}
    rows: dict[int, list[tuple[Decimal, frozenset[str]]]] = {}
    for (row, column), text in table.texts.items():
        if (value := figure(text)) is None:
            continue
        rows.setdefault(row, []).append((value, names[column]))
        if not TOTAL.search(table.labels[0][row].text):
            columns.setdefault(column, []).append((value, labels[row]))
    for lines, named, place in ((columns, names, _COLUMN), (rows, labels, "a row")):
        for number, cells in sorted(lines.items()):
            if len(cells) > 1:
                values, of_each = zip(*cells[:MAX_VALUES], strict=True)
                yield NumberLine(values, of_each, named[number], place)


# --- of a summary -----------------------------------------------------------------------------------------------------


def computed(
    quantity: Quantity, settled: Sequence[Quantity], document: Document, operands: Callable[[], Sequence[NumberLine]]
) -> tuple[str, str] | None:
    """(operation, its operands), or None."""
    if quantity.kind == "date" or not quantity.readings or "e" in quantity.literal or len(quantity.literal) > 14:
        return None
    text = document.prose
    start, end = line_around(text, quantity.start)
    if fraction := _fraction(quantity, settled, text):
        return fraction
    points = _POINTS.search(quantity.text)
    is_percent = quantity.kind == "percent" and not points
    last = quantity.end - (len(points[0]) if points else 0)
    operations = operations_at(text[start : min(end, quantity.end + 60)], quantity.start - start, last - start)
    unfit = ("ratio", "product") if quantity.kind == "percent" else ("share",)
    operations = [name for name in operations if name not in unfit and (quantity.literal or name in _SAID_IN_WORDS)]
    if not operations:
        return None
    asked = _Asked(tuple(operations), *_bounds(quantity), is_percent, _digits(quantity))
    own = _own_lines(document.text)
    for first, last in dict.fromkeys((sentence_around(text, quantity.start), (start, end))):
        told = _values(settled, first, last)
        squares = tuple(Decimal(square[1]) for square in _SQUARE.finditer(text, first, last))
        tokens = _begun(_tokens_of(text[first:last])) - STOP | {_OWN}
        for lines in (_spoken_of(operands(), tokens), (_same((*told, *squares)), *own)):
            if note := _found(asked, lines, tokens, told):
                return note
    # So many digits are no accident: one of the operands may stand anywhere in the summary.
    return _found(asked, [_same(_values(settled, 0, len(text)))], frozenset(), told) if asked.digits >= EXACT else None


def _fraction(quantity: Quantity, settled: Sequence[Quantity], text: str) -> tuple[str, str] | None:
    """The two of "30.7 million, about two thirds of the 46.9 million": of a number right behind, by another of the sentence."""
    parts = None if quantity.literal else _FRACTION.match(text, quantity.end)
    whole = next((one.readings[0].value for one in settled if one.readings and parts and one.start == parts.end()), Decimal(0))
    if not parts or whole <= 0:
        return None
    share = quantity.readings[0].value / _PARTS[parts[1].lower()]
    told = _values(settled, *sentence_around(text, quantity.start))
    return next(
        (("share", f"{part} and {whole}") for part in told if part != whole and abs(part / whole - share) <= _NEAR), None
    )


@lru_cache(8)
def _own_lines(text: str) -> tuple[NumberLine, ...]:
    """Columns and rows of the summary's own tables."""
    found = operands_of((), tables_of(text), "") if "|" in text else ()
    return tuple(replace(line, place=_OWN_TABLE) for line in found)


def _values(settled: Sequence[Quantity], start: int, end: int) -> tuple[Decimal, ...]:
    """The settled numbers of a stretch, the last of them where they are many."""
    found = (one.readings[0].value for one in settled if one.readings and start <= one.start < end)
    return tuple(dict.fromkeys(found))[-MAX_VALUES:]


def _same(values: tuple[Decimal, ...]) -> NumberLine:
    return NumberLine(values, (frozenset(),) * len(values), frozenset(), _SENTENCE)


@dataclass(frozen=True)
class _Asked:
    """What may have given a number, what rounds to it, and how many digits it has."""

    operations: tuple[str, ...]
    low: Decimal
    high: Decimal
    is_percent: bool
    digits: int


def _digits(quantity: Quantity) -> int:
    return len(quantity.literal.replace(".", "").strip("0"))


def _begun(tokens: frozenset[str]) -> frozenset[str]:
    """The tokens, and what they begin with: a column of sentences is called #sent."""
    return tokens | {token[:length] for token in tokens if token.isalpha() for length in range(4, len(token))}


def _found(
    asked: _Asked, lines: Iterable[NumberLine], tokens: frozenset[str], told: Sequence[Decimal]
) -> tuple[str, str] | None:
    spent = 0
    for line in lines:
        if not line.is_labelled and _ADDING.isdisjoint(asked.operations) and line.distinct.isdisjoint(told):
            continue  # nothing of it is named or repeated
        known = [value in told or bool(label & tokens) for value, label in zip(line.values, line.labels, strict=True)]
        enough = _enough(asked, line, tokens)
        spent += sum(known) * len(known)
        if spent > MAX_PAIRS:
            return None
        for operation in asked.operations:
            for value, of in _RESULTS[operation](line, known, enough):
                if asked.low <= value <= asked.high and (asked.is_percent or not of.endswith("%")):
                    return "difference" if operation == "points" else operation, f"{of} in {line.place}"
    return None


def _enough(asked: _Asked, line: NumberLine, tokens: frozenset[str]) -> int:
    """How many of two operands the sentence must name or repeat. Where many digits make an accident unlikely, or a line that the
    sentence names holds few numbers, one may go without its name: the model itself, or what it is compared with. Of two numbers alone,
    and of a small table of the summary's own, both may."""
    named = line.is_labelled and not line.named.isdisjoint(tokens)
    of_few = len(line.values) <= (FEW if line.place == _OWN_TABLE else 2)
    if of_few and named and asked.digits > 1 and not asked.is_percent:
        return 0
    if asked.digits >= EXACT and (named or line.place in (_OWN_TABLE, _SENTENCE)):
        return 1
    return 1 if named and asked.digits > 1 and len(line.values) <= FEW // 2 else 2


def _spoken_of(lines: Sequence[NumberLine], tokens: frozenset[str]) -> list[NumberLine]:
    """Of the columns those that the sentence names, if it names any."""
    named = {id(line) for line in lines if line.place == _COLUMN and line.named & tokens}
    return [line for line in lines if not named or line.place != _COLUMN or id(line) in named]


@lru_cache(CACHED_OPERATIONS)
def operations_at(line: str, start: int, end: int) -> Sequence[str]:
    """What the words at a number say of how it was reckoned. "by 1.3 points on A and 1.5 on B": the second is reckoned like the first."""
    for _ in range(MAX_JOINED):
        before, behind = line[max(0, start - 80) : start], line[end : end + 60]
        found = [name for name, (ahead, after) in _OPERATIONS.items() if ahead.search(before) or after.match(behind)]
        numbers = list(_ANY_NUMBER.finditer(before)) if _JOINED.search(before) and set(found) <= {"product"} else []
        if not numbers:
            return found
        # Where the second stands ends what belongs to the first.
        line, offset = line[: start - 1], max(0, start - 80)
        start, end = offset + numbers[-1].start(), offset + numbers[-1].end()
    return []


def _bounds(quantity: Quantity) -> tuple[Decimal, Decimal]:
    """What rounds to the number: half a unit of its last digit to either side."""
    reading = quantity.readings[0]
    _, point, decimals = quantity.literal.partition(".")
    scale = reading.value / Decimal(quantity.literal) if Decimal(quantity.literal or 0) else Decimal(1)
    half = (Decimal(1).scaleb(-len(decimals)) if point else Decimal(1)) * scale / 2
    return min(reading.low, reading.value - half), max(reading.high, reading.value + half)


# --- operations: what each makes of a line's numbers, with the operands in words --------------------------------------


def _picked(line: NumberLine, known: Sequence[bool]) -> list[Decimal]:
    return [value for value, is_known in zip(line.values, known, strict=True) if is_known]


def _pairs(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, Decimal]]:
    """Two unequal numbers above zero or the first zero, `enough` of them named or repeated in the sentence."""
    for one, first in enumerate(line.values):
        if enough == 2 and not known[one]:
            continue
        for other, second in enumerate(line.values):
            if first != second and second > 0 and known[one] + known[other] >= enough:
                yield first, second


def _differences(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    for first, second in _pairs(line, known, enough):
        if first > second:
            yield first - second, f"{first} and {second}"
            yield (first - second) / second * 100, f"{first} and {second} in %"
            yield (first - second) / first * 100, f"{first} and {second} in %"


def _points(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    """Differences; of fractions in hundredths."""
    for first, second in _pairs(line, known, enough):
        if first > second:
            scale = 100 if first <= 1 else 1
            yield (first - second) * scale, f"{first} and {second}"


def _ratios(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    for first, second in _pairs(line, known, enough):
        yield first / second, f"{first} and {second}"


def _shares(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    """One of another, one of all, and those that the sentence names of all."""
    if line.is_labelled and len(line.values) > 2 and (total := sum(line.values, Decimal(0))) > 0:
        picked = _picked(line, known)
        for part in (*picked, sum(picked, Decimal(0))):
            yield part / total * 100, f"{part} of {len(line.values)} numbers"
        if max(line.values) <= 1 and len(picked) > 1:
            yield sum(picked, Decimal(0)) * 100, f"{len(picked)} shares"
    for first, second in _pairs(line, known, 2):
        if 0 <= first < second:
            yield first / second * 100, f"{first} and {second}"


def _added(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[int, Decimal]]:
    """All, those that the sentence names, and all but totals and averages."""
    plain = [value for value, label in zip(line.values, line.labels, strict=True) if label.isdisjoint(_TOTALS)]
    for picked in (list(line.values), _picked(line, known), plain):
        if len(picked) > 1:
            yield len(picked), sum(picked, Decimal(0))


def _sums(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    for count, added in _added(line, known, enough):
        yield added, f"{count} numbers"


def _means(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    for count, added in _added(line, known, enough):
        yield added / count, f"{count} numbers"


def _products(line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    """Of numbers that the summary itself says: steps times batch, times length, or tokens by those of a step. One of them stands in the
    sentence."""
    if line.place != _SENTENCE:
        return
    for count in (2, 3) if all(known) and len(known) <= MAX_FACTORS else (2,):
        for places in combinations(range(len(known)), count):
            factors = [line.values[place] for place in places]
            if any(known[place] for place in places) and min(factors) > 1:
                yield Decimal(prod(factors)), " x ".join(map(str, factors))
    for first, second in _pairs(line, known, enough):
        yield first / second, f"{first} by {second}"


_RESULTS = {
    "difference": _differences,
    "points": _points,
    "ratio": _ratios,
    "share": _shares,
    "sum": _sums,
    "mean": _means,
    "product": _products,
}
