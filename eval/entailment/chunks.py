"""A source -> chunks that fit an entailment checker, and the chunks that speak of a claim.

Checkers were trained on a few hundred tokens of document and one claim; on longer ones they overlook things. So the source
is cut at the borders of paragraphs, and a claim's score is the best that any chunk gives it (AlignScore, arXiv 2305.16739;
MiniCheck, arXiv 2404.10774). A source may have fifty chunks, a summary thirty claims: BM25 picks the chunks worth asking.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from data_prep.cards.front_matter import split_front_matter

Count = Callable[[Sequence[str]], list[int]]  # tokens of each text
_PAGE = re.compile(r'^<source url="([^"\n]*)">\n(.*?)\n</source>', re.MULTILINE | re.DOTALL)
_TERM = re.compile(r"\w+(?:[.,]\d+)*")
SATURATION, LENGTH_WEIGHT = 1.5, 0.75  # k1 and b of BM25, the usual values


def chunks_of(source: str, limit: int, count: Count) -> list[str]:
    """Chunks of at most `limit` tokens: front matter, card, then each page's notes with its address before them. No text is
    lost; one word longer than `limit` stays whole."""
    card, *rest = _PAGE.split(source)  # what stands before the first page, then address, notes and what follows, page by page
    card = card.replace("\r\n", "\n").replace("\r", "\n")
    body = split_front_matter(card).body
    head = card[: card.rfind(body)] if body.strip() else card
    parts = [("", head), ("", card[len(head) :])]
    for url, notes, after in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        parts += [(f"Page {url}:\n", notes), ("", after)]
    return [title + piece for title, text in parts for piece in _pieces(text, limit, count)]


def _pieces(text: str, limit: int, count: Count) -> list[str]:
    paragraphs = [paragraph.strip("\n") for paragraph in re.split(r"\n[ \t]*\n", text) if paragraph.strip()]
    units = [unit for paragraph in paragraphs for unit in _fitting(paragraph, limit, count)]
    found: list[str] = []
    held: list[str] = []
    room = limit
    for unit, size in zip(units, count(units) if units else [], strict=True):
        if held and size > room:
            # A heading at the end of a chunk is over nothing; it goes on with what it is over.
            carried = held[-1:] if len(held) > 1 and held[-1].startswith("#") else []
            found.append("\n".join(held[: len(held) - len(carried)]))
            held, room = carried, limit - sum(count(carried) if carried else [])
        held.append(unit)
        room -= size
    return [*found, "\n".join(held)] if held else found


def _fitting(text: str, limit: int, count: Count) -> list[str]:
    """`text` in lines, and lines in halves at blanks, as far as `limit` asks for it."""
    if count([text])[0] <= limit:
        return [text]
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == 1:
        words = lines[0].split()
        if len(words) == 1:
            return words
        lines = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    return [piece for line in lines for piece in _fitting(line, limit, count)]


class Ranking:
    """BM25 over the chunks of one source (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework")."""

    def __init__(self, chunks: Sequence[str]) -> None:
        self.chunks = list(chunks)
        self._terms = [Counter(_terms(chunk)) for chunk in chunks]
        self._lengths = [sum(terms.values()) for terms in self._terms]
        self._mean = sum(self._lengths) / max(1, len(self._lengths)) or 1
        self._holding = Counter(term for terms in self._terms for term in terms)

    def best(self, claim: str, most: int | None) -> list[str]:
        """The `most` chunks that share most with the claim, in the source's order; all where `most` is None."""
        if most is None or len(self.chunks) <= most:
            return self.chunks
        wanted = set(_terms(claim))
        scores = [self._score(wanted, terms, length) for terms, length in zip(self._terms, self._lengths, strict=True)]
        chosen = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:most]
        return [self.chunks[index] for index in sorted(chosen)]

    def _score(self, wanted: set[str], terms: Counter[str], length: int) -> float:
        norm = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length / self._mean)
        return sum(self._rarity(term) * terms[term] * (SATURATION + 1) / (terms[term] + norm) for term in wanted if terms[term])

    def _rarity(self, term: str) -> float:
        holding = self._holding[term]
        return math.log(1 + (len(self.chunks) - holding + 0.5) / (holding + 0.5))


def _terms(text: str) -> list[str]:
    return _TERM.findall(text.lower())
