"""Kinds of held-out cards on which systems may differ: which value each card has in each slice.

Everything but `distance` and `cut` follows from the held-out cards alone; those two need the run's data files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from data_prep.cards.front_matter import split_front_matter
from data_prep.cards.parse import languages, licence, prose, words
from data_prep.checks.licences import PERMISSIVE, UNKNOWN, normal
from data_prep.core.files import read_jsonl, read_split
from data_prep.core.records import Card, CardNotes, HeldOut
from data_prep.lineage.minhash import signature
from data_prep.prompts.student import read_source

LEAST_CARDS = 5  # of a value that is shown: a mean of fewer says more of the cards than of the system
CHUNK = 4096  # training cards compared at once

Values = dict[str, str]  # card -> value; a card without one is in no part of the slice


@dataclass(frozen=True)
class Slices:
    """`values`: slice -> card -> value. `notes`: what is not shown and why, a sentence each."""

    values: dict[str, Values]
    notes: list[str]

    def of(self, card: str) -> dict[str, str]:
        return {name: values[card] for name, values in self.values.items() if card in values}

    def shown(self) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Each slice with the cards of each value that enough cards have, values in order of their names. A slice of one
        such value compares nothing and is left out."""
        for name, values in self.values.items():
            groups = {value: [card for card in values if values[card] == value] for value in sorted(set(values.values()))}
            groups = {value: cards for value, cards in groups.items() if len(cards) >= LEAST_CARDS}
            if len(groups) > 1:
                yield name, groups


def slice_cards(cards: Mapping[str, HeldOut], data: Path) -> Slices:
    """The slices of the held-out cards; `data` is the run's folder of data files."""
    rows = list(cards.values())
    values = {name: {card.id: value(card) for card in rows} for name, value in OWN.items()}
    values |= {"length": by_length(rows), "family": by_family(rows)}
    notes = []
    lacking = [name for name in ("cards.jsonl", "split.json", "notes.jsonl") if not (data / name).exists()]
    if lacking:
        notes.append(f"distance and cut: not known, since {data.name} lacks {', '.join(lacking)}.")
    else:
        values["distance"], note = by_distance(cards, data)
        values["cut"] = by_cut(cards, data)
        notes.append(note)
    return Slices({name: values[name] for name in sorted(values)}, [*notes, *few(values)])


def few(values: Mapping[str, Values]) -> Iterator[str]:
    """What is left out for being few or alone, a sentence a slice."""
    for name in sorted(values):
        counts = sorted(Counter(values[name].values()).items())
        small = [f"{value} ({count})" for value, count in counts if count < LEAST_CARDS]
        if small:
            yield f"{name}: not shown for fewer than {LEAST_CARDS} cards: {', '.join(small)}."
        if len(counts) - len(small) == 1:
            alone = next(value for value, count in counts if count >= LEAST_CARDS)
            yield f'{name}: nothing to compare, "{alone}" is the only value with enough cards.'


def language_of(card: HeldOut) -> str:
    named = [name.lower() for name in languages(split_front_matter(card.source).metadata)]
    if not named:
        return "none stated"
    return "English only" if set(named) <= {"en", "eng", "english"} else "other or several"


def licence_of(card: HeldOut) -> str:
    named = licence(split_front_matter(card.source).metadata)
    if named is None or named in UNKNOWN:
        return "none stated"
    return "permissive" if normal(named) in PERMISSIVE else "restricted"


OWN: dict[str, Callable[[HeldOut], str]] = {"language": language_of, "licence": licence_of}


def by_length(cards: Sequence[HeldOut]) -> Values:
    """Thirds by the words of the source; equal lengths stay together."""
    counts = {card.id: len(card.source.split()) for card in cards}
    ordered = sorted(counts.values())
    first, second = (ordered[max(0, -(-len(ordered) * part // 3) - 1)] for part in (1, 2))

    def name(count: int) -> str:
        if count <= first:
            return f"1 short: up to {first:,} words"
        return f"2 middle: up to {second:,} words" if count <= second else f"3 long: over {second:,} words"

    return {card: name(count) for card, count in counts.items()}


def by_family(cards: Sequence[HeldOut]) -> Values:
    """Size of the card's family among the held-out cards."""
    sizes = Counter(card.family for card in cards)
    return {
        card.id: "1 card" if sizes[card.family] == 1 else "2-3 cards" if sizes[card.family] < 4 else "4+ cards"
        for card in cards
    }


def by_distance(cards: Mapping[str, HeldOut], data: Path) -> tuple[Values, str]:
    """Halves by the similarity to the nearest training card: Jaccard of 5-word shingles, estimated by MinHash. Also a
    sentence that says where they part. A card too short for a signature is in neither."""
    splits = read_split(data / "split.json")["splits"]
    known: dict[str, list[np.ndarray]] = {"train": [], "held": []}
    ids = []
    for card in read_jsonl(data / "cards.jsonl", Card):
        group = "held" if card.id in cards else "train" if splits.get(card.id) == "train" else ""
        sketch = signature(words(prose(card.body))) if group else None
        if sketch is not None:
            known[group].append(sketch)
            ids += [card.id] if group == "held" else []
    if not ids or not known["train"]:
        return {}, "distance: not known, since no training card or no held-out card is long enough to compare."
    train = np.stack(known["train"])
    nearest = {card: closest(sketch, train) for card, sketch in zip(ids, known["held"], strict=True)}
    middle = median(nearest.values())
    values = {card: "near" if similarity > middle else "far" for card, similarity in nearest.items()}
    return values, f"distance: near is a similarity above {middle:.2f} to the nearest of {len(train):,} training cards."


def closest(sketch: np.ndarray, known: np.ndarray) -> float:
    """The greatest similarity of one signature, (PERMUTATIONS,), to many, (cards, PERMUTATIONS)."""
    parts = (known[start : start + CHUNK] for start in range(0, len(known), CHUNK))
    return float(max((part == sketch).mean(axis=1).max() for part in parts))


def by_cut(cards: Mapping[str, HeldOut], data: Path) -> Values:
    """Whether the budget cut card or notes: the source of such a card holds what was left of them."""
    whole = {card.id: card.text for card in read_jsonl(data / "cards.jsonl", Card) if card.id in cards}
    notes = {row.card_id: row.notes for row in read_jsonl(data / "notes.jsonl", CardNotes) if row.card_id in cards}
    values = {}
    for card in cards.values():
        if card.id in whole:
            shown = {note.url: note.text for note in read_source(card.source)[2]}
            uncut = card.source.startswith(whole[card.id].rstrip()) and all(
                shown.get(note.url) == note.text for note in notes.get(card.id, [])
            )
            values[card.id] = "whole" if uncut else "cut"
    return values
