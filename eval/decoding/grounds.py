"""What a source gives a summary to say, in the form that the rules of decoding need; made once a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from data_prep.checks.source_index import SourceIndex
from data_prep.prompts.student import read_source
from eval.decoding.heading_rule import names_of_model
from eval.decoding.link_rule import Addresses
from eval.decoding.spellings import Spellings

_TELLING = re.compile(r"\w[\w-]{3,}|(?<=[a-z,;:(] )[A-Z]\w*")
KEPT = 64  # a batch's sources and the next one's; each is asked for once a summary


@dataclass(frozen=True)
class Grounds:
    """`names` is sorted: the names that hold a digit."""

    known: SourceIndex
    addresses: Addresses
    spellings: Spellings
    names: tuple[str, ...]
    titles: tuple[str, ...]
    words: frozenset[str]  # long ones, and those with a capital within a sentence, in lower case

    @classmethod
    def of(cls, source: str) -> Grounds:
        """Of a `source_text`: card, `Model: ORG/NAME` and pages."""
        return _grounds(source)


def forget() -> None:
    """Of all sources."""
    _grounds.cache_clear()


@lru_cache(maxsize=KEPT)
def _grounds(source: str) -> Grounds:
    known = SourceIndex.from_source(source)
    card, model_id, _ = read_source(source)
    return Grounds(
        known,
        Addresses.of(source, model_id, known.links),
        Spellings.of(source, known.numbers),
        tuple(sorted(name for name in known.names.words if any(letter.isdigit() for letter in name))),
        names_of_model(card, model_id) if model_id else (),
        frozenset(word.lower() for word in _TELLING.findall(source)),
    )
