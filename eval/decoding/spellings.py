"""How a source's numbers may be written: as they stand there, and as the check `numbers` takes for the same.

Only a guide to where an open number can still go. Whether one that has ended is right, the check itself says.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from data_prep.checks.numeric.grounding import Numbers
from data_prep.checks.numeric.quantities import MONEY, UNITS

CHUNK = r"[^\s()\[\]{}|*\"'`<>~=“”‘’«»,;]"  # characters of a word, a number or a name
MOST_VALUES = 3000
MOST_ENDS = 24

_WORD = re.compile(rf"(?:{CHUNK}|,(?=[0-9]{{3}}))+")
_BEHIND = re.compile(r"[ \u00a0][A-Za-z%]{1,14}")  # a number's unit, month or scale
_DIGIT = re.compile("[0-9]")
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*(?:[ -]?[A-Za-z%]{1,12})?")
_SCALES = {
    3: ("k", " thousand", "-thousand"),
    6: ("m", "mn", " million", "-million"),
    9: ("b", "bn", " billion", "-billion"),
    12: ("t", " trillion", "-trillion"),
}
# Terms of the trade with a digit, which the check `names` lets any summary use.
_TERMS = "int4 int8 fp4 fp8 fp16 fp32 fp64 bf16 bfloat16 float16 float32 tf32 nf4 w4a16 w8a8 base64 utf8 utf-8".split()


@dataclass(frozen=True)
class Spellings:
    """`all` is sorted and in lower case, so that what a beginning can become stands behind it."""

    all: tuple[str, ...]

    @classmethod
    def of(cls, source: str, numbers: Numbers) -> Spellings:
        stand = {word.lower().rstrip(".:!?") for word in _with_digits(source)}
        stand |= {match[0].lower() for match in _NUMBER.finditer(source)}
        values = dict.fromkeys([*numbers.plain[:MOST_VALUES], *numbers.percent[:MOST_VALUES]])
        made = {form for value in values for form in _forms(value)} | set(_converted(numbers))
        return cls(tuple(sorted(stand | made | set(_TERMS))))

    def ends(self, begun: str) -> Iterator[str]:
        """What `begun` may become, itself among it, the shortest of a run first."""
        begun = begun.lower()
        at = bisect_left(self.all, begun)
        for one in self.all[at : at + MOST_ENDS]:
            if not one.startswith(begun):
                return
            yield one


def _with_digits(source: str) -> Iterator[str]:
    """Words with a digit, each with the word behind it. Looked for word by word: one pattern would begin anew at each letter of a long one."""
    for word in _WORD.finditer(source):
        if _DIGIT.search(word[0]):
            behind = _BEHIND.match(source, word.end())
            yield word[0] + (behind[0] if behind else "")


def _forms(value: Decimal) -> Iterator[str]:
    for shown in _rounded(value):
        yield from (shown, f"{shown}%", f"{shown} percent")
    if value >= 1000 and value == value.to_integral_value():
        yield from (f"{int(value):,}", f"{int(value):,}".replace(",", "'"))
    if 0 < value < Decimal("0.01") or value >= 10**9:
        power = value.adjusted()
        shown = f"{value.scaleb(-power).normalize():f}"
        yield from (
            f"{shown}e{power}",
            f"{shown}e{power:+03d}",
            f"{shown}×10^{power}",
            f"{shown} × 10^{power}",
            f"{shown}x10^{power}",
        )
    for power, names in _SCALES.items():
        scaled = value.scaleb(-power)
        if Decimal("0.1") <= scaled < 10_000:
            yield from (f"{shown}{name}" for shown in _rounded(scaled) for name in names)


def _rounded(value: Decimal) -> Iterator[str]:
    """`value`, and with fewer decimals."""
    exact = value.normalize()
    yield f"{exact:f}"
    for places in range(min(3, max(0, -int(exact.as_tuple().exponent)))):
        yield f"{value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):f}"


def _converted(numbers: Numbers) -> Iterator[str]:
    """0.48 s for 480 ms."""
    for kind, amounts in numbers.amounts.items():
        for name, (of, size) in UNITS.items():
            for amount in amounts[:100] if of == kind != MONEY else ():
                shown = (amount / size).normalize()
                if Decimal("0.01") <= shown < 10_000 and -int(shown.as_tuple().exponent) <= 2:
                    yield from (f"{shown:f} {name}", f"{shown:f}{name}")
