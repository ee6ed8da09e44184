"""Accepted summaries with one rule broken: the cheapest rejected texts, each alike to its good twin but for the fault.

Works on any summary and needs no truth about the model, unlike the invented world's faulty summaries; where the source has tables
or lists, what stands in them is put in the wrong place too (misplaced.py; TrueBrief, arXiv 2601.04212). The checks say
afterwards whether the fault took; a text that still passes is of no use and is not given out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import partial

from data_prep.candidates.misplaced import MISPLACERS
from data_prep.checks.links import canonical
from data_prep.checks.tables.source import Tables

_BULLET = re.compile(r"^[ \t]*[-*+] .*$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w./:#-])\d+(?:[.,]\d+)*(?=[ %BMTKkbx.,;)]|$)(?![\w.]*/)")
_LINK = re.compile(r"\]\((https?://[^)\s]+)\)")
_NAME = re.compile(r"(?<![\w/.-])[A-Z][A-Za-z]+-\d+(?:\.\d+)?(?=[BbMm]?\b)")
_LICENCES = ("apache-2.0", "mit", "cc-by-nc-4.0", "gpl-3.0", "cc-by-4.0")
_LICENCE = re.compile(r"\b(?:apache[- ]2\.0|mit|cc-by(?:-nc|-sa)?-4\.0|gpl-3\.0|bsd-3-clause)\b", re.IGNORECASE)
_CLAIMS = ("It is a groundbreaking, state-of-the-art model.", "It sets a new standard and is unparalleled in its class.")

Breaker = Callable[[str, random.Random], str]


def broken_versions(summary: str, seed: str, tables: Tables) -> Iterator[tuple[str, str]]:
    """(fault, text) for every fault that changes the summary, in a seeded order. Same seed, same texts. `tables`: the source's."""
    rng = random.Random(seed)
    misplacers: dict[str, Breaker] = {fault: partial(misplace, tables) for fault, misplace in MISPLACERS.items()}
    faults = BREAKERS | misplacers
    for fault in rng.sample(sorted(faults), len(faults)):
        text = faults[fault](summary, rng)
        if text != summary:
            yield fault, text


def _number(summary: str, rng: random.Random) -> str:
    """One figure off by one digit, as a slip of the pen is."""
    return replaced(_NUMBER, summary, rng, lambda found: _other_digit(found, rng))


def _name(summary: str, rng: random.Random) -> str:
    """Another size or version of a named model, everywhere in the text."""
    names = sorted(set(_NAME.findall(summary)))
    if not names:
        return summary
    name = rng.choice(names)
    return summary.replace(name, _other_digit(name, rng))


def _link(summary: str, rng: random.Random) -> str:
    """A page beside the real one that nobody has written."""
    return replaced(_LINK, summary, rng, lambda found: f"https://{canonical(found).rstrip('/')}-{rng.randint(2, 9)}", group=1)


def _licence(summary: str, rng: random.Random) -> str:
    return replaced(_LICENCE, summary, rng, lambda found: rng.choice([name for name in _LICENCES if name != found.lower()]))


def _praise(summary: str, rng: random.Random) -> str:
    first = _BULLET.search(summary)
    return f"{summary[: first.end()]} {rng.choice(_CLAIMS)}{summary[first.end() :]}" if first else summary


def _repetition(summary: str, rng: random.Random) -> str:
    """One bullet said again in place of another."""
    bullets = [match for match in _BULLET.finditer(summary) if len(match[0].split()) >= 6]
    if len(bullets) < 2:
        return summary
    kept, lost = rng.sample(bullets, 2)
    return summary[: lost.start()] + kept[0] + summary[lost.end() :]


def _no_bullets(summary: str, rng: random.Random) -> str:
    return re.sub(r"^[ \t]*[-*+] ", "", summary, flags=re.MULTILINE)


def _preamble(summary: str, rng: random.Random) -> str:
    return rng.choice(("Sure! Here is the summary:", "Here is a summary of the model for researchers:")) + f"\n\n{summary}"


BREAKERS: dict[str, Breaker] = {
    "number changed": _number,
    "name changed": _name,
    "link invented": _link,
    "licence swapped": _licence,
    "praise": _praise,
    "repetition": _repetition,
    "no bullets": _no_bullets,
    "preamble": _preamble,
}


def replaced(
    pattern: str | re.Pattern[str], text: str, rng: random.Random, change: Callable[[str], str], group: int = 0
) -> str:
    """`text` with one match of `pattern`, or its `group`, changed; as it is where there is none."""
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start(group)] + change(match[group]) + text[match.end(group) :]


def _other_digit(text: str, rng: random.Random) -> str:
    """`text` with one digit changed; the first digit of a number never becomes 0."""
    places = [index for index, char in enumerate(text) if char.isdigit()]
    place = rng.choice(places)
    wrong = rng.choice([digit for digit in "123456789" if digit != text[place]])
    return text[:place] + wrong + text[place + 1 :]
