"""Summaries that anybody wrote, in memory, as the cards and rows that scoring takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.cards.parse import parse_card
from data_prep.core.files import stable_id
from data_prep.core.records import Generation, HeldOut, RawCard
from data_prep.lineage.families import families_of
from data_prep.prompts.student import read_source


@dataclass(frozen=True)
class SummaryText:
    """`system`: who wrote it, as tables call it. `source`: `source_text` of card and notes. `reference`: another summary of the card,
    for ROUGE; "" where there is none."""

    system: str
    source: str
    summary: str
    reference: str = ""


def scoring_rows(texts: Sequence[SummaryText]) -> tuple[list[HeldOut], list[Generation]]:
    """What `score_summaries` of eval/score.py takes. Cards that are related (`families_of`) are of one family; several summaries of one
    card by one system are its samples. How a text ended is not known: leave the metrics `finished` and `looped` alone.

    Raises ValueError where there is no text, or texts of one source differ in their reference.
    """
    if not texts:
        raise ValueError("there is no summary to score; give some")
    sources = {stable_id(text.source): text for text in texts}
    cards = {}
    for key, text in sources.items():
        card, model_id, _ = read_source(text.source)
        cards[key] = parse_card(RawCard(model_id, card, "given"))
    families = families_of(list(cards.values()))
    held = [HeldOut(key, [], text.source, text.reference, families[cards[key].id]) for key, text in sources.items()]
    references, counts, rows = {key: text.reference for key, text in sources.items()}, Counter[tuple[str, str]](), []
    for text in texts:
        key = stable_id(text.source)
        if text.reference != references[key]:
            raise ValueError(
                f'summaries of {cards[key].model_id} come with different references; give the same one, or "" to all'
            )
        sample = counts[text.system, key]
        counts[text.system, key] += 1
        made = stable_id(text.system, key, text.summary, str(sample))
        rows.append(Generation(made, key, text.system, text.summary, "stop", 0, 0, sample))
    return held, rows
