"""Links of a card: the addresses that a reader of its Markdown and HTML can follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser

from data_prep.cards.mentions import mentions

MAX_LINKED_CHARACTERS = 200_000  # where links are looked for; the rest of a longer card is a log or a table
DROPPED_HOSTS = (
    "shields.io", "badge.fury.io", "badgen.net", "badges.gitter.im", "codecov.io", "readthedocs.org/projects",
    "colab.research.google.com", "colab.to", "mybinder.org", "discord.gg", "discord.com", "discordapp.com",
    "cdn-uploads.huggingface.co", "camo.githubusercontent.com", "user-images.githubusercontent.com", "zenodo.org/badge",
)  # fmt: skip
MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".ico", ".mp4", ".webm", ".mov", ".wav", ".mp3", ".flac")

# What any address that `extract_links` returns must contain: most cards, and most paragraphs of the others, do not.
MAY_LINK = re.compile(r"http|www\.|arxiv|10\.\d{4}|eprint|github\.com|hf\.co|huggingface\.co|\babs/|git@|://|&#", re.IGNORECASE)


def _keep_what_may_link(state: StateCore) -> None:
    """Leaves the blocks that could hold a link, before markdown-it parses their inside: half of the work is saved.

    Where the card defines addresses by name, any bracket may refer to one.
    """
    named = "references" in state.env
    state.tokens = [
        token
        for token in state.tokens
        if token.type in ("inline", "html_block") and (MAY_LINK.search(token.content) or (named and "[" in token.content))
    ]


_MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})  # bare addresses: `mentions`
_MARKDOWN.core.ruler.before("inline", "keep_what_may_link", _keep_what_may_link)


def extract_links(body: str) -> list[str]:
    """Absolute http(s) addresses a reader can follow, in order, each once: Markdown links in all forms, bare addresses,
    `<a href>` in raw HTML, and repositories and papers that text names. No code, images, badges, notebooks or chats.
    """
    found: dict[str, None] = {}
    body = body[:MAX_LINKED_CHARACTERS]
    for token in _MARKDOWN.parse(body) if MAY_LINK.search(body) else ():
        if token.type == "inline":
            found.update(dict.fromkeys(_inline_links(token.children or [])))
        elif token.type == "html_block":
            found.update(dict.fromkeys(_html_links(token.content)))
    return list(found)


def _inline_links(children: list[Token]) -> Iterator[str]:
    inside = False  # text inside a link repeats its address
    for token in children:
        if token.type == "link_open":
            address = str(token.attrGet("href") or "")
            inside = is_followable(address)
            if inside:
                yield address
        elif token.type == "link_close":
            inside = False
        elif token.type == "html_inline":
            yield from _html_links(token.content)
        elif token.type == "text" and not inside:
            yield from filter(is_followable, map(_MARKDOWN.normalizeLink, mentions(token.content)))


def _html_links(fragment: str) -> Iterator[str]:
    if "href" in fragment.lower():
        for node in LexborHTMLParser(fragment).css("a[href]"):
            address = (node.attributes["href"] or "").strip()
            if is_followable(address):
                yield address


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
