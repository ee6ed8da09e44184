"""A summary's Markdown as HTML that can do nothing: no element but those of our own renderer, no picture, links to the web alone.

Marks are set into the text as private characters before it is parsed and become elements after. A mark that would change what the
Markdown means is left out, which the two renderings, with and without, show.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from data_prep.checks.document import MAX_BRACKETS, MAX_CHARACTERS

_FIRST = 0xF0000  # a plane for private use: no font has it, and no Markdown rule knows it
_MOST_MARKS = 2_000
_SIGN = re.compile("[\U000f0000-\U000f0fff]")
_RUN = re.compile("(<[^>]*>)|([\U000f0000-\U000f0fff])")
# What begins a line of Markdown: a sign there would make a paragraph of a list, a heading or a table.
_LINE_BEGINS = re.compile(r"[ \t>]*(?:(?:[-*+]|#{1,6}|[0-9]{1,9}[.)])[ \t]+|\|)*[ \t]*")
_SAYS = re.compile(r"[^\W_]")  # a rule below a table's head says nothing


@dataclass(frozen=True)
class Mark:
    """Characters `start` to `end` of the text. `opening` is the element that stands around them, once for its first piece, `again`
    for those that other elements part from it."""

    start: int
    end: int
    opening: str
    again: str


@dataclass(frozen=True)
class Linked:
    """What stands in place of a link's two tags."""

    opening: str
    closing: str


LinkAt = Callable[[str], Linked | None]  # of a target as written; None: the renderer's own


def rendered(text: str, marks: Sequence[Mark] = (), linked: LinkAt = lambda target: None) -> str:
    """Safe HTML of any text whatsoever."""
    text = _SIGN.sub("\ufffd", text[:MAX_CHARACTERS])
    if len(re.findall(r"[\[<]", text)) > MAX_BRACKETS:
        return f"<pre>{html.escape(text)}</pre>"
    parser = _parser(linked)
    plain = _SIGN.sub("", parser.render(text))  # a reason beside a link may hold one
    kept = [mark for mark in marks[:_MOST_MARKS] if mark.start < mark.end <= len(text)]
    signed = parser.render(_signed(text, kept))
    if _SIGN.sub("", signed) != plain:
        kept = _harmless(text, kept, plain, parser)
        signed = parser.render(_signed(text, kept))
    return _with_elements(signed, kept)


def _harmless(text: str, marks: Sequence[Mark], plain: str, parser: MarkdownIt) -> list[Mark]:
    """Those that change nothing, tried one after the other."""
    kept: list[Mark] = []
    for mark in marks:
        if _SIGN.sub("", parser.render(_signed(text, [*kept, mark]))) == plain:
            kept.append(mark)
    return kept


def _signed(text: str, marks: Sequence[Mark]) -> str:
    """`text` with a sign where each mark begins and another where it ends, in each line that it covers."""
    signs: list[tuple[int, int, str]] = []
    for at, mark in enumerate(marks):
        for start, end in _in_lines(text, mark.start, mark.end):
            signs += [(start, 1, chr(_FIRST + 2 * at)), (end, 0, chr(_FIRST + 2 * at + 1))]
    parts, position = [], 0
    for place, _, sign in sorted(signs):
        parts += [text[position:place], sign]
        position = place
    return "".join([*parts, text[position:]])


def _in_lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    found, position = [], start
    for line in text[start:end].splitlines(keepends=True):
        first, last = position, position + len(line.rstrip(" \t\r\n|"))  # the bar that ends a table's row ends its last cell
        if position == 0 or text[position - 1] in "\r\n":
            first = position + len(_LINE_BEGINS.match(line)[0])  # type: ignore[index]  # it matches the empty text
        if first < last and _SAYS.search(line):
            found.append((first, last))
        position += len(line)
    return found


def _with_elements(signed: str, marks: Sequence[Mark]) -> str:
    """Signs turned into elements, closed before each tag and opened again behind it, so that they always nest."""
    active: list[int] = []
    begun: set[int] = set()
    parts: list[str] = []
    for piece in _RUN.split(signed):
        if not piece:
            continue
        if len(piece) == 1 and _SIGN.match(piece):
            at, ends = divmod(ord(piece) - _FIRST, 2)
            active = [one for one in active if one != at] if ends else [*active, at]
        elif piece.startswith("<"):
            parts.append(_SIGN.sub("", piece))
        elif active and piece.strip():
            opening = "".join(marks[one].again if one in begun else marks[one].opening for one in active)
            begun.update(active)
            parts += [opening, piece, "</mark>" * len(active)]
        else:
            parts.append(piece)
    return "".join(parts)


def _parser(linked: LinkAt) -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("image", _image)
    made.add_render_rule("link_open", lambda renderer, tokens, at, *rest: _link(tokens[at], linked).opening)
    made.add_render_rule("link_close", lambda renderer, tokens, at, *rest: _link(_opened(tokens, at), linked).closing)
    made.add_render_rule("heading_open", lambda renderer, tokens, at, *rest: f"<h{_level(tokens[at])}>")
    made.add_render_rule("heading_close", lambda renderer, tokens, at, *rest: f"</h{_level(tokens[at])}>\n")
    return made


def _level(token: Token) -> int:
    """Below the page's own headings."""
    return min(6, int(token.tag[1:]) + 2)


def _image(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """A picture's words; nothing is loaded."""
    said = self.renderInlineAsText(tokens[at].children or [], options, env) if tokens[at].children else ""
    return f'<span class="picture">[picture: {html.escape(said) or "without words"}]</span>'


def _opened(tokens: Sequence[Token], at: int) -> Token:
    """The token that opens the link which `tokens[at]` closes: links do not nest."""
    return next(token for token in reversed(tokens[:at]) if token.type == "link_open")


def _link(token: Token, linked: LinkAt) -> Linked:
    target = str(token.attrGet("href") or "")
    return linked(target) or anchor(target)


def anchor(target: str, attributes: Mapping[str, str] | None = None) -> Linked:
    """A link to the web or to a mail box; of anything else the words alone."""
    try:
        scheme, host = urlsplit(target).scheme.lower(), urlsplit(target).netloc
    except ValueError:
        scheme, host = "", ""
    if not (scheme in ("http", "https") and host) and scheme != "mailto":
        return Linked("<span>", "</span>")
    more = "".join(f' {name}="{html.escape(value)}"' for name, value in (attributes or {}).items())
    opening = f'<a href="{html.escape(target)}" target="_blank" rel="noopener noreferrer nofollow"{more}>'
    return Linked(opening, "</a>")
