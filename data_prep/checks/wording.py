"""Wording: no repetition, and no praise that the sources do not give themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby

from data_prep.cards.scan import matches_at
from data_prep.checks.document import Block, Document, lowered
from data_prep.checks.result import CheckResult, Span, listed

REPETITION_MAX = 0.20  # share of 4-grams that occurred before; score bullets in one wording reach about half of it
SAME_WORDS_MIN = 4  # a bullet or sentence this long may stand only once

_DIGIT = re.compile(r"[0-9]")
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PRAISE = re.compile(
    r"(?<![^\W_])(?=[a-gijmoprsuw])(?:state[-\s‐‑–]{1,8}of[-\s‐‑–]{1,8}(?:the[-\s‐‑–]{1,8})?art|sota|(?:best|first)[- ]in[- ]class|class[- ]leading|(?:world|industry|market)[- ]leading"
    r"|world[- ]class|world[’']s (?:best|most \w+)|ground-?breaking|revolutionary|revolutioni[sz](?:es?|ing)|game[- ]chang(?:er|ing)"
    r"|un(?:paralleled|matched|rival+ed|precedented|beatable|surpassed)|cutting[- ]edge|bleeding[- ]edge|second to none|peerless"
    r"|(?:sets?|setting) (?:a )?new (?:standards?|benchmarks?|bars?|records?)|outperforms all|beats all|phenomenal|extraordinary"
    r"|breathtaking|awe-inspiring|mind-blowing|jaw-dropping|flawless(?:ly)?|superhuman)(?![^\W_])"
)
_BEGINNINGS = (
    "state sota best first class world industry market ground revolution game unpar unmat unriv unprec unbeat unsurp cutting bleeding"
    " second peerless sets setting outperforms beats phenomenal extraord breathtaking awe mind-blowing jaw-dropping flawless superhuman"
).split() + ["set a", "set new"]
# "nowhere called a groundbreaking model", "does not claim to be ..."; not "not only fast but ...".
_NEGATED = re.compile(
    r"(?:\b(?:not|no|never|nor|nowhere|without|rather than)|n[’']t)"
    r"(?: (?:be|is|are|was|were|claim(?:s|ed)?|call(?:s|ed)?|describe[sd]?|presente?d?|said|to|as|itself|it|an?|the|any)\b){0,5}"
    r"(?: (?!only\b|just\b|merely\b)\w+)?[\s\"'“‘*_]*$",
    re.IGNORECASE,
)
NEGATED_CHARACTERS = 48


def check_repetition(document: Document) -> CheckResult:
    """`value`: share of the summary's word 4-grams that stood in it before, counted inside blocks."""
    grams = [gram for block in document.blocks for gram in _grams(block.words)]
    value = (len(grams) - len(set(grams))) / len(grams) if grams else 0.0
    repeats = _said_again(document)
    if repeats:
        spans = [Span(block.start, block.end, "said before") for block in dict.fromkeys(block for block, _ in repeats)]
        said = listed(f"“{text[:60]}”" for _, text in repeats)
        return CheckResult("repetition", False, value, f"said more than once: {said}", spans)
    if value > REPETITION_MAX:
        most = " ".join(Counter(grams).most_common(1)[0][0])
        reason = f"{value:.0%} of the word 4-grams repeat, at most {REPETITION_MAX:.0%} allowed; most often “{most}”"
        seen: set[tuple[str, ...]] = set()
        return CheckResult("repetition", False, value, reason, [s for b in document.blocks if (s := _mostly_old(b, seen))])
    return CheckResult("repetition", True, value, f"{value:.0%} of the word 4-grams repeat")


def _grams(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    lower = [word.lower().strip(".,;:!?*") for word in words]
    return list(zip(lower, lower[1:], lower[2:], lower[3:], strict=False))


def _said_again(document: Document) -> list[tuple[Block, str]]:
    """Blocks that repeat an earlier block, sentence or row of a table word for word, with what they repeat."""
    seen: set[tuple[bool, str]] = set()  # a heading may say what a bullet says
    again = list(_rows_again(document))
    before = None
    for block in document.blocks:
        if before is not None and block.words and block.words == before.words and block.kind == before.kind == "bullet":
            again.append((block, block.text))
        before = block
        for sentence in _SENTENCE_END.split(block.text):
            words = _WORD.findall(sentence.lower())
            if len(words) < SAME_WORDS_MIN or (len(sentence) < 80 and _DIGIT.search(sentence) and _has_few_words(sentence)):
                continue
            key = (block.kind == "heading", " ".join(words))
            if key in seen:
                again.append((block, sentence))
            if block.kind != "cell":  # the same value may stand in many cells
                seen.add(key)
    return again


def _rows_again(document: Document) -> Iterator[tuple[Block, str]]:
    seen: set[tuple[str, ...]] = set()
    for _, row in groupby((block for block in document.blocks if block.kind == "cell"), key=lambda block: block.start):
        cells = list(row)
        words = tuple(word for cell in cells for word in (*cell.words, "|"))
        following = document.text[cells[0].end :].split("\n", 1)[0]
        if len(words) - len(cells) < SAME_WORDS_MIN or ("-" in following and not following.strip(" \t|:-")):
            continue  # a short row, or a head: two tables may have the same
        if words in seen:
            yield cells[0], " ".join(cell.text for cell in cells)
        seen.add(words)


def _has_few_words(sentence: str) -> bool:
    """Fewer than SAME_WORDS_MIN, where a name or a figure is one: polyglot-ko-1.3b, 2.5/2.1."""
    count = 0
    for piece in sentence.split():
        count += 1 if _DIGIT.search(piece) else len(_WORD.findall(piece))
        if count >= SAME_WORDS_MIN:
            return False
    return True


def _mostly_old(block: Block, seen: set[tuple[str, ...]]) -> Span | None:
    grams = _grams(block.words)
    old = sum(gram in seen for gram in grams)
    seen.update(grams)
    return Span(block.start, block.end, "mostly said before") if grams and old > len(grams) / 2 else None


def praise_of(source: str) -> frozenset[str]:
    """The superlatives that the source uses itself; quoting them is fair."""
    return frozenset(_plain(match[0]) for match in matches_at(_BEGINNINGS, _PRAISE, lowered(source)))


def _plain(praise: str) -> str:
    words = re.sub(r"[^a-z]+", " ", praise.lower()).strip()
    return (
        "state of the art"
        if words in ("sota", "state of art")
        else re.sub(r"^(?:sets?|setting) (?:a )?", "", words).rstrip("s")
    )


def check_praise(document: Document, given: Callable[[], frozenset[str]]) -> CheckResult:
    """`value`: how often the summary uses a superlative that the sources do not. Most use none: then `given` is not asked for."""
    found = [
        match
        for match in matches_at(_BEGINNINGS, _PRAISE, document.lower)
        if _plain(match[0]) not in given()
        and not _NEGATED.search(document.lower, max(0, match.start() - NEGATED_CHARACTERS), match.start())
    ]
    if not found:
        return CheckResult("praise", True, 0.0, "no praise beyond the sources")
    fault = "praise that the sources do not give"
    spans = [Span(*match.span(), fault) for match in found]
    return CheckResult("praise", False, float(len(found)), f"{fault}: {listed(match[0] for match in found)}", spans)
