"""The Markdown that most summaries are made of, read in a tenth of the parser's time: headings, bullets and paragraphs, and in them
strong text, code and links to plain addresses. Tables and anything else are the parser's (document.py); a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Inline code that is a name or an amount (`Lumen-3B`, `65,536`) is read like prose: else backticks would hide it from the checks.
CODE_SIGNS = re.compile(r"[=(){}\[\]<>;$\\|]|--|::|_")

_FOREIGN = re.compile("[\t\r\0]")  # of the parser's rules for these none is kept here
# Begins no list, table, rule or definition, and no HTML.
_TEXT = r"(?=(?:\*\*|[(\"“‘])?[A-Za-z]|`[^`]|[0-9](?![0-9]*[.)](?:\s|\Z))|(?:\*\*)?\[(?![^\]]*\]:)[^\]]*\])"
_LINE = re.compile(rf"(?P<heading>\#{{1,6}})[ ]+(?=[^\s\#])|(?P<bullet>[-*+][ ])?{_TEXT}")

_PLAIN = r"[^\\`*_\[\]!<&\n]"
_INNER = r"_(?<=[A-Za-z0-9]_)(?=[A-Za-z0-9])"  # of a snake_case
_PIECE = re.compile(
    rf"(?P<plain>(?:{_PLAIN}++|{_INNER}|!(?!\[)|&(?=\s)|<(?=[ 0-9=])|\n(?<=[^\s]\n)(?=[A-Za-z(\"“‘`*])|\*(?<=[ ]\*)(?=[ ]))++)"
    # Between these nothing else can be meant: the first opens alone, the second closes alone.
    rf"|(?:(?<=[ (\n])|\A)\*\*(?P<strong>[A-Za-z0-9](?:{_PLAIN}|{_INNER})*)\*\*"
    r"(?:(?<=[A-Za-z0-9]\*\*)(?=[\s,.:;)]|\Z)|(?<=[.:,)%?]\*\*)(?=\s|\Z))"
    r"|`(?<!``)(?P<code>[^`\s](?:[^`\n]*[^`\s])?)`(?!`)"
    rf"|\[(?P<label>{_PLAIN}+)\]\((?P<target>https?://[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:/[A-Za-z0-9/._-]*)?)\)"
)


@dataclass
class PlainBlock:
    """Lines `first` to `last` (exclusive), and their text without the signs of the block. `level`: of a heading, else 0."""

    first: int
    last: int
    content: str
    kind: str  # "heading", "bullet", "text", or "table", whose lines are not read here
    level: int = 0


@dataclass(frozen=True)
class PlainInline:
    """What a reader sees of a block's text, and the targets of its links in order."""

    shown: str
    targets: tuple[str, ...]


def blocks_of(text: str) -> list[PlainBlock] | None:
    """The blocks of `text`; None where it has others than these."""
    if _FOREIGN.search(text):
        return None
    found: list[PlainBlock] = []
    before = ""  # kind of the line before
    for number, line in enumerate(text.split("\n")):
        bare = line.rstrip(" ")
        if not bare:
            before = ""
            continue
        if line[0] == "|":
            if before in ("text", "bullet"):
                return None
            _extend(found, number, line, "table", before)
            before = "table"
            continue
        opened = _LINE.match(line)
        if not opened or bare[-1].isspace() or (opened["heading"] and bare[-1] == "#"):
            return None
        content, kind = line[opened.end() :], "heading" if opened["heading"] else "bullet" if opened["bullet"] else "text"
        if before == "table" or (kind == "text" and before == "bullet"):
            return None  # goes on with what is before
        _extend(found, number, content, kind, before, len(opened["heading"] or ""))
        before = kind
    for block in found:
        block.content = block.content.rstrip(" ")  # within a paragraph it is a line break
    return found


def _extend(found: list[PlainBlock], number: int, content: str, kind: str, before: str, level: int = 0) -> None:
    if kind == before and kind in ("text", "table"):
        found[-1].content, found[-1].last = f"{found[-1].content}\n{content}", number + 1
    else:
        found.append(PlainBlock(number, number + 1, content, kind, level))


def inline_of(content: str) -> PlainInline | None:
    """The text of one block as it is shown; None where it has other markup than this."""
    parts, targets, position = [], [], 0
    while position < len(content):
        if not (piece := _PIECE.match(content, position)):
            return None
        position = piece.end()
        code = piece["code"]
        shown = piece["plain"] or piece["strong"] or piece["label"] or (" " if CODE_SIGNS.search(code) else code)
        parts.append(shown)
        if piece["target"]:
            targets.append(piece["target"])
    return PlainInline("".join(parts).replace("\n", " "), tuple(targets))
