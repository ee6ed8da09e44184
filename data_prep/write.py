"""Candidate summaries of each card, before any check.

    python -m data_prep.write --config recipes/demo/data.yaml

Writes data/candidates.jsonl from the summaries that came with the cards (writer "attached"), in the order of
data/cards.jsonl. A card of the split without a summary is set aside in data/rejected.jsonl: this version asks no teacher.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pydantic import Field
from tqdm import tqdm

from data_prep.manifest import Manifest
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import (
    Attached,
    Candidate,
    Card,
    Rejected,
    in_step,
    read_jsonl,
    read_splits,
    replacing,
    set_aside,
    stable_id,
    to_json,
)

ATTACHED = "attached"


class WriteConfig(Block):
    per_card: int = Field(8, ge=1)
    """At most this many different summaries a card, the first ones in the order of the source."""


def main(recipe: Recipe[WriteConfig]) -> None:
    data = recipe.run_dir / "data"
    inputs = [data / name for name in ("cards.jsonl", "attached.jsonl", "split.json")]
    candidates, rejected = data / "candidates.jsonl", data / "rejected.jsonl"
    manifest = Manifest(data / "write.manifest.json", "write", recipe.resolved(), inputs, [candidates])
    if rejected.exists() and manifest.is_done():
        return
    started, counts = time.monotonic(), Counter(cards=0, candidates=0)
    with replacing(candidates) as handle:
        aside = set_aside(rejected, "write", write(data, recipe.block.per_card, handle, counts))
    manifest.write(**counts, rejected=aside)
    print(
        f"write: {counts['candidates']} summaries of {counts['cards']} cards, {aside} cards set aside without one, "
        f"{time.monotonic() - started:.1f} s"
    )


def write(data: Path, per_card: int, handle: TextIO, counts: Counter[str]) -> Iterator[Rejected]:
    """Writes the candidates of each card as it goes by; yields the cards that have none."""
    placed = read_splits(data / "split.json")
    ids = (card.id for card in read_jsonl(data / "cards.jsonl", Card))
    attached = in_step(ids, read_jsonl(data / "attached.jsonl", Attached), lambda row: row.card_id)
    for card_id, rows in tqdm(attached, desc="write", unit=" cards", mininterval=1):
        if card_id not in placed:
            continue
        texts = list(dict.fromkeys(text for row in rows for text in row.summaries if text.strip()))[:per_card]
        if not texts:
            yield Rejected(
                "write", card_id, "no summary came with the card", "collect it from a source with summaries (transcripts)"
            )
            continue
        counts["cards"] += 1
        counts["candidates"] += len(texts)
        for text in texts:
            handle.write(to_json(Candidate(stable_id(card_id, ATTACHED, text), card_id, text, ATTACHED)) + "\n")


if __name__ == "__main__":
    command("write", WriteConfig, main, __doc__, "data_prep.write")
