"""What ties cards together: parents, names of copies, shared papers, repositories and pages, the same or nearly the same text.

Quantised copies, fine-tunes and forks quote their parent's card. Cards tied to each other may only be in one split;
families.py says which keys are too common to tie.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_prep.cards.parse import prose, words
from data_prep.core.files import stable_id
from data_prep.core.records import Card
from data_prep.lineage.keys import source_key, stem
from data_prep.lineage.minhash import signature

# "a renamed copy of owner/name", "fine-tuned version of [owner/name](...)", "based on owner/name": cards without `base_model`
# say it in words. A name without owner is left alone: it is a word as often as a model.
STATED_PARENT = re.compile(
    r"\b(?:(?:version|copy|fork|variant|conversion|quanti[sz]ation|quants?|fine-?tuned?|merge|distillation|adapter|weights)\s+(?:of|from|for)|"
    r"(?:based|fine-?tuned)\s+on|(?:derived|initiali[sz]ed|converted)\s+from)\s+(?:the\s+)?"
    r"[\[*_`]{0,4}(?:https?://(?:huggingface\.co|hf\.co)/)?([A-Za-z0-9][\w.-]{1,95}/[\w.-]{1,95}\w)(?![\w/])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LineageKeys:
    """All that the split keeps of one card in memory. `signature` is None for too short a text."""

    id: str
    own: tuple[str, ...]  # "model:" its id, then "name:" and "text:" where it has one
    parents: tuple[str, ...]  # "model:" and "name:" of each parent
    sources: tuple[str, ...]  # "paper:", "repo:" and "page:" of what it links to
    signature: np.ndarray | None

    @property
    def models(self) -> tuple[str, ...]:
        """Keys of the parents themselves, not of their names."""
        return tuple(key for key in self.parents if key.startswith("model:") and key != self.own[0])


def ties(card: Card, pages: Iterable[str] = ()) -> LineageKeys:
    """`pages` are addresses that belong to the card beside its links."""
    text = words(prose(card.body))
    own = model_keys([card.model_id])
    if text:
        own.append(f"text:{stable_id(' '.join(text))}")
    sources = [key for link in (*card.links, *pages) if (key := source_key(link))]
    parents = model_keys([*card.base_models, *STATED_PARENT.findall(card.body)])
    return LineageKeys(card.id, interned(own), interned(parents), interned(sources), signature(text))


def interned(keys: Iterable[str]) -> tuple[str, ...]:
    """Each key once, interned: thousands of cards name the same base, and each would hold a copy of the name."""
    return tuple(map(sys.intern, dict.fromkeys(keys)))


def model_keys(models: Iterable[str]) -> list[str]:
    return [key for model in models for key in (f"model:{model.lower()}", f"name:{stem(model)}") if key != "name:None"]
