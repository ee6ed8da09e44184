"""Faults in names and addresses: another size, version, base model, owner, data set, chip; pages that nobody has written."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from data_prep.cards.front_matter import split_front_matter
from data_prep.synthetic.facts import draw_word
from eval.validation.page import TARGET, Edit, New, Page, Pool, first_absent, shuffled, swaps
from eval.validation.real_cards import RealCard

_SIZES = ("0.6", "1.3", "1.7", "2", "3", "6.7", "7", "8", "9", "11", "13", "14", "20", "27", "30", "34", "40", "65", "70", "72")
_SIZE_WORDS = ("tiny", "mini", "small", "medium", "base", "large", "xlarge", "xl", "xxl")
_SIZE = re.compile(r"(?<![\w./@:=-])[A-Za-z][\w./]*(?:-[\w.]+)*?[-_](?P<size>\d+(?:\.\d+)?)(?=[BbMm](?:\b|[_-]))[\w.-]*")
_SIZE_WORD = re.compile(
    rf"(?<![\w./@:=-])(?:[A-Za-z][\w./]*-)(?:[\w.]+-)*?(?P<size>{'|'.join(_SIZE_WORDS)})(?![A-Za-z0-9])[\w.-]*"
)
_VERSION = re.compile(
    r"(?<![\w./@:=-])(?!(?:apache|cc|[al]?gpl|bsd|mpl|afl|epl|ecl|[\w-]*rail)\b|beta|eps)[A-Za-z][A-Za-z0-9/.]*?(?:-[A-Za-z0-9]+)*?-?[vV]?(?P<version>\d(?:\.\d)?)(?![\w]|\.\d)(?:-[A-Za-z]+)*"
)
_SPACED = re.compile(
    r"(?<![\w./@:=-])(?P<stem>[A-Z][\w-]*(?: [A-Z][\w-]*){0,2}) (?:v(?:ersion )?)?(?P<version>\d\d?(?:\.\d\d?)+|\d)(?![\w%]|[.,]\d|/)"
)
_NO_STEMS = re.compile(
    r"(?:.* )?(?:Apache|Table|Figure|Section|Stage|Step|Part|Phase|Version|Level|Top|Over|The|Of|In|On|At|With|All|Only|Layer|BSD|GPL|Release|Example|Below|Above|Under"
    r"|January|February|March|April|May|June|July|August|September|October|November|December|And|For|From|Its|Sample|Epoch|Class|License|Licence|CC|BY)"
)
_DERIVED = re.compile(
    r"(?:fine-?tun(?:ed?|ing)(?: version)? (?:of|from)|based on|built on(?: top of)?|derived from|initiali[sz]ed from|starts? from|starting from"
    r"|distilled from|continued from|(?:copy|fork|fine-tune|conversion) of|further trained from)\s+(?:the\s+|an?\s+)?"
    r"[`\[*\"]{0,3}(?P<name>[A-Za-z][\w.-]*(?:/[\w.-]*\w)?\w)",
    re.IGNORECASE,
)
_SHAPED = re.compile(r"\d|[a-z][A-Z]|[A-Z]{3}|/")
_ID = re.compile(r"(?<![\w./:@-])(?P<owner>[A-Za-z][\w.-]+)/(?P<name>[A-Za-z][\w.-]*[\w])(?![\w/])")
_FILE = re.compile(r"\.(?:json|png|jpe?g|ya?ml|py|md|txt|bin|ckpt|csv|ipynb)$")
_PLAIN_SETS = ("Harvest", "Bramble", "Parchment", "Lantern", "Meadowlark", "Almanac")
_CHIPS = (
    "A100",
    "V100",
    "H100",
    "P100",
    "T4",
    "K80",
    "A6000",
    "A40",
    "A10",
    "L4",
    "L40S",
    "RTX 3090",
    "RTX 4090",
    "H200",
    "TPU v3-8",
    "TPU v4-64",
)
_CHIP = re.compile(r"(?<![\w/-])(?:[AVPH]100|T4|K80|A6000|A40|A10G?|L4|L40S|H200|RTX ?\d{4}|TPU ?v\d-\d+)(?![\w/])")
_BENCHMARKS = ("ZeroSCROLLS", "RepoQA", "HELMET", "LongProc", "MixEval-Hard", "BabyLM-Eval", "CodeScope", "XLSum-Hard")
_ARXIV = re.compile(r"(?<=arxiv\.org/)(?:abs|pdf)/\d{4}\.(\d{4,5})", re.IGNORECASE)


def pool_of(cards: Iterable[RealCard]) -> Pool:
    """What the summaries of `cards` link to and name."""
    offered = [_offered(card) for card in cards]
    columns = ("links", "owners", "bases", "datasets")
    return Pool(*(tuple(dict.fromkeys(name for one in offered for name in getattr(one, column))) for column in columns))


@cache
def _offered(card: RealCard) -> Pool:
    bases = tuple(match["name"] for match in _DERIVED.finditer(card.summary) if _SHAPED.search(match["name"]))
    sets = tuple(name for name in _set_names(card.source) if _SHAPED.search(name) and re.fullmatch(r"[\w.-]+", name))
    return Pool(tuple(TARGET.findall(card.summary)), (card.model_id.partition("/")[0],), bases, sets)


def _set_names(source: str) -> list[str]:
    """Data sets of the front matter, without owners."""
    listed = split_front_matter(source).metadata.get("datasets")
    names = listed if isinstance(listed, list) else [listed]
    return [name.rpartition("/")[2] for name in names if isinstance(name, str) and len(name) > 2]


def size(page: Page, rng: random.Random) -> Iterator[Edit]:
    """Llama-2-13b for Llama-2-7b."""
    yield from swaps(page, _SIZE, _absent_piece(page, rng, "size", _SIZES), "size", page.names)


def size_word(page: Page, rng: random.Random) -> Iterator[Edit]:
    """t5-large for t5-base."""
    yield from swaps(page, _SIZE_WORD, _absent_piece(page, rng, "size", _SIZE_WORDS), "size", page.names)


def version(page: Page, rng: random.Random) -> Iterator[Edit]:
    """v0.2 for v0.3, GPT-3 for GPT-2."""
    yield from swaps(page, _VERSION, _absent_piece(page, rng, "version"), "version", page.names)


def spaced_version(page: Page, rng: random.Random) -> Iterator[Edit]:
    """Stable Diffusion 1.4 for Stable Diffusion 1.5, where the source writes the name so as well."""
    known = _absent_piece(page, rng, "version")

    def other(match: re.Match[str]) -> str | None:
        is_name = page.has_name(match[0]) and not _NO_STEMS.fullmatch(match["stem"])
        new = known(match) if is_name else None
        return None if new is None or page.has_amount(new) else new

    yield from swaps(page, _SPACED, other, "version", page.prose)


def _absent_piece(page: Page, rng: random.Random, group: str, options: Sequence[str] = ()) -> New:
    """A function that makes another `group` for a match, so that the whole name is nowhere in the source; None where it cannot."""

    def other(match: re.Match[str]) -> str | None:
        old = match[group]
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        if len(re.sub(r"[^A-Za-z]", "", match[0][:start])) < 2:
            return None
        places = [index for index, char in enumerate(old) if char.isdigit()]
        digits = [old[:at] + new + old[at + 1 :] for at in places for new in "123456789" if new != old[at]]
        news = [option for option in options or digits if option != old]
        # Up to the end of the piece: a longer name with the same beginning would be a name of the source.
        behind = match[0][end : end + 1] if match[0][end : end + 1] in "BbMm" else ""
        return first_absent(shuffled(news, rng), lambda new: page.has_name(match[0][:start] + new + behind))

    return other


def base_model(page: Page, rng: random.Random) -> Iterator[Edit]:
    """The parent of another card's model."""

    def other(match: re.Match[str]) -> str | None:
        if not (_SHAPED.search(match["name"]) and page.has_name(match["name"]) and page.states(*match.span("name"))):
            return None
        return first_absent(shuffled(page.pool.bases, rng), page.has_name)

    yield from swaps(page, _DERIVED, other, "name", page.text)


def owner(page: Page, rng: random.Random) -> Iterator[Edit]:
    """`openai/Foo-7B` for `acme/Foo-7B`."""

    def other(match: re.Match[str]) -> str | None:
        named = rf"(?:huggingface\.co/(?:datasets/)?|[\"'`]|^Model: |^base_model: ){re.escape(match[0])}\b"
        if _FILE.search(match[0]) or not re.search(named, page.source, re.MULTILINE):
            return None
        return first_absent(shuffled(page.pool.owners, rng), page.has_name)

    yield from swaps(page, _ID, other, "owner", page.names)


def dataset(page: Page, rng: random.Random) -> Iterator[Edit]:
    yield from _renamed(page, lambda: first_absent(shuffled(page.pool.datasets, rng), page.has_name))


def plain_dataset(page: Page, rng: random.Random) -> Iterator[Edit]:
    """A name that only its capital tells from a word."""
    yield from _renamed(page, lambda: first_absent(shuffled(_PLAIN_SETS, rng), page.has_word))


def _renamed(page: Page, new: Callable[[], str | None]) -> Iterator[Edit]:
    linked = re.findall(r"\[([^\]\n]{2,60})\]\(https?://huggingface\.co/datasets/", page.summary)
    for name in dict.fromkeys([*_set_names(page.source), *linked]):
        pattern = re.compile(rf"(?<![\w/-]){re.escape(name).replace('_', '[_ -]')}(?![\w/-])", re.IGNORECASE)
        for edit in swaps(page, pattern, lambda match: new(), 0, page.text):
            if page.states(*edit[0][:2]):
                yield edit


def hardware(page: Page, rng: random.Random) -> Iterator[Edit]:
    yield from swaps(page, _CHIP, lambda match: first_absent(shuffled(_CHIPS, rng), page.has_name))


def benchmark(page: Page, rng: random.Random) -> Iterator[Edit]:
    """A benchmark that the card does not know, with a score that it does not know."""
    name = first_absent(shuffled(_BENCHMARKS, rng), page.has_name)
    score = first_absent((f"{rng.randint(21, 94)}.{rng.randint(1, 9)}" for _ in range(20)), page.has_amount)
    if name and score:
        yield from appended(page, f"On {name} it reaches {score}.", f"A score of {score} on {name} is reported.")


def appended(page: Page, *sentences: str) -> Iterator[Edit]:
    """Each of the sentences behind each line of prose that ends as a sentence does."""
    for match in re.finditer(r"(?m)^(?![#|\s>]).*[a-z)`]\.$", page.text):
        for sentence in sentences:
            yield ((match.end(), match.end(), f" {sentence}"),)


# --- addresses --------------------------------------------------------------------------------------------------------


def page_beside(page: Page, rng: random.Random) -> Iterator[Edit]:
    """A real address with something behind it."""
    ends = shuffled(("-2", "-v2", "-large", "-old", "/results", "-chat"), rng)

    def other(match: re.Match[str]) -> str | None:
        plain = re.split(r"[?#]", match[1])[0].rstrip("/")
        has_path = plain.count("/") > 2
        return first_absent((plain + end for end in ends if has_path or end[0] == "/"), lambda url: _is_linked(page, url))

    yield from _targets(page, other)


def page_of_another(page: Page, rng: random.Random) -> Iterator[Edit]:
    yield from _targets(page, lambda match: first_absent(shuffled(page.pool.links, rng), lambda url: _is_linked(page, url)))


def page_nowhere(page: Page, rng: random.Random) -> Iterator[Edit]:
    yield from _targets(page, lambda match: f"https://{draw_word(rng)}.example/{draw_word(rng)}/{draw_word(rng)}")


def paper(page: Page, rng: random.Random) -> Iterator[Edit]:
    """One digit of a paper's arXiv number, in its address."""

    def other(match: re.Match[str]) -> str | None:
        digits = match[1]
        changes = [
            digits[:at] + new + digits[at + 1 :] for at in range(len(digits)) for new in "0123456789" if new != digits[at]
        ]
        year = match[0][4:8]
        return first_absent(shuffled(changes, rng), lambda new: f"{year}.{new}" in page.source)

    yield from swaps(page, _ARXIV, other, 1, page.summary)


def _targets(page: Page, new: New) -> Iterator[Edit]:
    yield from swaps(page, TARGET, new, 1, page.summary)


def _is_linked(page: Page, url: str) -> bool:
    """Another spelling of one page is told by its last part: arXiv's abs and pdf, a repository's README."""
    last = re.split(r"[?#]", url)[0].rstrip("/").rpartition("/")[2].lower().removesuffix(".pdf")
    return re.sub(r"^https?://(?:www\.)?", "", url.lower()).rstrip("/") in page.lower or last in page.lower
