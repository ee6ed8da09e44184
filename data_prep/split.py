"""Splits the cards into train, validation and held-out by lineage: related cards are in one split only.

    python -m data_prep.split --config recipes/demo/data.yaml
    python -m data_prep.split --config recipes/demo/data.yaml --check     exit code 2 where a split leaks into another

Reads data/cards.jsonl, writes data/split.json (`families` and `splits` by card id, `common_sources`, `config`) and its rows of
data/rejected.jsonl. `common_sources` are keys (`source_key` in lineage/keys.py) of papers, repositories and pages that cards of more
than one split link to: notes on them serve training cards only (`training_only`, there too). The split is frozen: with more cards
none that is placed moves, a new card follows its family, and one that would tie two splits together is set aside. Memory holds the
ties of each card, not its text.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm

from data_prep.core.files import merge_join, read_dicts, read_jsonl, set_aside, write_json
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Recipe, command
from data_prep.core.records import Attached, Card, Rejected
from data_prep.core.text import plural
from data_prep.lineage.families import LineageConfig, Placed, common, common_sources, crossings, group
from data_prep.lineage.ties import LineageKeys, ties

NAMES = ("heldout", "validation", "train")
SHOWN = 20  # offenders named by --check


class SplitConfig(LineageConfig):
    validation: float = Field(0.05, ge=0, lt=1)
    """Share of the cards for validation during training."""
    heldout: float = Field(0.10, ge=0, lt=1)
    """Share of the cards that no training stage sees."""
    placed: str | None = None
    """A split.json of an earlier collection: cards that it names keep their split and family, the others are split beside them."""
    family_cap: int = Field(50, ge=1)
    """At most this many cards of one family are kept, the first ones in the order of collection."""


def main(recipe: Recipe[SplitConfig]) -> None:
    data = recipe.run_dir / "data"
    cards, attached, split, rejected = (
        data / name for name in ("cards.jsonl", "attached.jsonl", "split.json", "rejected.jsonl")
    )
    block = recipe.block
    inputs = [cards, attached, *([Path(block.placed)] if block.placed and Path(block.placed).exists() else [])]
    manifest = Manifest(data / "split.manifest.json", "split", recipe.resolved(), inputs, [split], rejected)
    if manifest.is_done():
        return
    started = time.monotonic()
    if block.heldout + block.validation >= 1:
        raise ValueError(
            f"split.heldout {block.heldout} and split.validation {block.validation} leave nothing to train on; lower one of them"
        )
    known = read_ties(data)
    if not known:
        raise ValueError(
            f"{cards} holds no card; look into {rejected} for the reasons, change the recipe and run collect again"
        )
    placed = read_split(split, recipe.resolved())
    if block.placed:  # for cards that came since, too
        placed = shipped(Path(block.placed), known).with_those_of(placed)
    shared = common(known, block, placed.splits)
    families, aside = group(known, placed, block, shared)
    here = placed.only({card.id for card in known})  # cards that left the collection keep their place and are not counted
    kept, too_many = cap(families, placed, here, block.family_cap)
    aside += too_many
    splits = placed.splits | assign(kept, placed, here, block, recipe.seed)
    members = placed.families | {card: family for family, ids in kept.items() for card in ids}
    sources = common_sources(known, splits)
    write_json(split, {"families": members, "splits": splits, "common_sources": sources, "config": recipe.resolved()})
    counts = count({card.id: splits[card.id] for card in known if card.id in splits}, members)
    manifest.write(**counts, common_sources=len(sources), rejected=set_aside(rejected, "split", aside))
    report(counts, aside, time.monotonic() - started, block)


def check(recipe: Recipe[SplitConfig]) -> None:
    """Looks for anything that two splits share. Raises ValueError that names the cards."""
    data, block = recipe.run_dir / "data", recipe.block
    if not (data / "split.json").exists():
        raise ValueError(f"{data / 'split.json'} is missing; run data_prep.split without --check first")
    placed = read_split(data / "split.json", recipe.resolved())
    known = read_ties(data)
    rows = read_dicts(data / "rejected.jsonl") if (data / "rejected.jsonl").exists() else ()
    aside = {row["id"] for row in rows if row["stage"] == "split"}
    if new := [card.id for card in known if card.id not in placed.splits and card.id not in aside]:
        raise ValueError(
            f"{plural(len(new), 'card')} {'was' if len(new) == 1 else 'were'} collected since, first {new[0]}; run data_prep.split, which places them, then --check"
        )
    wrong = [f"{card.id} is in a split and set aside" for card in known if card.id in placed.splits and card.id in aside]
    shared = common(known, block, placed.splits)
    wrong += crossings(known, placed, block, shared)
    kept_apart = set(json.loads((data / "split.json").read_text(encoding="utf-8"))["common_sources"])
    loose = [key for key in common_sources(known, placed.splits) if key not in kept_apart]
    wrong += [f"{key} is linked from more than one split and is not in common_sources" for key in loose]
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        lines = "\n  ".join(wrong[:SHOWN])
        raise ValueError(f"{len(wrong)} leaks between splits; delete {data / 'split.json'} and split anew:\n  {lines}{more}")
    print(f"split: {len(known)} cards checked, nothing is shared between splits")


def read_split(path: Path, config: dict[str, Any]) -> Placed:
    """What an earlier run decided; nothing at the first.

    Raises ValueError where split.json was made with other settings: its cards would not be comparable.
    """
    if not path.exists():
        return Placed({}, {})
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        placed, before = Placed(written["splits"], written["families"]), written["config"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error!r}); put the original back, or delete it to split anew") from None
    if before != config:
        raise ValueError(
            f"{path} was made with {before}, the recipe says {config}; use the same settings, or delete the file to split anew"
        )
    return placed


def shipped(path: Path, known: list[LineageKeys]) -> Placed:
    """Where an earlier collection put those of the cards that are here. Raises ValueError where it cannot be read."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        here = [card.id for card in known if card.id in written["splits"]]
        return Placed(*({card: written[name][card] for card in here} for name in ("splits", "families")))
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"split.placed: {path} is no split.json ({error!r}); correct the path, or leave the key out") from None


def read_ties(data: Path) -> list[LineageKeys]:
    """Ties of each card. Pages whose notes came with a card are sources of it, linked or not: the notes are in its prompt."""
    cards = tqdm(read_jsonl(data / "cards.jsonl", Card), desc="split", unit=" cards", mininterval=1)
    attached = read_jsonl(data / "attached.jsonl", Attached) if (data / "attached.jsonl").exists() else ()
    matched = merge_join(cards, attached, lambda card: card.id, lambda row: row.card_id)
    return [ties(card, [note.url for row in rows for note in row.notes]) for card, rows in matched]


def cap(families: dict[str, list[str]], placed: Placed, here: Placed, most: int) -> tuple[dict[str, list[str]], list[Rejected]]:
    """The first `most` cards of each family, those already placed included; the others are set aside."""
    kept, aside, before, named = {}, [], Counter(here.families.values()), set(placed.families.values())
    for family, ids in families.items():
        room = max(0, most - before[family])
        if first := ids[:room]:
            # A new family is named after a card that stays, so that its name cannot come to mean another family.
            kept[family if family in named else min(first)] = first
        detail = f"family {family}: {len(ids) + before[family]} cards, cap {most}"
        aside += [Rejected("split", card_id, "more relatives than split.family_cap", detail) for card_id in ids[room:]]
    return kept, aside


def assign(families: dict[str, list[str]], placed: Placed, here: Placed, block: SplitConfig, seed: int) -> dict[str, str]:
    """Split of each new card. New families come in the order of a seeded hash and go where they fit into the quota:
    held-out first, then validation, else train. Cards of frozen families follow their family.
    """
    split_of = {family: placed.splits[card] for card, family in placed.families.items()}
    counts = Counter(here.splits.values())
    for family in families.keys() & split_of.keys():
        counts[split_of[family]] += len(families[family])
    total = len(here.splits) + sum(map(len, families.values()))
    room = {name: round(getattr(block, name) * total) - counts[name] for name in ("heldout", "validation")}
    new = families.keys() - split_of.keys()
    for family in sorted(new, key=lambda family: hashlib.sha256(f"{seed}:{family}".encode()).digest()):
        size = len(families[family])
        split_of[family] = next((name for name in room if size <= room[name]), "train")
        if split_of[family] in room:
            room[split_of[family]] -= size
    return {card: split_of[family] for family, ids in families.items() for card in ids}


def count(splits: dict[str, str], families: dict[str, str]) -> dict[str, int]:
    """Cards and families of each split."""
    counts: dict[str, int] = {}
    for name in NAMES:
        ids = [card for card, split in splits.items() if split == name]
        counts |= {f"{name}_cards": len(ids), f"{name}_families": len({families[card] for card in ids})}
    return counts


def report(counts: dict[str, int], aside: list[Rejected], seconds: float, block: SplitConfig) -> None:
    print(f"split: {sum(counts[f'{name}_cards'] for name in NAMES)} cards, {len(aside)} set aside, {seconds:.1f} s")
    for name in NAMES:
        print(f"  {name}: {counts[f'{name}_cards']} cards in {counts[f'{name}_families']} families")
        if name != "train" and getattr(block, name) and not counts[f"{name}_cards"]:
            print(f"  no family fits into {name}: collect more cards, or raise split.{name}")
    for reason, number in Counter(row.reason for row in aside).most_common():
        print(f"  {number} set aside: {reason}")


if __name__ == "__main__":
    keys = [argument for argument in sys.argv[1:] if argument != "--check"]  # which is no key of a recipe
    command("split", SplitConfig, check if "--check" in sys.argv else main, __doc__, "data_prep.split", keys)
