"""Notes on the pages that each card links to.

    python -m data_prep.research --config recipes/demo/data.yaml

Writes data/notes.jsonl: one line per card of the split, in the order of data/cards.jsonl. Notes that came with a card are
used as they are (origin "attached"). A card without any gets an empty list (origin "none"): this version fetches no page.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field
from tqdm import tqdm

from data_prep.manifest import Manifest
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import Attached, Card, CardNotes, in_step, read_jsonl, read_splits, write_jsonl


class ResearchConfig(Block):
    max_sources: int = Field(8, ge=0)
    """At most this many notes a card, the first ones in the order of the source."""


def main(recipe: Recipe[ResearchConfig]) -> None:
    data = recipe.run_dir / "data"
    inputs = [data / name for name in ("cards.jsonl", "attached.jsonl", "split.json")]
    manifest = Manifest(data / "research.manifest.json", "research", recipe.resolved(), inputs, [data / "notes.jsonl"])
    if manifest.is_done():
        return
    started, counts = time.monotonic(), Counter(attached=0, none=0, notes=0)
    write_jsonl(data / "notes.jsonl", notes(data, recipe.block.max_sources, counts))
    manifest.write(**counts)
    print(
        f"research: {counts['attached']} cards with {counts['notes']} notes that came with them, {counts['none']} without any, "
        f"{time.monotonic() - started:.1f} s"
    )


def notes(data: Path, max_sources: int, counts: Counter[str]) -> Iterator[CardNotes]:
    placed = read_splits(data / "split.json")
    ids = (card.id for card in read_jsonl(data / "cards.jsonl", Card))
    attached = in_step(ids, read_jsonl(data / "attached.jsonl", Attached), lambda row: row.card_id)
    for card_id, rows in tqdm(attached, desc="research", unit=" cards", mininterval=1):
        if card_id in placed:
            found = [note for row in rows for note in row.notes][:max_sources]
            origin = "attached" if found else "none"
            counts[origin] += 1
            counts["notes"] += len(found)
            yield CardNotes(card_id, found, origin)


if __name__ == "__main__":
    command("research", ResearchConfig, main, __doc__, "data_prep.research")
