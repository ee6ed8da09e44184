"""Facts that a source states and a summary leaves out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_prep.checks.document import lines_of, read
from data_prep.checks.facts import Fact, check_facts, stated_amounts
from data_prep.checks.licences import licences_in
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.grounding import summary_quantities
from data_prep.checks.source_index import SourceIndex
from data_prep.evidence.places import Place

AMOUNTS = ("parameters", "tokens", "context")
# Where the front matter has a code for what a fact has a name for.
KEYS = {"languages": re.compile(r"^language\b.*", re.MULTILINE)}


@dataclass(frozen=True)
class LeftOut:
    """`name` and `display` are the fact's, `place` where the source states it first; None where that cannot be told."""

    name: str
    display: str
    place: Place | None


def left_out_of(summary: str, source: str) -> tuple[LeftOut, ...]:
    missing = missing_facts(summary, SourceIndex.from_source(source))
    return tuple(LeftOut(fact.name.replace("_", " "), fact.display, place_of(fact, source)) for fact in missing)


def missing_facts(summary: str, known: SourceIndex) -> list[Fact]:
    """Asked fact by fact of the check that counts them, which says how many are missing and not which."""
    document = read(summary)
    numbers = summary_quantities(document)
    licences = frozenset(span.label for span in licences_in(document.prose))
    return [fact for fact in known.facts.values() if not check_facts(document, numbers, licences, {fact.name: fact}).value]


def place_of(fact: Fact, source: str) -> Place | None:
    """Where a source states a fact first; None where that cannot be told."""
    if fact.name in AMOUNTS:
        spans = [span for _, span in stated_amounts(fact.name, source)]
        return Place(spans[0].start, spans[0].end) if spans else None
    keys = [key for value in fact.values if len(key := compact(str(value))) > 1]
    for start, line in lines_of(source):
        if any(key in compact(line) for key in keys):
            return Place(start + len(line) - len(line.lstrip()), start + len(line.rstrip()))
    stated = KEYS[fact.name].search(source) if fact.name in KEYS else None
    return Place(*stated.span()) if stated else None
