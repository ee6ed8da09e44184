"""Systems that need no model: what a measure must not be fooled by."""

from __future__ import annotations

import re
from collections.abc import Callable

from data_prep.candidates.extractive import extractive_summary
from data_prep.cards.front_matter import split_front_matter
from data_prep.core.records import HeldOut
from data_prep.prompts.student import read_source

LEAD_WORDS = 400


def lead(card: HeldOut) -> str:
    """The first 400 words of the card's body, whole lines, as they stand."""
    lines, words = [], 0
    for line in split_front_matter(read_source(card.source)[0]).body.splitlines():
        words += len(line.split())
        if words > LEAD_WORDS:
            break
        lines.append(line)
    return "\n".join(lines).strip()


def front_matter(card: HeldOut) -> str:
    """A sentence for each entry of the front matter, and the linked pages as a list."""
    metadata = split_front_matter(card.source).metadata
    name = read_source(card.source)[1]
    facts = [f"- **{str(key).replace('_', ' ')}**: {_spoken(value)}" for key, value in metadata.items()]
    pages = [f"- [Linked page]({url})" for url in re.findall(r'<source url="([^"]+)">', card.source)]
    return "\n".join([f"## {name}", "", *facts, "", "### Linked pages", "", *pages]).strip()


def extractive(card: HeldOut) -> str:
    """Sentences of the card and of its notes, chosen by length alone: every word is grounded, nothing is weighed."""
    text, model_id, notes = read_source(card.source)
    return extractive_summary(model_id, text, notes)


def reference(card: HeldOut) -> str:
    """What the teacher wrote: how far the other systems have to go."""
    return card.reference.strip()


def _spoken(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


BASELINES: dict[str, Callable[[HeldOut], str]] = {
    "lead": lead,
    "front_matter": front_matter,
    "extractive": extractive,
    "reference": reference,
}
