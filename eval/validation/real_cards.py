"""Real cards with summaries that are true, and the half of them that checks may be mended on.

The summaries are those of recipes/references; the cards' texts are looked up by SHA-256, since the repository holds none. Whoever
mends the checks looks at the half "work" alone, and at the cards of fresh.jsonl, which are in neither half. The half "final" and the
cards of unseen.jsonl, in neither half too, are measured when nothing more is changed: what they say was not mended on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.cards.parse import decode
from data_prep.collecting.config import SourceConfig
from data_prep.collecting.references import LocalCards, Reference, read_references
from data_prep.core.files import stable_id
from data_prep.core.records import RawCard, Rejected
from data_prep.prompts.student import raw_source

Half = Literal["work", "final", "fresh", "unseen"]
FURTHER = ("fresh", "unseen")  # cards in no split, in a file of that name


@dataclass(frozen=True)
class RealCard:
    """`source` is what a summary may rest on. `with_arithmetic` is true too, but holds sums and shares that no source spells out."""

    model_id: str
    family: str
    split: str
    source: str
    summary: str
    with_arithmetic: str | None
    sha256: str = ""  # of the README as found


def real_cards(folder: Path, card_texts: Sequence[str]) -> list[RealCard]:
    """The cards of `folder`/references.jsonl, in its order. Raises ValueError where a card is not in `card_texts`: which half a
    family falls into hangs on the number of cards."""
    found = _found(folder / "references.jsonl", card_texts, folder / "split.json")
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    cards = []
    for reference, raw in found:
        key = stable_id(raw.model_id, decode(raw.content))
        cards.append(_card(reference, raw, split["families"][key], split["splits"][key]))
    return cards


def further_cards(folder: Path, card_texts: Sequence[str], name: Half) -> list[RealCard]:
    """The cards of `folder`/fresh.jsonl or unseen.jsonl: each a family of its own. Raises ValueError as `real_cards`."""
    found = _found(folder / f"{name}.jsonl", card_texts)
    return [_card(reference, raw, reference.model_id, name) for reference, raw in found]


def _found(path: Path, card_texts: Sequence[str], *needed: Path) -> list[tuple[Reference, RawCard]]:
    """The references of a file, each with its card."""
    for place in (path, *needed, *(Path(text) for text in card_texts)):
        if not place.exists():
            raise ValueError(f'"{place}" does not exist; correct validate.references or validate.card_texts')
    references = read_references(path)
    local = LocalCards(SourceConfig(source="references", card_texts=list(card_texts)), references)
    found = []
    for reference in references:
        raw = local.find(reference)
        if isinstance(raw, Rejected):
            raise ValueError(f"{reference.model_id}: {raw.detail}; all cards of {path} are needed")
        found.append((reference, raw))
    return found


def _card(reference: Reference, raw: RawCard, family: str, split: str) -> RealCard:
    texts = (raw_source(raw), reference.summary, reference.with_arithmetic)
    return RealCard(reference.model_id, family, split, *texts, reference.sha256)


def half_of(cards: Sequence[RealCard], half: Half) -> list[RealCard]:
    """ "work": whole families that are not held out, in an order that only their names decide, up to half of all cards."""
    sizes = Counter(card.family for card in cards)
    families = {card.family for card in cards if card.split != "heldout"}
    work: set[str] = set()
    count = 0
    for family in sorted(families, key=lambda name: hashlib.sha256(f"checks:{name}".encode()).hexdigest()):
        count += sizes[family]
        if count > len(cards) // 2:
            break
        work.add(family)
    return [card for card in cards if (card.family in work) == (half == "work")]
