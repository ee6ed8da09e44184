"""Contradiction: a licence, size, budget, context length, base model, language or score in a summary that the sources state differently.

Only what is nowhere in the sources counts: a summary may well mention another model's size or the licence of a tool. Nor does
what its clause denies or sets apart count: "not MIT-licensed", "unlike Llama, which has an MIT licence".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from data_prep.cards.scan import matches_at
from data_prep.checks.denials import denials
from data_prep.checks.document import Document
from data_prep.checks.facts import LANGUAGE, LANGUAGE_NAMES, Fact, stated_amounts
from data_prep.checks.licences import agree
from data_prep.checks.names.grounding import Names, is_known
from data_prep.checks.numeric.grounding import Numbers
from data_prep.checks.numeric.quantities import contains, quantities_of
from data_prep.checks.result import CheckResult, Span, listed

_AMOUNTS = {
    "parameters": "the number of parameters",
    "tokens": "the number of training tokens",
    "context": "the context length",
}
_DERIVED = re.compile(
    r"(?=[bcdfisv])(?:fine-?tun(?:ed?|ing)(?: version)? (?:of|from)|(?:based|built) (?:up)?on(?: top of)?|derived from|initiali[sz]ed from"
    r"|starts?(?:ed)? from|base model[:* ]{1,6}|(?:copy|version|variant|fork) of)\s+(?:the\s+)?[*`\[]*"
    r"(?P<name>[a-z][\w.-]*/[\w.-]*\w|[a-z][a-z.]*[0-9-][\w.-]*\w)",
)
# Up to the end of the clause: "it does not hallucinate and is MIT-licensed" states the licence.
_CLAUSE_ENDS = (
    r"\b(?:but|while|whereas|although)\b|\band (?:is|was|has|uses|comes|it|this)\b|, (?!which|that|who|whose|where)"
    r"|[;:!?)]|\.(?!\w)| [–—-] |\n\s*[-*#|\n]"
)
_SET_APART = re.compile(
    r"(?s:(?:\b(?:not(?! only)|never|neither|nor|no longer|unlike|instead of|rather than|other than|formerly|previously)|n[’']t)\b"
    rf"(?:(?!{_CLAUSE_ENDS}).)*"
    r"|\b(?:replac(?:es|ed|ing)|(?:changed|switched|moved|relicen[cs]ed) from)\b(?! (?:by|with)\b)"
    rf"(?:(?!\b(?:with|by|to)\b|{_CLAUSE_ENDS}).)*)\Z"
)
APART_CHARACTERS = 70
_LANGUAGE_RUN = re.compile(
    rf"(?P<label>(?<![Hh]eld-out )(?<!xcluded )(?<!nsupported )(?<!issing )\b[Ll]anguages?[*_: ]{{1,6}}(?<=[:*] ))?{LANGUAGE.pattern}(?:(?:, (?:and )?| and ){LANGUAGE.pattern})*"
)
_LANGUAGES = ("language", *(name.lower() for name in LANGUAGE_NAMES.values()))


def check_contradiction(
    document: Document,
    licences_named: Sequence[Span],
    facts: Mapping[str, Fact],
    numbers: Numbers,
    names: Names,
    licences_known: Callable[[], frozenset[str]],
    settings: Mapping[str, str],
    misplaced: Iterable[Span] = (),
) -> CheckResult:
    """`value`: how many statements differ from the sources. `misplaced`: numbers that these give for another name (tables/cells.py)."""
    spans = [
        *(_licences(document, licences_named, facts["licence"], licences_known) if "licence" in facts else ()),
        *denials(document, licences_named, facts, settings),
        *(span for name in _AMOUNTS if name in facts for span in _amounts(document, facts[name], numbers)),
        *(_base_models(document, facts["base_model"], names) if "base_model" in facts else ()),
        *(_languages(document, facts["languages"], names) if "languages" in facts else ()),
        *misplaced,
    ]
    if not spans:
        return CheckResult("contradiction", True, 0.0, "nothing contradicts the stated facts")
    spans.sort(key=lambda span: span.start)
    return CheckResult("contradiction", False, float(len(spans)), listed(span.label for span in spans), spans)


def _is_set_apart(document: Document, start: int) -> bool:
    return _SET_APART.search(document.lower, max(0, start - APART_CHARACTERS), start) is not None


def _licences(document: Document, named: Sequence[Span], fact: Fact, known: Callable[[], frozenset[str]]) -> Iterator[Span]:
    stated = known() | {str(value) for value in fact.values} if named else frozenset[str]()
    for span in named:
        if not any(agree(span.label, licence) for licence in stated) and not _is_set_apart(document, span.start):
            yield Span(span.start, span.end, f"licence {span.label} is stated, the sources say {fact.display}")


def _amounts(document: Document, fact: Fact, numbers: Numbers) -> Iterator[Span]:
    for span in dict.fromkeys(span for _, span in stated_amounts(fact.name, document.prose)):
        readings = [reading for quantity in quantities_of(span.label) for reading in quantity.readings]
        if not any(contains(numbers.plain, reading) for reading in readings) and not _is_set_apart(document, span.start):
            said = f"{span.label} is stated as {_AMOUNTS[fact.name]}, the sources say {fact.display}"
            yield Span(span.start, span.end, said)


def _base_models(document: Document, fact: Fact, names: Names) -> Iterator[Span]:
    for match in _DERIVED.finditer(document.lower):
        start, end = match.span("name")
        name = document.prose[start:end]
        if not is_known(name, names) and not _is_set_apart(document, match.start()):
            yield Span(start, end, f"{name} is stated as base model, the sources say {fact.display}")


def _languages(document: Document, fact: Fact, names: Names) -> Iterator[Span]:
    """Swedish in "English, Polish, Swedish" or behind "Languages:", where the sources have the others and nowhere speak of it."""
    listed_there = {str(value).lower() for value in fact.values}
    for run in matches_at(_LANGUAGES, _LANGUAGE_RUN, document.prose):
        said = list(LANGUAGE.finditer(document.prose, *run.span()))
        strange = [name for name in said if name[0].lower() not in listed_there and not _is_spoken_of(name[0].lower(), names)]
        is_plain = run["label"] or len({name[0] for name in said} - {name[0] for name in strange}) > 1
        if strange and is_plain and not _is_set_apart(document, run.start()):
            for name in strange:
                yield Span(*name.span(), f"{name[0]} is listed as a language, the sources say {fact.display}")


def _is_spoken_of(language: str, names: Names) -> bool:
    """By name or, in quotes or a cell of a table, by its code: "bg"."""
    if language in names.lower:
        return True
    codes = [code for code, name in LANGUAGE_NAMES.items() if name.lower() == language]
    return any(re.search(rf"[\"'`|][ ]?{code}[ ]?[\"'`|]", names.lower) for code in codes)
