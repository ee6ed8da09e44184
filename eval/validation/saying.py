"""Faults in what is said: a licence, a denial, a comparison, what nobody stated; and a key fact that is left out."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from data_prep.checks.facts import LANGUAGE, LANGUAGE_NAMES
from data_prep.synthetic.facts import draw_word
from eval.validation.naming import appended
from eval.validation.page import Edit, Page, first_absent, shuffled, swaps

_LICENCE = re.compile(
    r"(?<![\w/-])(?:apache[- ](?:licen[cs]e )?(?:version )?2\.0|mit|cc[- ]by(?:-[a-z]{2})*(?:[- ]\d\.0)?|[al]?gpl-?v?\d?(?:\.0)?|bsd-3-clause"
    r"|creativeml[- ]open ?rail(?:-m|\+\+-m)?|bigscience-(?:bloom-)?rail-1\.0|(?:big\w+-)?openrail(?:\+\+|-m)?|afl-3\.0|cc0-1\.0|unlicense|wtfpl)(?![\w-])",
    re.IGNORECASE,
)
_LICENCE_WORD = re.compile(r"licen[cs]e|released|terms|available under", re.IGNORECASE)
_LICENCES = {
    "Apache 2.0": "apache",
    "MIT": "mit",
    "GPL-3.0": "gpl",
    "BSD-3-Clause": "bsd",
    "CC-BY-NC-4.0": "cc",
    "CC-BY-SA-4.0": "cc",
}
_MARKS = {
    "apache": r"apache",
    "mit": r"\bmit\b",
    "gpl": r"gpl|general public",
    "bsd": r"\bbsd",
    "cc": r"\bcc[- ]?by|creative ?commons",
}
_COPULA = re.compile(
    r"\b(?:is|are|was|were) (?=(?:\w+ ){0,2}(?:licen[cs]ed|released|distributed|available|published|shared|offered)\b[^.;\n]{0,50}\Z)"
)
_OPENING = re.compile(r"(?:\bunder )?(?:\b(?:the|an?) )?[*`\[\"(]*(?:GNU )?\Z")
_PASSIVE = re.compile(
    r"\b(?:is|are|was|were) (?=(?:also |mainly |then )?(?:trained|fine-?tuned|pre-?trained|distilled|built|based|evaluated|tested|released|used"
    r"|initiali[sz]ed|derived|supported|available|recommended|intended|meant|made|converted|quanti[sz]ed|needed|required|licen[cs]ed)\b)"
)
_VERBS = (
    "supports requires needs uses contains includes covers handles accepts returns produces predicts runs beats works recommends warns"
    " gives reports lists takes loads starts reaches names calls shows"
).split()
_ACTIVE = re.compile(
    rf"\b(?:it|model|card|which|that|example|code|snippet|script|tokenizer|author|checkpoint|version|readme|encoder|decoder|pipeline|table) ({'|'.join(_VERBS)})(?= )",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?P<verb>is|are|was|were|does|do|did|has|have|can|must|should) not (?!only|necessarily|yet|just)|\b(?P<cannot>cannot) "
)
_OPPOSITES = (
    ("higher", "lower"), ("highest", "lowest"), ("better", "worse"), ("best", "worst"), ("larger", "smaller"), ("largest", "smallest"),
    ("faster", "slower"), ("longer", "shorter"), ("more than", "less than"), ("above", "below"), ("increases", "decreases"),
    ("stronger", "weaker"), ("newer", "older"), ("public", "private"), ("monolingual", "multilingual"), ("cased", "uncased"),
)  # fmt: skip
_OTHER_WAY = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}
_TURNED = re.compile(rf"(?<![\w-])(?:{'|'.join(_OTHER_WAY)})(?![\w-])", re.IGNORECASE)
_METRICS = "accuracy F1 BLEU chrF METEOR ROUGE-L WER CER perplexity recall MRR nDCG mAP AUC".split()
_METRIC = re.compile(rf"(?<![\w/-])(?:{'|'.join(_METRICS)})(?![\w/-])", re.IGNORECASE)
_ABILITIES = {
    "It can also transcribe speech.": "speech",
    "It also answers questions about images.": "image",
    "It also translates between its languages.": "translat",
    "Videos can be used as input as well.": "video",
    "It calls external tools when asked to.": "tool",
    "It can be run in the browser.": "browser",
    "Medical advice is among its intended uses.": "medical",
    "Its answers were checked by lawyers.": "lawyer",
    "Poems are a strength that the authors point out.": "poe",
}
_LANGUAGES = sorted(LANGUAGE_NAMES.values())
_ONE = LANGUAGE.pattern
_LIST = re.compile(rf"\b(?P<first>{_ONE})(?=(?:, {_ONE}){{1,60}},? (?:and|or) {_ONE}\b|(?:, {_ONE}){{2}})")
_DIRECTION = re.compile(rf"\b(?P<one>{_ONE})(?: to | into |-to-)(?P<other>{_ONE})\b")


def licences(page: Page) -> Iterator[re.Match[str]]:
    """Where the summary states a licence."""
    for match in _LICENCE.finditer(page.text):
        near = page.text[max(0, match.start() - 160) : match.end() + 30]
        if _LICENCE_WORD.search(near) and page.states(*match.span()) and (match[0] != "mit" or page.has_word("mit")):
            yield match


def another_licence(page: Page, rng: random.Random) -> Iterator[Edit]:
    def stands(name: str) -> bool:
        return re.search(_MARKS[_LICENCES[name]], page.lower) is not None

    for match in licences(page):
        if other := first_absent(shuffled(list(_LICENCES), rng), stands):
            yield ((*match.span(), other if match[0] != match[0].lower() else other.lower().replace(" ", "-")),)


def licence_denied(page: Page, rng: random.Random) -> Iterator[Edit]:
    """ "is not released under", "the licence is not"."""
    for match in licences(page):
        line = max(page.text.rfind("\n", 0, match.start()) + 1, match.start() - 120)
        before = page.text[line : match.start()]
        copula = list(_COPULA.finditer(before))
        place = copula[-1].end() if copula else _OPENING.search(before).start()  # type: ignore[union-attr]
        yield ((line + place, line + place, "not "),)


def statement_denied(page: Page, rng: random.Random) -> Iterator[Edit]:
    """ "was not trained on", "does not support"."""
    for match in _PASSIVE.finditer(page.prose):
        if page.states(*match.span()):
            yield ((match.end(), match.end(), "not "),)
    for match in _ACTIVE.finditer(page.prose):
        if page.states(*match.span()):
            verb = match[1]
            yield ((*match.span(1), f"does not {verb[:-2] if verb.endswith('ches') else verb[:-1]}"),)


def denial_taken_out(page: Page, rng: random.Random) -> Iterator[Edit]:
    """ "is described" for "is not described". The verb before it is marked."""
    for match in _NOT.finditer(page.prose):
        yield ((*match.span(), f"{match['verb'] or 'can'} "),)


def comparison_turned(page: Page, rng: random.Random) -> Iterator[Edit]:
    def other(match: re.Match[str]) -> str | None:
        word = _OTHER_WAY[match[0].lower()]
        return (word.capitalize() if match[0][0].isupper() else word) if page.states(*match.span()) else None

    yield from swaps(page, _TURNED, other)


def metric(page: Page, rng: random.Random) -> Iterator[Edit]:
    def other(match: re.Match[str]) -> str | None:
        stated = page.has_word(match[0]) and page.states(*match.span())
        return first_absent(shuffled(_METRICS, rng), page.has_name) if stated else None

    yield from swaps(page, _METRIC, other)


def ability(page: Page, rng: random.Random) -> Iterator[Edit]:
    """A sentence on what the model can do, of which no word is in the source."""
    yield from appended(page, *(sentence for sentence, word in _ABILITIES.items() if word not in page.lower))


def organisation(page: Page, rng: random.Random) -> Iterator[Edit]:
    name = draw_word(rng).capitalize()
    kind = rng.choice(("Labs", "Institute", "Foundation", "University"))
    if not page.has_name(name):
        yield from appended(page, f"It was developed by {name} {kind}.", f"The work was funded by the {name} {kind}.")


def person(page: Page, rng: random.Random) -> Iterator[Edit]:
    name = f"{rng.choice(('Marta', 'Jonas', 'Ines', 'Pavel', 'Leila'))} {draw_word(rng).capitalize()}"
    if not page.has_name(name.split()[1]):
        yield from appended(page, f"It was made by {name}.", f"The training was led by {name}.")


def language(page: Page, rng: random.Random) -> Iterator[Edit]:
    """One more language in a list of them."""
    codes = {name: code for code, name in LANGUAGE_NAMES.items()}
    other = first_absent(shuffled(_LANGUAGES, rng), lambda name: page.has_word(name) or page.has_word(codes[name]))
    for match in _LIST.finditer(page.text) if other else ():
        yield ((match.end(), match.end(), f", {other}"),)


def direction(page: Page, rng: random.Random) -> Iterator[Edit]:
    """From German to English for from English to German."""
    for match in _DIRECTION.finditer(page.text):
        one, other = match["one"], match["other"]
        back = (f"{other} to {one}", f"{other}-{one}", f"{other} into {one}", f"{one} and {other}", f"{one}<->{other}")
        if one != other and page.states(*match.span()) and not any(text.lower() in page.lower for text in back):
            yield ((*match.span("one"), other), (*match.span("other"), one))


def left_out(page: Page, rng: random.Random) -> Iterator[Edit]:
    """Without the only sentence on the licence."""
    found = list(licences(page))
    if len(found) == 1 and "|" not in page.summary[slice(*page.sentence(*found[0].span()))]:
        start, end = page.sentence(*found[0].span())
        yield ((start, end, ""),)
