"""Numbers as text writes them, read into values: units, words, thousands, percent, dates; names and versions are no numbers.
LaTeX and HTML are put into plain characters before (notation.py).

What may differ between a source and a summary is the spelling (11.2T = 11.2 trillion, 64k = 64,000 = 65,536) and, where
the summary gives fewer digits, the rounding. There is no relative tolerance: measured on annotated summaries, it hides real errors.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from data_prep.checks.document import blank, lowered

SCALES = {"k": 3, "thousand": 3, "m": 6, "mn": 6, "million": 6, "b": 9, "bn": 9, "billion": 9, "t": 12, "trillion": 12} | {
    **{"thousands": 3, "millions": 6, "billions": 9, "trillions": 12},
    **{"mio": 6, "millionen": 6, "millones": 6, "mrd": 9, "milliarden": 9, "milliards": 9},
}
# Chinese, Japanese and Korean write several in a row: 万亿 is 10^12.
_SCALE_SIGNS = dict(zip("十百千万萬亿億兆백천만억조", (1, 2, 3, 4, 4, 8, 8, 12, 2, 3, 4, 8, 12), strict=True))
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: value for value, word in enumerate(_UNITS.split())} | {w: 10 * t for t, w in enumerate(_TENS.split(), 2)}
_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" if len(name) > 3 else name for name in _MONTHS).replace(
    "sep(?:tember)?", "sept?(?:ember)?"
)


def _either(words: Iterable[str]) -> str:
    """A pattern of words that are tried in this order, told by their first letter: of forty only some are looked at."""
    rests: dict[str, list[str]] = defaultdict(list)
    for word in words:
        rests[word[0]].append(word[1:])
    return "|".join(f"{letter}(?:{'|'.join(rest)})" for letter, rest in rests.items())


WORD = rf"(?:{_either(sorted(WORDS, key=len, reverse=True))})(?:-(?:one|two|three|four|five|six|seven|eight|nine))?(?![a-z])"
# Of a day without a year; "may" is a verb more often.
_WHOLE_MONTH = "|".join(name for name in _MONTHS if name != "may")
_RAISED = {ord(raised): plain for raised, plain in zip("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789", strict=True)}
# Units that may not be swapped, as powers of one base each: 24 GB is not 24 MB, 480 ms is 0.48 s. Binary and decimal ones are
# one here, since cards mix them. Calendar units are kept apart from each other but for what is exact. MW is left out: case is
# lost, and it may be a thousandth. Money has numbers in place of sizes, since nothing converts it.
MONEY = "money"
_CURRENCIES = {"$": "usd", "€": "eur", "£": "gbp"}
UNITS: dict[str, tuple[str, Decimal]] = {
    name: (kind, Decimal(size))
    for kind, size, names in (
        ("time", "0.001", "ms msec milliseconds millisecond"),
        ("time", "1", "s sec secs seconds second"),
        ("time", "60", "min mins minutes minute"),
        ("time", "3600", "h hr hrs hours hour"),
        ("time", "86400", "days day"),
        ("time", "604800", "weeks week"),
        ("month", "1", "months month"),
        ("month", "12", "years year"),
        ("memory", "0.000001", "kb kib kilobytes"),
        ("memory", "0.001", "mb mib megabytes"),
        ("memory", "1", "gb gib gigabytes"),
        ("memory", "1000", "tb tib terabytes"),
        ("power", "1", "w watts watt"),
        ("power", "1000", "kw kilowatts kilowatt"),
        ("power", "1000000", "megawatts megawatt"),
        ("energy", "1", "wh"),
        ("energy", "1000", "kwh"),
        ("energy", "1000000", "mwh"),
        ("frequency", "1", "hz hertz"),
        ("frequency", "1000", "khz kilohertz"),
        ("frequency", "1000000", "mhz megahertz"),
        ("frequency", "1000000000", "ghz gigahertz"),
        ("mass", "1", "g grams gram"),
        ("mass", "1000", "kg kilograms kilogram"),
        ("mass", "1000000", "tonnes tonne tons ton"),
        (MONEY, "1", "usd dollars dollar"),
        (MONEY, "2", "eur euros euro"),
        (MONEY, "3", "gbp"),
    )
    for name in names.split()
}
# Letters that may stick to a number and leave it one, beside words in small letters (48layers): 80GB, 480ms, 2x. Anything else
# makes a name: 3D, 1F1B, 4th.
_GLUED = frozenset(unit for unit in UNITS if len(unit) < 4) | frozenset(
    "x px fps bit bits dpi mflops gflops tflops pflops flops tops kbps mbps gbps mp db pm am".split()
)
_ORDINALS = ("st", "nd", "rd", "th")
# Scripts without spaces: what stands before or behind a number is no part of it, but for the signs of a scale.
_SPACELESS = "\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_NO_SCALE = re.compile(f"(?![{''.join(_SCALE_SIGNS)}])[{_SPACELESS}]")
_FULL_WIDTH = {ord(wide): plain for wide, plain in zip("０１２３４５６７８９．，％", "0123456789.,%", strict=True)}
_WIDE = re.compile("[０-９％]")
_MINUS = "-−–‐‑－"
_PLAIN_MINUS = {ord(minus): "-" for minus in _MINUS}

_SCALE_WORDS = _either(sorted((name for name in SCALES if len(name) > 2), key=len, reverse=True))
_EUROPEAN = r"[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,8}(?![.\w])"  # 1.543.714.304
# 71,2 % and 3,4 GB, but not 1,2 of a list.
_DECIMAL_COMMA = (
    r"(?<![0-9][,.])[0-9]{1,4},[0-9]{1,2}(?=[ \u00a0\u202f]?(?:%|percent\b|prozent\b|[kmbt](?![\w'’])"
    rf"|(?:{_SCALE_WORDS}|{'|'.join(UNITS)})(?!\w)))"
)
_TIMES = r"x(?=[0-9]|[a-z]{1,4}[0-9]|[gtcn]pus?\b)"  # 224x224, 8x80GB, 4xA100

_NAME = r"[^\W\d_]\w*+(?:[-_./+](?![0-9]{1,3},[0-9]{3})\w++)*+"  # of dialogs/942,766 the first word
# What follows a name and cannot be a number word, a month or the x of 8x80GB is passed over with it.
_NO_NAME = _either(sorted({name[:3] for name in (*WORDS, *_MONTHS)} | {"x"}))
_WORD_OR_NAME = rf"""(?=[ofnstez])(?P<word>{WORD})(?:[ -](?P<word_scale>dozen|hundred|thousand|million|billion|trillion)\b)?
  | (?P<identifier>{_NAME}(?:[ ](?!{_NO_NAME}){_NAME})*+)"""
_LARGE = "thousand|million|billion|trillion"
_FACTORS = {"dozen": 12, "hundred": 100}
# What goes on behind a number word. Between "two hundred and fifty" and "two hundred and fifty thousand" nothing else stands.
_PERCENT_BEHIND = re.compile(r"[ \u00a0-](?:percent|per[ -]cent|percentage[ -]points?)\b|[ ]?%")
_FRACTIONS = {"half": Decimal("0.5"), "quarter": Decimal("0.25")}
_AND_A_HALF = re.compile(rf"[ -]and[ -]a[ -](half|quarter)(?:[ -](?P<scale>{_LARGE}))?(?![a-z])")
_PARTS = {
    f"{name}ths": Decimal(10) ** power
    for name, power in (
        ("hundred", 2),
        ("thousand", 3),
        ("ten-thousand", 4),
        ("hundred-thousand", 5),
        ("million", 6),
        ("billion", 9),
    )
}
# "Nine in ten", and nine tenths. "Nine of ten" counts.
_IN = r"[ ](?:in|out[ ]of)[ ](?:every[ ])?"
_IN_ALL = re.compile(rf"{_IN}(?P<all>{WORD})(?![ -](?:hundred|dozen|{_LARGE}))")
_OF_ALL = re.compile(rf"(?<![a-z-])(?P<some>{WORD}){_IN}\Z")
_NTHS = {
    **{
        "halves": 2,
        "thirds": 3,
        "quarters": 4,
        "fourths": 4,
        "fifths": 5,
        "sixths": 6,
        "sevenths": 7,
        "eighths": 8,
        "ninths": 9,
    },
    **{"tenths": 10, "twelfths": 12, "sixteenths": 16, "twentieths": 20},
}
_NTHS_BEHIND = re.compile(rf"[ -]({'|'.join(_NTHS)})(?![a-z])")
_LONGEST_SHARE = 40  # characters before its last word
_PARTS_BEHIND = re.compile(rf"[ -]({'|'.join(_PARTS)})(?![a-z])")
_REST = rf"(?:[ -](?:and[ -])?(?P<rest>{WORD})(?!-[a-z]|[ ](?:hundred|dozen"
_MORE = {
    "hundred": re.compile(rf"{_REST})))?(?:[ -](?P<scale>{_LARGE})\b)?"),
    "thousand": re.compile(rf"(?:[ -](?:and[ -])?(?P<hundreds>{WORD})[ -]hundred\b)?{_REST}|{_LARGE})))?"),
}
_WORDS_ALONE = re.compile(_WORD_OR_NAME, re.VERBOSE)  # for what has no digit, twice as fast
_NUMBER_WORDS = tuple("two three four five six seven eight nine ten eleven twelve thirt fift twent fort one zero".split())
_DIGIT = re.compile("[0-9]")
_LAST_DIGIT = re.compile(".*[0-9]", re.DOTALL)
CACHED_SPELLINGS = 2_048
_AROUND = 50  # characters of a number's scale, unit or month

# Matched on lower-case text, with the first letters ahead of each alternative: three times as fast as ignoring case.
_SCAN = re.compile(
    rf"""
    (?=[0-9.])(?:
        0x[0-9a-f]+
      | (?P<numeric>(?<![0-9/.])(?:(?:0?[1-9]|[12][0-9]|3[01])\.(?:0?[1-9]|1[0-2])\.(?:19|20)[0-9]{{2}}
         |(?:1[3-9]|2[0-9]|3[01])/(?:0?[1-9]|1[0-2])/(?:19|20)[0-9]{{2}}|(?:0?[1-9]|1[0-2])/(?:1[3-9]|2[0-9]|3[01])/(?:19|20)[0-9]{{2}}
         |(?:0[1-9]|1[0-2])/(?:19|20)[0-9]{{2}})(?!/?\w|[.][0-9]))
      | (?P<iso>(?:19|20)[0-9]{{2}}[-/.](?:0[1-9]|1[0-2])(?:[-/.](?:0[1-9]|[12][0-9]|3[01]))?(?![0-9]|[-/.][0-9]))
      | (?P<day_first>[0-3]?[0-9](?:st|nd|rd|th)?(?:-|\s+(?:of\s+)?)(?:{_MONTH})\.?,?(?:-|\s+)(?:19|20)[0-9]{{2}}\b)
      | (?P<day_only>(?:[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{_WHOLE_MONTH})\b)
      | (?P<power>(?:(?P<factor>[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)[ ]?(?:[x×*·]|\\times|\\cdot)[ ]?)?10[ ]?(?:(?:\^|\*\*)[ ]?[{{(]?(?P<exponent>[{_MINUS}+]?[0-9]{{1,2}})(?![0-9])
         |(?(factor)(?P<lowered>[{_MINUS}][0-9]{{1,2}})(?!\w|[.,][0-9])|(?!))
         |(?P<raised>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,2}})))
      | (?P<arxiv>[0-9]{{2}}(?:0[1-9]|1[0-2])\.[0-9]{{4,5}}(?:v[0-9]+)?\b)
      | (?P<version>(?!{_EUROPEAN})[0-9]+(?:\.[0-9]+){{2,}}\w*)
      | (?P<number>(?>{_EUROPEAN}|{_DECIMAL_COMMA}|[0-9]{{1,3}}(?:[,\u00a0\u202f\u2009'’_][0-9]{{3}})+(?![0-9])|[0-9]+|(?<![\w.)\]])(?=\.))
         (?>(?:\.[0-9]+)?)(?:e[{_MINUS}+]?[0-9]{{1,2}}(?![0-9]))?)
        (?:(?P<percent>[ \u00a0\u202f]?%|[ \u00a0](?:percent|prozent)\b|[ ]per[ ]cent\b|[ ]percentage[ ]points?\b|[ ]pp\b)
         | (?P<scale>[ \u00a0-]?(?:{_SCALE_WORDS})\b|[ ]?(?:bn|mn)\b|-?[kmbt](?![a-z0-9])|[ ][kmbt](?![\w'’]|-(?!parameter|token|step|word|size)[a-z])|[ ]?[{"".join(_SCALE_SIGNS)}]{{1,2}}))?
        (?P<glued>(?!{_TIMES})[^\W\d_]\w*)?
    )
  | (?=[jfmasond])(?P<month_first>(?:{_MONTH})\.?,?\s+(?:of\s+)?(?:[0-3]?[0-9](?:st|nd|rd|th)?,?\s+
      (?:[0-2]?[0-9](?::[0-5][0-9]){{1,2}}\s+(?:[a-z]{{2,5}}\s+)?)?)?(?:19|20)[0-9]{{2}}\b)
  | {_TIMES}(?<=[0-9]x)
  | {_WORD_OR_NAME}
  | \#[0-9]+
    """,
    re.VERBOSE,
)
# Numbers that count nothing: list enumerators, footnotes, numbered stages and tables, versions of licences.
_LABELS = re.compile(
    r"^[ \t>*_#-]*\(?[0-9]{1,2}(?:\.[0-9]{1,2})*[.)](?=[ \t*_])"
    r"|\[\^?[0-9]{1,3}(?:[,-][0-9]{1,3})*\]"
    r"|(?<![a-z])(?=[sptflcavinrobmgce])(?:"
    r"(?:step|stage|phase|table|figure|fig|section|part|tier|level|chapter|appendix|version|point|item|note|page|type|option)s?"
    r"[ .-]{1,2}[0-9]{1,2}\b(?!\.[0-9]|,[0-9]{3})(?:[ ]?(?:and|to|[-–&,])[ ]?[0-9]{1,2}\b)?"
    r"|(?:apache|mit|bsd|[al]?gpl|gnu|mpl|mozilla|eupl|epl|cc|creative commons|openrail\S*|rail)\b(?:[ -](?:by|nc|sa|nd|public|software"
    r"|general|lesser|affero|attribution|sharealike|noncommercial|licen[cs]e|m))*,?[ ]?(?:\(?(?:version|v)\.?)?[ -]?[0-9](?:\.[0-9])?\b)",
    re.MULTILINE,
)
_WORD_BEHIND = re.compile(r"[ \u00a0-]?([a-z]++)(?![\w'’])")
_LEADING_WORD = re.compile(r"([A-Z]\w*|[a-z]{1,20}[0-9]\w*)[ \u00a0-]\Z")
_CAPITAL_OR_DIGIT = re.compile("[A-Z0-9]")
_SIGN = re.compile(r"(?:(?<![\w.)\]%+−^{-])|(?<=[~≈]))([-+−])\Z")
_ROUGHLY = re.compile(
    r"(?:(?P<about>\b(?:about|around|roughly|approximately|approx\.?|circa|some|ca\.)|[~≈])"
    r"|(?P<more>\b(?:over|more than|above|exceed(?:s|ing)|at least|beyond)|>=?|≥)"
    r"|(?P<less>\b(?:under|less than|fewer than|below|nearly|almost|close to|up to)|<=?|≤))\s*(?:US)?[$€£]?\Z",
    re.IGNORECASE,
)
# How it ends, since few numbers have one; of "exceeds" the s goes with that of US$.
_ROUGHLY_ENDS = tuple(
    "about around roughly approximately approx approx. circa some ca. over than above exceed exceeding least beyond under below "
    "nearly almost to ~ ≈ > >= ≥ < <= ≤".split()
)
_COUNTED_NOUN = re.compile(
    r"[-  ]+(?!(?:on|in|for|vs|versus|against|and|or|to|from|at|with|by|points?|gb|mb|tb|ms|hours?|days?|x)\b)([a-z]{1,20})"
)
_NO_COUNT = _GLUED | UNITS.keys() | {"pts", "pt", "pct", "point", "points", "percent"}
_COMMA_DECIMAL = re.compile(r"[0-9]{1,4},[0-9]{1,2}")
_RANGE = re.compile(
    r"(?:[ ]?[-–—~][ ]?|[ ](?:to|and)[ ])[0-9]{1,6}(?:\.[0-9]{1,4})?"
    rf"(?:(?P<percent>[ ]?%|[ ]percent\b)|[ -]?(?P<scale>(?:{_SCALE_WORDS}|[kmbt])(?![\w'’])|[{''.join(_SCALE_SIGNS)}]{{1,2}}))"
)
_GAPS = frozenset(" -\u00a0")
_RANGE_SIGNS = frozenset(" -–—~")
_SIGNS = frozenset("+-−")
_NONE, _ONE = Decimal(0), Decimal(1)
_POWERS = {power: Decimal(1).scaleb(power) for power in range(-25, 26)}  # of a literal's 24 digits
_CLOCK = re.compile(r"(?::[0-5][0-9]){0,2}[ ]?([ap])\.?m\b|:[0-5][0-9](?![0-9])")


class Reading(NamedTuple):  # as Quantity a tuple, made in a quarter of the time: there are hundreds in a source
    """A value the text may mean, with the bounds in which a source's more exact number rounds to it."""

    value: Decimal
    low: Decimal
    high: Decimal


class Quantity(NamedTuple):
    """One number of a text. `date` (year, month, day; None where not given) is set for dates; of those only a day without a year has a
    reading, the day. A version has none."""

    text: str
    start: int
    end: int
    readings: tuple[Reading, ...]
    kind: str = "plain"  # "plain", "percent", "date", "version"
    literal: str = ""  # digits alone, as written
    counts: bool = False  # "45 languages" counts something; "45 on MMLU" is a score
    unit: str = ""  # of UNITS: what follows the number
    sign: str = ""  # "+" or "-" where one is written
    leading: str = ""  # a word right before that is capitalised or holds a digit: "Llama 3.1" is a name
    beside: str = ""  # what stands right before and behind, in small letters
    noun: str = ""  # what is counted: its first word, in small letters
    to_percent: bool = False  # 50 of "50 to 60%"
    share: Reading | None = None  # in percent, which this number and the one beside it may be: nine in ten, four fifths
    date: tuple[int | None, int | None, int | None] | None = None


def without_labels(text: str) -> str:
    """`text` with enumerators, numbered labels and licence versions blanked, offsets kept."""
    return blank(text, (match.span() for match in _LABELS.finditer(lowered(text))))


def quantities(text: str, bounds: bool = True) -> Iterator[Quantity]:
    """Every number of `text` in order. Digits inside names (Qwen2.5, H100, GPT-4) and arXiv ids are skipped. Without `bounds` each
    reading is its value alone, a source's numbers being not rounded to anything, and versions (4.18.0) are skipped too."""
    if not text.isascii():
        text = _NO_SCALE.sub("，", text.translate(_FULL_WIDTH) if _WIDE.search(text) else text)
    lower = lowered(text)
    if not _DIGIT.search(lower):
        if not has_number_word(lower):
            return
        yield from _in_words_alone(text, lower, bounds)
        return
    past = 0  # of a number in several words
    for match in _SCAN.finditer(lower, *_stretch(lower)):
        if match.lastgroup == "identifier" or match.start() < past:
            continue  # most matches
        if number := match["number"]:
            if number == "00" and text[match.start() - 1 : match.start()] == ":":
                continue  # the minutes of 9:00 are none
            quantity = _number(match, text, lower, bounds)
        elif match["word"]:
            quantity = _spelled(match, text, lower, bounds)
            past = quantity.end if quantity else past
        elif match["power"]:
            quantity = _power(match, text)
        elif match["day_only"] or match["iso"] or match["day_first"] or match["month_first"] or match["numeric"]:
            date = _date(match)
            readings = _exactly(Decimal(date[2] or 0)) if match["day_only"] else ()
            quantity = Quantity(text[slice(*match.span())], *match.span(), readings, kind="date", date=date)
        elif match["version"] and bounds:
            quantity = Quantity(match[0], *match.span(), (), kind="version", literal=match[0])
        else:
            quantity = None
        if quantity is not None:
            yield quantity


@lru_cache(CACHED_SPELLINGS)
def quantities_of(spelling: str) -> tuple[Quantity, ...]:
    """The numbers of a few characters on their own, which are asked for again and again."""
    return tuple(quantities(spelling))


def has_number_word(text: str) -> bool:
    """False where no part of a word says a number."""
    lower = text.lower()
    for word in _NUMBER_WORDS:  # noqa: SIM110  # asked of every line: a generator takes twice as long
        if word in lower:
            return True
    return False


def _stretch(lower: str) -> tuple[int, int]:
    """The part of a line that its digits stand in, with what may belong to them: all of it where there may be numbers in words, or
    wide gaps in a date."""
    first, last = _DIGIT.search(lower), _LAST_DIGIT.match(lower)
    if first is None or last is None or len(lower) < 2 * _AROUND or "   " in lower or has_number_word(lower):
        return 0, len(lower)
    start, end = lower.rfind(" ", 0, max(0, first.start() - _AROUND)), lower.find(" ", last.end() + _AROUND)
    return max(0, start), end if end >= 0 else len(lower)


def _in_words_alone(text: str, lower: str, bounds: bool) -> Iterator[Quantity]:
    past = 0
    for match in _WORDS_ALONE.finditer(lower):
        quantity = _spelled(match, text, lower, bounds) if match["word"] and match.start() >= past else None
        if quantity is not None:
            past = quantity.end
            yield quantity


def binary_aliases(value: Decimal) -> tuple[Decimal, ...]:
    """65,536 is 64k, which people write out as 64,000."""
    if not 1024 <= value <= 2**30 or value % 1024:
        return ()
    thousands = int(value) // 1024
    return () if thousands & (thousands - 1) else (Decimal(thousands * 1000),)


def contains(values: Sequence[Decimal], reading: Reading) -> bool:
    """True where sorted `values` hold one that equals the reading or rounds to it."""
    at = bisect_left(values, reading.low)
    return at < len(values) and values[at] <= reading.high


def _number(match: re.Match[str], text: str, lower: str, bounds: bool) -> Quantity | None:
    number, percent, glued = match.group("number", "percent", "glued")
    literal = number if number.isdigit() else _literal(number)
    if not literal or len(literal) > 24 or (glued and not _is_unit(text[slice(*match.span("glued"))])):
        return None
    start, end = match.span()
    scale = text[slice(*match.span("scale"))] if match["scale"] else ""
    if scale[:1] == " " and scale[1:].islower() and len(scale) == 2:  # "3 b" is no amount, "3 B" is
        scale, end = "", match.start("scale")
    scale = scale.strip(" \u00a0-")
    kind = "percent" if percent else "plain"
    before = text[max(0, start - 20) : start]
    is_bare = not percent and not scale
    after = lower[end : end + 1]
    noun = _noun(glued, text, end) if is_bare and (glued or after in _GAPS) else ""
    readings = readings_of(literal, scale, kind, bool(noun), _roughly(before) if bounds else None)
    upto = _RANGE.match(lower, end) if is_bare and after in _RANGE_SIGNS else None
    if is_bare and (upto or len(literal) < 3):
        readings += _otherwise(literal, upto["scale"] if upto else "", before, lower[end : end + 12] if bounds else "")
    unit = _unit(lower, match.start("glued") if glued else end) if is_bare and (glued or after in _GAPS) else None
    end = unit.end() if unit else end
    last = before[-1:]
    word = _LEADING_WORD.search(before) if bounds and last in _GAPS and _CAPITAL_OR_DIGIT.search(before) else None
    sign = _SIGN.search(before) if last in _SIGNS else None
    return Quantity(
        text[start:end],
        start,
        end,
        readings,
        kind,
        literal,
        bool(noun),
        unit[1] if unit else _currency(before) if last in _CURRENCIES else "",
        sign[1].replace("−", "-") if sign else "",
        word[1].lower() if word else "",
        f"{lower[max(0, start - 24) : start]} {lower[end : end + 24]}" if bounds else "",
        noun,
        bool(upto and upto["percent"]),
    )


def _unit(lower: str, start: int) -> re.Match[str] | None:
    word = _WORD_BEHIND.match(lower, start)
    return word if word and word[1] in UNITS else None


def _noun(glued: str | None, text: str, end: int) -> str:
    if glued:
        return "" if glued in _NO_COUNT else glued
    counted = _COUNTED_NOUN.match(text, end)
    return counted[1] if counted else ""


def _literal(number: str) -> str:
    """The number with a point for decimals and nothing between thousands; "" of an address of the internet."""
    if number[0] != "." and number.replace(".", "", 1).isdigit():
        return number  # most
    if "," in number and _COMMA_DECIMAL.fullmatch(number):
        number = number.replace(",", ".")
    elif number.count(".") > 1:
        groups = number.split(".")
        if len(groups) == 4 and all(int(group) < 256 for group in groups):
            return ""
        number = "".join(groups)
    literal = re.sub(r"[^0-9.e+-]", "", number.translate(_PLAIN_MINUS))
    return f"0{literal}" if literal.startswith(".") else literal


def _is_unit(glued: str) -> bool:
    lower = glued.lower()
    return lower in _GLUED or (
        len(glued) > 1 and glued.isalpha() and glued.islower() and lower not in _ORDINALS and not lower.startswith("x")
    )


def _otherwise(literal: str, range_scale: str, before: str, behind: str) -> tuple[Reading, ...]:
    """What a bare number may mean beside itself: 7 of "7 to 13 billion", 2024 of AIME'24, 14 of "2:30 pm"."""
    found: tuple[Reading, ...] = ()
    if range_scale:
        found += _exactly(Decimal(literal).scaleb(_power_of_ten(range_scale)))
    if len(literal) > 2 or not literal.isdigit():
        return found
    value = int(literal)
    if before[-1:] in ("'", "’") and len(literal) == 2 and not before[-2:-1].isdigit():
        found += _exactly(Decimal(value + (2000 if value < 50 else 1900)))
    if value < 25 and behind and (clock := _CLOCK.match(behind)):
        found += _exactly(Decimal((value + 12) % 24 if clock[1] or value > 12 else value))
    return found


def _power_of_ten(scale: str) -> int:
    scale = scale.strip(" -").lower()
    return SCALES[scale] if scale in SCALES else sum(_SCALE_SIGNS.get(sign, 0) for sign in scale)


def _currency(before: str) -> str:
    """Of the sign that a number follows. Not of CA$, nor of a formula's $, which follows a letter or a sign."""
    name = _CURRENCIES.get(before[-1:], "")
    return name if name and (before[-3:] == "US$" or not before[-2:-1].strip(" ~(≈\n|*")) else ""


def _power(match: re.Match[str], text: str) -> Quantity:
    """1.5 x 10^-4, also as LaTeX and with raised digits."""
    exponent = (match["exponent"] or match["lowered"] or match["raised"].translate(_RAISED)).translate(_PLAIN_MINUS)
    value = Decimal(match["factor"] or 1).scaleb(int(exponent))
    return Quantity(text[slice(*match.span())], *match.span(), _exactly(value))


def _roughly(before: str) -> str:
    """ "about", "more" or "less", where what stands before a number says so."""
    end = before.rstrip().rstrip("$€£USus").rstrip().lower()
    roughly = _ROUGHLY.search(before) if end.endswith(_ROUGHLY_ENDS) else None
    return (roughly and roughly.lastgroup) or ""


def _half_widths(literal: str, scale: str, kind: str, counts: bool, roughly: str) -> tuple[Decimal, Decimal]:
    """How far below and above the written number a source's number may lie and still be rounded to it, in written units."""
    if "e" in literal:
        mantissa, _, exponent = literal.partition("e")
        digits = len(mantissa.partition(".")[2])
        half = Decimal(5).scaleb(int(exponent) - digits - 1) if digits else _NONE
        return half, half
    whole, _, decimals = literal.partition(".")
    zeros = len(whole) - len(whole.rstrip("0")) if not decimals else 0
    if decimals:
        unit = _POWERS[-len(decimals)]
    elif scale or kind == "percent":
        unit = _ONE
    elif len(whole) >= 4 and zeros >= 2 and len(whole) - zeros >= 2:
        unit = _POWERS[zeros]  # 12,300 for 12,345
    else:
        # A bare small number, a count or a year is meant exactly; 71 for a score of 71.2 is rounding.
        unit = _NONE if counts or len(whole) in (1, 4) else _ONE
    rough = unit if decimals else max(unit, _POWERS[zeros])
    match roughly:
        case "more":
            return _NONE, rough
        case "less":
            return rough, _NONE
        case "about":
            return rough / 2, rough / 2
    return unit / 2, unit / 2


@lru_cache(CACHED_SPELLINGS)
def readings_of(literal: str, scale: str, kind: str, counts: bool, roughly: str | None) -> tuple[Reading, ...]:
    """`roughly`: None for a source's number, which has no bounds."""
    value = Decimal(literal)
    below, above = (_NONE, _NONE) if roughly is None else _half_widths(literal, scale, kind, counts, roughly)
    if not scale:
        return _exactly(value) if roughly is None else (Reading(value, value - below, value + above),)
    power = _power_of_ten(scale)
    factor = Decimal(1).scaleb(power)
    found = [Reading(value * factor, (value - below) * factor, (value + above) * factor)]
    if scale in ("k", "K", "m", "M"):  # 64k tokens are 65,536 as often as 64,000
        found += _exactly(value * (1024 if power == 3 else 1024**2))
    if scale in ("m", "b", "t"):  # 140m may be metres or minutes
        found += _exactly(value)
    return tuple(found)


def _exactly(value: Decimal) -> tuple[Reading]:
    return (Reading(value, value, value),)


def _spelled(match: re.Match[str], text: str, lower: str, bounds: bool) -> Quantity | None:
    """In words: fifteen, fifteen percent, five millionths, two and a half million, two hundred and fifty thousand."""
    start = match.start()
    value, scale, end = _in_words(match, lower)
    kind = "plain"
    if percent := _PERCENT_BEHIND.match(lower, end):
        kind, end = "percent", percent.end()
    if max(value, _word_value(match["word"])) < 2 and not scale and kind == "plain":
        return None  # "one" is a pronoun, "zero-shot" a term
    literal = str(value)
    before = text[max(0, start - 20) : start]
    below, above = (
        _half_widths(literal, scale, kind, True, _roughly(before))
        if bounds and value == int(value)
        else (Decimal(0), Decimal(0))
    )
    factor = Decimal(1).scaleb(SCALES.get(scale, 0))
    reading = Reading(value * factor, (value - below) * factor, (value + above) * factor)
    # "About two and a half points" is a difference more often than it is stated; without a scale it is as good as its whole part.
    whole = _exactly(Decimal(int(value))) if value > 2 and value != int(value) and not scale and kind == "plain" else ()
    share = _share(value, start, end, lower) if kind == "plain" and not scale else None
    noun = "" if scale or kind == "percent" else _noun(None, lower, end)
    return Quantity(text[start:end], start, end, (reading, *whole), kind, counts=True, noun=noun, share=share)


def _share(value: Decimal, start: int, end: int, lower: str) -> Reading | None:
    """In percent, of what has no end in digits with what rounds to it: two thirds are 67%."""
    some, total = value, Decimal(0)
    if nths := _NTHS_BEHIND.match(lower, end):
        total = Decimal(_NTHS[nths[1]])
    elif behind := _IN_ALL.match(lower, end):
        total = _word_value(behind["all"])
    elif before := _OF_ALL.search(lower, max(0, start - _LONGEST_SHARE), start):
        some, total = _word_value(before["some"]), value
    if not 0 < some < total:
        return None
    percent = 100 * some / total
    half = Decimal(0) if percent == int(percent) or percent * 8 == int(percent * 8) else Decimal("0.5")
    return Reading(percent, percent - half, percent + half)


def _in_words(match: re.Match[str], lower: str) -> tuple[Decimal, str, int]:
    """The number before its scale, that scale and where they end."""
    value, scale, end = _word_value(match["word"]), match["word_scale"] or "", match.end()
    if parts := _PARTS_BEHIND.match(lower, match.end("word")):
        return value / _PARTS[parts[1]], "", parts.end()
    if not scale and (rest := _AND_A_HALF.match(lower, end)) and (value > 1 or rest["scale"]):
        return value + _FRACTIONS[rest[1]], rest["scale"] or "", rest.end()
    if scale in _FACTORS:
        value, scale = value * _FACTORS[scale], "" if scale != "hundred" else scale
    if scale not in ("hundred", "thousand"):
        return value, scale, end
    more = _MORE[scale].match(lower, end)
    if not more or more.end() == end:
        return value, "" if scale == "hundred" else scale, end
    if scale == "hundred":
        return value + _word_value(more["rest"]), more["scale"] or "", more.end()
    return 1000 * value + 100 * _word_value(more["hundreds"]) + _word_value(more["rest"]), "", more.end()


def _word_value(word: str | None) -> Decimal:
    first, _, second = (word or "zero").partition("-")
    return Decimal(WORDS[first] + WORDS.get(second, 0))


def _date(match: re.Match[str]) -> tuple[int | None, int | None, int | None]:
    """(year, month, day)"""
    numbers = [int(number) for number in re.findall(r"[0-9]+", match[0])]
    if match["iso"]:
        return numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else None
    if match["numeric"]:
        first, *rest, year = numbers
        if not rest:
            return year, first, None
        return (year, first, rest[0]) if rest[0] > 12 else (year, rest[0], first)
    month = next(index for index, name in enumerate(_MONTHS, 1) if re.search(rf"(?<![a-z]){name[:3]}", match[0]))
    if match["day_only"]:
        return None, month, numbers[0]
    return numbers[-1], month, numbers[0] if len(numbers) > 1 else None
