"""What the summary says is not stated although the sources state it: a licence of the front matter, a setting of a training list.

Small models like to list as missing what they have just read. Only plain denials count: "no licence is given", "batch size and hardware are
not stated", an item below "What the card does not say". A licence of the data, one that is missing "in the text", or one that is stated and
"not discussed" is another matter; so is a learning rate "of the first phase".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from data_prep.cards.scan import matches_in_lines
from data_prep.checks.document import Document
from data_prep.checks.facts import Fact
from data_prep.checks.licences import agree
from data_prep.checks.result import Span

# Of the model itself; any other "of" or "for" is somebody else's.
_OWN = r"(?: (?:of|for) (?:the|this|its) (?:model|weights|checkpoint|training)s?)?(?: itself)?"
_NOUNS = {
    "licence": re.compile(rf"licen[cs](?:e|ing)(?: information)?{_OWN}"),
    "learning rate": re.compile(rf"(?:initial |peak )?learning rate{_OWN}"),
    "batch size": re.compile(rf"(?:training )?batch size{_OWN}"),
    "epochs": re.compile(
        rf"(?:number of )?(?:training )?epochs{_OWN}|how many epochs(?: (?:it|the model) was (?:fine-)?(?:tuned|trained)(?: on| for)?)?"
    ),
}
_SETTINGS = {
    "learning rate": r"learning_rate",
    "batch size": r"(?:per_device_)?train_batch_size",
    "epochs": r"num_(?:train_)?epochs",
}
_SETTING = re.compile(
    "|".join(
        rf"(?P<{name.replace(' ', '_')}>^[ \t>*+-]*`?{key}`?[ \t]*[:=][ \t]*`?[0-9][0-9.e-]*)"
        for name, key in _SETTINGS.items()
    ),
    re.MULTILINE,
)
_STATED = r"(?:stated|given|named|mentioned|declared|specified|told|provided|disclosed|found|reported)"
_ENDS = r"(?=[*_]*(?:[.,;:)]|\s*$))"
_BEHIND = re.compile(rf" (?:is|are|was|were) (?:not {_STATED}|missing|absent|unstated|unspecified){_ENDS}", re.MULTILINE)
_AHEAD = re.compile(
    r"\b(?:(?:(?:does|do) not|doesn[’']t) (?:state|name|give|mention|specify|tell|say|provide|declare|report)|"
    r"no|nor|neither|(?:states?|names?|gives?|mentions?|has|reports?) no) "
)
_CLAUSE_END = re.compile(r"[;:!?()\n]|\.(?=\s|$)")
# Behind which another thing is said: "the batch size is given, but ..."
_AFFIRMED = re.compile(rf"\b(?:but|while|whereas|although|though|yet)\b|\b(?:is|are|was|were) {_STATED}(?:,| and )")
_STATED_BEHIND = re.compile(rf" (?:is|are|was|were) {_STATED}\Z")
_AND = re.compile(r",\s*(?:(?:and|or|nor) )?| (?:and|or|nor) ")
_ARTICLE = re.compile(r"(?:[\s*_-]*(?:the|a|an|any|its|no|either|neither)?[\s*_]+)?")
# Where a thing stands, if not in every place: then the denial is about the others.
_PLACES = re.compile(
    r"\b(?:metadata|front matter|header|tag|field|text|body|prose|page|file|link|elsewhere|beyond|apart from|except|only)\b"
    r"|\bfor (?:this|that|them|these|those|either|both)(?=[.,;:)]|\s*$)",
    re.MULTILINE,
)
_MISSING = re.compile(
    r"(?:what (?:the (?:card|page|model)|it|the authors?) (?:does not|do not|doesn[’']t|leaves? (?:out|open)|is not)\b"
    r"|not (?:covered|stated|said|told|given|mentioned|on the card|in the card)\b|missing\b|left (?:out|open)\b|what is missing\b)"
)
_NOT = re.compile(
    r"\bnot (?!only\b|just\b)(?:(?!(?:how|whether|why|what|which|when|where|and|but|\w*restricted|limited|prohibited|forbidden)\b)[a-z-]+ ){0,4}[*`\[]*\Z"
)
CLAUSE_CHARACTERS = 160
NEAR_CHARACTERS = 60


def settings_of(source: str) -> dict[str, str]:
    """Settings of the training that `source` lists as `key: value`, by the name that people give them, as they stand there."""
    found: dict[str, str] = {}
    for match in matches_in_lines(("learning_rate", "train_batch_size", "epochs"), _SETTING, source):
        name = (match.lastgroup or "").replace("_", " ")
        found.setdefault(name, match[0].strip(" \t>*+-"))
    return found


def denials(
    document: Document, licences: Sequence[Span], facts: Mapping[str, Fact], settings: Mapping[str, str]
) -> Iterator[Span]:
    """Places that deny what the sources state. `licences`: those that the summary names; `settings`: as `settings_of` gives them."""
    licence = facts.get("licence")
    stated = {**settings, "licence": licence.display} if licence and licence.is_declared else settings
    for start, end, items in (*_denied(document), *_listed_as_missing(document)) if stated else ():
        for name in stated:
            if any(_NOUNS[name].fullmatch(item) for item in items):
                yield Span(start, end, f"{name} is denied, the sources say {stated[name]}")
    if licence:
        yield from _named_and_denied(document, licences, licence)


def _named_and_denied(document: Document, licences: Sequence[Span], fact: Fact) -> Iterator[Span]:
    """ "It is not released under MIT"."""
    for span in licences:
        is_own = any(agree(span.label, str(value)) for value in fact.values)
        if is_own and (denial := _NOT.search(document.lower, max(0, span.start - NEAR_CHARACTERS), span.start)):
            yield Span(denial.start(), span.end, f"licence {span.label} is denied, the sources say {fact.display}")


def _denied(document: Document) -> Iterator[tuple[int, int, list[str]]]:
    """Start and end of each plain denial, and the things that it denies."""
    text = document.lower
    for match in _BEHIND.finditer(text):
        before = text[max(0, match.start() - CLAUSE_CHARACTERS) : match.start()]
        start = match.start() - len(_AFFIRMED.split(_CLAUSE_END.split(before)[-1])[-1])
        if not _PLACES.search(text, match.end(), match.end() + NEAR_CHARACTERS):
            yield start, match.end(), _items(text[start : match.start()])
    for match in _AHEAD.finditer(text):
        clause = _CLAUSE_END.split(text[match.end() : match.end() + CLAUSE_CHARACTERS])[0]
        if not _PLACES.search(text, max(0, match.start() - NEAR_CHARACTERS), match.end() + len(clause) + NEAR_CHARACTERS):
            yield match.start(), match.end() + len(clause), _items(_STATED_BEHIND.sub("", clause))


def _items(clause: str) -> list[str]:
    return [item[_ARTICLE.match(item).end() :].strip(" *_`-") for item in _AND.split(clause)]  # type: ignore[union-attr]


def _listed_as_missing(document: Document) -> Iterator[tuple[int, int, list[str]]]:
    """Bullets below a heading such as "What the card does not say"."""
    missing = False
    for block in document.blocks:
        text = block.text.lower().strip(" *:")
        if block.kind == "heading":
            missing = _MISSING.match(text) is not None
        elif missing and block.kind == "bullet" and not _PLACES.search(text):
            clause, is_named, _ = text.rstrip(".").partition(" is ")
            yield block.start, block.end, _items(clause) if is_named else _items(_CLAUSE_END.split(clause)[0])
