"""Splits the cards into train, validation and held-out by lineage: related cards are in one split only.

    python -m data_prep.split --config recipes/demo/data.yaml
    python -m data_prep.split --config recipes/demo/data.yaml --check     exit code 2 where a split leaks into another

Reads data/cards.jsonl, writes data/split.json (`families` and `splits` by card id, `config`) and its rows of
data/rejected.jsonl. The split is frozen: with more cards none that is placed moves, a new card follows its family, and one
that would tie two splits together is set aside. Memory holds the ties of each card, not its text.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm

from data_prep.lineage import NearDuplicates, Ties, crossings, is_source, ties
from data_prep.manifest import Manifest
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import Card, Rejected, read_dicts, read_jsonl, set_aside, write_json

NAMES = ("heldout", "validation", "train")
SHOWN = 20  # offenders named by --check


class SplitConfig(Block):
    validation: float = Field(0.05, ge=0, lt=1)
    """Share of the cards for validation during training."""
    heldout: float = Field(0.10, ge=0, lt=1)
    """Share of the cards that no training stage sees."""
    family_cap: int = Field(50, ge=1)
    """At most this many cards of one family are kept, the first ones in the order of collection."""
    near_duplicate: float = Field(0.5, gt=0, le=1)
    """Estimated Jaccard similarity of 5-word shingles from which two cards count as the same text."""
    max_shared_citations: int = Field(10, ge=1)
    """A paper or repository linked by more cards than this ties none of them: it is a tool, not a parent."""


def main(recipe: Recipe[SplitConfig]) -> None:
    data = recipe.run_dir / "data"
    cards, split, rejected = data / "cards.jsonl", data / "split.json", data / "rejected.jsonl"
    manifest = Manifest(data / "split.manifest.json", "split", recipe.resolved(), [cards], [split])
    if rejected.exists() and manifest.is_done():
        return
    started, block = time.monotonic(), recipe.block
    frozen = Frozen.read(split, recipe.resolved())
    known = read_ties(cards)
    if not known:
        raise ValueError(
            f"{cards} holds no card; look into {rejected} for the reasons, change the recipe and run collect again"
        )
    families, leaks = group(known, frozen, block, common_sources(known, block))
    placed, too_many = cap(families, frozen, block.family_cap)
    splits = frozen.splits | assign(placed, frozen, block, recipe.seed)
    members = frozen.families | {card: family for family, ids in placed.items() for card in ids}
    write_json(split, {"families": members, "splits": splits, "config": recipe.resolved()})
    aside = set_aside(rejected, "split", [*leaks, *too_many])
    counts = count(splits, members)
    manifest.write(**counts, rejected=aside)
    report(counts, [*leaks, *too_many], time.monotonic() - started, block)


def check(recipe: Recipe[SplitConfig]) -> None:
    """Looks for anything that two splits share. Raises ValueError that names the cards."""
    data, block = recipe.run_dir / "data", recipe.block
    if not (data / "split.json").exists():
        raise ValueError(f"{data / 'split.json'} is missing; run data_prep.split without --check first")
    frozen = Frozen.read(data / "split.json", recipe.resolved())
    known = read_ties(data / "cards.jsonl")
    rows = read_dicts(data / "rejected.jsonl") if (data / "rejected.jsonl").exists() else ()
    aside = {row["id"] for row in rows if row["stage"] == "split"}
    wrong = [
        f"{card.id} is in no split and not set aside" for card in known if (card.id in frozen.splits) == (card.id in aside)
    ]
    wrong += crossings(known, frozen.splits, frozen.families, common_sources(known, block), block.near_duplicate)
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        lines = "\n  ".join(wrong[:SHOWN])
        raise ValueError(f"{len(wrong)} leaks between splits; delete {data / 'split.json'} and split anew:\n  {lines}{more}")
    print(f"split: {len(frozen.splits)} cards checked, nothing is shared between splits")


@dataclass(frozen=True)
class Frozen:
    """What an earlier run decided, by card id; empty at the first."""

    splits: dict[str, str] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, config: dict[str, Any]) -> Frozen:
        """Raises ValueError where split.json was made with other settings: its cards would not be comparable."""
        if not path.exists():
            return cls()
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            frozen, before = cls(written["splits"], written["families"]), written["config"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read ({error!r}); put the original back, or delete it to split anew") from None
        if before != config:
            raise ValueError(
                f"{path} was made with {before}, the recipe says {config}; use the same settings, or delete the file to split anew"
            )
        return frozen


def read_ties(cards: Path) -> list[Ties]:
    return [ties(card) for card in tqdm(read_jsonl(cards, Card), desc="split", unit=" cards", mininterval=1)]


def common_sources(known: Iterable[Ties], block: SplitConfig) -> set[str]:
    """Papers and repositories that too many cards link to."""
    citations = Counter(key for card in known for key in card.keys if is_source(key))
    return {key for key, number in citations.items() if number > block.max_shared_citations}


class Groups:
    """Union-find over card ids. Each group may have a frozen split and family."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}
        self.holder: dict[str, str] = {}  # key -> a card that has it
        self.fixed: dict[str, tuple[str, str]] = {}  # root -> split, family

    def root(self, card: str) -> str:
        while self.parent[card] != card:
            self.parent[card] = card = self.parent[self.parent[card]]
        return card

    def add(self, card: str, keys: Iterable[str], related: Iterable[str], fixed: tuple[str, str] | None = None) -> None:
        """Joins `card` with all `related` cards and registers its keys, unless another card has them."""
        self.parent[card] = card
        if fixed:
            self.fixed[card] = fixed
        for other in related:
            joined, own = self.root(other), self.root(card)
            if joined != own:
                self.parent[own] = joined
                if own in self.fixed:
                    self.fixed.setdefault(joined, self.fixed[own])
        for key in keys:
            self.holder.setdefault(key, card)


def group(
    known: list[Ties], frozen: Frozen, block: SplitConfig, common: set[str]
) -> tuple[dict[str, list[str]], list[Rejected]]:
    """New cards by the family they belong to (a frozen one's id, or the smallest card id of a new one), and those set aside.

    A card is set aside before it joins anything, so it cannot carry a tie between two others.
    """
    groups, near, leaks, new = Groups(), NearDuplicates(block.near_duplicate), [], []
    for card in sorted(known, key=lambda card: card.id not in frozen.splits):  # stable: frozen cards first
        keys = [key for key in card.keys if key not in common]
        found = near.find(card.signature)
        if card.id in frozen.splits:
            family = f"family:{frozen.families[card.id]}"
            related = [groups.holder[family]] if family in groups.holder else []
            groups.add(card.id, [*keys, family], related, (frozen.splits[card.id], frozen.families[card.id]))
        else:
            held = {groups.holder[key]: key for key in keys if key in groups.holder}
            held.update({other: f"{similarity:.0%} of the text" for other, similarity in found})
            touched = {
                groups.fixed[root][0]: (other, why)
                for other, why in held.items()
                if (root := groups.root(other)) in groups.fixed
            }
            if len(touched) > 1:
                shared = "; ".join(f"{why} with {other} ({split})" for split, (other, why) in sorted(touched.items()))
                leaks.append(Rejected("split", card.id, "would tie two splits together", f"shares {shared}"))
                continue
            groups.add(card.id, keys, held)
            new.append(card.id)
        near.add(card.id, card.signature, found)
    members: dict[str, list[str]] = defaultdict(list)
    for card_id in new:
        members[groups.root(card_id)].append(card_id)
    return {groups.fixed[root][1] if root in groups.fixed else min(ids): ids for root, ids in members.items()}, leaks


def cap(families: dict[str, list[str]], frozen: Frozen, most: int) -> tuple[dict[str, list[str]], list[Rejected]]:
    """The first `most` cards of each family, those already placed included; the others are set aside."""
    placed, aside, before = {}, [], Counter(frozen.families.values())
    for family, ids in families.items():
        room = max(0, most - before[family])
        if kept := ids[:room]:
            # A new family is named after a card that stays, so that its name cannot come to mean another family.
            placed[family if before[family] else min(kept)] = kept
        aside += [
            Rejected(
                "split",
                card_id,
                "more relatives than split.family_cap",
                f"family {family}: {len(ids) + before[family]} cards, cap {most}",
            )
            for card_id in ids[room:]
        ]
    return placed, aside


def assign(families: dict[str, list[str]], frozen: Frozen, block: SplitConfig, seed: int) -> dict[str, str]:
    """Split of each new card. New families come in the order of a seeded hash and go where they fit into the quota:
    held-out first, then validation, else train. Cards of frozen families follow their family.
    """
    split_of = {family: frozen.splits[card] for card, family in frozen.families.items()}
    counts = Counter(frozen.splits.values())
    for family in families.keys() & split_of.keys():
        counts[split_of[family]] += len(families[family])
    total = len(frozen.splits) + sum(map(len, families.values()))
    room = {name: round(getattr(block, name) * total) - counts[name] for name in ("heldout", "validation")}
    for family in sorted(
        families.keys() - split_of.keys(), key=lambda family: hashlib.sha256(f"{seed}:{family}".encode()).digest()
    ):
        size = len(families[family])
        split_of[family] = next((name for name in room if size <= room[name]), "train")
        if split_of[family] in room:
            room[split_of[family]] -= size
    return {card: split_of[family] for family, ids in families.items() for card in ids}


def count(splits: dict[str, str], families: dict[str, str]) -> dict[str, int]:
    """Cards and families of each split."""
    counts = {}
    for name in NAMES:
        ids = [card for card, split in splits.items() if split == name]
        counts |= {f"{name} cards": len(ids), f"{name} families": len({families[card] for card in ids})}
    return counts


def report(counts: dict[str, int], aside: list[Rejected], seconds: float, block: SplitConfig) -> None:
    print(f"split: {sum(counts[f'{name} cards'] for name in NAMES)} cards, {len(aside)} set aside, {seconds:.1f} s")
    for name in NAMES:
        print(f"  {name}: {counts[f'{name} cards']} cards in {counts[f'{name} families']} families")
        if name != "train" and getattr(block, name) and not counts[f"{name} cards"]:
            print(f"  no family fits into {name}: collect more cards, or raise split.{name}")
    for reason, number in Counter(row.reason for row in aside).most_common():
        print(f"  {number} set aside: {reason}")


def run() -> None:
    """`--check` is no key of a recipe, so it is taken off before the recipe is read."""
    checking = "--check" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--check"]
    command("split", SplitConfig, check if checking else main, __doc__, "data_prep.split")


if __name__ == "__main__":
    run()
