"""Measures the ties of the split on cards whose near-duplicates a person has recorded.

    python -m data_prep.measure_lineage --cards DIR [--index DIR/index.jsonl]

The index is JSON lines with `file`, `card_owner`, `card_name` and, where known, `near_duplicate_of` (a file) and `family`.
For each threshold of near-duplicate text it prints which share of the recorded pairs text alone brings together, which share
the whole lineage does, and how many cards share a family with a stranger: one that neither the record nor a named parent nor
the maker relates to them. For the threshold of the split each tie between strangers is listed, so that a person can judge it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.cards.parse import parse_card
from data_prep.core.files import read_dicts
from data_prep.core.recipe import exit_on_mistake
from data_prep.core.records import RawCard
from data_prep.lineage.families import Common, LineageConfig, Placed, Relatives, common, group
from data_prep.lineage.ties import LineageKeys, ties

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NOTHING = Common(frozenset(), {})
UNPLACED = Placed({}, {})


@dataclass(frozen=True)
class Recorded:
    """The cards of an index: ties as the split sees them, families as a person knows them; ids are file names."""

    known: list[LineageKeys]
    true_family: dict[str, str]
    pairs: list[tuple[str, str]]


def main(folder: Path, index: Path) -> None:
    recorded, default = read(folder, index), LineageConfig()
    print(f"{len(recorded.known)} cards, {len(recorded.pairs)} recorded pairs\n")
    print("threshold   text alone   lineage   strangers in a family")
    texts = [
        replace(card, own=tuple(key for key in card.own if key.startswith("text:")), parents=(), sources=())
        for card in recorded.known
    ]
    for threshold in THRESHOLDS:
        config = default.model_copy(update={"near_duplicate": threshold})
        alone, whole = families(texts, config), families(recorded.known, config)
        wrong = strangers(whole, recorded.true_family)
        print(
            f"{threshold:9}   {recall(alone, recorded.pairs):10.1%}   {recall(whole, recorded.pairs):7.1%}   "
            f"{len(wrong)} ({len(wrong) / len(recorded.known):.1%})"
        )
    found = families(recorded.known, default)
    print(f"\nNot brought together at {default.near_duplicate}:")
    print(*(f"  {one} and {other}" for one, other in recorded.pairs if not together(found, one, other)), sep="\n")
    print("Ties between strangers:")
    print(*ties_of_strangers(recorded, default), sep="\n")


def read(folder: Path, index: Path) -> Recorded:
    """Raises ValueError where the index names no card, or one that is not there."""
    rows = list(read_dicts(index)) if index.is_file() else []
    if not rows:
        raise ValueError(f"{index} holds no card; pass --index with one JSON object a line")
    known, relations = [], []
    for row in rows:
        path = folder / row["file"]
        if not path.is_file():
            raise ValueError(f"{index} names {path.name}, which is not in {folder}; pass the cards' own folder as --cards")
        card = parse_card(RawCard(f"{row['card_owner']}/{row['card_name']}", path.read_bytes(), "folder"))
        known.append(replace(ties(card), id=row["file"]))
        keys = [row["file"], f"maker:{row['card_owner'].lower()}", *known[-1].parents, *known[-1].own[:1]]
        keys += [row["near_duplicate_of"]] if row.get("near_duplicate_of") else []
        keys += [f"family:{row['family']}"] if row.get("family") else []
        relations.append(LineageKeys(row["file"], tuple(keys), (), (), None))
    pairs = [(row["file"], row["near_duplicate_of"]) for row in rows if row.get("near_duplicate_of")]
    return Recorded(known, family_of(group(relations, UNPLACED, LineageConfig(), NOTHING)[0]), pairs)


def families(known: list[LineageKeys], config: LineageConfig) -> dict[str, str]:
    return family_of(group(known, UNPLACED, config, common(known, config, ()))[0])


def family_of(groups: dict[str, list[str]]) -> dict[str, str]:
    return {card: family for family, ids in groups.items() for card in ids}


def together(family: dict[str, str], one: str, other: str) -> bool:
    """A card that is set aside is together with none."""
    return one in family and family[one] == family.get(other)


def recall(family: dict[str, str], pairs: list[tuple[str, str]]) -> float:
    return sum(together(family, one, other) for one, other in pairs) / max(1, len(pairs))


def strangers(found: dict[str, str], true_family: dict[str, str]) -> set[str]:
    """Cards whose family holds a card of another true family."""
    truths: dict[str, set[str]] = {}
    for card, family in found.items():
        truths.setdefault(family, set()).add(true_family[card])
    return {card for card, family in found.items() if len(truths[family]) > 1}


def ties_of_strangers(recorded: Recorded, config: LineageConfig) -> Iterator[str]:
    relatives = Relatives(recorded.known, config, common(recorded.known, config, ()))
    for card in recorded.known:
        for other, why in relatives.find(card).items():
            if recorded.true_family[other] != recorded.true_family[card.id]:
                yield f"  {card.id} and {other}: {why}"
        relatives.add(card)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=Path, required=True, help="folder of the cards")
    parser.add_argument("--index", type=Path, help="JSON lines about them; default index.jsonl in the folder")
    options = parser.parse_args()
    exit_on_mistake(lambda: main(options.cards, options.index or options.cards / "index.jsonl"), "data_prep.measure_lineage")
