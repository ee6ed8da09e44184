"""Which of a card's links are the model's own sources, and where their text is to be had.

A card links to its paper, code and data, and to tools, parents and places it merely mentions. Reading a page costs a fetch
and a teacher's tokens, so the decision comes first and is written down with its reason (CardGen, arXiv 2405.06258, asks a
model for it; names, places and words around the link settle most cases without one).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from data_prep.checks.links import canonical
from data_prep.core.records import Card
from data_prep.lineage.keys import TOOLS, source_key, stem

Kind = Literal["paper", "repository", "hub", "page"]
Standing = Literal["own", "likely", "mention"]
FEW_PAPERS = 2  # a card that links to more has a bibliography
NEAR = 160  # characters around a link that speak of it
# Places that say nothing about one model, whatever the words around them.
NO_SOURCE_HOSTS = (
    "twitter.com", "x.com", "linkedin.com", "youtube.com", "youtu.be", "facebook.com", "t.me", "discord.gg", "discord.com", "reddit.com",
    "medium.com/@", "patreon.com", "ko-fi.com", "buymeacoffee.com", "opensource.org", "creativecommons.org", "apache.org", "choosealicense.com",
    "wikipedia.org", "pytorch.org", "tensorflow.org", "python.org", "nvidia.com", "mlco2.github.io", "wandb.ai", "docs.google.com",
)  # fmt: skip
SOURCE_HOSTS = ("research.nvidia.com", "developer.nvidia.com")  # but these, where reports stand
NO_SOURCE_PATHS = re.compile(
    r"/(?:issues|pulls?|discussions|commits?|releases|stargazers|wiki|actions|login|join|settings|pricing|terms|privacy)(?:/|$)"
    r"|/[^/]*licen[cs]e[^/]*(?:/|$)|\.(?:bin|safetensors|gguf|ggml|pt|pth|ckpt|onnx|zip|tar|gz|csv|jsonl?|parquet|ya?ml|py|ipynb)$",
    re.IGNORECASE,
)
HUB_PAGES = set("docs tasks models datasets spaces blog papers collections learn chat pricing settings".split())
OWN_WORDS = re.compile(
    r"\b(?:our|this model|the model|official|accompan\w+|introduc\w+|described in|details? in|see (?:the|our)|paper|(?:technical |tech )?report|"
    r"pre-?print|project page|homepage|home page|blog ?post|code|repository|repo|training (?:code|data|logs?)|evaluation|dataset|data set|demo)\b",
    re.IGNORECASE,
)
FAMILY = re.compile(r"\A[a-z]+[\W_]?\d+(?:\.\d+)?[bm]?(?![a-z0-9])")  # `falcon-40b-instruct` is one of the `falcon-40b` models
OTHERS_WORDS = re.compile(
    r"\b(?:based on|fine-?tuned (?:from|on|version)|quanti[sz]ed (?:with|using|version)|using|thanks to|built (?:with|on)|powered by|license|licence|"
    r"credits?|see also|compar\w+|inspired by|install|download|requires?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Link:
    """One link of a card and `why` it stands as it does: the model's own page, likely so (the page itself must name the
    model), or a mere mention. `key` is one for all addresses of a page."""

    url: str
    key: str
    kind: Kind
    standing: Standing
    why: str


def links_of_interest(card: Card) -> list[Link]:
    """The card's links, each page once, own sources first, mentions last, otherwise in the order of the card. Pure; no network."""
    page = canonical(f"https://huggingface.co/{card.model_id}")
    found: dict[str, Link] = {}
    for url in card.links:
        key, kind = canonical(url), kind_of(url)
        if key != page and key not in found:
            found[key] = Link(url, key, kind, *_decide(card, url, kind))
    return sorted(found.values(), key=lambda link: ("own", "likely", "mention").index(link.standing))


def kind_of(url: str) -> Kind:
    name = (source_key(url) or "").partition(":")[0]
    if name in ("paper", "repo"):
        return "paper" if name == "paper" else "repository"
    return "hub" if canonical(url).startswith("huggingface.co/") else "page"


def _decide(card: Card, url: str, kind: Kind) -> tuple[Standing, str]:
    """First rule that speaks decides; the order is from what an address proves to what words suggest."""
    place = canonical(url)
    host, _, path = place.partition("/")
    if host not in SOURCE_HOSTS and any(place.startswith(name) or host.endswith("." + name) for name in NO_SOURCE_HOSTS):
        return "mention", f"{host} says nothing about one model"
    if NO_SOURCE_PATHS.search("/" + path) or not path:
        return "mention", "a home page, a file or a page of a forge"
    if source_key(url) in TOOLS:
        return "mention", "a tool's own page"
    if kind == "hub" and path.partition("/")[0] in HUB_PAGES - {"datasets", "blog", "papers", "spaces"}:
        return "mention", "a page of the Hub itself"
    if kind == "hub" and re.fullmatch(r"[\w.-]+/[\w.-]+", path) and path.partition("/")[0] not in HUB_PAGES:
        return "mention", "a model's page: it has a card of its own"
    if names_model(card, path):
        return "own", "its address names the model"
    owner = card.model_id.partition("/")[0].lower()
    if kind in ("repository", "hub") and re.sub(r"^(?:datasets|spaces)/", "", path).startswith(owner + "/"):
        return "own", f"it is {owner}'s own"
    around = words_around(card.body, url)
    if OTHERS_WORDS.search(around) and not re.search(r"\bour\b", around, re.IGNORECASE):
        return "mention", "the card says it used or came from it"
    if OWN_WORDS.search(around):
        return "likely", "the card presents it as its own"
    if kind == "paper" and len({source_key(link) for link in card.links if kind_of(link) == "paper"}) <= FEW_PAPERS:
        return "likely", "one of the few papers it links to"
    return "mention", "only mentioned"


def names_model(card: Card, text: str) -> bool:
    """True where `text`, an address or a page, holds the model's name, or its family's, written with any signs between the words."""
    plain = re.sub(r"[\W_]+", "", text.lower())
    return any(name in plain for name in spoken_names(card))


def spoken_names(card: Card) -> Iterator[str]:
    """The model's name without signs: whole, without endings of copies, and its first words that hold a digit."""
    name = card.model_id.rpartition("/")[2].lower()
    for form in (name, stem(card.model_id) or "", *FAMILY.findall(name)):
        plain = re.sub(r"[\W_]+", "", form)
        if len(plain) >= 5 and (any(map(str.isdigit, plain)) or len(plain) >= 8):
            yield plain


def words_around(body: str, url: str) -> str:
    """The line that holds the link, at most NEAR characters to either side; "" where the address is not spelt out."""
    at = body.find(url)
    if at < 0:
        return ""
    start = max(body.rfind("\n", 0, at) + 1, at - NEAR)
    end = body.find("\n", at)
    return body[start : min(end if end >= 0 else len(body), at + len(url) + NEAR)].replace(url, " ")


def addresses(url: str) -> list[str]:
    """Where the page's text is to be had, best first: raw files and HTML full text rather than pages made for looking."""
    key, place = source_key(url) or "", canonical(url)
    if key.startswith("paper:arxiv:"):
        number = key.removeprefix("paper:arxiv:")
        return [f"https://arxiv.org/html/{number}", f"https://arxiv.org/abs/{number}", f"https://arxiv.org/pdf/{number}"]
    if key.startswith("repo:") and len(path := urlsplit(url).path.strip("/").split("/")) >= 2:
        if place.startswith("raw.githubusercontent.com/") and len(path) > 3:
            return [url]
        repository = f"https://raw.githubusercontent.com/{path[0]}/{path[1].removesuffix('.git')}"
        if path[2:3] in (["blob"], ["raw"]) and len(path) > 4:  # a report, not the repository
            return [f"{repository}/{'/'.join(path[3:])}"]
        branch = "/".join(path[3:]) if path[2:3] == ["tree"] and len(path) > 3 else "HEAD"
        return [f"{repository}/{branch}/README.md"]
    repo = re.fullmatch(r"/((?:datasets/|spaces/)?[\w.-]+/[\w.-]+)/?", urlsplit(url).path)
    if kind_of(url) == "hub" and repo and place.split("/")[1] not in HUB_PAGES - {"datasets", "spaces"}:
        return [f"https://huggingface.co/{repo[1]}/resolve/main/README.md"]
    return [url]
