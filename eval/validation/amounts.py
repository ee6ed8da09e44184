"""Faults in numbers: a digit, a scale, a unit, a year; and true numbers in the wrong place."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, takewhile

from eval.validation.page import NUMBER_WORDS, SCALES, Edit, Page, first_absent, shuffled, swaps

_MONTHS = "January February March April May June July August September October November December".split()
_SCALED = re.compile(
    r"(?<![\w./:#@,-])(\d+(?:[.,]\d+)*)(?:(?P<letter>[KMBT])|[ -](?P<word>thousand|million|billion|trillion))(?![\w-]*\d|/| Karras)\b"
)
_PLAIN = re.compile(
    r"(?<![\w./:#@,$-])\d+(?:[.,]\d+)*(?P<scale>[kKMBT])?(?=(?:GB|MB|TB|ms|kHz|px|x|-\w+)?(?![\w%/.]|[.,:/]\d)|[.](?!\w))"
)
_PERCENT = re.compile(r"(?<![\w./:#@,-])(\d+(?:\.\d+)?)(?=\s?%| percent\b| per cent\b)")
_NAMED = re.compile(
    r"(?:[A-Za-z]*[A-Z]\w*|\b(?:version|step|stage|table|figure|layer|epoch|top|release))[ -]\Z"
)  # "Llama 2", "step 3"
_DATE_NEAR = re.compile(rf"(?:\d[-/]|(?:{'|'.join(name[:3] for name in _MONTHS)})\w* )\Z")
_YEAR = re.compile(
    r"(?:(?<=\bin )|(?<=\bof )|(?<=\bsince )|(?<=\bfrom )|(?<=\buntil )|(?<=\bto )|(?<=\()|(?<=[A-Z][a-z]{2} )|(?<=[a-z]{3} )|(?<=, ))"
    r"((?:19[89]|20[0-2])\d)(?!\w|[,.-]\d| [a-z]+s\b)|(?<![\w-])((?:19[89]|20[0-2])\d)(?=[-/]\d{1,2}[-/]\d)"
)
_MONTH_NAME = re.compile(rf"\b({'|'.join(_MONTHS)})(?= \d|, \d)|(?<=\d )({'|'.join(_MONTHS)})\b")
_MONTH_NUMBER = re.compile(r"(?<=\b(?:19|20)\d\d[-/])(\d\d)(?=[-/]\d)")
_UNITS = {
    "GB": ("MB", "TB"), "MB": ("GB", "KB"), "TB": ("GB",), "GiB": ("MiB",), "hours": ("days", "minutes"), "hour": ("day", "minute"),
    "days": ("hours", "weeks"), "minutes": ("hours", "seconds"), "seconds": ("minutes", "hours"), "ms": ("s", "minutes"),
    "milliseconds": ("seconds",), "weeks": ("days", "months"), "months": ("years", "weeks"), "kHz": ("Hz", "MHz"), "Hz": ("kHz",), "MHz": ("GHz",),
}  # fmt: skip
_UNIT = re.compile(rf"(?<![\w./:#@,-])(\d+(?:[.,]\d+)*)([ -]?)(?P<unit>{'|'.join(_UNITS)})\b")
_COUNTED = {
    "epochs": ("steps",), "steps": ("epochs",), "tokens": ("words", "documents"), "words": ("tokens", "characters"),
    "layers": ("heads",), "heads": ("layers",), "sentences": ("documents", "hours"), "documents": ("sentences",),
    "speakers": ("hours",), "images": ("classes", "videos"), "classes": ("layers",), "languages": ("domains",),
    "parameters": ("tokens",), "samples": ("epochs",), "examples": ("epochs",), "dimensions": ("layers",), "billion": (), "labels": ("layers",),
}  # fmt: skip
_COUNT = re.compile(
    rf"(?<![\w./:#@,-])(\d+(?:[.,]\d+)*[KkMBT]?(?: (?:thousand|million|billion|trillion))?)([ -])(?P<noun>{'|'.join(_COUNTED)})\b"
)
_WORD = re.compile(r"(?<![\w-])(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?![\w-]| of\b)", re.IGNORECASE)
_INLINE = re.compile(r"`[^`\n]*?(?<![\w./:@-])(\d+(?:\.\d+)?)(?![\w./:-])[^`\n]*`")


def digit(page: Page, rng: random.Random) -> Iterator[Edit]:
    """A plain number of the prose, off by one digit. Years, percentages and numbers of names have kinds of their own."""
    for match in _plain_numbers(page):
        literal = match[0].rstrip("kKMBT")
        scale = SCALES[match["scale"].lower()] if match["scale"] else 1.0
        if other := other_digits(page, literal, rng, scale):
            yield ((match.start(), match.start() + len(literal), other),)


def _plain_numbers(page: Page) -> Iterator[re.Match[str]]:
    for match in _PLAIN.finditer(page.prose):
        start, end = match.span()
        line = page.prose.rfind("\n", 0, start) + 1
        if re.match(r"\s*\d+[.)]\s", page.prose[line:]) and not page.prose[line:start].strip():
            continue  # the number of a list item
        is_year = re.fullmatch(r"(?:19[89]|20[0-2])\d", match[0])
        before = page.prose[max(0, start - 16) : start]
        of_name = re.fullmatch(r"\d(?:\.\d+)*|\d\d", match[0]) and _NAMED.search(before)
        if not (
            is_year or of_name or _DATE_NEAR.search(before) or _PERCENT.match(page.prose, start) or page.is_bound(start, end)
        ):
            yield match


def other_digits(page: Page, literal: str, rng: random.Random, scale: float = 1.0) -> str | None:
    """`literal` with one digit changed, of those that the source has nowhere."""
    places = [index for index, char in enumerate(literal) if char.isdigit()]
    changes = [literal[:place] + new + literal[place + 1 :] for place in places for new in "123456789" if new != literal[place]]
    return first_absent(shuffled(changes, rng), lambda other: page.has_amount(other, scale))


def inline_code(page: Page, rng: random.Random) -> Iterator[Edit]:
    """`max_length=32` with another number."""
    yield from swaps(page, _INLINE, lambda match: other_digits(page, match[1], rng), 1, page.text)


def percentage(page: Page, rng: random.Random) -> Iterator[Edit]:
    for edit in swaps(page, _PERCENT, lambda match: other_digits(page, match[1], rng), 1):
        if not page.is_bound(*edit[0][:2]):
            yield edit


def scale(page: Page, rng: random.Random) -> Iterator[Edit]:
    """11.2B for 11.2M, billion for million."""
    for match in _SCALED.finditer(page.prose):
        group = "letter" if match["letter"] else "word"
        names = "KMBT" if match["letter"] else ("thousand", "million", "billion", "trillion")
        literal = match[1]
        options = [name for name in shuffled(names, rng) if name != match[group]]
        other = first_absent(options, lambda name, literal=literal: page.has_amount(literal, SCALES[name.lower()]))  # type: ignore[misc]
        if other and not page.is_bound(*match.span()):
            yield ((*match.span(group), other),)


def unit(page: Page, rng: random.Random) -> Iterator[Edit]:
    yield from _noun(page, rng, _UNIT, "unit", _UNITS)


def counted(page: Page, rng: random.Random) -> Iterator[Edit]:
    """30 steps for 30 epochs: the number is true, what it counts is not."""
    yield from _noun(page, rng, _COUNT, "noun", _COUNTED)


def _noun(
    page: Page, rng: random.Random, pattern: re.Pattern[str], group: str, others: dict[str, tuple[str, ...]]
) -> Iterator[Edit]:
    for match in pattern.finditer(page.prose):
        number = match[1]

        def stands(noun: str, number: str = number) -> bool:
            spellings = {number, number.replace(",", ""), number.replace(",", " ")}
            forms = "|".join(re.escape(spelling.lower()) for spelling in spellings)
            return (
                re.search(rf"(?<![\d.,])(?:{forms})[\s*_|-]{{0,4}}(?:\w+[ -])?{noun.lower().rstrip('s')}", page.lower)
                is not None
            )

        other = first_absent(shuffled(others[match[group]], rng), stands)
        if other and page.states(*match.span()) and not page.is_bound(*match.span()):
            yield ((*match.span(group), other),)


def year(page: Page, rng: random.Random) -> Iterator[Edit]:
    for match in _YEAR.finditer(page.prose):
        place = 1 if match[1] else 2
        true = int(match[place])
        options = [str(other) for other in range(true - 4, true + 5) if other != true]
        other = first_absent(
            shuffled(options, rng),
            lambda value: value in page.source or re.search(rf"['’]{value[2:]}\b", page.source) is not None,
        )
        if other and not page.is_bound(*match.span(place)):
            yield ((*match.span(place), other),)


def month(page: Page, rng: random.Random) -> Iterator[Edit]:
    """The month of a date, in words or digits."""

    def stands(number: int) -> bool:
        name = _MONTHS[number - 1][:3]
        digits = rf"\d[-/.]0?{number}(?:[-/.]\d|\b)|\b0?{number}[-/.]\d{{1,2}}[-/.]\d"
        return re.search(rf"\b{name}|\b{name.upper()}\b|(?:19|20)\d\d{number:02}\d\d|{digits}", page.source) is not None

    options = [number for number in rng.sample(range(1, 13), 12) if not stands(number)]
    if options:
        yield from swaps(page, _MONTH_NUMBER, lambda match: f"{options[0]:02}", 1)
        for match in _MONTH_NAME.finditer(page.prose):
            yield ((*match.span(), _MONTHS[options[0] - 1]),)


def words(page: Page, rng: random.Random) -> Iterator[Edit]:
    """ "seven" for "three"."""

    def other(match: re.Match[str]) -> str | None:
        options = [word for word, value in NUMBER_WORDS.items() if 4 <= value < 20 and word != match[1].lower()]
        word = first_absent(shuffled(options, rng), lambda word: page.has_amount(str(NUMBER_WORDS[word])))
        if word is None or page.is_bound(*match.span()) or not page.states(*match.span()):
            return None
        return word.capitalize() if match[1][0].isupper() else word

    yield from swaps(page, _WORD, other)


# --- true numbers in the wrong place ----------------------------------------------------------------------------------


def another_row(page: Page, rng: random.Random) -> Iterator[Edit]:
    """A figure of the card's table, as it stands in another row of the same column."""
    yield from _cells(page, rng, of_row=False)


def another_column(page: Page, rng: random.Random) -> Iterator[Edit]:
    """The same, in another column of the same row."""
    yield from _cells(page, rng, of_row=True)


def _cells(page: Page, rng: random.Random, of_row: bool) -> Iterator[Edit]:
    """Only figures that the source has once, in a table: then what the summary says of them is what the table says."""
    counts = Counter(re.findall(r"\d+(?:[.,]\d+)*", page.source))
    for table in tables(page.source):
        places = [(row, column, cell) for row, cells in enumerate(table) for column, cell in cells.items() if counts[cell] == 1]
        for row, column, cell in places:
            near = list(table[row].values()) if of_row else [cells[column] for cells in table if column in cells]
            options = [other for other in near if other != cell and not _equal(other, cell)]
            if not options or len(cell) < 2:
                continue
            for match in re.finditer(rf"(?<![\w.,/-]){re.escape(cell)}(?![\w-]|[.,]\d)", page.prose):
                yield ((*match.span(), rng.choice(options)),)


def _equal(one: str, other: str) -> bool:
    """True where one may be a rounding of the other."""
    first, second = (float(text.replace(",", "")) for text in (one, other))
    decimals = min(len(text.partition(".")[2]) for text in (one, other))
    return abs(first - second) < 10.0**-decimals


def tables(source: str) -> Iterator[list[dict[int, str]]]:
    """The figures of each Markdown table, row by row and by column."""
    lines = source.splitlines()
    for number, line in enumerate(lines):
        is_rule = "|" in line and "-" in line and not line.strip("|:- \t")
        if number and is_rule and "|" in lines[number - 1]:
            yield [_figures(row) for row in takewhile(lambda below: "|" in below, lines[number + 1 :])]


def _figures(row: str) -> dict[int, str]:
    cells = (re.sub(r"[*_`%\s]", "", cell) for cell in row.strip().strip("|").split("|"))
    return {column: cell for column, cell in enumerate(cells) if re.fullmatch(r"\d+(?:,\d{3})*(?:\.\d+)?", cell)}


def exchanged(page: Page, rng: random.Random) -> Iterator[Edit]:
    """Two numbers of one sentence, each in the other's place, where words stand between and they are numbers of different things."""
    numbers = [match for match in _plain_numbers(page) if page.states(*match.span())]
    for one, other in combinations(numbers, 2):
        if page.sentence(*one.span()) != page.sentence(*other.span()) or _number(one[0]) == _number(other[0]):
            continue
        between = re.findall(r"[A-Za-z]{3,}", page.text[one.end() : other.start()])
        if set(between) - {"and", "then", "for", "from", "with", "the"} and _what(page, one) != _what(page, other):
            yield ((*one.span(), other[0]), (*other.span(), one[0]))


def _number(literal: str) -> float:
    return float(re.sub(r"[^\d.]", "", literal).rstrip(".").replace(".", "", max(0, literal.count(".") - 1)))


def _what(page: Page, match: re.Match[str]) -> tuple[str, str]:
    """The words before and behind a number."""
    before = re.findall(r"\w+", page.text[max(0, match.start() - 30) : match.start()])
    behind = re.match(r"\W*(\w*)", page.text[match.end() : match.end() + 30])
    return (before[-1] if before else "", behind[1] if behind else "")
