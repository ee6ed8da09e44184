"""Words, sentences and markup as counting reads them: one form for singular, plural and what names the same kind of thing."""

from __future__ import annotations

import re
from functools import lru_cache

CACHED_STEMS = 8_192  # a source has some 1,500 words, and says each of them in several lists

STOP = frozenset(
    "of in on for with and or that which who are is was were be has have from to at by as than the a an its their it they can do does did "
    "not but while when where since so if per each against versus vs under over among between into through using used also only".split()
)
SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\([^()\s]{0,500}\)")
_URL = re.compile(r"https?://[^\s<>\[\]\"'|)]{1,500}")
_MARKS = re.compile(r"(?=[<*`_])(?:<[^<>\n]{1,300}>|[*`]{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w))")
PLAIN_WORD = re.compile(r"[^\W\d_]++(?:['’-][^\W\d_]++)*+")

# Words for one kind of thing, each line led by the one that stands for all.
_ALIKE = """
model checkpoint variant version sibling sister network architecture size
dataset corpus corpora data source collection subset
author people person contributor researcher writer colleague co-author coauthor
class label type category kind entity
task benchmark test evaluation suite
metric measure score figure result value
image picture photo illustration screenshot rendering
file script module
example sentence prompt query widget question snippet demonstration
section heading chapter
parameter hyperparameter setting argument option
step stage phase component part element
link address url reference
column field attribute feature input variable
row entry line item bullet
domain area topic subject
limitation limit risk weakness caveat
news newspaper outlet
""".strip().splitlines()
_CANONICAL = {word: line.split()[0] for line in _ALIKE for word in line.split()}


def line_around(text: str, position: int) -> tuple[int, int]:
    end = text.find("\n", position)
    return text.rfind("\n", 0, position) + 1, len(text) if end < 0 else end


def sentence_around(text: str, position: int) -> tuple[int, int]:
    """Where the sentence at a position starts and ends, within its line."""
    start, end = line_around(text, position)
    ends = [match.end() for match in SENTENCE_END.finditer(text, start, position)]
    after = SENTENCE_END.search(text, position, end)
    return ends[-1] if ends else start, after.end() if after else end


@lru_cache(CACHED_STEMS)
def stem(word: str) -> str:
    """One form for singular and plural, and one word for those that name the same kind of thing."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    if word not in _CANONICAL and len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") else word[: -2 if word.endswith(("sses", "xes", "ches", "shes")) else -1]
    return _CANONICAL.get(word, word)


def stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, set(PLAIN_WORD.findall(text))))


def running(text: str) -> str:
    """The words of a text in small letters, with a space around each: State-of-the-art is state of the art."""
    return f" {' '.join(PLAIN_WORD.findall(text.lower().replace('-', ' ')))} "


def plain(text: str) -> str:
    """`text` without markup: links as their text, no addresses, no stars, backticks and tags."""
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "://" in text:
        text = _URL.sub(" ", text)
    return (_MARKS.sub("", text) if "*" in text or "`" in text or "_" in text or "<" in text else text).strip()
