"""What a summary says, piece by piece, with the places of the source that bear it out and what the checks say against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from data_prep.checks import CheckResult
from data_prep.checks.derived.words import sentence_around
from data_prep.checks.document import Document, read
from data_prep.checks.licences import licences_in
from data_prep.checks.links import canonical
from data_prep.checks.names.grounding import is_known, names_in
from data_prep.checks.numeric.grounding import is_grounded, summary_quantities
from data_prep.checks.source_index import SourceIndex
from data_prep.evidence.passages import NOTHING, Passage, counted_lists, passages_of, words_of
from data_prep.evidence.places import (
    Looking,
    Place,
    looking_for_licence,
    looking_for_link,
    looking_for_name,
    looking_for_number,
    places_in,
)

MOST_PLACES = 5  # of one piece
MOST_PIECES = 500  # that are looked for: 500 words hold a hundred, a loop thousands
STATED, DERIVED, WRONG, REMARKED = "stated", "derived", "wrong", "remarked"


@dataclass(frozen=True)
class Evidence:
    """Characters `start` to `end` (exclusive) of the summary. `kind`: "number", "name", "licence", "link", or the check that marks
    them. `standing`: "stated" by the source at `places`, the best first, none where no line bears it out alone; "derived" from
    what stands there; "wrong" or "remarked" by a check. `why`: a sentence for a person."""

    start: int
    end: int
    kind: str
    standing: str
    why: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class _Said:
    start: int
    end: int
    kind: str
    looking: Looking
    unplaced: str  # why, where no line bears it out alone


def evidence_of(summary: str, source: str, results: Sequence[CheckResult]) -> tuple[Evidence, ...]:
    """In the order of the summary. `results` are those of `check_summary` for the same two texts. Never raises, whatever the texts."""
    document, passages = read(summary), passages_of(source)
    lists = counted_lists(source)
    found = [
        _borne_out(said, document, [*passages, *lists] if said.kind == "number" else passages)
        for said in islice(_said(document, SourceIndex.from_source(source)), MOST_PIECES)
    ]
    # A licence that no line has is the contradiction check's business.
    found = [one for one in found if one.places or one.kind != "licence"]
    return tuple(sorted([*_marked(results), *found], key=lambda one: (one.start, -one.end)))


def _said(document: Document, known: SourceIndex) -> Iterator[_Said]:
    """The pieces that the checks look up and find."""
    whole = "the source bears this out, though no line of it alone"
    for number in summary_quantities(document):
        if is_grounded(number, known.numbers):
            yield _Said(number.start, number.end, "number", looking_for_number(number), whole)
    licences = list(licences_in(document.prose))
    for licence in licences:
        yield _Said(licence.start, licence.end, "licence", looking_for_licence(licence.label), whole)
    for name in names_in(document.prose):
        beside = all(name.end <= licence.start or licence.end <= name.start for licence in licences)
        if beside and is_known(name.label, known.names):
            why = "a term of the trade, which no source need state" if is_known(name.label, NOTHING) else whole
            yield _Said(name.start, name.end, "name", looking_for_name(name.label), why)
    for link in document.links:
        if canonical(link.target) in known.links:
            yield _Said(link.start, link.end, "link", looking_for_link(link.target), whole)


def _borne_out(said: _Said, document: Document, passages: Sequence[Passage]) -> Evidence:
    around = words_of(document.text[slice(*sentence_around(document.text, said.start))])
    places = places_in(passages, said.looking, around, MOST_PLACES)
    more = f"the source states this {said.kind}" + (f" in {len(places)} places" if len(places) > 1 else "")
    return Evidence(said.start, said.end, said.kind, STATED, more if places else said.unplaced, places)


def _marked(results: Sequence[CheckResult]) -> Iterator[Evidence]:
    """What the checks refuse, remark, or let pass since it follows from the source."""
    for result in results:
        if not result.passed:
            yield from (Evidence(one.start, one.end, result.name, WRONG, one.label) for one in result.spans)
        yield from (Evidence(one.start, one.end, result.name, REMARKED, one.label) for one in result.remarks)
        for one in result.derived:
            yield Evidence(one.start, one.end, "number", DERIVED, f"no source states it, it follows from one: {one.label}")
