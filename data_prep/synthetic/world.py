"""The invented world as cards: families of models whose facts are known, with notes, reference summaries and truth."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from data_prep.core.records import RawCard
from data_prep.synthetic.cards import render_card, render_notes
from data_prep.synthetic.facts import draw_family
from data_prep.synthetic.summaries import reference_summary


def raw_cards(seed: int, cards: int) -> Iterator[RawCard]:
    """`cards` invented cards with notes, reference summaries and truth, family by family. Same seed, same cards."""
    made, family = 0, 0
    while made < cards:
        rng = random.Random(f"{seed}:{family}")
        for facts in draw_family(rng)[: cards - made]:
            yield RawCard(
                model_id=facts.model_id,
                content=render_card(facts, rng),
                source="synthetic",
                revision="1",
                notes=render_notes(facts, rng),
                summaries=[reference_summary(facts, rng) for _ in range(2)],
                truth={"family": family, **dataclasses.asdict(facts)},
            )
            made += 1
        family += 1
