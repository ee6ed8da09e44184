"""What a source says of numbers in other ways than as a number on its own: in identifiers and addresses, names and versions, dates of
every form, and words.

All of it is only added to what a source gives, so that a summary may say it. Of a summary none of this is read.
Patterns begin with the digit and look back from there, with `.` for the digit itself: five times as fast as looking back first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from string import ascii_letters
from urllib.parse import unquote

from data_prep.checks.numeric.quantities import SCALES, Quantity

Date = tuple[int | None, int | None, int | None]  # year, month, day

# --- dates --------------------------------------------------------------------------------------------------------------

_PACKED = re.compile(
    r"([12](?<![0-9].)(?:(?<=1)9|(?<=2)0)[0-9]{2})(?:([-_./])(0?[1-9]|1[0-2])\2(0?[1-9]|[12][0-9]|3[01])(?![0-9])|(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"|[ ]?[年년][ ]?([0-9]{1,2})[ ]?[月월](?:[ ]?([0-9]{1,2})[ ]?[日号일])?)"
)
_YEAR = re.compile(r"[12](?<![0-9].)(?:(?<=1)9|(?<=2)0)[0-9]{2}(?![0-9])")
_BEFORE_YEAR = re.compile(
    r"(?:(?<![0-9])([0-3]?[0-9])(?:\.|º|er)?\s(?:de\s)?)?(?<![^\W\d_])([^\W\d_]{3,12})\.?,?\s(?:del?\s)?\Z"
)
# Beginnings of the months in English, Spanish, Portuguese, Italian, French, German, Dutch, Polish, Russian, Indonesian, Norwegian and Czech.
_MONTHS = (
    "jan ene gen sty ledn янв",
    "feb fév fev lut únor фев",
    "mar mär maa břez мар",
    "apr avr abr kwi dubn апр",
    "may mai mag mei maj květ мая май",
    "jun juin giu czer červn июн",
    "jul juil lug lip červe июл",
    "aug agu ago aoû sie srpn авг",
    "sep set wrze září сен",
    "oct okt ott out paź říjn окт",
    "nov lis ноя",
    "dec desem dez dic déc gru pros дек",
)
_MONTH_OF = {beginning: month for month, beginnings in enumerate(_MONTHS, 1) for beginning in beginnings.split()}
# Joined to its year a month is an English one, whole or short: `base-dec2021`, 2023-Jan-16, (2022, October), Dec '21. The martin2020 of an entry is none.
_ENGLISH = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
_JOINED_BEFORE = re.compile(rf"(?:(?<![0-9])([0-3]?[0-9])[-_.]?)?(?<![^\W\d_])({_ENGLISH})[-_./]?\Z")
_JOINED_BEHIND = re.compile(
    rf"(?:[-_./]|, )?({_ENGLISH})(?![^\W\d_])(?:[-_./]?([0-3]?[0-9])(?![0-9]))?|[-_](0[1-9]|1[0-2])(?![0-9]|[-_./][0-9])()"
)
_SHORT_YEAR = re.compile(r"['’][0-9]{2}(?![0-9])")
_BEFORE_SHORT_YEAR = re.compile(rf"(?<![^\W\d_])({_ENGLISH})\.?[ ]?\Z")
# 1/16/23, 5/6/2023, 16-01-2023. Some write the month first, some the day.
_NUMERIC = re.compile(
    r"([0-9](?<![\w/.-].)[0-9]?)(?:/([0-9]{1,2})/((?:19|20)?[0-9]{2})|([-.])([0-9]{1,2})\4((?:19|20)[0-9]{2}))(?![\w/]|[-.][0-9])"
)
_ENTRY = re.compile(r"@[a-z]{2,20}\s?[{(]")
_ENTRY_CHARACTERS = 3000
_CITED = re.compile(
    rf"(?<![0-9])((?:19|20)[0-9]{{2}})\.[^\n]{{0,300}}?\bpreprint,? ({_ENGLISH})\b"
)  # 2022. 'Title'. Preprint, June.
_ARXIV = re.compile(
    r"arxiv(?:\.org/[a-z]{3}/|[: ]{1,2}(?:preprint )?(?:arxiv:)?)([0-2][0-9])(0[1-9]|1[0-2])\.[0-9]{4,5}(?![0-9])"
)  # its number begins with year and month
_FIELDS = {
    name: re.compile(rf"(?<![a-z]){name}\s{{0,20}}=\s{{0,20}}[{{\"']{{0,2}}\s?({value})")
    for name, value in (("year", "(?:19|20)[0-9]{2}"), ("month", "[a-z]{3,9}|[0-9]{1,2}"), ("day", "[0-9]{1,2}"))
}


def dates_of(source: str) -> set[Date]:
    """Dates with the year first, wherever they stand (`v2021-08-07`, 20210807), or with a name or number of a month joined to it
    (dec2021, 1/16/23), in BibTeX fields and arXiv's numbers, and in other languages."""
    lower = source.lower()
    return {*_packed(lower), *_joined(lower), *_numeric(lower), *_with_month_names(lower), *_in_entries(lower), *_cited(lower)}


def _cited(lower: str) -> Iterator[Date]:
    yield from ((2000 + int(year), int(month), None) for year, month in _ARXIV.findall(lower))
    for match in _CITED.finditer(lower) if "preprint" in lower else ():
        yield int(match[1]), _month_of(match[2]), None


def _packed(text: str) -> Iterator[Date]:
    for year, _, *parts in _PACKED.findall(text):
        month, day = "".join(parts[::2]), "".join(parts[1::2])  # of the one alternative that matched
        yield int(year), int(month), int(day) if day else None


def _joined(lower: str) -> Iterator[Date]:
    for year in _YEAR.finditer(lower):
        if before := _JOINED_BEFORE.search(lower[max(0, year.start() - 14) : year.start()]):
            yield int(year[0]), _month_of(before[2]), int(before[1]) if before[1] else None
        if behind := _JOINED_BEHIND.match(lower, year.end()):
            month = int(behind[3]) if behind[3] else _month_of(behind[1])
            yield int(year[0]), month, int(behind[2]) if behind[2] else None
    for short in _SHORT_YEAR.finditer(lower):
        if before := _BEFORE_SHORT_YEAR.search(lower[max(0, short.start() - 12) : short.start()]):
            yield _whole_year(short[0][1:]), _month_of(before[1]), None


def _numeric(text: str) -> Iterator[Date]:
    """In both readings, where both are dates."""
    for first, second, year, _, third, other in _NUMERIC.findall(text):
        one, two = int(first), int(second or third)
        yield from (
            (_whole_year(year or other), month, day)
            for month, day in ((one, two), (two, one))
            if 0 < month < 13 and 0 < day < 32
        )


def _whole_year(digits: str) -> int:
    year = int(digits)
    return year if year > 99 else year + (2000 if year < 50 else 1900)


def _with_month_names(lower: str) -> Iterator[Date]:
    for year in _YEAR.finditer(lower):
        before = _BEFORE_YEAR.search(lower[max(0, year.start() - 32) : year.start()])
        if before and (month := _month_of(before[2])):
            yield int(year[0]), month, int(before[1]) if before[1] else None


def _in_entries(lower: str) -> Iterator[Date]:
    begins = [match.end() for match in _ENTRY.finditer(lower)]
    for start, end in zip(begins, [*begins[1:], len(lower)], strict=False):
        entry = lower[start : min(end, start + _ENTRY_CHARACTERS)]
        year, month, day = (_FIELDS[name].search(entry) for name in ("year", "month", "day"))
        number = int(month[1]) if month and month[1].isdigit() else _month_of(month[1]) if month else None
        if year and number:
            yield int(year[1]), number, int(day[1]) if day else None


def _month_of(word: str) -> int | None:
    """Of a name that begins as one of a month does: juillet is not juin."""
    return _MONTH_OF.get(word[:5]) or _MONTH_OF.get(word[:4]) or _MONTH_OF.get(word[:3])


# --- names and versions -------------------------------------------------------------------------------------------------

_NAME_AND_NUMBER = re.compile(r"(?<![A-Za-z])([A-Za-z]{1,40}+)[\s_-]?([0-9]+(?:\.[0-9]+)*)")
_PARTS = re.compile(r"[0-9](?<=[A-Za-z_-].)[0-9]{0,2}(?:[_-][0-9]{1,3}){1,2}(?![0-9A-Za-z])")
_LETTERS_BEFORE = re.compile(r"([A-Za-z]{1,40})[_-]?\Z")
_VERSION = re.compile(r"[0-9](?<![0-9.].)[0-9]{0,9}(?:(?:\.[0-9]{1,9}){2,5}|(?:_[0-9]{1,9}){2}|(?:-[0-9]{1,9}){2})")
_MARKED_VERSION = re.compile(r"v(?<![a-z0-9].)(?:\.?|ersion) ?([0-9]{1,4}(?:[._][0-9]{1,4}){0,2})(?![0-9])")
_SIZE = re.compile(r"([0-9](?<![0-9.].)[0-9]*(?:\.[0-9]+)?)[ -]?([KkMmBbTt])(?![A-Za-z])")
_SIZE_IN_ADDRESS = re.compile(r"([0-9](?<![0-9a-f.].)[0-9]{0,3}(?:\.[0-9]{1,2})?)([KkMmBbTt])(?![A-Za-z0-9])")


def names_and_versions(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Words with the number that follows them: "llama3.1" of Llama-3.1, "voice11.0" of common_voice_11_0; and versions: 1.5 of
    v1.5, 4.53 of 4.53.0, 11.0 of common_voice_11_0."""
    names = {f"{word}{number}".lower() for word, number in _NAME_AND_NUMBER.findall(source)}
    versions = {beginning for version in set(_VERSION.findall(source)) for beginning in _beginnings(version)}
    versions |= {version.replace("_", ".") for version in _MARKED_VERSION.findall(source.lower())}
    for match in _PARTS.finditer(source):
        word = _LETTERS_BEFORE.search(source[max(0, match.start() - 42) : match.start()])
        if word:
            number = match[0].replace("_", ".")
            names.add(f"{word[1]}{number.replace('-', '.')}".lower())
            if "-" not in number:
                versions.add(number)
    return frozenset(names), frozenset(versions)


def _beginnings(version: str) -> list[str]:
    """4.18.0 is a 4.18. Joined by other signs (1-13-1) it is whole, since the rest may be anything."""
    parts = version.split(".")
    if len(parts) == 1:
        return [re.sub("[_-]", ".", version)]
    return [".".join(parts[:count]) for count in range(2, len(parts) + 1)]


def sizes_of(source: str, text: str) -> set[Decimal]:
    """Sizes in names: Lumen-3B supports "3B parameters". `text` is the source without addresses, in which such letters are chance
    more often, and count only behind a sign."""
    sizes = {*_SIZE.findall(text), *(_SIZE_IN_ADDRESS.findall(source) if len(source) > len(text) else ())}
    return {Decimal(number).scaleb(SCALES[unit.lower()]) for number, unit in sizes if len(number) < 12}


# --- identifiers and addresses --------------------------------------------------------------------------------------------

_DIGITS = re.compile(
    r"[1-9](?<![0-9%].)(?:(?<=[A-Za-z_=/-].)|(?=[0-9]{0,11}[A-Za-z_=/-]))[0-9]{0,11}(?![0-9]|\.[0-9])(?P<after>[A-Za-z]{0,20})(?![0-9])"
)
_TIMES = re.compile(r"([1-9](?<![0-9.].)[0-9]{0,4})[x×]([1-9][0-9]{0,4})(?![0-9])")
_DEVICES = re.compile(r"([1-9](?<![\w.].)[0-9]{0,2})[xX×](?=[A-Z])")  # 4XTesla
_BITS = re.compile(
    r"[1-9](?:(?<=int.)|(?<=float.)|(?<=[^a-z][nbf][fp].)|(?<=mxfp.)|(?<=[^a-z][qw].)|(?<=[^a-z]iq.)|(?<=[0-9]a.))[0-9]?(?![0-9])"
)
_INITIALS_AND_VERSION = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2,5}([0-9]{1,2}\.[0-9]{1,2})(?![0-9A-Za-z]|\.[0-9])")  # SD1.5
_PATH_STEP = re.compile(r"\.(?<=[A-Za-z_]\.)(0|[1-9][0-9]{0,3})(?=\.[A-Za-z_])")
_GLUED_POWER = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{1,8}([1-9](?:\.[0-9]{1,4})?e-[0-9]{1,2})(?![\w.]?[0-9])")  # LR1e-6
_ZEROS_AHEAD = re.compile(r"0(?<![\w#.,-]0)(0[0-9]{1,8})(?=[-_])")  # of a file named 00120-23.png
_SCALE_LETTERS = frozenset("kmbt")


def identifiers_of(source: str) -> tuple[dict[Decimal, frozenset[str]], set[Decimal]]:
    """Numbers inside identifiers and addresses with the letters that they stick to: 12 and "l" of `12L`, 14 and "patch" of
    `patch14`, 8 and "bit" of Q8_0. And those that may be said of anything: a whole part (`checkpoint-4500`, `patch14-384`), a
    side of 32x32, a step of layers.10.fc1, three digits behind small letters (`i2048`), the version of SD1.5. Not 100 of H100, which is a name."""
    found: dict[Decimal, set[str]] = defaultdict(set)
    alone = {Decimal(number) for pair in _TIMES.findall(source) for number in pair}
    alone |= {
        Decimal(number)
        for pattern in (_DEVICES, _INITIALS_AND_VERSION, _PATH_STEP, _GLUED_POWER, _ZEROS_AHEAD)
        for number in pattern.findall(source)
    }
    for match in _DIGITS.finditer(source):
        start, after = match.start(), match["after"].lower()
        digits = source[start : match.start("after")]
        before, joint = _stuck_to(source[max(0, start - 22) : start])
        sticks = bool(before) and not joint
        if after:
            if (not sticks and after not in _SCALE_LETTERS) or after == "bit":
                # 3D has three dimensions; three decoders or days it need not have.
                found[Decimal(digits)].add("dim" if match["after"] == "D" and digits in "234" else after)
        elif not before and not _is_part(source, start, start + len(digits)):
            continue
        elif len(digits) > 2 and (not sticks or before.islower() or (len(before) > 1 and _YEAR.fullmatch(digits))):
            alone.add(Decimal(digits))
        elif len(digits) > 1 and not sticks and len(before) < 2:  # of `L-24_A-16`
            found[Decimal(digits)].add("")
        elif before and (before.islower() or len(before) > 1 or source[max(0, start - 2) : start - 1] in _JOINTS):
            found[Decimal(digits)].add(before.lower())
    for digits in _BITS.findall(source.lower()):
        found[Decimal(digits)].add("bit")
    return {value: frozenset(affixes) for value, affixes in found.items()}, alone


_SENTENCE = re.compile(r"%20(?:=%20|%3D%20)?[0-9]", re.IGNORECASE)
_SET_APART = re.compile(r"(?<![\w.%-])[0-9]{1,6}(?:\.[0-9]{1,4})?(?![\w%-]|\.[0-9])")


def numbers_apart_in(addresses: Iterable[str]) -> set[Decimal]:
    """Numbers that stand apart in addresses that are sentences: of a picture named `a%20dog%2C%20gs%20%3D%209.png`."""
    sentences = (unquote(address) for address in addresses if _SENTENCE.search(address))
    return {Decimal(number) for sentence in sentences for number in _SET_APART.findall(sentence)}


def _stuck_to(before: str) -> tuple[str, str]:
    """A word of at most 20 letters that ends `before`, and the sign that joins it to what follows; of a word with digits neither."""
    joint = before[-1:] if before[-1:] in ("-", "_", "=") else ""
    rest = before[: len(before) - len(joint)]
    ahead = rest.rstrip(ascii_letters)
    word = rest[len(ahead) :]
    return ("", "") if len(word) > 20 or (ahead[-1:].isalnum() and ahead[-1:].isascii()) else (word, joint)


def _is_part(source: str, start: int, end: int) -> bool:
    """True between signs that join it to letters or digits."""
    return (source[start - 1 : start] in _JOINTS and source[max(0, start - 2) : start - 1].isalnum()) or (
        source[end : end + 1] in _JOINTS and source[end + 1 : end + 2].isalpha()
    )


_JOINTS = frozenset("-_/=")


# --- words and other figures ----------------------------------------------------------------------------------------------

# What is counted is whole, and so 636.596 pairs are many; 1.234 after an epoch, 1.234 seconds and 1.234 BLEU are decimals.
_COUNTED = r"(?!(?:after|with|from|when|than|that|over|before|while|which|points?|on|in|[a-z]{0,5}seconds|minutes|hours|days)\b|[A-Z]{2})[^\W\d_]{4}"
_FIGURES = re.compile(
    r"[0-9](?<![0-9.,].)(?:(?P<spaced>[0-9]{0,2}(?: [0-9]{3}){1,6}(?![0-9.,]))"
    rf"|(?P<point>[0-9]{{0,2}}\.[0-9]{{3}}(?= {_COUNTED}))"  # 636.596 pairs, of Spain
    r"|(?P<lakhs>[0-9]?(?:,[0-9]{2}){1,4},[0-9]{3}(?![0-9,]))"  # 12,34,567, of India
    r"|(?P<comma>[0-9]{0,3},[0-9]{1,2}(?![0-9,]|\.[0-9]))"
    r"|(?P<ordinal>[0-9]{0,3}(?:st|nd|rd|th)(?![a-z])))"
)
_LARGE_BEHIND = re.compile(r" ((?:thousand|million|billion|trillion)s?)\b")
_MYRIADS = re.compile(r"([0-9]{1,4})[亿億억] ?([0-9]{1,4})[万萬만]")
# A source that says these says the number too.
_SAME_AS = {
    0: "zero",
    1: "one single once",
    2: "both dual twice double doubled pair second two-fold halves",
    3: "third triple thrice",
    4: "fourth quadruple quarter",
    **{value: ordinal for value, ordinal in enumerate("fifth sixth seventh eighth ninth tenth".split(), 5)},
}
_WORDS = tuple(
    (Decimal(value), word, re.compile(rf"{word}(?<!\w{word})(?!\w)"))
    for value, words in _SAME_AS.items()
    for word in words.split()
)


_TUPLE = re.compile(r"[(\[](?![0-9]{1,3}(?:,[0-9]{3})+[)\]])(\s?[0-9]{1,6}(?:,\s?[0-9]{1,6}){1,7}\s?)[)\]]")  # (2, 80,298)


def values_of(text: str) -> tuple[set[Decimal], set[Decimal]]:
    """Thousands set apart by spaces or points, ordinals, words that say a number; and decimals with a comma, which may as well
    be two numbers of a list."""
    lower = text.lower()
    found, decimals = set[Decimal](), set[Decimal]()
    for match in _FIGURES.finditer(text):
        if match["comma"]:
            decimals.add(Decimal(match[0].replace(",", ".")))
        elif match["ordinal"]:
            found.add(Decimal(match[0][:-2]))
        elif not (match["point"] and match[0].startswith("0")):
            found.add(value := Decimal(re.sub("[ .,]", "", match[0])))
            if match["spaced"] and (scale := _LARGE_BEHIND.match(lower, match.end())):
                found.add(value.scaleb(SCALES[scale[1]]))  # 1 000 million
    found |= {Decimal(number) for match in _TUPLE.findall(text) for number in match.split(",")}
    if not text.isascii():
        found |= {Decimal(many).scaleb(8) + Decimal(few).scaleb(4) for many, few in _MYRIADS.findall(text)}
    return found | {value for value, word, whole in _WORDS if word in lower and whole.search(lower)}, decimals


# --- scores ---------------------------------------------------------------------------------------------------------------

_KEY = re.compile(r"([A-Za-z][\w .()/-]{0,30})[\"'*`]{0,3} ?[:=] ?[\"'*`]{0,3}\Z")
_SETTING = re.compile(
    r"size|step|epoch|seed|batch|num|max|min|layer|head|dim|len|warm|rank|alpha|bit|version|worker|count|total|gpu|year|page|volume|hidden"
    r"|vocab|context|window|token|param|interval|horizon|port|top.?[kp]|day|hour|patience|rate|decay|frequency|freq",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[\"'*`]{0,3}\s*(?:\Z|[,;.)|}])")


def is_keyed_score(line: str, found: Quantity) -> bool:
    """True for 71 of `accuracy: 71`, a value on its own under a key that names no setting."""
    if found.counts or found.unit or not found.literal.isdigit() or found.text != found.literal:
        return False
    before = line[max(0, found.start - 40) : found.start]
    if before.rstrip(" \"'*`")[-1:] not in (":", "="):
        return False
    key = _KEY.search(before)
    return key is not None and not _SETTING.search(key[1]) and _ENDS.match(line, found.end) is not None
