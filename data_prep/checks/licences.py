"""Licences as cards and summaries write them, read into Hub identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_prep.cards.scan import matches_at
from data_prep.checks.document import lowered
from data_prep.checks.result import Span

# A field that names no licence to compare with.
UNKNOWN = frozenset("other unknown custom n/a none proprietary".split())

# Hub identifiers that ask for no more than attribution.
PERMISSIVE = frozenset(
    "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc zlib unlicense cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 "
    "cc-by-4.0 pddl odc-by afl-3.0 artistic-2.0 bsl-1.0 ecl-2.0 ms-pl ncsa postgresql wtfpl cdla-permissive-1.0 "
    "cdla-permissive-2.0 openmdw-1.0 openmdw-1.1".split()
)

_VERSION = r"(?:[ -]?(?:public|software)?[ -]?licen[cs]e,?)?[ -]?(?:version[ ]|v)?[ ]?"
_CC_TERMS = {"attribution": "by", "noncommercial": "nc", "non-commercial": "nc", "sharealike": "sa", "share-alike": "sa", "noderivatives": "nd",
             "noderivs": "nd", "zero": "0"}  # fmt: skip
_LICENCE = re.compile(
    rf"""
    (?<![^\W_])(?<![^\W_]_)(?<!-)(?=[abclgmor23])(?:
      (?P<apache>apache(?:{_VERSION}(?P<apache_v>[0-9](?:\.[0-9])?))?)
    | (?P<cc>cc(?:0|[ -](?:by|0|zero)(?:[ -](?:nc|sa|nd))*)|creative[ ]commons(?:[ -](?:attribution|non-?commercial|share-?alike
        |no-?deriv(?:ative)?s|zero|by|nc|sa|nd))+)(?:[ -](?:international)?{_VERSION}(?P<cc_v>[0-9](?:\.[0-9])?))?
    | (?P<bsd>bsd(?:[ -](?P<bsd_v>[0-9])[ -]clause)?|(?P<bsd_w>[23])[ -]clause[ ]bsd)
    | (?P<gnu>(?:gnu[ ])?(?:[al]?gpl|(?:lesser[ ]|affero[ ])?general[ ]public[ ]licen[cs]e))(?:{_VERSION}(?P<gnu_v>[0-9](?:\.[0-9])?))?
    | (?P<mpl>mpl|mozilla[ ]public[ ]licen[cs]e)(?:{_VERSION}(?P<mpl_v>[0-9](?:\.[0-9])?))?
    | (?P<rail>(?:creativeml-|bigscience-(?:bloom-)?|bigcode-)?(?:open)?rail(?:\+\+)?(?:-[ms])?)
    | (?P<llama>llama[ -]?(?P<llama_v>[0-9](?:\.[0-9])?)[ -](?:community(?:[ -]licen[cs]e)?|licen[cs]e))
    | (?P<mit>mit)
    )(?![^\W_]|_[^\W_])
    """,
    re.VERBOSE,
)
_BEGINNINGS = (
    "apache cc creative bsd 2-clause 3-clause gnu agpl lgpl gpl lesser affero general mpl mozilla big openrail rail llama mit".split()
) + ["2 clause", "3 clause"]
# MIT is also a university, Apache a foundation, RAIL a word: those need a word of licensing nearby.
_CONTEXT = re.compile(r"licen[cs]|released under|available under|under the|terms of")
CONTEXT_CHARACTERS = 60
_UNIVERSITY = re.compile(
    r"(?:(?<=\bat )|(?<=\bfrom ))mit\b(?![- ]?licen| to\b)|mit(?= (?:researchers?|csail|teams?|students?|professors?|scientists?|engineers?|press|media lab|labs?)\b)"
)
# Text in the public domain is more often what a model was trained on than the model.
_PUBLIC_DOMAIN = re.compile(
    r"\b(?:released|placed|dedicated|published|(?:models?|weights|it|this) (?:is|are)) (?:in|into|to) the (?P<name>public domain)\b"
)
_CC_ADDRESS = re.compile(
    r"creativecommons\.org/(?:licenses/(?P<terms>by(?:-nc)?(?:-sa|-nd)?)/(?P<version>[0-9]\.[0-9])|publicdomain/(?P<zero>zero))"
)
PUBLIC_DOMAIN = frozenset("public-domain cc0-1.0 cc0 unlicense pddl cc-pddc".split())


def licences_in(text: str) -> Iterator[Span]:
    """Every licence that `text` names; the label is its identifier: `apache-2.0`, or `gpl` where no version is named."""
    lower = lowered(text)
    for match in matches_at(_BEGINNINGS, _LICENCE, lower):
        name = identifier(match)
        if name == "mit" and _UNIVERSITY.match(lower, match.start()):
            continue
        certain = name.startswith("cc") or any(map(str.isdigit, name))
        around = lower[max(0, match.start() - CONTEXT_CHARACTERS) : match.end() + CONTEXT_CHARACTERS]
        if certain or _CONTEXT.search(around):
            yield Span(*match.span(), name)
    if "public domain" in lower:
        yield from (Span(*match.span("name"), "public-domain") for match in _PUBLIC_DOMAIN.finditer(lower))


def named_in(source: str) -> Iterator[str]:
    """What a summary may call a licence: those that the source names, and the public domain wherever it speaks of it."""
    yield from (span.label for span in licences_in(source))
    if "public domain" in source.lower():
        yield "public-domain"
    if "creativecommons.org/" in source:
        for match in _CC_ADDRESS.finditer(source):
            yield "cc0-1.0" if match["zero"] else f"cc-{match['terms']}-{match['version']}"


def normal(licence: str) -> str:
    """The identifier of a licence field's value, or the value in lower case where the licence is not one of the table's."""
    value = licence.strip().lower()
    match = _LICENCE.fullmatch(value)
    return identifier(match) if match else value.replace("public domain", "public-domain")


def identifier(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if groups["apache"]:
        return "apache-" + _dotted(groups["apache_v"] or "2.0")
    if groups["cc"]:
        return _creative_commons(groups["cc"], groups["cc_v"])
    if groups["bsd"]:
        number = groups["bsd_v"] or groups["bsd_w"]
        return f"bsd-{number}-clause" if number else "bsd"
    if groups["gnu"]:
        text = groups["gnu"].removeprefix("gnu ")
        name = text if text.endswith("gpl") else {"l": "lgpl", "a": "agpl"}.get(text[0], "gpl")
        return name + (f"-{_dotted(groups['gnu_v'])}" if groups["gnu_v"] else "")
    if groups["mpl"]:
        return "mpl-" + _dotted(groups["mpl_v"] or "2.0")
    if groups["llama"]:
        return "llama" + groups["llama_v"]
    return "mit" if groups["mit"] else groups["rail"]


def agree(named: str, known: str) -> bool:
    """True where they are the same, or one only lacks the version: `gpl` and `gpl-3.0`, never `cc-by` and `cc-by-nc-4.0`."""
    if named == known or ("rail" in named and "rail" in known) or {named, known} <= PUBLIC_DOMAIN:
        return True
    if named.startswith("llama"):  # authors name it in many ways, often without the digit after the point
        return re.sub(r"[^a-z0-9.]", "", known).find(named) >= 0
    short, long = sorted((named, known), key=len)
    return re.fullmatch(r"-[0-9](?:\.[0-9]|-clause)?", long.removeprefix(short)) is not None and long.startswith(short)


def _creative_commons(text: str, version: str | None) -> str:
    for word, short in _CC_TERMS.items():
        text = text.replace(word, short)
    terms = [term for term in re.findall(r"by|nc|sa|nd|0", text.removeprefix("creative commons").removeprefix("cc"))]
    if "0" in terms:
        return "cc0-1.0"
    return "-".join(["cc", *terms]) + (f"-{_dotted(version)}" if version else "")


def _dotted(version: str) -> str:
    return version if "." in version else f"{version}.0"
