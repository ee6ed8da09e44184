"""Things that are told by their shape, wherever they stand: front matter, headings, BibTeX, images, HTML, lists in code."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

from data_prep.checks.derived.groups import Group
from data_prep.checks.derived.words import plain, stems

MAX_LINE = 4_000  # characters of one
MAX_SHAPES = 400  # of each kind that is told by its shape
MAX_BETWEEN = 600  # characters of one entry of a printed list
MAX_AUTHORS = 5_000  # characters that the authors of one entry take
PRINTED = "entries of a printed list"
AUTHORS = "authors"
UNFILLED = "parts without content"
_FENCE = re.compile(r"[ \t>]{0,12}(?:`{3,}|~{3,})")
_BIBTEX = re.compile(r"^[ \t]{0,8}@[A-Za-z]{3,20}[{(]", re.MULTILINE)
_AUTHORS = re.compile(r"\bauthors?\s{0,4}=\s{0,4}([{\"])", re.IGNORECASE)
_AUTHOR_END = re.compile(r"\sand\s")
_CITED = re.compile(r"(?<!\w)(?:[^\W\d_][\w'’-]{1,30},[ ](?:[A-Z]\.[ -]?){1,4},?[ ]{0,2}(?:&[ ]|and[ ])?){2,60}")
_CITED_NAME = re.compile(r",[ ][A-Z]\.")
_FILE = re.compile(r"(?<![\w/.-])[\w/.-]{0,80}[\w-]\.([a-z]{2,11})\b")
_IMAGE = re.compile(r"(?P<linked>\[)?!\[[^\]\n]{0,200}\]\(([^)\s]{0,300})|<img\b([^>]{0,300})", re.IGNORECASE)
_BADGE = re.compile(r"badge|shields\.io", re.IGNORECASE)
_COMMENT = re.compile(r"<!--")
_UNFILLED = re.compile(r"\bmore information (?:is )?needed\b", re.IGNORECASE)
_HTML_COLUMN = re.compile(r"<t[hd]\b(?:[^<>]{0,200}?\bcolspan\s?=\s?[\"']?(?P<span>[0-9]{1,2}))?", re.IGNORECASE)
_SAID = re.compile(r"^[ \t]{0,8}(?:\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”)[ \t]{0,8}$", re.MULTILINE)
_HTML_LIST = re.compile(r"<(/?)(table|tr|ul|ol|li)\b", re.IGNORECASE)
_OPENS_LIST = re.compile(r"[=:]\s{0,2}(?=[\[({])")
_KEY_BEFORE = re.compile(r"(?<!\w)(\w{1,40})['\"]?\s{0,2}\Z")
_NEXT_ENTRY = re.compile(r"(?:\}\s{0,9},\s{0,40}\{|\)\s{0,9},\s{0,40}\(|\]\s{0,9},\s{0,40}\[)")


def is_fence(line: str) -> bool:
    return ("```" in line or "~~~" in line) and _FENCE.match(line) is not None


def of_metadata(value: Any, key: str = "") -> Iterator[Group]:
    """Lists of the front matter, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from of_metadata(inner, str(name))
    elif isinstance(value, list):
        held = stems(" ".join(item for item in value if isinstance(item, str)))
        yield Group(len(value), "items of a list", stems(key.replace("_", " ").replace("-", " ")), held)
        for inner in value[:100]:
            yield from of_metadata(inner, key if isinstance(inner, list) else "")


def of_headings(headings: list[tuple[int, str]]) -> Iterator[Group]:
    """Headings of one level below one heading."""
    below: dict[tuple[int, int], list[str]] = defaultdict(list)
    above: list[tuple[int, int]] = []  # level and place of the headings that hold the current one
    for place, (level, text) in enumerate(headings):
        while above and above[-1][0] >= level:
            above.pop()
        below[(above[-1][1] if above else -1, level)].append(text)
        above.append((level, place))
    for (parent, _), texts in below.items():
        named = stems(headings[parent][1]) if parent >= 0 and headings[parent][0] > 1 else frozenset()
        yield Group(len(texts), "headings", named | {"section"}, stems(" ".join(texts)), explicit=False)


def of_shapes(body: str) -> Iterator[Group]:
    """Things that are told by their shape, wherever they stand: they are counted only under their own name."""
    lower = body.lower()
    fences = sum(map(is_fence, body.splitlines()))
    images = list(_IMAGE.finditer(body)) if "![" in body or "<img" in lower else []
    shown = sum(not image["linked"] and not _BADGE.search(image[2] or image[3] or "") for image in images)
    for size, kind, named in (
        (len(_BIBTEX.findall(body)) if "@" in body else 0, "BibTeX entries", "row bibtex citation link paper"),
        (len(images), "images", "image"),
        (shown, "images that are no badges", "image sample"),
        (len(_COMMENT.findall(body)), "HTML comments", "comment"),
        (len(_UNFILLED.findall(body)) if "more information" in lower else 0, UNFILLED, "section placeholder field"),
        (len(_SAID.findall(body)), "lines in quotation marks", "row example image caption quotation"),
        (fences // 2, "blocks of code", "block example code"),
    ):
        yield Group(size, kind, frozenset(named.split()), explicit=False)
    yield from _authors(body)
    files: dict[str, set[str]] = defaultdict(set)
    # The pattern tries every letter anew, and few words hold a point before another letter.
    for match in (match for word in dict.fromkeys(body.split()) if "." in word[:-1] for match in _FILE.finditer(word)):
        files[match[1]].add(match[0])
    for ending, names in files.items():
        yield Group(len(names), "files of one kind", frozenset(("file", ending)), explicit=False)
    yield from _of_html(body)
    yield from _of_brackets(body)
    yield from entries(body, frozenset())


def _authors(body: str) -> Iterator[Group]:
    """Authors of BibTeX entries, and of lines as "Moor, A., Tarn, B. C., & Rill, E.". Held are their names."""
    for match in islice(_AUTHORS.finditer(body) if "author" in body.lower() else (), MAX_SHAPES):
        names = _until_closed(body[match.end() : match.end() + MAX_AUTHORS], "}" if match[1] == "{" else match[1])
        yield Group(len(_AUTHOR_END.findall(names)) + 1, AUTHORS, frozenset({"author"}), stems(names), explicit=False)
    lines = (line for line in body.splitlines() if len(_CITED_NAME.findall(line)) > 1) if _CITED_NAME.search(body) else ()
    for match in islice((match for line in lines for match in _CITED.finditer(line)), MAX_SHAPES):
        yield Group(len(_CITED_NAME.findall(match[0])), AUTHORS, frozenset({"author"}), stems(match[0]), explicit=False)


def _until_closed(text: str, closing: str) -> str:
    r"""`text` up to the mark that closes it; "Sol{\`e}ne" has a bracket inside."""
    depth = 0
    for place, character in enumerate(text):
        if character == closing and not depth:
            return text[:place]
        depth += {"{": 1, "}": -1}.get(character, 0)
    return ""


def _of_html(body: str) -> Iterator[Group]:
    """Rows of HTML tables and items of HTML lists."""
    open_at: list[list[int]] = []  # where each opened, and how many it holds
    for match in islice(_HTML_LIST.finditer(body), 5 * MAX_SHAPES):
        closing, tag = match[1], match[2].lower()
        if tag in ("li", "tr"):
            if open_at and not closing:
                open_at[-1][1] += 1
        elif not closing:
            open_at.append([match.start(), 0])
        elif open_at:
            start, count = open_at.pop()
            before = stems(plain(body[max(0, start - 200) : start]))
            for size in (count, count - 1) if tag == "table" else (count,):
                yield Group(size, "rows of a table" if tag == "table" else "items of a list", before | {"row"})
            if tag == "table":
                yield from _html_columns(body[start : start + MAX_LINE])


def _html_columns(table: str) -> Iterator[Group]:
    """Columns of an HTML table, as many as its first row spans, with the column of names and without."""
    row = re.split(r"</tr|<tr", table, maxsplit=2, flags=re.IGNORECASE)[1:2]
    count = sum(int(cell["span"] or 1) for cell in _HTML_COLUMN.finditer(row[0])) if row else 0
    for size in (count, count - 1):
        yield Group(size, "columns of a table", frozenset({"column"}), explicit=False)


def _of_brackets(body: str) -> Iterator[Group]:
    """`labels = ["A", "B"]` in code or output: counted under the name before it."""
    opened = (
        (match.end(), _KEY_BEFORE.search(body, max(0, match.start() - 43), match.start()))
        for match in _OPENS_LIST.finditer(body)
    )
    for start, key in islice(((start, key[1]) for start, key in opened if key), MAX_SHAPES):
        depth, commas, quote, filled = 0, 0, "", False
        for character in body[start : start + 1000]:
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote, filled = character, True
            elif character in "[({":
                depth += 1
            elif character in "])}":
                depth -= 1
                if not depth:
                    break
            elif depth == 1 and character == ",":
                commas, filled = commas + 1, False
            filled = filled or (depth > 0 and character.isalnum())
        if not depth:
            yield Group(commas + filled, "items of a list", stems(key.replace("_", " ")), explicit=False)


def entries(text: str, named: frozenset[str]) -> Iterator[Group]:
    """`[{'entity': ...}, {'entity': ...}]` and `('new', 0.09), ('old', 0.04)`: what is printed entry by entry is counted under the
    words of the first entry and those around it."""
    start, end, count = 0, -MAX_BETWEEN, 1
    for joint in islice(_NEXT_ENTRY.finditer(text), 20 * MAX_SHAPES):
        between = text[end : joint.start()] if end > 0 else ""
        if joint.start() - end > MAX_BETWEEN or "\n\n" in between or "](" in between or "|" in between:
            if count > 1:
                yield _printed(text, start, count, named)
            start, count = joint.start(), 1
        count, end = count + 1, joint.end()
    if count > 1:
        yield _printed(text, start, count, named)


def _printed(text: str, start: int, count: int, named: frozenset[str]) -> Group:
    first = stems(text[max(0, start - 200) : start].replace("_", " "))
    return Group(count, PRINTED, named | first, explicit=False)
