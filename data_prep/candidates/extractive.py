"""Notes and summaries without a model: sentences of the page and of the card. The trivial baseline, and what a run without
a teacher uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from data_prep.cards.front_matter import split_front_matter
from data_prep.cards.links import extract_links
from data_prep.cards.parse import licence, prose
from data_prep.checks.document import rendered_words
from data_prep.checks.links import canonical
from data_prep.core.records import Note

ENOUGH = 420  # rendered words at which a summary stops taking sentences
LINKS = 4  # addresses listed where no page was read
PER_PAGE = 2  # sentences from each linked page
SHORTEST, LONGEST = 6, 60  # words of a sentence worth a bullet
_WRAPPED = re.compile(r"(?<=[^\n])\n(?=[^\s#>*+|-])(?!\d{1,2}[.)]\s)")  # a line end inside a paragraph
_SENTENCE = re.compile(r"(?<=[.!?])[ \t]+(?=[A-Z0-9])|\n+")
_MARKS = re.compile(r"^[\s>#*+-]+|^\d{1,2}[.)]\s+|[*_`\[\]|]+")
_SPACE = re.compile(r"\s+")


def lead_notes(page: str, words: int) -> str:
    """The first sentences of a page as bullets, `words` words at most."""
    return "\n".join(_bullets(sentences(page), words))


def extractive_summary(model_id: str, card: str, notes: Sequence[Note]) -> str:
    """Heading, licence, sentences of the card and of the notes as bullets, each page linked; about ENOUGH words where the
    material has as many. "" where it has no sentence."""
    front = split_front_matter(card)
    spoken = list(sentences(front.body))
    if not spoken:
        return ""
    pages = [line for note in notes for line in _page_bullets(note)] or [
        f"- [{canonical(link)}]({link})" for link in extract_links(front.body)[:LINKS]
    ]
    ending = [f"- **Licence**: {licence(front.metadata)}."] if licence(front.metadata) else []
    tail = [*(["", "### Linked pages", "", *pages] if pages else []), *(["", "### Licence", "", *ending] if ending else [])]
    room = ENOUGH - len(rendered_words("\n".join(tail)))
    head = [f"## {model_id.rpartition('/')[2]}", "", spoken[0], "", "### From the card", ""]
    return "\n".join([*head, *_bullets(spoken[1:], room), *tail]) + "\n"


def sentences(text: str) -> Iterator[str]:
    """Sentences of the prose in `text`, markup off, each once."""
    seen = set()
    for piece in _SENTENCE.split(_WRAPPED.sub(" ", prose(text))):
        sentence = _SPACE.sub(" ", _MARKS.sub("", piece.strip())).strip()
        if SHORTEST <= len(sentence.split()) <= LONGEST and sentence.endswith((".", "!", "?")) and sentence not in seen:
            seen.add(sentence)
            yield sentence


def _bullets(spoken: Iterable[str], words: int) -> Iterator[str]:
    """The first sentences, `words` words at most."""
    for sentence in spoken:
        words -= len(sentence.split())
        if words < 0:
            return
        yield f"- {sentence}"


def _page_bullets(note: Note) -> Iterator[str]:
    for number, sentence in enumerate(islice(sentences(note.text), PER_PAGE)):
        yield f"- {sentence}" + (f" ([page]({note.url}))" if number == 0 else "")
