"""All that a source offers, indexed once and compared with many summaries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from data_prep.checks.copying import SourceWords, index_words
from data_prep.checks.denials import settings_of
from data_prep.checks.derived.arithmetic import NumberLine, operands_of, operations_at
from data_prep.checks.derived.groups import figure
from data_prep.checks.derived.together import Together
from data_prep.checks.derived.words import stem
from data_prep.checks.facts import Fact, facts_of, list_lengths
from data_prep.checks.language import mojibake_of
from data_prep.checks.licences import named_in
from data_prep.checks.links import canonical, has_links_to_cite, links_of
from data_prep.checks.names.grounding import Names, compact, names_of
from data_prep.checks.numeric.grounding import Numbers, numbers_of
from data_prep.checks.numeric.quantities import quantities_of, readings_of
from data_prep.checks.tables.source import Tables, beginnings_of, cell_numbers, label_of, tables_of
from data_prep.checks.wording import praise_of

_MODEL = re.compile(r"^Model: [^\s/]{1,100}/(\S{1,100})$", re.MULTILINE)
CACHED_SOURCES = 64  # a source with its index takes 2-5 MB; systems are scored card by card


@dataclass(frozen=True)
class SourceIndex:
    """What a summary may link to, count, name, state and quote."""

    text: str
    links: frozenset[str]
    offers_links: bool  # False where only the model's own page could be linked
    numbers: Numbers
    names: Names
    facts: Mapping[str, Fact]
    words: SourceWords
    broken_letters: frozenset[str]

    @classmethod
    @lru_cache(maxsize=CACHED_SOURCES)
    def from_source(cls, source: str) -> SourceIndex:
        """Index of a source text (card as found, `Model: ORG/NAME`, `<source url="URL">` pages). Cached on the text."""
        links, facts = links_of(source), facts_of(source)
        languages = facts["languages"].values if "languages" in facts else ()
        return cls(
            text=source,
            links=links,
            offers_links=has_links_to_cite(source, links),
            numbers=numbers_of(source, counts=list_lengths(source)),
            names=names_of(source, [str(name) for name in languages]),
            facts=facts,
            words=index_words(source),
            broken_letters=mojibake_of(source),
        )

    # Read when they are first asked for: not every use of an index looks at them.

    @cached_property
    def licences(self) -> frozenset[str]:
        return frozenset(named_in(self.text))

    @cached_property
    def settings(self) -> dict[str, str]:
        return settings_of(self.text)

    @cached_property
    def praise(self) -> frozenset[str]:
        return praise_of(self.text)

    @cached_property
    def tables(self) -> Tables:
        return tables_of(self.text)

    @cached_property
    def together(self) -> Together:
        """What stands together in the source, to be counted."""
        return Together(self.text)

    @cached_property
    def operands(self) -> tuple[NumberLine, ...]:
        """Numbers that stand together in the source, to be computed with."""
        own = _MODEL.findall(self.text)
        return operands_of(self.together.blocks, self.tables, compact(own[-1]) if own else "")


_CACHED = (
    *(SourceIndex.from_source, stem, figure, canonical, operations_at),
    *(quantities_of, readings_of, cell_numbers, label_of, beginnings_of),
)


def forget() -> None:
    """Empties the caches, for those who measure."""
    for cached in _CACHED:
        cached.cache_clear()
