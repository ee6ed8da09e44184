"""Numbers that no source states and that follow from what one holds: counts of what stands together, and arithmetic.

Asked only about numbers that are not stated. A count is compared, in this order, with what the summary itself lists beside it, with what
it has named just before ("the other four"), and with the lists, tables and enumerations of the source that fit the noun behind it; where
none fits, with those that the line speaks of. Arithmetic is arithmetic.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from data_prep.checks.derived.arithmetic import NumberLine, computed
from data_prep.checks.derived.groups import FAMILY, Group
from data_prep.checks.derived.shapes import AUTHORS, PRINTED, UNFILLED
from data_prep.checks.derived.together import Together
from data_prep.checks.derived.words import SENTENCE_END, STOP, line_around, running, sentence_around, stem, stems
from data_prep.checks.document import Document
from data_prep.checks.numeric.quantities import UNITS, WORD, Quantity
from data_prep.checks.result import Derived

MOST = 20  # counted at sight
MOST_NAMED = 60  # rows of a table, authors of a paper
MAX_UNSTATED = 100  # numbers of one summary that are tried
MOST_UNNAMED = 10  # counted where no word of the source says what is counted, and remarked where nothing bears it out
BEFORE = 500  # characters in which "the other four" finds what it speaks of

# What these follow is measured, not counted: an invented "four epochs" must not pass as the length of a list.
_AMOUNTS = UNITS.keys() | set(
    "point percent percentage fold time half third quarter fifth hundred thousand million billion dozen star dollar euro hour minute "
    "second day week month year decade".split()
)
_MEASURED = _AMOUNTS | set(
    "epoch token layer head gpu gpus tpu tpus cpu cpus core node machine worker shot beam bit byte word character digit pixel dimension "
    "degree iteration batch seed run km m cm ms s gb mb tb kb x nm k fps hop".split()
)
_MARGIN = re.compile(r"\b(?:by|than|over|under|about|around|nearly|almost|some|of|to|within|scores?|gains?|loses?) \Z")
_MARGIN_BEHIND = re.compile(
    r" (?:percentage )?points? (?:more|less|lower|higher|better|worse|above|below|ahead|behind|apart|up|down|on)\b"
)
_OF_FIGURE = re.compile(r" of (?:the |its )?[0-9]{1,2}\b(?![.,][0-9]|%)")
_RATIO = re.compile(r"\b(?:one|two) to \Z", re.IGNORECASE)
_COMPOUNDS = frozenset(
    "stage dimensional shot way step turn layer head part party level phase tier letter point class hop".split()
)
_PLURALS = frozenset("people data corpora criteria media children men women series indices vertices".split())
# What a source that numbers them gives as a fact.
_SOLID = _MEASURED | {"language", "author", "model"}
_NOUNS = re.compile(r"[ ]([^\W\d_][\w'’-]*)")
_OF = re.compile(r"(?:[ ][^\W\d_][\w-]*){0,2}[ ]of[ ](?:the[ ]|its[ ]|these[ ]|all[ ]|those[ ])?\Z")
_CO = re.compile(r"[ ](?:co-?authors?|others|colleagues|(?:other|further|more)[ ](?:authors|people|researchers))\b")
_WHICH = re.compile(r"(?:which|who|whose|where)\b(?!.{0,200}\b(?:and|or)\b)")
_OF_WHOLE = re.compile(r"(?:\A|[\s(])[Oo]f (?:the|its|these|those|all)[ ]\Z")
_THEREOF = re.compile(r"(?:[ ][^\W\d_][\w-]*){1,4},[ ]")
_ITS = re.compile(r"[ ]of[ ](?:its|the|these|those)(?=[ ])")
_ORDINAL = re.compile(r"\b(step|stage|phase|part|level)[ ]\Z", re.IGNORECASE)
_SOME = re.compile(r"\b(?:such as|including|among|e\.g|for example|like)\b", re.IGNORECASE)
_OPENING = re.compile(r"[^\n.;:,()0-9]{0,60}?(: | \(|, | (?:named|called|namely) )")
_SUBJECT = re.compile(
    r"(?:\A|\n|[.;:!?][ ])[ \t]*(?:(?:[-*+]|[0-9]+[.)])[ ]+)?(?:the |its |these |those |all )?\Z", re.IGNORECASE
)
_BRACKETED = re.compile(r"\([^()\n]{0,200}\)")
_AND = re.compile(r"(?:\A|\s)(?:and|or|as well as)\s|\s&\s")
_NUMBER_WORD = re.compile(rf"\b{WORD}", re.IGNORECASE)
_NUMBER = re.compile(rf"[0-9]|\b{WORD}", re.IGNORECASE)
_KINDS = {"list": ("items of a list",), "listed": ("items of a list",), "table": ("rows of a table", "ticks in a table")}
_LONG = frozenset((AUTHORS, "rows of a table", "columns of a table"))
_BULLET = re.compile(r"([ \t]*)(?:[-*+]|[0-9]{1,2}[.)])[ \t]+(\S.*)")
# "the four", "all six", "two of three", "the WordNet four": what is meant stands before.
_POINTING = re.compile(
    r"(?:\b(?P<word>(?i:the|all|these|those|both|its|their|of|last|first|latter|former|other|remaining))|\b(?P<name>[A-Z]\w+))[ ]\Z"
)
_ALL = re.compile(r"\b(?:all|both|these|those)[ ]\Z", re.IGNORECASE)
_REST = ("other", "remaining")
_SOME_OF = ("last", "first", "latter", "former")
_TOP = re.compile(r"\btop[ -]\Z", re.IGNORECASE)
_COMPARED_ON = re.compile(
    r"\b(?:leads?|ahead|wins?|beats?|best|first|tops?|highest|lowest|behind|worse|better)\b[^.;:\n]{0,30} (?:on|in|for) \Z"
)
_REPEATED = re.compile(
    r"\b(?:sa(?:ys|id|ying)|states?|stated|repeats?|repeated|mentions?|mentioned|appears?|occurs?|warns?|names?|named|stands?)\b"
)


def derive(
    unstated: Sequence[Quantity],
    found: Sequence[Quantity],
    document: Document,
    together: Together,
    operands: Callable[[], Sequence[NumberLine]],
) -> list[Derived]:
    """Those of the `unstated` numbers that follow from the source. `found`: all of the summary's numbers; `operands`: what the source
    has to reckon with, asked for where some number says that it was reckoned."""
    open_starts = {quantity.start for quantity in unstated}
    derived: dict[int, Derived] = {}
    numbers = range(min(len(unstated), MAX_UNSTATED))
    tried: dict[int, int] = {}  # number -> how many were derived then
    # From the last to the first, since "seven of ten" stands on the ten; then on, since "the ten" may stand on an earlier ten.
    for number in (*reversed(numbers), *numbers):
        quantity = unstated[number]
        if quantity.start in derived or tried.get(number) == len(derived):
            continue  # nothing has been settled since
        tried[number] = len(derived)
        settled = [one for one in found if one.start not in open_starts or one.start in derived]
        if counted := _count(quantity, settled, document, together):
            derived[quantity.start] = Derived(quantity.start, quantity.end, f"{quantity.text} ({counted})", "count", counted)
        elif note := computed(quantity, settled, document, operands):
            derived[quantity.start] = Derived(quantity.start, quantity.end, f"{quantity.text} ({note[0]})", *note)
    return [derived[quantity.start] for quantity in unstated if quantity.start in derived]


@dataclass(frozen=True)
class _Phrase:
    """What stands at a number: stems of the words behind it that say what it counts, the last of them the head. `plural`: the head
    is one. `hyphen` ties it to the number."""

    nouns: tuple[str, ...]
    plural: bool
    hyphen: bool


def _phrase(text: str, end: int) -> _Phrase:
    """ "two Spanish models that" gives Spanish and models."""
    if text[end : end + 1] == "-":
        word = _NOUNS.match(" " + text[end + 1 : end + 60])
        return _Phrase((stem(word[1]),) if word else (), False, True)
    found: list[str] = []
    plural = False
    while len(found) < 5 and (word := _NOUNS.match(text, end)):
        lower, end = word[1].lower(), word.end()
        if lower in STOP and not (found and lower in ("and", "or")):
            break
        found.append(lower)
        plural = lower in _PLURALS or (len(lower) > 3 and lower.endswith("s") and not lower.endswith(("ss", "ous")))
        if plural:
            break
    else:
        # No plural in sight: what stands behind "and" is another matter.
        found = found[: next((at for at, word in enumerate(found) if word in ("and", "or")), len(found))]
    return _Phrase(tuple(stem(word) for word in found if word not in STOP), plural, False)


def _small(quantity: Quantity, most: int = MOST) -> int:
    """What the number counts, if it is a small whole number without unit, sign or scale; else 0."""
    if quantity.kind != "plain" or quantity.unit or quantity.sign or not quantity.counts or len(quantity.literal) > 2:
        return 0
    value = quantity.readings[0].value
    return int(value) if 2 <= value <= most and value == int(value) else 0


def _count(quantity: Quantity, settled: Sequence[Quantity], document: Document, together: Together) -> str | None:
    """What was counted, or None."""
    size, text = _small(quantity, MOST_NAMED), document.prose
    if not size:
        return None
    phrase = _phrase(text, quantity.end)
    nouns = frozenset(phrase.nouns)
    if "time" in nouns and not quantity.literal:
        return _said(size, quantity, text, together)
    if _TOP.search(text, max(0, quantity.start - 5), quantity.start):
        return next((one.kind for one in together.groups if one.kind == PRINTED and one.size == size), None)
    if _is_measured(phrase) or (phrase.hyphen and (not nouns or nouns & _COMPOUNDS)):
        return None
    if size > MOST:
        return _counted(phrase, text, quantity, together, named_only=True)
    named_only = phrase.hyphen or bool(quantity.literal) or (size > MOST_UNNAMED and bool(nouns))
    if not phrase.hyphen and not quantity.literal:
        if ordinal := _ORDINAL.search(text, max(0, quantity.start - 12), quantity.start):
            kind = stem(ordinal[1])
            lists = [one for one in together.groups if kind in one.named] or [one for one in together.groups if one.explicit]
            return "place in a list" if any(one.size >= size for one in lists) else None
        if whole := _whole(quantity, settled, text):
            return f"part of {whole.text}" if size < _small(whole) else None
        items = _announced(document.text, quantity)
        if len(items) == size and _are_known(items, together):
            return "items that the summary names"
        if items and _leads(document.text, quantity) and not any(_AND.search(" ".join(item.split()[:6])) for item in items):
            return None  # the summary counts its own list wrong
        if pointing := _POINTING.search(text, max(0, quantity.start - 30), quantity.start):
            if pointed := _pointed(pointing, phrase, quantity, settled, document, together):
                return pointed
            if pointing["word"] and not phrase.plural:
                return None
        named_only = named_only or bool(items)
    return _counted(phrase, text, quantity, together, named_only)


def is_doubtful(unstated: Quantity, document: Document, together: Together) -> bool:
    """True of a small count, "two details", and of "the last three"; not of amounts, "nine points", nor of what is
    measured or a fact, epochs or languages, and the source gives another number of. What a writer counts hangs on how he reads the page."""
    text, start, end = document.prose, unstated.start, unstated.end
    if not _small(unstated, MOST_UNNAMED) or _RATIO.search(text, max(0, start - 9), start):
        return False
    phrase = _phrase(text, end)
    counted = phrase.nouns[-1:]
    if unstated.literal:  # "4 sample inputs", "best on 5 of 9"; other figures are facts more often
        is_all = _ALL.search(text, max(0, start - 8), start) is not None
        is_count = (phrase.plural or is_all) and not _is_measured(phrase) and together.numbered.isdisjoint(counted)
        return is_count or _OF_FIGURE.match(text, end) is not None
    if (pointing := _POINTING.search(text, max(0, start - 30), start)) and pointing["word"]:
        return True
    if _COMPARED_ON.search(text, max(0, start - 50), start):  # "leads on four languages" of the six that it has
        return True
    if counted == ("point",):  # "it makes four points" has nothing of a score
        return not _MARGIN.search(text, max(0, start - 12), start) and not _MARGIN_BEHIND.match(text[end : end + 30])
    return _AMOUNTS.isdisjoint(counted) and (_SOLID.isdisjoint(counted) or together.numbered.isdisjoint(counted))


def _is_measured(phrase: _Phrase) -> bool:
    """Nine core tasks are counted, nine cores measured."""
    return not _MEASURED.isdisjoint(phrase.nouns[-1:] if phrase.plural else phrase.nouns)


# --- what the summary itself has --------------------------------------------------------------------------------------


def _whole(quantity: Quantity, settled: Sequence[Quantity], text: str) -> Quantity | None:
    """The ten of "seven of ten" and "of the ten rows, seven"."""
    after = (one for one in settled if 0 < one.start - quantity.end < 40 and _small(one))
    if whole := next((one for one in after if _OF.fullmatch(text[quantity.end : one.start])), None):
        return whole
    # "Of the ten rows, nine are higher."
    before = (one for one in settled if 0 < quantity.start - one.end < 40 and _small(one))
    return next(
        (
            one
            for one in before
            if _OF_WHOLE.search(text[max(0, one.start - 10) : one.start]) and _THEREOF.fullmatch(text[one.end : quantity.start])
        ),
        None,
    )


def _announced(text: str, quantity: Quantity) -> list[str]:
    """The items that the summary itself lists behind the number: "three parts: A, B and C", "Three parts are A, B and C", or a list
    or table below a line that ends in a colon or is a heading. [] where it lists none."""
    _, end = line_around(text, quantity.start)
    rest = text[quantity.end : end]
    if _SOME.search(rest):
        return []
    if rest.rstrip().endswith(":") and _heads(text, quantity) and (items := _below(text, end)):
        return items
    opening = _OPENING.match(rest)
    if opening and (items := _enumerated(rest[opening.end() :], opening[1])):
        return items
    if _heads(text, quantity):
        return _below(text, end)
    return _enumerated(rest, ", ") if _SUBJECT.search(text[max(0, quantity.start - 30) : quantity.start]) else []


def _heads(text: str, quantity: Quantity) -> bool:
    """True where the number is the only one of a heading, or of a line that ends in a colon: what it counts stands below."""
    start, end = line_around(text, quantity.start)
    before, behind = text[start : quantity.start], text[quantity.end : end]
    if _NUMBER.search(behind) or not (before.startswith("#") or behind.rstrip().endswith(":")):
        return False
    return before.startswith("#") or not _NUMBER_WORD.search(before)


def _leads(text: str, quantity: Quantity) -> bool:
    """True where it heads a list, and no other sentence stands between."""
    _, end = line_around(text, quantity.start)
    return _heads(text, quantity) and not SENTENCE_END.search(text, quantity.end, end)


def _enumerated(text: str, opening: str) -> list[str]:
    """Items up to the one behind "and"; without that word only where a colon or a bracket sets them apart. A clause with "which" is
    none."""
    inside = text.partition(")")[0] if opening.strip() == "(" else SENTENCE_END.split(_BRACKETED.sub("", text))[0]
    if ";" in inside:
        return [part for part in inside.split(";") if part.strip()]
    items: list[str] = []
    for part in inside.split(", "):
        if items and _WHICH.match(part):
            continue
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
    """True where each item begins with words of the source; one of four may be said in other words."""
    known = [any(word in together.words for word in stems(" ".join(item.split()[:6])) - STOP) for item in items]
    return known.count(False) <= len(known) // 4


def _pointed(
    pointing: re.Match[str],
    phrase: _Phrase,
    quantity: Quantity,
    settled: Sequence[Quantity],
    document: Document,
    together: Together,
) -> str | None:
    """Counts of what was named before: "the two", "the last two", "the other four" of six, "on two of three"; and "the Lumen four"."""
    size, text, word = _small(quantity), document.prose, (pointing["word"] or "").lower()
    families = [one for one in together.groups if one.kind == FAMILY and one.size == size]
    if not word:
        return FAMILY if any(stem(pointing["name"]) in one.named for one in families) else None
    before = [one for one in settled if 0 < quantity.start - one.end < BEFORE and _small(one)]
    if phrase.plural:
        if any(_small(one) == size and set(phrase.nouns) & set(_phrase(text, one.end).nouns) for one in before):
            return "counted before"
        if word not in _REST:
            return None
    if size == 2:
        return "the two before"
    start = text.rfind("\n", 0, max(0, quantity.start - BEFORE)) + 1
    listed = Together(document.text[start : quantity.start]).groups
    sizes = {group.size for group in listed if group.held & together.words} | {_small(one) for one in before}
    if word in _REST:
        return "the rest of those before" if any(whole - size in sizes | {1} for whole in sizes) else None
    if word in _SOME_OF:
        return "some of those before" if any(size < whole for whole in sizes) else None
    if size in sizes:
        return "those before"
    about = stems(text[slice(*line_around(text, quantity.start))])
    return FAMILY if any(one.named & about for one in families) else None


# --- what the source has ----------------------------------------------------------------------------------------------


def _said(size: int, quantity: Quantity, text: str, together: Together) -> str | None:
    """ "says three times that it is not state of the art": words of the sentence that the source has so often."""
    line = text[slice(*line_around(text, quantity.start))]
    if not _REPEATED.search(line):
        return None
    words = running(line).split()
    for length in (5, 4, 3, 2):
        for at in range(len(words) - length + 1):
            run = words[at : at + length]
            telling = [word for word in run if word not in STOP]
            if len(telling) > 1 and together.running.count(f" {' '.join(run)} ") == size:
                return "times that the source says it"
    return None


def _counted(phrase: _Phrase, text: str, quantity: Quantity, together: Together, named_only: bool) -> str | None:
    """What has this length in the source, or None. Nine authors are one and eight co-authors."""
    size = _small(quantity, MOST_NAMED)
    about = stems(text[slice(*sentence_around(text, quantity.start))])
    found = _named(phrase, together, about)
    if _CO.match(text, quantity.end):
        size += 1
        line = stems(text[slice(*line_around(text, quantity.start))])
        found += [group for group in together.groups if group.kind == AUTHORS and group.held & line]
        found += _spoken(phrase, text, quantity, together)
    elif not found and not named_only:
        found = _spoken(phrase, text, quantity, together)
    if its := _ITS.match(text, quantity.end):
        # "Six of its headings say nothing": which of them, their own group tells.
        some = _named(_phrase(text, its.end()), together, about)
        found = [*found, *(group for group in some if group.kind == UNFILLED)]
    return next((group.kind for group in found if group.size == size and (size <= MOST or group.kind in _LONG)), None)


def _named(phrase: _Phrase, together: Together, about: frozenset[str]) -> list[Group]:
    """What is named like the noun behind the number; of tables alone where the sentence speaks of a table, of lists likewise."""
    found = [group for group in together.groups if not group.named.isdisjoint(phrase.nouns)]
    for word in ("table", "list"):
        if not about.isdisjoint((word, f"{word}ed")):
            found = [group for group in found if word in group.kind or group.kind == FAMILY] or found
    return found


def _spoken(phrase: _Phrase, text: str, quantity: Quantity, together: Together) -> list[Group]:
    """What the line with the number speaks of: it has words that few lists hold, or says "the list" and no noun."""
    about = stems(text[slice(*line_around(text, quantity.start))])
    kinds = {kind for word, kinds in _KINDS.items() if word in about and not phrase.nouns for kind in kinds}
    telling = about & together.telling
    return [group for group in together.groups if group.explicit and (len(telling & group.held) > 1 or group.kind in kinds)]
