"""What is asked of a system: openings, ways to decode, keys, and the batches that are generated together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
    """Summaries that are generated together, all with one decoding."""

    asks: list[GenerationRequest]

    @property
    def seed(self) -> int:
        """From the content, not the place: another plan with this batch in it gives the same text."""
        return int(sha256_text(" ".join(str(ask.seed) for ask in self.asks))[:8], 16)


def cache_key(opening: PromptPrefix, decoding: Decoding, identity: dict[str, Any], seed: int) -> str:
    """SHA-256 over card, prompt, decoding and `identity` (the model and what else its text depends on). The run's seed
    counts where it can change something."""
    what = [opening.card_id, sha256_text(json.dumps(opening.messages) + opening.text), opening.repairs]
    if opening.source:
        what.append(sha256_text(opening.source))
    how = [decoding.temperature, decoding.top_p, decoding.sample, ["card, sample, run", seed] if decoding.temperature else 0]
    return sha256_text(json.dumps([what, how, identity], sort_keys=True))


def plan(asks: Sequence[GenerationRequest], size: int) -> list[Batch]:
    """Prompts of like length share a batch, decoding by decoding. Only the last batch of a decoding is short, so what is
    left after any whole batches are done falls into the batches that it fell into before."""
    by_decoding: dict[Decoding, list[GenerationRequest]] = {}
    for ask in asks:
        by_decoding.setdefault(ask.decoding, []).append(ask)
    batches = []
    for decoding in sorted(by_decoding, key=lambda way: (way.name, way.sample)):
        own = sorted(by_decoding[decoding], key=lambda ask: (len(ask.opening.text), ask.opening.card_id, ask.opening.repairs))
        batches += [Batch(own[start : start + size]) for start in range(0, len(own), size)]
    return batches
