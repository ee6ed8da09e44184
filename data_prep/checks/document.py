"""A summary read once: blocks, links, rendered words, and a copy with everything blanked that is not prose.

Every check works on this, and every offset is an offset into the summary as given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from data_prep.cards.mentions import BARE, address_of, trimmed_url
from data_prep.cards.scan import matches_at
from data_prep.checks.plain_markdown import CODE_SIGNS, blocks_of, inline_of

MAX_CHARACTERS = 20_000  # 500 words are 4,000 characters
MAX_BRACKETS = 500  # the parser's time is quadratic in opening brackets; 500 words hold a few dozen

# In two steps: most blocks that the one finds, plain_markdown.py reads.
_BLOCKS = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
_INLINE = MarkdownIt("commonmark")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_WITHIN_LINE = re.compile(r"[^\n]")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(?:[A-Za-z_][\w-]*:.*\n|[ \t#-].*\n|\n){1,400}---[ \t]*(?:\n|\Z)")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_INNER = r"(?:\\\S|[^()\s\\])*"  # of a link's target, escapes read
# What is no prose. Order matters: code hides links, targets hide bare addresses.
_NOT_PROSE = re.compile(
    r"(?=[`\]<\[hHgG])(?:(?P<code>(?<!`)(?P<ticks>`{1,3})(?!`)(?P<inside>[^`\n]{1,300})(?P=ticks)(?!`))"
    rf"|(?P<target>\]\([ ]*(?:<(?:\\[^\n]|[^<>\\\n])*>|(?!<){_INNER}(?:\({_INNER}\){_INNER})*)(?:[ ]+[\"'][^\"'\n]*[\"'])?[ ]*\))"
    r"|(?P<angle><(?:!--.{0,2000}?--|[A-Za-z/][^<>\n]{0,2000})>)"
    r"|(?P<reference>^[ ]{0,3}\[[^\]\n]{1,200}\]:[ \t]*<?(?:https?:|[/.#])[^\n]*$)"
    rf"|(?P<bare>{BARE}))",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_TARGET_ENDS = " \t\r\n)>\"'"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # `acme/foo_base` is a name with its owner


_BEGINNINGS = ("`", "](", "<", "[", "http", "git+http")


@dataclass(frozen=True)
class Block:
    """One heading, paragraph, list item's paragraph or table cell: its lines in the summary and its rendered text."""

    start: int
    end: int
    text: str
    kind: str  # "heading", "bullet", "cell" or "text"
    words: tuple[str, ...]
    level: int  # of a heading, else 0


@dataclass(frozen=True)
class Link:
    """A link's or image's target and the characters that hold it."""

    target: str
    start: int
    end: int


@dataclass(frozen=True)
class Document:
    text: str  # the summary, cut where it is absurdly long
    prose: str  # as long as `text`: code, addresses, HTML and front matter turned to spaces
    lower: str  # `prose` in lower case
    blocks: tuple[Block, ...]
    links: tuple[Link, ...]
    words: tuple[str, ...]  # rendered words in order; a word holds a letter or a digit
    html: tuple[tuple[int, int], ...]
    unclosed_fences: tuple[tuple[int, int], ...]
    front_matter: tuple[int, int] | None
    words_cut: int  # words beyond the cut, counted without parsing
    is_cut: bool


@dataclass
class _Walk:
    """What one pass over the tokens collects."""

    blocks: list[Block] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    html: list[tuple[int, int]] = field(default_factory=list)
    code: list[tuple[int, int]] = field(default_factory=list)
    unclosed: list[tuple[int, int]] = field(default_factory=list)


def read(summary: str) -> Document:
    """Parses `summary`. Never raises: Markdown knows no syntax errors, and the length is bounded."""
    text = _bounded(summary)
    echo = _FRONT_MATTER.match(text)
    # Blanked, not cut: the offsets stay. Parsed as Markdown it would be a rule and a heading.
    body = blank(text, [echo.span()]) if echo else text
    walk = _walk(body)
    hidden, bare = _not_prose(blank(body, walk.code))
    prose = blank(body, [*walk.code, *hidden])
    return Document(
        text=text,
        prose=prose,
        lower=lowered(prose),
        blocks=tuple(walk.blocks),
        links=tuple(sorted([*walk.links, *bare], key=lambda link: link.start)),
        words=tuple(word for block in walk.blocks for word in block.words),
        html=tuple(walk.html),
        unclosed_fences=tuple(walk.unclosed),
        front_matter=echo.span() if echo else None,
        words_cut=len(rendered_words(summary[len(text) :])),
        is_cut=len(text) < len(summary),
    )


def _bounded(summary: str) -> str:
    """`summary` up to MAX_CHARACTERS and MAX_BRACKETS: any text may be passed in, none may cost minutes."""
    text = summary[:MAX_CHARACTERS]
    brackets = [match.start() for match in islice(re.finditer(r"[\[<]", text), MAX_BRACKETS + 1)]
    return text[: brackets[-1]] if len(brackets) > MAX_BRACKETS else text


def blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """`text` with the spans turned to spaces, newlines kept, so that lines and offsets stay."""
    parts, position = [], 0
    for start, end in sorted(spans):
        start = max(start, position)
        if end > start:
            parts += [text[position:start], _WITHIN_LINE.sub(" ", text[start:end])]
            position = end
    return "".join([*parts, text[position:]])


def lowered(text: str) -> str:
    """Lower case, as long as before: `str.lower` makes two characters of a few, and offsets would slip."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_LOWER)


def rendered_words(text: str) -> tuple[str, ...]:
    """Pieces between white space that hold a letter or a digit: a dash is no word."""
    return tuple(piece for piece in text.split() if piece[0].isalnum() or _LETTER_OR_DIGIT.search(piece))


def _walk(text: str) -> _Walk:
    starts = [0, *(match.end() for match in _NEWLINE.finditer(text))]
    found = _Walk()
    blocks = blocks_of(text)
    if blocks is None:
        _walk_tokens(found, text, text, starts)
    for block in blocks or ():
        if block.kind == "table":
            _walk_tokens(found, text, block.content, [*starts[block.first : block.last + 1]])
            continue
        end = starts[block.last] if block.last < len(starts) else len(text)
        _add(found, text, block.content, Block(starts[block.first], end, "", block.kind, (), block.level), {})
    return found


def _walk_tokens(found: _Walk, text: str, part: str, starts: list[int]) -> None:
    """Of a `part` of the text, whose lines have these `starts`."""
    references: dict[str, Any] = {}
    lists = cells = heading = 0
    for token in _BLOCKS.parse(part, references):
        first, last = token.map or (0, 0)
        start = starts[first] if first < len(starts) else len(text)
        end = starts[last] if last < len(starts) else len(text)
        match token.type:
            case "bullet_list_open" | "bullet_list_close" | "ordered_list_open" | "ordered_list_close":
                lists += token.nesting
            case "th_open" | "th_close" | "td_open" | "td_close":
                cells += token.nesting
            case "heading_open":
                heading = int(token.tag[1:])
            case "heading_close":
                heading = 0
            case "fence" | "code_block":
                found.code.append((start, end))
                if token.type == "fence" and not _is_closed(token, text[start:end]):
                    found.unclosed.append((start, end))
            case "html_block":
                found.html.append((start, end))
                found.code.append((start, end))
            case "inline":
                kind = "heading" if heading else "bullet" if lists else "cell" if cells else "text"
                _add(found, text, token.content, Block(start, end, "", kind, (), heading), references)


def _add(found: _Walk, text: str, content: str, block: Block, references: dict[str, Any]) -> None:
    """The block with the rendered text of its `content`, and the links and HTML in it."""
    start, end = block.start, block.end
    if plain := inline_of(content):
        shown = plain.shown
        for target in plain.targets:
            found.links.append(_link(text, target, start, end, found.links))
    else:
        [inline] = _INLINE.parseInline(content, references)
        shown = _rendered(inline.children or [])
        for child in inline.children or []:
            if child.type == "html_inline":
                found.html.append(_find(text, child.content, start, end))
            elif child.type in ("link_open", "image"):
                target = str(child.attrGet("src" if child.type == "image" else "href") or "")
                # A bare address is found in the text itself; an autolink's text is its address.
                found.links.append(_link(text, target, start, end, found.links))
    shown = re.sub(r"https?://\S+", " ", shown) if "://" in shown else shown
    found.blocks.append(replace(block, text=shown, words=rendered_words(shown)))


def _is_closed(token: Token, block: str) -> bool:
    lines = block.rstrip("\r\n").splitlines()
    last = lines[-1].strip(" \t>") if lines else ""
    return len(lines) > 1 and last.startswith(token.markup) and not last.strip(token.markup[0])


def _rendered(children: list[Token]) -> str:
    """The text a reader sees: no addresses, no markup, no code other than names and amounts."""
    parts: list[str] = []
    address = False
    for child in children:
        match child.type:
            case "link_open":
                address = child.info == "auto"
            case "link_close":
                address = False
            case "text" if not address:
                parts.append(child.content)
            case "code_inline":
                parts.append(" " if CODE_SIGNS.search(child.content) else child.content)
            case "softbreak" | "hardbreak" | "html_inline":
                parts.append(" ")
    return "".join(parts)


def _link(text: str, target: str, start: int, end: int, before: list[Link]) -> Link:
    """Behind the last link of the block, if it stands there whole: it may be the beginning of another address, or come twice."""
    behind = before[-1].end if before and start <= before[-1].start < end else start
    for spelling in _spellings(target):
        for at in chain(_all_at(text, spelling, behind, end), _all_at(text, spelling, start, min(behind + len(spelling), end))):
            if text[at + len(spelling) : at + len(spelling) + 1] in _TARGET_ENDS:
                return Link(target, at, at + len(spelling))
    return Link(target, *_find(text, target, start, end))


def _spellings(wanted: str) -> tuple[str, ...]:
    return (wanted, unquote(wanted), wanted.replace("&", "&amp;")) if wanted else ()


def _all_at(text: str, wanted: str, start: int, end: int) -> Iterator[int]:
    at = text.find(wanted, start, end)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1, end)


def _find(text: str, wanted: str, start: int, end: int) -> tuple[int, int]:
    """Where `wanted` stands in the block, else the block: the parser encodes targets and leaves no positions."""
    for spelling in _spellings(wanted):
        at = text.find(spelling, start, end)
        if at < 0:
            at = text.find(spelling)  # a reference: its definition stands elsewhere
        if at >= 0:
            return at, at + len(spelling)
    return start, len(text[start:end].rstrip()) + start


def _not_prose(text: str) -> tuple[list[tuple[int, int]], list[Link]]:
    """Spans to blank, and the bare addresses among them."""
    hidden, bare = [], []
    for match in matches_at(_BEGINNINGS, _NOT_PROSE, text):
        if match["code"] and (not CODE_SIGNS.search(match["inside"]) or _REPOSITORY.fullmatch(match["inside"])):
            continue
        start, end = match.span()
        if match["target"]:
            start += 1  # the bracket that closes the text stays
        elif match["bare"]:
            end = start + len(trimmed_url(match["bare"]))
            bare.append(Link(address_of(text[start:end]), start, end))
        hidden.append((start, end))
    return hidden, bare


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Each line with its offset."""
    position = 0
    for line in text.splitlines(keepends=True):
        yield position, line
        position += len(line)
