"""What is asked of a system: openings, ways to decode, keys, and the batches that are generated together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from data_prep.core.files import sha256_text
from eval.decoding.sampling import Decoding


@dataclass(frozen=True)
class PromptPrefix:
    """What the model is to go on from: a card's prompt, and the beginning of a summary that is kept, if any. `source` is what
    decoding is grounded in, "" where it is free."""

    card_id: str
    messages: list[dict[str, str]]
    prompt: str  # as rendered; "" where a server renders it
    begun: str = ""
    repairs: str = ""  # key of the sample that `begun` is from
    source: str = ""

    @property
    def text(self) -> str:
        return self.prompt + self.begun

    @property
    def said(self) -> str:
        """What stands already of what the model says: `begun`, behind the tag where the prompt ends in an open think block."""
        return ("<think>" if self.prompt.rstrip().endswith("<think>") else "") + self.begun


@dataclass(frozen=True)
class GenerationRequest:
    """One summary to be written; `key` covers all that can change its text."""

    opening: PromptPrefix
    decoding: Decoding
    key: str
    run_seed: int = 0

    @property
    def seed(self) -> int:
        """32 bits, of card, sample and run alone. Systems draw with the same random numbers, so that they differ by what they are and
        not by their luck; and weights that another machine rounds differently draw as they do here."""
        drawn = [self.opening.card_id, self.opening.repairs, self.decoding.sample, self.run_seed]
        return int(sha256_text(json.dumps(drawn))[:8], 16)


@dataclass(frozen=True)
class Batch:
    """Summaries that are generated together: all greedy, or all drawn in one way, samples of one opening side by side."""

    asks: list[GenerationRequest]


def cache_key(opening: PromptPrefix, decoding: Decoding, identity: dict[str, Any], seed: int) -> str:
    """SHA-256 over card, prompt, decoding and `identity` (the model and what else its text depends on). The run's seed
    counts where it can change something."""
    what = [opening.card_id, sha256_text(json.dumps(opening.messages) + opening.text), opening.repairs]
    if opening.source:
        what.append(sha256_text(opening.source))
    how = [decoding.temperature, decoding.top_p, decoding.sample, ["card, sample, run", seed] if decoding.temperature else 0]
    return sha256_text(json.dumps([what, how, identity], sort_keys=True))


def plan(asks: Sequence[GenerationRequest], size: int) -> list[Batch]:
    """Of `size` rows at most. Prompts of like length share a batch, way by way to decode, and all samples of an opening stand in one
    where it holds them. While openings have equally many samples, what is left after any whole batches are done falls into the batches
    that it fell into before."""
    ordered = sorted(asks, key=lambda ask: (_way(ask.decoding), *_place(ask.opening), ask.decoding.sample))
    batches: list[list[GenerationRequest]] = []
    for (way, _), samples in groupby(ordered, key=lambda ask: (_way(ask.decoding), _place(ask.opening))):
        own = list(samples)
        for part in (own[start : start + size] for start in range(0, len(own), size)):
            if batches and _way(batches[-1][0].decoding) == way and len(batches[-1]) + len(part) <= size:
                batches[-1] += part
            else:
                batches.append(part)
    return [Batch(batch) for batch in batches]


def _way(decoding: Decoding) -> tuple[Any, ...]:
    return decoding.name, decoding.temperature, decoding.top_p


def _place(opening: PromptPrefix) -> tuple[Any, ...]:
    return len(opening.text), opening.card_id, opening.repairs
