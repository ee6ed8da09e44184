"""Form: length, structure, and nothing said around the summary."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_prep.checks.document import Document
from data_prep.checks.result import CheckResult, Span, listed

LENGTH_MIN = 300  # rendered words, both ends included
LENGTH_MAX = 500
BULLETS_MIN = 4
HEADINGS_MIN = 1
TITLES_MAX = 1  # level-one headings

_THINK = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
CONTROL = re.compile(r"<\|[\w ]{1,40}\|>")
# Marks that are still there after rendering: an emphasis or a link that was opened and never closed, or the other way round.
_STRAY = re.compile(r"(?<![\w*\\])\*\*(?=[^\s*])|(?<=[^\s*\\])\*\*(?![\w*])|\]\(")
_OPENING = re.compile(
    r"\s*(?:sure|certainly|of course|absolutely|okay|ok|great)\b[,!. ]|\s*here(?:'s|’s| is| are)\b.{0,60}\b(?:summary|overview)"
    r"|\s*(?:below|the following) is\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\b(?:let me know|feel free to (?:ask|reach|let)|(?:i )?hope (?:this|that|it) helps|would you like me to|(?:if you|should you)"
    r" (?:have any (?:other |further |more )?questions|need (?:any )?(?:more|further|additional))|happy to (?:help|expand|elaborate))\b",
    re.IGNORECASE,
)


def check_length(document: Document) -> CheckResult:
    """`value`: rendered words, that is whitespace-separated pieces of the rendered text that hold a letter or a digit.
    Addresses, markup, fenced code, HTML and front matter are not rendered text."""
    words = len(document.words) + document.words_cut
    fault, spans = "", []
    if document.is_cut and words <= LENGTH_MAX:
        fault = f"{words} words in far more characters or brackets than {LENGTH_MAX} words take"
    elif words < LENGTH_MIN:
        fault = f"{words} words, {LENGTH_MIN - words} fewer than the {LENGTH_MIN} required"
    elif words > LENGTH_MAX:
        fault = f"{words} words, {words - LENGTH_MAX} more than the {LENGTH_MAX} allowed"
        first = _offset_of_word(document, LENGTH_MAX)
        spans = [Span(first, len(document.text.rstrip()), f"beyond {LENGTH_MAX} words")]
    return CheckResult("length", not fault, float(words), fault or f"{words} words", spans)


def _offset_of_word(document: Document, limit: int) -> int:
    """Start of the block that holds word number `limit`: near enough to show where the summary should have ended."""
    seen = 0
    for block in document.blocks:
        seen += len(block.words)
        if seen > limit:
            return block.start
    return 0


def check_structure(document: Document) -> CheckResult:
    """`value`: share of the rendered words that stand in list items."""
    headings = [block for block in document.blocks if block.kind == "heading" and block.words]
    bullets = [block for block in document.blocks if block.kind == "bullet" and block.words]
    titles = [block for block in headings if block.level == 1]
    spans = [Span(block.start, block.end, "one title is enough") for block in titles[TITLES_MAX:]]
    faults = []
    if len(headings) < HEADINGS_MIN:
        faults.append("no heading")
    if len(bullets) < BULLETS_MIN:
        faults.append(f"{len(bullets)} bullets, at least {BULLETS_MIN} required")
    if len(titles) > TITLES_MAX:
        faults.append(f"{len(titles)} titles of level one, at most {TITLES_MAX} allowed")
    for found, fault in (
        (document.unclosed_fences, "a code fence that is never closed"),
        (list(_think_tags(document)), "think text"),
        ([match.span() for match in CONTROL.finditer(document.prose)], "control tokens"),  # named in code, one is a fact
        ([span for span in document.html if not _THINK.match(document.text, span[0])], "raw HTML"),
        ([document.front_matter] if document.front_matter else [], "front matter copied from the card"),
        (list(_stray_marks(document)), "emphasis or a link that is never closed"),
    ):
        if found:
            faults.append(fault)
            spans += [Span(start, end, fault) for start, end in found]
    total = len(document.words)
    value = sum(len(block.words) for block in bullets) / total if total else 0.0
    reason = "; ".join(faults) if faults else f"{len(headings)} headings, {len(bullets)} bullets"
    return CheckResult("structure", not faults, value, reason, sorted(spans, key=lambda span: span.start))


def _think_tags(document: Document) -> Iterator[tuple[int, int]]:
    """Tags that Markdown takes for HTML: what stands in code is spoken of."""
    for match in _THINK.finditer(document.text):
        if any(start <= match.start() < end for start, end in document.html):
            yield match.span()


def _stray_marks(document: Document) -> Iterator[tuple[int, int]]:
    """Blocks whose rendered text still shows `**` or `](`."""
    for block in document.blocks:
        shown = "**" in block.text or "](" in block.text
        # What is escaped is meant to be read.
        if shown and _STRAY.search(block.text) and "\\*" not in document.text[block.start : block.end]:
            yield block.start, block.end


def check_preamble(document: Document) -> CheckResult:
    """`value`: rendered words that speak to the reader of the chat, before the first heading or at the end."""
    first = next((index for index, block in enumerate(document.blocks) if block.kind == "heading"), None)
    # With no heading at all, structure says so; only talk can be told from content then.
    before = document.blocks[:first] if first is not None else [b for b in document.blocks[:1] if _OPENING.match(b.text)]
    after = [
        block for block in document.blocks[-2:] if block not in before and block.kind == "text" and _CLOSING.search(block.text)
    ]
    talk = [(block, "text before the first heading") for block in before if block.words]
    talk += [(block, "closing words to the reader") for block in after]
    if not talk:
        return CheckResult("preamble", True, 0.0, "nothing before the first heading, no closing chatter")
    spans = [
        Span(block.start, block.start + len(document.text[block.start : block.end].rstrip()), label) for block, label in talk
    ]
    reason = "; ".join(dict.fromkeys(label for _, label in talk)) + ": " + listed(f"“{block.text[:60]}”" for block, _ in talk)
    return CheckResult("preamble", False, float(sum(len(block.words) for block, _ in talk)), reason, spans)
