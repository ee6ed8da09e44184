"""README text -> Card: front matter, body, links, licence, base models. Pure functions that never raise on a card's text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser

from data_prep.front_matter import FrontMatter, split_front_matter
from data_prep.schema import Card, RawCard, stable_id

__all__ = [
    "FrontMatter",
    "base_models",
    "decode",
    "extract_links",
    "licence",
    "parse_card",
    "prose",
    "split_front_matter",
    "words",
]

MAX_LINKED_CHARACTERS = 200_000  # where links are looked for; the rest of a longer card is a log or a table
DROPPED_HOSTS = (
    "shields.io", "badge.fury.io", "badgen.net", "badges.gitter.im", "codecov.io", "readthedocs.org/projects",
    "colab.research.google.com", "colab.to", "mybinder.org", "discord.gg", "discord.com", "discordapp.com",
    "cdn-uploads.huggingface.co", "camo.githubusercontent.com", "user-images.githubusercontent.com", "zenodo.org/badge",
)  # fmt: skip
MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".ico", ".mp4", ".webm", ".mov", ".wav", ".mp3", ".flac")
ARXIV = re.compile(r"\barxiv:\s*((?:\d{4}\.\d{4,5}|[a-z-]{2,12}(?:\.[a-z]{2})?/\d{7})(?:v\d+)?)", re.IGNORECASE)
DOI = re.compile(r"(?<![\w/.])(10\.\d{4,9}/[-.;()/:\w]{2,200})")

MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
HUB_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/?(?:tree/[\w./-]+)?", re.IGNORECASE)
FOLDERS = {
    "model",
    "models",
    "output",
    "outputs",
    "checkpoint",
    "checkpoints",
    "results",
    "tmp",
    "home",
    "data",
    "local",
    "content",
}
NO_MODEL = {"none", "null", "unknown", "n", "na", "base_model", "other", "scratch", "model"}

FENCE = re.compile(r"[ \t]{0,3}(```+|~~~+)")
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
NOT_PROSE = re.compile(
    r"!\[[^\]\n]{0,300}\]\([^)\n]{0,500}\)|\]\([^)\s]{0,500}\)|<[^<>]{1,500}>|https?://\S+|\{[^{}\n]{0,200}\}"
)
# Lines that templates and trainers write: they say nothing about the one model, and make strangers look alike.
TEMPLATE_LINE = re.compile(
    r"more information needed|generated automatically|automatically generated|probably proofread and complete|"
    r"base template for new models|users \(both direct and downstream\)|carbon emissions can be estimated|"
    r"code below to get started with the model|hyperparameters were used during training|"
    r"achieves the following results on the evaluation set|^[-*] \w+_\w+: |^[-*] (?:transformers|pytorch|datasets|tokenizers|peft) \d|"
    r"^[-*] \w+: -?[\d.e+-]+$",
    re.IGNORECASE,
)
# Scripts without spaces count a character as a word.
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+")


def parse_card(raw: RawCard) -> Card:
    """The card of a README as found. `sha256` is that of the content as it came, before decoding."""
    text = decode(raw.content)
    front = split_front_matter(text)
    return Card(
        id=stable_id(raw.model_id, text),
        model_id=raw.model_id,
        revision=raw.revision,
        text=text,
        body=front.body,
        metadata=front.metadata,
        metadata_status=front.status,
        links=extract_links(front.body),
        base_models=base_models(front.metadata),
        licence=licence(front.metadata),
        language=languages(front.metadata),
        sha256=hashlib.sha256(
            raw.content if isinstance(raw.content, bytes) else raw.content.encode("utf-8", "surrogatepass")
        ).hexdigest(),
        source=raw.source,
        truth=raw.truth,
    )


def decode(content: bytes | str) -> str:
    """Text without NUL and lone surrogates; bytes that are no UTF-8 become U+FFFD. Line ends stay as found."""
    if isinstance(content, bytes):
        return content.decode("utf-8", "replace").replace("\0", "")
    return re.sub("[\ud800-\udfff]", "\ufffd", content).replace("\0", "")


# --- links ------------------------------------------------------------------------------------------------------------

_MARKDOWN = MarkdownIt("gfm-like")


def extract_links(body: str) -> list[str]:
    """Absolute http(s) addresses a reader can follow, in order, each once: Markdown links in all forms, bare addresses,
    `<a href>` in raw HTML, and bare arXiv numbers and DOIs as addresses. No code, images, badges, notebooks or chats.
    """
    found: dict[str, None] = {}
    for token in _MARKDOWN.parse(body[:MAX_LINKED_CHARACTERS]):
        if token.type == "inline":
            found.update(dict.fromkeys(_inline_links(token.children or [])))
        elif token.type == "html_block":
            found.update(dict.fromkeys(_html_links(token.content)))
    return list(found)


def _inline_links(children: list[Token]) -> Iterator[str]:
    inside = False  # text inside a link repeats its address
    for token, following in zip_longest(children, children[1:]):
        if token.type == "link_open":
            address = str(token.attrGet("href") or "")
            # linkify takes README.md and model.py for hosts in Moldova and Paraguay.
            guessed = token.markup == "linkify" and following and not following.content.lower().startswith(("http", "www."))
            inside = is_followable(address) and not guessed
            if inside:
                yield address
        elif token.type == "link_close":
            inside = False
        elif token.type == "html_inline":
            yield from _html_links(token.content)
        elif token.type == "text" and not inside:
            yield from references(token.content)


def _html_links(fragment: str) -> Iterator[str]:
    if "href" in fragment.lower():
        for node in LexborHTMLParser(fragment).css("a[href]"):
            address = (node.attributes["href"] or "").strip()
            if is_followable(address):
                yield address


def references(text: str) -> Iterator[str]:
    """Addresses of the arXiv numbers and DOIs in plain text, in order."""
    matches = [(match.start(), f"https://arxiv.org/abs/{match[1]}") for match in ARXIV.finditer(text)]
    matches += [(match.start(), f"https://doi.org/{_trimmed(match[1])}") for match in DOI.finditer(text)]
    yield from (address for _, address in sorted(matches))


def _trimmed(doi: str) -> str:
    """Without the sentence's own punctuation: a closing bracket belongs to a DOI only if it was opened in it."""
    while doi and (doi[-1] in ".,;:" or (doi[-1] == ")" and doi.count(")") > doi.count("("))):
        doi = doi[:-1]
    return doi


def is_followable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host.rpartition(".")[2].isalpha() or "." not in host:
        return False
    place = host + parts.path.lower()
    dropped = any(place.startswith(name) or f".{name}" in host or (host == name) for name in DROPPED_HOSTS)
    return not dropped and not parts.path.lower().endswith(MEDIA)


# --- metadata ---------------------------------------------------------------------------------------------------------


def base_models(metadata: dict[str, Any]) -> list[str]:
    """Hub ids of the parents, from `base_model` in its many forms and `base_model:` tags. Local paths are no models."""
    tags = [text.removeprefix("base_model:") for text in _texts(metadata.get("tags")) if text.startswith("base_model:")]
    named = [*_texts(metadata.get("base_model")), *(tag.rpartition(":")[2] for tag in tags)]
    found = (_model_id(part) for text in named for part in text.strip("[] ").split(","))
    return list(dict.fromkeys(model for model in found if model))


def _model_id(text: str) -> str | None:
    text = text.strip(" \"'")
    if address := HUB_ADDRESS.fullmatch(text):
        text = address[1]
    if not MODEL_ID.fullmatch(text) or text.lower() in NO_MODEL or text.partition("/")[0].lower() in FOLDERS:
        return None
    return text


def licence(metadata: dict[str, Any]) -> str | None:
    """The first licence named, in lower case; the name the author gives where it is `other`."""
    named = next(_texts(metadata.get("license", metadata.get("licence"))), None)
    if named and named.lower() == "other":
        named = next(_texts(metadata.get("license_name")), named)
    return named.lower() if named else None


def languages(metadata: dict[str, Any]) -> list[str]:
    """Language codes as the author wrote them, each once."""
    named = (part.strip() for text in _texts(metadata.get("language", metadata.get("languages"))) for part in text.split(","))
    return list(dict.fromkeys(name for name in named if name))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value that should be a text or a list of texts, and now and then is a mapping."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and item.strip():
            yield item.strip()
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            stack.append(next((item[key] for key in ("name", "model", "id", "model_id") if key in item), list(item)))


# --- prose ------------------------------------------------------------------------------------------------------------


def prose(body: str) -> str:
    """What the author wrote in sentences: no code, tables, comments, tags, addresses, and no line of a known template."""
    lines, fence = [], ""
    for line in COMMENT.sub("", body).split("\n"):
        mark = FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and not line.lstrip().startswith("|") and not TEMPLATE_LINE.search(line):
            lines.append(NOT_PROSE.sub(" ", line))
    return "\n".join(lines)


def words(text: str) -> list[str]:
    """Lower-case words; an ideograph is a word."""
    return WORD.findall(text.lower())
