"""A licence that the summary denies although the sources state it: "no licence is given", "is not released under MIT".

Small models like to list as missing what they have just read. Only plain denials count: a licence of the data, one that is missing "in the
text", or one that is stated and "not discussed" is another matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from data_prep.checks.document import Block, Document
from data_prep.checks.facts import Fact
from data_prep.checks.licences import agree
from data_prep.checks.result import Span

_LICENCE = r"licen[cs](?:e|ing)(?: information)?"
# Of the model itself; any other "of" or "for" is somebody else's licence.
_OWN = r"(?: (?:of|for) (?:the|this|its) (?:model|weights|checkpoint)s?)?(?: itself)?"
_STATED = r"(?:stated|given|named|mentioned|declared|specified|told|provided|disclosed|found)"
_ENDS = r"(?=[*_]*(?:[.,;:)]|\s*$|\s*\n| (?:or|and|nor) ))"
_DENIAL = re.compile(
    rf"\bno {_LICENCE}{_OWN}(?: (?:is|was) {_STATED})?{_ENDS}"
    rf"|\b{_LICENCE}{_OWN} (?:is|was) (?:not {_STATED}|missing|absent|unstated|unspecified){_ENDS}"
    rf"|\b(?:does not|do not|doesn[’']t) (?:state|name|give|mention|specify|tell|provide|declare) (?:a|the|any|its) {_LICENCE}{_OWN}{_ENDS}",
    re.MULTILINE,
)
# Where the licence stands, if not in every place: then the denial is about the others.
_PLACES = re.compile(
    r"\b(?:metadata|front matter|header|tag|field|text|body|prose|page|file|link|elsewhere|beyond|apart from|except|only)\b"
)
_MISSING = re.compile(
    r"^(?:what (?:the (?:card|page|model)|it|the authors?) (?:does not|do not|doesn[’']t|leaves? (?:out|open)|is not)\b"
    r"|not (?:covered|stated|said|told|given|mentioned|on the card|in the card)\b|missing\b|left (?:out|open)\b|what is missing\b)"
)
_LISTED = re.compile(rf"^(?:the |a |any |its )?{_LICENCE}{_OWN}(?:[.,;]|$| is (?!not\b))")
_NOT = re.compile(r"\bnot (?!only\b|just\b)(?:[a-z-]+ ){0,4}[*`\[(]*\Z")
SENTENCE_CHARACTERS = 160
NEAR_CHARACTERS = 60


def denied_licences(document: Document, named: Sequence[Span], fact: Fact) -> Iterator[Span]:
    """Places that deny the licence `fact` of the sources. `named`: the licences that the summary names."""
    if fact.is_declared:
        for match in _DENIAL.finditer(document.lower):
            if not _PLACES.search(_sentence(document, *match.span())):
                yield Span(*match.span(), f"a licence is denied, the sources say {fact.display}")
        for block in _listed_as_missing(document):
            yield Span(block.start, block.end, f"the licence is listed as missing, the sources say {fact.display}")
    for span in named:
        is_own = any(agree(span.label, str(licence)) for licence in fact.values)
        if is_own and (denial := _NOT.search(document.lower, max(0, span.start - NEAR_CHARACTERS), span.start)):
            yield Span(denial.start(), span.end, f"licence {span.label} is denied, the sources say {fact.display}")


def _sentence(document: Document, start: int, end: int) -> str:
    """What stands around `start` to `end` within its line and sentence."""
    before = re.split(r"[.;]\s|\n", document.lower[max(0, start - SENTENCE_CHARACTERS) : start])[-1]
    after = re.split(r"[.;]\s|\n", document.lower[end : end + SENTENCE_CHARACTERS])[0]
    return before + document.lower[start:end] + after


def _listed_as_missing(document: Document) -> Iterator[Block]:
    missing = False
    for block in document.blocks:
        text = block.text.lower().strip(" *:")
        if block.kind == "heading":
            missing = _MISSING.match(text) is not None
        elif missing and block.kind == "bullet" and _LISTED.match(text) and not _PLACES.search(text):
            yield block
