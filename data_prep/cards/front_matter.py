"""The YAML block at the top of a card. The reader never raises, whatever the text: cards are written by strangers.

The events of libyaml are turned into plain values here, without a YAML constructor: no tag can run anything, no alias can
blow up, depth is bounded, and `no`, `1.10` or `2023-01-01` stay the text that the author wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_CHARACTERS = 65_536  # of one YAML block; larger ones are lists of tags by the ten thousand, or an attack
MAX_DEPTH = 32
NULLS = ("", "~", "null", "Null", "NULL")
OPENING = re.compile(r"---[ \t]*(?:\n|\Z)")
CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE)
# What YAML allows in no text, and lone surrogates, which no UTF-8 file can hold.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
KEY_LINE = re.compile(r"([A-Za-z_][\w.-]{0,99})[ ]*:(?:[ ]+(.*)|$)")
ITEM_LINE = re.compile(r"[ ]*-[ ]+(\S.*)$")
# A block that was never closed counts as front matter only where it names one of these: a card may open with a rule.
COMMON_KEYS = set("license language tags library_name pipeline_tag base_model datasets metrics model-index".split())


@dataclass(frozen=True)
class FrontMatter:
    """`metadata` holds JSON values whose scalars are text or None. `body` has `\\n` line ends and no byte-order mark.

    `status` is "parsed", "none" (no block), "salvaged: why" (only simple lines were read) or "unreadable: why", where the
    block stays in the body. `end`: where the block ends, with what stands before it, in a text of `\n` line ends without a byte-order
    mark; 0 where it has none.
    """

    metadata: dict[str, Any]
    body: str
    status: str
    end: int = field(default=0, compare=False)  # a place, and no part of what the block says


class _Refused(Exception):
    """YAML that is valid and still not for us."""


def split_front_matter(text: str) -> FrontMatter:
    """Front matter and body of a README. Tolerates a byte-order mark, blank lines and HTML comments before the block."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    start = _end_of_comments(text)
    opening = OPENING.match(text, start)
    if opening is None:
        return FrontMatter({}, text, "none")
    comments = text[:start].strip()
    closing = CLOSING.search(text, opening.end())
    if closing is None:
        return _unclosed(text, opening.end(), comments)
    metadata, problem = read_block(text[opening.end() : closing.start()])
    if problem and not metadata:
        return FrontMatter({}, text, f"unreadable: {problem}")
    end = closing.end()
    body = f"{comments}\n{text[end:]}" if comments else text[end:]
    return FrontMatter(metadata, body, f"salvaged: {problem}" if problem else "parsed", end)


def read_block(block: str) -> tuple[dict[str, Any], str]:
    """Metadata of the text between the fences, and what was wrong with it ("" where nothing was)."""
    # YAML knows no tab as indentation; authors do.
    block = CONTROL.sub("", block).replace("\t", "  ")
    if len(block) > MAX_CHARACTERS:
        return salvage(block), f"{len(block)} characters of YAML, at most {MAX_CHARACTERS} are parsed"
    try:
        value, problem = build(block)
    except (yaml.YAMLError, _Refused) as error:
        return salvage(block), _one_line(error)
    if value is None:
        return {}, problem
    if not isinstance(value, dict):
        return {}, f"holds a {'list' if isinstance(value, list) else 'text'}, not keys and values"
    return value, problem


def build(text: str) -> tuple[Any, str]:
    """The value of one YAML document and a note on repeated keys. Raises _Refused on aliases, depth, keys that are no text.

    Works on a stack of its own: recursion would hand an attacker the interpreter's.
    """
    root, problem, started = None, "", False
    stack: list[_Frame] = []
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.DocumentStartEvent) and started:
            raise _Refused("a second YAML document")
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            stack.pop()
            continue
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("an alias, which could stand for any amount of text")
        value = _value(event)
        if value is _NOTHING:
            continue
        if not stack:
            root, started = value, True
        else:
            problem = stack[-1].place(value) or problem
        if isinstance(value, (list, dict)):
            stack.append(_Frame(value))
            if len(stack) > MAX_DEPTH:
                raise _Refused(f"nested deeper than {MAX_DEPTH}")
    return root, problem


_NOTHING = object()


def _value(event: yaml.Event) -> Any:
    if isinstance(event, yaml.ScalarEvent):
        return None if not event.style and event.value in NULLS else CONTROL.sub("", event.value)
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    return {} if isinstance(event, yaml.MappingStartEvent) else _NOTHING


class _Frame:
    """An open list or mapping; in a mapping, values come as key and value in turn."""

    def __init__(self, container: list[Any] | dict[str, Any]):
        self.container = container
        self.key: Any = _NOTHING

    def place(self, value: Any) -> str:
        """Puts `value` where it belongs; returns a note where that overwrites another value."""
        if isinstance(self.container, list):
            self.container.append(value)
            return ""
        if self.key is _NOTHING:
            if isinstance(value, (list, dict)):
                raise _Refused("a list or mapping as a key")
            self.key = value or ""
            return ""
        key, self.key = self.key, _NOTHING
        repeated = key in self.container
        self.container[key] = value
        return f'key "{key[:60]}" twice, the last one kept' if repeated else ""


def salvage(block: str) -> dict[str, Any]:
    """Top-level `key: value` lines and the simple lists below them, for a block that YAML cannot read.

    Nothing where the first line is no key: then it is prose between two rules.
    """
    metadata: dict[str, Any] = {}
    key = None
    for line in block.split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        if found := KEY_LINE.match(line):
            key, value = found[1], (found[2] or "").strip()
            metadata[key] = _flow_list(value) if value.startswith("[") and value.endswith("]") else _unquoted(value) or None
        elif key is None:
            return {}
        elif item := ITEM_LINE.match(line):
            if metadata[key] is None:
                metadata[key] = []
            if isinstance(metadata[key], list):
                metadata[key].append(_unquoted(item[1]))
    return metadata


def _flow_list(value: str) -> list[str]:
    return [_unquoted(item) for item in value[1:-1].split(",") if item.strip()]


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _unclosed(text: str, start: int, comments: str) -> FrontMatter:
    """A block without a closing fence ends at the first line that cannot be YAML."""
    end = start
    for line in text[start:].splitlines(keepends=True):
        bare = line.rstrip("\n")
        if not (KEY_LINE.match(bare) or ITEM_LINE.match(bare) or bare.startswith("  ")):
            break
        end += len(line)
    metadata, problem = read_block(text[start:end])
    if not COMMON_KEYS & metadata.keys():
        return FrontMatter({}, text, "none")
    body = f"{comments}\n{text[end:]}" if comments else text[end:]
    return FrontMatter(metadata, body, "salvaged: no closing fence" + (f"; {problem}" if problem else ""), end)


def _end_of_comments(text: str) -> int:
    """Where blank space and HTML comments at the start end. A loop: a pattern would backtrack without end."""
    position = 0
    while True:
        while position < len(text) and (text[position].isspace() or text[position] == "\ufeff"):
            position += 1
        if not text.startswith("<!--", position):
            return position
        end = text.find("-->", position)
        if end < 0:
            return position
        position = end + 3


def _one_line(error: Exception) -> str:
    """What the YAML parser says, with its line, as one line."""
    said = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    return " ".join(f"{said}{f' in line {mark.line + 1}' if mark else ''}".split())[:200]
