"""A true page of a real card, as planters see it: where its prose and its names are, and what its source holds in any spelling.

Nothing here asks the checks: what stands in a source is told by plain rules that rather find too much. A fault that they cannot
vouch for is not planted.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from data_prep.synthetic.planted import PlantedFault

# Changes of one fault: (start, end, what stands there instead), in order, none over another.
Edit = tuple[tuple[int, int, str], ...]
New = Callable[[re.Match[str]], str | None]  # what to put in the place of a match; None where nothing will do

TARGET = re.compile(r"\]\((https?://[^)\s]+)\)")
_NO_WORDS = re.compile(r"(?<=\])\([^)\s]*\)|https?://[^\s)>\]]+|```.*?(?:```|\Z)", re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_CODE_SIGNS = re.compile(r"`[^`\n]*[^\w./`\n-][^`\n]*`")
_SENTENCE_END = re.compile(r"[.!?;](?=\s)|\n|\|")
# What makes a sentence true in more than one way, or says what is not so.
_HEDGED = re.compile(
    r"\b(?:no|not|nor|never|none|nothing|nobody|neither|without|whether|if|unless|how|why|unknown|unclear|unstated|missing|absent|open"
    r"|lacks?|lacking|cannot|should|may|might|could|would|but|although|though|while|yet|only|leaves?|left|omit\w*|silent|seems?)\b|n['’]t\b|\?",
    re.IGNORECASE,
)
_BOUND_BEFORE = re.compile(
    r"(?:\b(?:more than|over|at least|up to|under|less than|below|above|fewer than|at most|nearly|almost|close to|about|around|roughly"
    r"|some|approximately|minimum(?: of)?|maximum(?: of)?|max\.?|beyond|exceed\w*|within|only|first|last|circa|ca\.)|[~<>≥≤≈])\s*\Z",
    re.IGNORECASE,
)
_BOUND_BEHIND = re.compile(
    r"\s?\+|(?:[ -]\w+)?\s+or\s+(?:more|less|fewer|higher|lower|newer|later|above|below)|\s+and (?:up|above)", re.IGNORECASE
)
_SPELLED = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: value for value, word in enumerate(_SPELLED.split(), 1)} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), 2)
}
SCALES = {
    "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
}  # fmt: skip
_LITERAL = re.compile(
    rf"(\d+(?:[.,]\d+)*)(?:[ -]?({'|'.join(sorted(SCALES, key=len, reverse=True))})\b)?(?:e([+-]?\d{{1,3}})\b)?"
)


@dataclass(frozen=True)
class Pool:
    """What other cards of the same half link to and name: true there, and false here where the source lacks it."""

    links: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """`pool` is of the other cards. Offsets into `prose` and `text` are offsets into `summary`."""

    model_id: str
    summary: str
    source: str
    pool: Pool

    @cached_property
    def text(self) -> str:
        """Without addresses and blocks of code."""
        return _blanked(_NO_WORDS, self.summary)

    @cached_property
    def prose(self) -> str:
        """Without inline code too."""
        return _blanked(_CODE, self.text)

    @cached_property
    def names(self) -> str:
        """With such inline code as is a name and no more: `acme/Foo-7B`, not `load("acme/Foo-7B")`."""
        return _blanked(_CODE_SIGNS, self.text)

    @cached_property
    def lower(self) -> str:
        return self.source.lower()

    @cached_property
    def _amounts(self) -> list[float]:
        return sorted(_amounts(self.lower))

    @cached_property
    def _compact(self) -> str:
        return compact(self.source)

    def has_amount(self, literal: str, scale: float = 1.0) -> bool:
        """True where the source has the number, one that rounds to it, or either of these as a percentage or a share."""
        digits = literal.replace(",", "")
        if digits.count(".") > 1:  # 4.25.2
            return literal in self.source
        whole, _, decimals = digits.partition(".")
        zeros = 0 if decimals else len(whole) - len(whole.rstrip("0"))
        unit = 10.0 ** (zeros if zeros >= 2 else -len(decimals))
        for factor in (scale,) if scale != 1 else (1, 100, 0.01):
            low, high = ((float(digits) + side * unit * 0.999999) * factor for side in (-1, 1))
            at = bisect_left(self._amounts, low)
            if at < len(self._amounts) and self._amounts[at] <= high:
                return True
        return False

    def has_name(self, name: str) -> bool:
        """True where the letters and digits of the name follow one another anywhere in the source."""
        return compact(name) in self._compact

    def has_word(self, word: str) -> bool:
        return re.search(rf"(?<![a-z0-9]){re.escape(word.lower())}(?![a-z0-9])", self.lower) is not None

    def sentence(self, start: int, end: int) -> tuple[int, int]:
        """The sentence, line or cell around the characters."""
        before = [match.end() for match in _SENTENCE_END.finditer(self.text, 0, start)]
        behind = _SENTENCE_END.search(self.text, end)
        return (before[-1] if before else 0), (behind.start() + (behind[0] in ".!?;") if behind else len(self.text))

    def states(self, start: int, end: int) -> bool:
        """True where the sentence around the characters says what is so, without a condition or a denial."""
        return _HEDGED.search(self.text[slice(*self.sentence(start, end))]) is None

    def is_bound(self, start: int, end: int) -> bool:
        """True for the number in "more than 1,000": another number may be true there as well."""
        return bool(_BOUND_BEFORE.search(self.text, max(0, start - 24), start) or _BOUND_BEHIND.match(self.text, end))


def compact(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _amounts(lower: str) -> Iterator[float]:
    """All that the digits and number words of a text may mean, inside names and addresses too."""
    for match in _LITERAL.finditer(lower):
        for value in _readings(match[1]):
            yield value
            if match[2]:
                yield value * SCALES[match[2]]
            if match[3]:
                yield value * float(f"1e{match[3]}")  # infinite where it is the 5e719 of an address
    yield from (float(NUMBER_WORDS[word]) for word in re.findall(r"[a-z]+", lower) if word in NUMBER_WORDS)


def _readings(digits: str) -> set[float]:
    """`1,024` is a thousand or one and a bit, `71,2` the latter; of `1.2.3` also each neighbouring pair."""
    parts = re.split(r"[.,]", digits)
    pairs = {float(f"{one}.{other}") for one, other in pairwise(parts)}
    thousands = {float("".join(parts))} if all(len(part) == 3 for part in parts[1:]) else set()
    return pairs | thousands | {float(part) for part in parts if len(parts) != 2}


def applied(fault: str, summary: str, edit: Edit) -> PlantedFault:
    text, spans, position = [], [], 0
    length = 0
    for start, end, new in sorted(edit):
        text += [summary[position:start], new]
        length += start - position + len(new)
        if new:
            spans.append((length - len(new), length))
        position = end
    return PlantedFault(fault, "".join([*text, summary[position:]]), tuple(spans))


def swaps(page: Page, pattern: re.Pattern[str], new: New, group: int | str = 0, text: str | None = None) -> Iterator[Edit]:
    """One edit for each match in `text` (the page's prose) for which `new` knows what to put in place of its group."""
    for match in pattern.finditer(page.prose if text is None else text):
        other = new(match)
        if other is not None and other != match[group]:
            yield ((*match.span(group), other),)


def first_absent(options: Iterable[str], is_there: Callable[[str], bool]) -> str | None:
    return next((option for option in options if not is_there(option)), None)


def shuffled(options: Sequence[str], rng: random.Random) -> list[str]:
    return rng.sample(list(options), len(options))
