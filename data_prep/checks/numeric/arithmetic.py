"""Differences, sums, means, ratios, shares and products that a word announces, of numbers that stand together in the source.

An operation needs its word at the number, and operands that the sentence names or repeats: any two numbers of a page give nearly
every third one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from data_prep.checks.document import Document
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.quantities import Quantity, quantities
from data_prep.checks.numeric.together import STOP, TOTAL, figure
from data_prep.checks.tables.source import Table, Tables

MAX_PAIRS = 40_000  # pairs of operands that are tried for one number
MAX_JOINED = 4  # numbers of one operation in a row
MAX_VALUES = 60  # of a column, row, list or sentence
EXACT = 3  # digits that are no accident
_COLUMN = "a column"
_SENTENCE = "the same line"
_OWN = "(own)"  # labels the row of the model itself, whatever the sentence calls it

# What stands right before or behind a number that says how it was reckoned.
_ABOUT = r"(?:[ ](?:of|is|are|was|by|to|at|from|only|about|just|some|roughly|nearly|almost|over|around|another|further))*[ ]"
_BEFORE = {
    "difference": rf"\b(?:by|gains?|gained|drop(?:s|ped)?|leads?|lead|gap|margin|difference|loss|los[et]s?|costs?|leaving|leaves"
    rf"|improvements?|increases?|decreases?|rise|fall|differ|remaining)(?:[ ](?:grows|widens|narrows|shrinks))?{_ABOUT}\Z|(?<!\w)\+\Z",
    "ratio": rf"\b(?:factor|ratio)(?:[ ]of[ ]one)?{_ABOUT}\Z",
    "share": rf"\b(?:mak(?:es?|ing)(?:[ ]up)?|suppl(?:y|ies)|accounts?[ ]for|shares?|remaining|proportion|fraction){_ABOUT}\Z"
    r"|[0-9][ ]?(?:[^\W\d_]+[ ]){0,2}\(\Z",
    "sum": rf"\b(?:total\w*|sums?|add(?:s|ing)?[ ]up|together|combined|in[ ]all|makes?|supply|supplies){_ABOUT}\Z",
    "mean": rf"\b(?:averag\w+|mean){_ABOUT}\Z",
    "product": rf"(?:\b(?:that[ ]is|which[ ]is|hence|thus|so|makes?|giv(?:es?|ing)|impl(?:y|ies)|or|is|are|for|total\w*)|,|=|\()(?:[ ]at[ ]most)?{_ABOUT}\Z",
}
_BEHIND = {
    "difference": r"[ ]?(?:percentage[ ])?points?\b|[ ](?:[^\W\d_]+[ ]){0,1}(?:more|less|fewer|above|below|lower|higher|better|worse|ahead|behind"
    r"|short|shorter|longer|smaller|larger|faster|slower|apart|unused|idle|left)\b",
    "ratio": r"[ -]?(?:times|fold)\b|[ ]?[x×](?![\w×])|[ ](?:[^\W\d_]+[ ]){1,2}(?:per|an?|each)\b",
    "share": r"[ ](?:of|share)\b",
    "sum": r"[ ](?:[^\W\d_]+[ ]){0,3}(?:in[ ](?:total|all)|together|combined|altogether)\b",
    "mean": r"[ ](?:[^\W\d_]+[ ]){0,2}on[ ]average\b",
    "product": r"(?!)",
}
_OPERATIONS = {name: (re.compile(_BEFORE[name], re.IGNORECASE), re.compile(_BEHIND[name], re.IGNORECASE)) for name in _BEFORE}
_JOINED = re.compile(r"(?:\b(?:to|and|or|against)|,)[ ]\Z")
_BRACKET = re.compile(r"[(]\Z")
_LAST_NUMBER = re.compile(r".*?(?<![\w.])([0-9][0-9.,]*[0-9]|[0-9])(?![\w])(?!.*(?<![\w.])[0-9])")
_TOKEN = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class NumberLine:
    """Numbers that stand together: a column, a row, a list or a sentence. `labels`: tokens that name each of them; `named`: those
    that name the line."""

    values: tuple[Decimal, ...]
    labels: tuple[frozenset[str], ...]
    named: frozenset[str]
    place: str


def operands_of(blocks: Iterable[str], tables: Tables, own_name: str) -> tuple[NumberLine, ...]:
    """Columns and rows of tables, and the numbers of each list or sentence. `own_name`: the model's, as compact() gives it."""
    return (*(line for table in tables.tables for line in _number_lines(table, own_name)), *_of_blocks(blocks))


def _tokens_of(text: str) -> frozenset[str]:
    """Words and numbers that may tell one row from another."""
    tokens = _TOKEN.findall(text.lower())
    whole = ["".join(tokens)] if len(tokens) < 4 else []  # "Truthful QA" is TruthfulQA
    return frozenset(token for token in [*tokens, *whole] if len(token) > 1)


def _of_blocks(blocks: Iterable[str]) -> Iterator[NumberLine]:
    for block in blocks:
        if any(character.isdigit() for character in block):
            found = (quantity.readings[0].value for quantity in quantities(block, bounds=False) if quantity.readings)
            values = tuple(islice(found, MAX_VALUES))
            if len(values) > 1:
                yield NumberLine(values, (frozenset(),) * len(values), _tokens_of(block), "a sentence or list")


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
    quantity: Quantity, settled: Sequence[Quantity], document: Document, operands: Sequence[NumberLine]
) -> tuple[str, str] | None:
    """(operation, its operands), or None."""
    if quantity.kind == "date" or not quantity.literal or "e" in quantity.literal or len(quantity.literal) > 14:
        return None
    text = document.prose
    start = text.rfind("\n", 0, quantity.start) + 1
    operations = _operations(text[start : quantity.end + 60].partition("\n")[0], quantity.start - start, quantity.end - start)
    is_percent = quantity.kind == "percent"
    operations = [name for name in operations if name != ("ratio" if is_percent else "share")]
    if not operations:
        return None
    end = text.find("\n", quantity.end)
    sentence = text[start : len(text) if end < 0 else end].lower()
    told = {one.readings[0].value for one in settled if one.readings and start <= one.start < start + len(sentence)}
    tokens = (_tokens_of(sentence) - STOP) | {_OWN}
    exact = len(quantity.literal.replace(".", "").strip("0")) >= EXACT
    low, high = _bounds(quantity)
    spent = 0
    for line in _spoken_of(operands, tokens):
        known = [value in told or bool(label & tokens) for value, label in zip(line.values, line.labels, strict=True)]
        # Of a column that the sentence names, one operand may go without its name: the model itself, or what it is compared with.
        enough = 1 if exact and line.named & tokens and any(line.labels) else 2
        spent += sum(known) * len(known)
        if spent > MAX_PAIRS:
            return None
        for operation in operations:
            for value, of in _results(operation, line, known, enough):
                if low <= value <= high and (is_percent or not of.endswith("%")):
                    return operation, f"{of} in {line.place}"
    return None


def _spoken_of(lines: Sequence[NumberLine], tokens: frozenset[str]) -> list[NumberLine]:
    """Of the columns those that the sentence names, if it names any."""
    named = {id(line) for line in lines if line.place == _COLUMN and line.named & tokens}
    return [line for line in lines if not named or line.place != _COLUMN or id(line) in named]


def _operations(line: str, start: int, end: int) -> list[str]:
    """What the words at a number say of how it was reckoned. "by 1.3 points on A and 1.5 on B": the second is reckoned like the first."""
    for _ in range(MAX_JOINED):
        before, behind = line[max(0, start - 80) : start], line[end : end + 60]
        found = [name for name, (ahead, after) in _OPERATIONS.items() if ahead.search(before) or after.match(behind)]
        last = _LAST_NUMBER.search(before) if not found and _JOINED.search(before) else None
        if not last:
            return found
        # Where the second stands ends what belongs to the first.
        line, offset = line[: start - 1], max(0, start - 80)
        start, end = offset + last.start(1), offset + last.end(1)
    return []


def _bounds(quantity: Quantity) -> tuple[Decimal, Decimal]:
    """What rounds to the number: half a unit of its last digit to either side."""
    reading = quantity.readings[0]
    _, point, decimals = quantity.literal.partition(".")
    scale = reading.value / Decimal(quantity.literal) if Decimal(quantity.literal) else Decimal(1)
    half = (Decimal(1).scaleb(-len(decimals)) if point else Decimal(1)) * scale / 2
    return min(reading.low, reading.value - half), max(reading.high, reading.value + half)


def _results(operation: str, line: NumberLine, known: Sequence[bool], enough: int) -> Iterator[tuple[Decimal, str]]:
    """What the operation makes of the line's numbers, with the operands in words. Of two operands `enough` must be `known`: named or
    repeated in the sentence."""
    values = line.values
    total = sum(values, Decimal(0))
    if operation in ("sum", "mean"):
        for picked in (values, [value for value, is_known in zip(values, known, strict=True) if is_known]):
            if len(picked) > 1:
                added = sum(picked, Decimal(0))
                yield (added if operation == "sum" else added / len(picked)), f"{len(picked)} numbers"
        return
    for one, first in enumerate(values):
        if enough == 2 and not known[one]:
            continue
        if operation == "share" and known[one] and len(values) > 2 and total > 0 and any(line.labels):
            yield first / total * 100, f"{first} of {len(values)} numbers"
        for other, second in enumerate(values):
            if first == second or known[one] + known[other] < enough or second <= 0:
                continue
            operands = f"{first} and {second}"
            if operation == "difference" and first > second:
                yield first - second, operands
                yield (first - second) / second * 100, f"{operands} in %"
                yield (first - second) / first * 100, f"{operands} in %"
            elif operation == "ratio":
                yield first / second, operands
            elif operation == "share" and 0 <= first < second and enough == 2:
                yield first / second * 100, operands
