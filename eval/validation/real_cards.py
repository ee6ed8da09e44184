"""Real cards with summaries that are true, and the half of them that checks may be mended on.

The summaries are those of recipes/references; the cards' texts are looked up by SHA-256, since the repository holds none. Whoever
mends the checks looks at the half "work" alone. The half "final" is measured when nothing more is changed: what it says was
not mended on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.collecting.config import SourceConfig
from data_prep.collecting.references import LocalCards, read_references
from data_prep.core.files import stable_id
from data_prep.core.records import Rejected
from data_prep.prompts.student import source_text

Half = Literal["work", "final"]


@dataclass(frozen=True)
class RealCard:
    """`source` is what a summary may rest on. `with_arithmetic` is true too, but holds sums and shares that no source spells out."""

    model_id: str
    family: str
    split: str
    source: str
    summary: str
    with_arithmetic: str | None


def real_cards(folder: Path, card_texts: Sequence[str]) -> list[RealCard]:
    """The cards of `folder`/references.jsonl, in its order. Raises ValueError where a card is not in `card_texts`: which half a
    family falls into hangs on the number of cards."""
    for place in (folder / "references.jsonl", folder / "split.json", *(Path(text) for text in card_texts)):
        if not place.exists():
            raise ValueError(f'"{place}" does not exist; correct validate.references or validate.card_texts')
    references = read_references(folder / "references.jsonl")
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    local = LocalCards(SourceConfig(source="references", card_texts=list(card_texts)), references)
    cards = []
    for reference in references:
        raw = local.find(reference)
        if isinstance(raw, Rejected):
            raise ValueError(f"{reference.model_id}: {raw.detail}; all cards of {folder} are needed to cut them into halves")
        text = raw.content if isinstance(raw.content, str) else raw.content.decode("utf-8", "replace")
        key = stable_id(reference.model_id, text)
        source = source_text(reference.model_id, text, reference.notes)
        cards.append(
            RealCard(
                reference.model_id,
                split["families"][key],
                split["splits"][key],
                source,
                reference.summary,
                reference.with_arithmetic,
            )
        )
    return cards


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
