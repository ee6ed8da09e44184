"""Numbers that no source states and that follow from what one holds: counts of what stands together, and arithmetic that a word announces.

Asked only about numbers that are not stated. A count is compared with the lists, tables and enumerations that fit the noun behind it; where
none fits, with those that the line speaks of. A difference, sum, mean, ratio or share needs its word in the sentence and operands that stand together in the source
and that the sentence names or repeats: any two numbers of a page give nearly every third one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from data_prep.checks.document import Document
from data_prep.checks.numeric.quantities import UNITS, WORD, Quantity
from data_prep.checks.numeric.together import COLUMN, OWN, Group, NumberLine, Together, stem, stems, tokens_of
from data_prep.checks.result import Derived

MOST = 20  # counted at sight
MAX_UNSTATED = 100  # numbers of one summary that are tried, and pairs of operands for each
MAX_PAIRS = 40_000
MAX_JOINED = 4  # numbers of one operation in a row
MOST_UNNAMED = 10  # counted where no word of the source says what is counted

# What these follow is measured, not counted: an invented "four epochs" must not pass as the length of a list.
_MEASURED = frozenset(
    "epoch point percent percentage time fold token parameter layer head gpu tpu cpu core node machine worker shot beam bit byte "
    "word character digit pixel dimension degree iteration batch seed run billion million thousand hundred dozen day hour minute "
    "second week month year decade star dollar euro km m cm ms s gb mb tb kb x nm k fps hop way half third quarter fifth".split()
) | {name for name in UNITS}
_COMPOUNDS = frozenset(
    "stage dimensional shot way step turn layer head part party level phase tier letter point class hop".split()
)
_STOP = frozenset(
    "of in on for with and or that which who are is was were be has have from to at by as than the a an its their it they can do does did "
    "not but while when where since so if per each against versus vs under over among between into through using used also only".split()
)
_NOUNS = re.compile(r"[ ]([^\W\d_][\w'’-]*)")
_OF = re.compile(r"(?:[ ][^\W\d_][\w-]*){0,2}[ ]of[ ](?:the[ ]|its[ ]|these[ ]|all[ ]|those[ ])?\Z")
_CO = re.compile(r"[ ](?:co-?authors?|others|colleagues)\b")
_ORDINAL = re.compile(r"\b(?:step|stage|phase|part|level)[ ]\Z", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
_SOME = re.compile(r"\b(?:such as|including|among|e\.g|for example|like)\b", re.IGNORECASE)
_OPENING = re.compile(r"[^\n.;:,()0-9]{0,60}?(: | \(|, )")
_BRACKETED = re.compile(r"\([^()\n]{0,200}\)")
_AND = re.compile(r"(?:\A|\s)(?:and|or|as well as)\s|\s&\s")
_NUMBER_WORD = re.compile(rf"\b{WORD}", re.IGNORECASE)
_NUMBER = re.compile(rf"[0-9]|\b{WORD}", re.IGNORECASE)
_KINDS = {"list": "items of a list", "listed": "items of a list", "table": "rows of a table"}
_BULLET = re.compile(r"([ \t]*)(?:[-*+]|[0-9]{1,2}[.)])[ \t]+(\S.*)")

# What stands right before or behind a number that says how it was reckoned.
_ABOUT = r"(?:[ ](?:of|is|are|was|by|to|at|only|about|just|some|roughly|nearly|almost|over|around))*[ ]"
_BEFORE = {
    "difference": rf"\b(?:by|gains?|gained|drop(?:s|ped)?|leads?|gap|margin|difference|loss|los[et]s?|costs?|leaving|leaves|improvements?"
    rf"|increases?|decreases?|rise|fall|differ|remaining){_ABOUT}\Z|(?<!\w)\+\Z",
    "ratio": rf"\b(?:factor|ratio){_ABOUT}\Z",
    "share": rf"\b(?:mak(?:es?|ing)(?:[ ]up)?|suppl(?:y|ies)|accounts?[ ]for|shares?|remaining|proportion|fraction){_ABOUT}\Z|[0-9][ ]?\(\Z",
    "sum": rf"\b(?:total\w*|sums?|add(?:s|ing)?[ ]up|together|combined|in[ ]all|makes?){_ABOUT}\Z",
    "mean": rf"\b(?:averag\w+|mean){_ABOUT}\Z",
}
_BEHIND = {
    "difference": r"[ ]?(?:percentage[ ])?points?\b|[ ](?:[^\W\d_]+[ ]){0,1}(?:more|less|fewer|above|below|lower|higher|better|worse|ahead|behind"
    r"|short|shorter|longer|smaller|larger|faster|slower|apart|unused|idle|left)\b",
    "ratio": r"[ -]?(?:times|fold)\b|[ ]?[x×](?![\w×])|[ ][^\W\d_]+[ ](?:per|an?|each)\b",
    "share": r"[ ](?:of|share)\b",
    "sum": r"[ ](?:[^\W\d_]+[ ]){0,3}(?:in[ ](?:total|all)|together|combined|altogether)\b",
    "mean": r"[ ](?:[^\W\d_]+[ ]){0,2}on[ ]average\b",
}
_OPERATIONS = {name: (re.compile(_BEFORE[name], re.IGNORECASE), re.compile(_BEHIND[name], re.IGNORECASE)) for name in _BEFORE}
_JOINED = re.compile(r"(?:\b(?:to|and|or)|,)[ ]\Z")
_LAST_NUMBER = re.compile(r".*?(?<![\w.])([0-9][0-9.,]*[0-9]|[0-9])(?![\w])(?!.*(?<![\w.])[0-9])")
_EXACT = 3  # digits that are no accident


def derive(unstated: Sequence[Quantity], found: Sequence[Quantity], document: Document, together: Together) -> list[Derived]:
    """Those of the `unstated` numbers that follow from the source. `found`: all of the summary's numbers."""
    open_starts = {quantity.start for quantity in unstated}
    derived: dict[int, Derived] = {}
    # From the last to the first: "seven of ten" stands on the ten.
    for quantity in reversed(unstated[:MAX_UNSTATED]):
        settled = [one for one in found if one.start not in open_starts or one.start in derived]
        if note := _count(quantity, settled, document, together) or _computed(quantity, settled, document, together):
            operation, places = note
            label = f"{quantity.text} ({places if operation == 'count' else operation})"
            derived[quantity.start] = Derived(quantity.start, quantity.end, label, operation, places)
    return [derived[quantity.start] for quantity in unstated if quantity.start in derived]


# --- counts -----------------------------------------------------------------------------------------------------------


def _count(quantity: Quantity, settled: Sequence[Quantity], document: Document, together: Together) -> tuple[str, str] | None:
    """("count", what was counted), or None."""
    size, text = _small(quantity), document.prose
    if not size:
        return None
    nouns, hyphen = _nouns(text, quantity.end)
    if nouns & _MEASURED or (hyphen and (not nouns or nouns & _COMPOUNDS)):
        return None
    named_only = hyphen or bool(quantity.literal) or size > MOST_UNNAMED
    if not hyphen and not quantity.literal:
        if _ORDINAL.search(text, max(0, quantity.start - 12), quantity.start):
            return ("count", "place in a list") if any(one.size >= size for one in together.groups if one.explicit) else None
        if whole := _whole(quantity, settled, text):
            return ("count", f"part of {whole.text}") if size < _small(whole) else None
        items = _announced(document.text, quantity)
        if len(items) == size and _are_known(items, together):
            return "count", "items that the summary names"
        if items and _heads(document.text, quantity) and not any(_AND.search(" ".join(item.split()[:6])) for item in items):
            return None  # the summary counts its own list wrong
        named_only = named_only or bool(items)
    return _counted(size, nouns, text, quantity, together, named_only)


def _counted(
    size: int, nouns: frozenset[str], text: str, quantity: Quantity, together: Together, named_only: bool
) -> tuple[str, str] | None:
    """("count", what has this length in the source), or None. Nine authors are one and eight co-authors."""
    if _CO.match(text, quantity.end):
        people = _named(nouns, together) + _spoken(frozenset({"author"}), text, quantity, together)
        return ("count", "authors") if any(group.size == size + 1 for group in people) else None
    found = _named(nouns, together) or ([] if named_only else _spoken(nouns, text, quantity, together))
    return next((("count", group.kind) for group in found if group.size == size), None)


def _named(nouns: frozenset[str], together: Together) -> list[Group]:
    """What is named like the noun behind the number."""
    return [group for group in together.groups if nouns & group.named]


def _spoken(nouns: frozenset[str], text: str, quantity: Quantity, together: Together) -> list[Group]:
    """What the line with the number speaks of: it has words that few lists hold, or says "the list" and no noun."""
    line = text[text.rfind("\n", 0, quantity.start) + 1 : quantity.end + 150].partition("\n")[0]
    about = stems(line)
    kinds = {kind for word, kind in _KINDS.items() if word in about and not nouns}
    telling = about & together.telling
    return [group for group in together.groups if group.explicit and (len(telling & group.held) > 1 or group.kind in kinds)]


def _small(quantity: Quantity) -> int:
    """What the number counts, if it is a small whole number without unit, sign or scale; else 0."""
    if quantity.kind != "plain" or quantity.unit or quantity.sign or not quantity.counts or len(quantity.literal) > 2:
        return 0
    value = quantity.readings[0].value
    return int(value) if 2 <= value <= MOST and value == int(value) else 0


def _nouns(text: str, end: int) -> tuple[frozenset[str], bool]:
    """Stems of the words behind a number that say what it counts, and whether a hyphen ties them to it. "two Spanish models that"
    gives those of Spanish and models."""
    hyphen = text[end : end + 1] == "-"
    if hyphen:
        word = _NOUNS.match(" " + text[end + 1 : end + 60])
        return frozenset({stem(word[1])} if word else ()), True
    found: list[str] = []
    while len(found) < 5 and (word := _NOUNS.match(text, end)):
        lower, end = word[1].lower(), word.end()
        if lower in _STOP and not (found and lower in ("and", "or")):
            break
        found.append(lower)
        if len(lower) > 3 and lower.endswith("s") and not lower.endswith(("ss", "ous")):
            break
    else:
        # No plural in sight: what stands behind "and" is another matter.
        found = found[: next((at for at, word in enumerate(found) if word in ("and", "or")), len(found))]
    return frozenset(stem(word) for word in found) - _STOP, False


def _whole(quantity: Quantity, settled: Sequence[Quantity], text: str) -> Quantity | None:
    """The ten of "seven of ten"."""
    after = (one for one in settled if 0 < one.start - quantity.end < 40 and _small(one))
    return next((one for one in after if _OF.fullmatch(text[quantity.end : one.start])), None)


def _announced(text: str, quantity: Quantity) -> list[str]:
    """The items that the summary itself lists behind the number: "three parts: A, B and C", or a list or table below a line that
    ends in a colon or is a heading. [] where it lists none."""
    end = _line_end(text, quantity.end)
    rest = text[quantity.end : end]
    if _SOME.search(rest):
        return []
    if opening := _OPENING.match(rest):
        return _enumerated(rest[opening.end() :], opening[1])
    return _below(text, end) if _heads(text, quantity) else []


def _heads(text: str, quantity: Quantity) -> bool:
    """True where the number is the only one of a heading, or of a line that ends in a colon: what it counts stands below."""
    start, end = text.rfind("\n", 0, quantity.start) + 1, _line_end(text, quantity.end)
    before, behind = text[start : quantity.start], text[quantity.end : end]
    if _NUMBER.search(behind) or not (before.startswith("#") or behind.rstrip().endswith(":")):
        return False
    return before.startswith("#") or not _NUMBER_WORD.search(before)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _enumerated(text: str, opening: str) -> list[str]:
    """Items up to the one behind "and"; without that word only where a colon or a bracket sets them apart."""
    inside = text.partition(")")[0] if opening.strip() == "(" else _SENTENCE_END.split(_BRACKETED.sub("", text))[0]
    if ";" in inside:
        return [part for part in inside.split(";") if part.strip()]
    items: list[str] = []
    for part in inside.split(", "):
        pieces = [piece for piece in _AND.split(part) if piece.strip()]
        items += pieces
        if len(pieces) > 1 or _AND.match(part):
            return items
    return items if opening.strip() != "," and len(items) > 1 else []


def _below(text: str, position: int) -> list[str]:
    """The items of the first level of the list that follows, or the rows of the table."""
    items: list[str] = []
    rows = 0
    for line in text[position:].splitlines()[:80]:
        bullet = _BULLET.match(line)
        if line.startswith("|"):
            rows += 1
            items += [line.strip("| ")] if rows > 2 else []
        elif bullet and not bullet[1] and not rows:
            items.append(bullet[2])
        elif line.strip() and not line.startswith((" ", "\t")):
            break
    return items


def _are_known(items: Iterable[str], together: Together) -> bool:
    """True where each item begins with words of the source."""
    return all(any(word in together.words for word in stems(" ".join(item.split()[:6])) - _STOP) for item in items)


# --- arithmetic -------------------------------------------------------------------------------------------------------


def _computed(
    quantity: Quantity, settled: Sequence[Quantity], document: Document, together: Together
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
    sentence = text[start : _line_end(text, quantity.end)].lower()
    told = {one.readings[0].value for one in settled if one.readings and start <= one.start < start + len(sentence)}
    tokens = (tokens_of(sentence) - _STOP) | {OWN}
    exact = len(quantity.literal.replace(".", "").strip("0")) >= _EXACT
    low, high = _bounds(quantity)
    spent = 0
    for line in _spoken_of(together.lines, tokens):
        known = [value in told or bool(label & tokens) for value, label in zip(line.values, line.labels, strict=True)]
        # Of a column that the sentence names, one operand may go without its name: the model itself, or what it is compared with.
        enough = 1 if exact and line.named & tokens and any(line.labels) else 2
        spent += sum(known) * len(known)
        if spent > MAX_PAIRS:
            return None
        for operation in operations:
            for value, operands in _results(operation, line, known, enough):
                if low <= value <= high and (is_percent or not operands.endswith("%")):
                    return operation, f"{operands} in {line.place}"
    return None


def _spoken_of(lines: Sequence[NumberLine], tokens: frozenset[str]) -> list[NumberLine]:
    """Of the columns those that the sentence names, if it names any."""
    named = {id(line) for line in lines if line.place == COLUMN and line.named & tokens}
    return [line for line in lines if not named or line.place != COLUMN or id(line) in named]


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
