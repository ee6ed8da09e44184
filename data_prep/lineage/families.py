"""Cards by family: who is related, what is too common to tie, and a look for what crosses splits.

Two cards are one family where they share a model (own or parent), the name of a copy, at least SAME_SOURCES of the papers,
repositories and pages that either links to, or `near_duplicate` of their text. Chains would make half of the Hub one family,
so some keys tie nothing:

- A source that more than `max_shared_citations` cards link to, or one of `TOOLS` in keys.py.
- A name that more than `max_children` cards bear or derive from (`ppo-LunarLander-v2`): the exercise of a course.
- A base that more than `max_children` cards name as their parent. Its children are split by what else they share: text,
  names, sources, a nearer parent. They quote the base's own card, which would stand against all of them, so that card is set
  aside; where an earlier run has placed it, the base goes on tying, and its children follow it.

A merge of more than `max_parents` models that still tie is set aside: it would make all their families one.

Two cards of different splits may still link to one page: most pairs that share one paper share a method, not a model.
`common_sources` names such pages, and notes on them serve training cards only (`training_only` in keys.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from pydantic import Field

from data_prep.core.recipe import Block
from data_prep.core.records import Card, Rejected
from data_prep.lineage.keys import TOOLS
from data_prep.lineage.minhash import NearDuplicates
from data_prep.lineage.ties import LineageKeys, ties

SAME_SOURCES = 1 / 3  # Jaccard; on 199 cards of many makers one shared source in any number tied 95 of them to strangers


class LineageConfig(Block):
    near_duplicate: float = Field(0.5, gt=0, le=1)
    """Estimated Jaccard similarity of 5-word shingles from which two cards count as the same text."""
    max_shared_citations: int = Field(10, ge=1)
    """A paper, repository or page linked by more cards than this ties none of them: it is a tool, not a parent."""
    max_children: int = Field(20, ge=1)
    """A base that more cards than this name as their parent does not make siblings of them; its own card is set aside."""
    max_parents: int = Field(3, ge=1)
    """A merge of more models than this is set aside, bases that tie nothing not counted."""


@dataclass(frozen=True)
class Common:
    """What ties nothing, being shared by too many."""

    keys: frozenset[str]
    bases: dict[str, int]  # key of a base with too many children -> how many


@dataclass(frozen=True)
class Placed:
    """Split and family of each card that an earlier run has placed."""

    splits: dict[str, str]
    families: dict[str, str]

    def with_those_of(self, other: Placed) -> Placed:
        """Both; where they differ, as `other` has it."""
        return Placed(self.splits | other.splits, self.families | other.families)

    def only(self, cards: Collection[str]) -> Placed:
        """Of these cards alone."""
        return Placed(*({card: of[card] for card in of if card in cards} for of in (self.splits, self.families)))


def common(known: Iterable[LineageKeys], config: LineageConfig, placed: Collection[str]) -> Common:
    """`placed` are ids of cards that stay where they are: their children must follow them, however many."""
    sources: Counter[str] = Counter()
    names: Counter[str] = Counter()
    children: Counter[str] = Counter()
    standing: set[str] = set()
    for card in known:
        sources.update(card.sources)
        names.update({key for key in (*card.own, *card.parents) if key.startswith("name:")})
        children.update(set(card.models))
        if card.id in placed:
            standing.add(card.own[0])
    bases = {key: number for key, number in children.items() if number > config.max_children and key not in standing}
    keys = {key for key, number in sources.items() if number > config.max_shared_citations or key in TOOLS}
    keys |= {key for key, number in names.items() if number > config.max_children}
    return Common(frozenset(keys | bases.keys()), bases)


def common_sources(known: Iterable[LineageKeys], splits: dict[str, str]) -> list[str]:
    """Sources that cards of more than one split link to."""
    first: dict[str, str] = {}
    placed = ((splits[card.id], key) for card in known if card.id in splits for key in card.sources)
    return sorted({key for split, key in placed if first.setdefault(key, split) != split})


class Relatives:
    """The cards added so far, by what they share."""

    def __init__(self, known: Iterable[LineageKeys], config: LineageConfig, shared: Common) -> None:
        self.shared = shared.keys
        # A key that one card alone has ties nothing: most keys, and most of the memory they would take.
        counts = Counter(key for card in known for key in {*card.own, *card.parents, *card.sources})
        self.recurring = frozenset(key for key, number in counts.items() if number > 1)
        del counts
        self.near = NearDuplicates(config.near_duplicate, (card.signature for card in known))
        self.holder: dict[str, str] = {}  # key -> the first card that has it
        self.citing: dict[str, list[LineageKeys]] = defaultdict(list)  # source -> the cards that link to it
        self.similar: list[tuple[str, float]] = []

    def find(self, card: LineageKeys) -> dict[str, str]:
        """Ids of the cards tied to this one, with what ties them. Cards that share a key are tied to its first holder."""
        keys = self._live((*card.own, *card.parents))
        found = {self.holder[key]: key for key in reversed(keys) if key in self.holder}  # the first key says most
        found |= self._same_sources(card)
        self.similar = self.near.find(card.signature)
        return found | {other: f"{similarity:.0%} of the text" for other, similarity in self.similar}

    def add(self, card: LineageKeys) -> None:
        """Remembers the card that `find` was last asked about."""
        for key in self._live((*card.own, *card.parents)):
            self.holder.setdefault(key, card.id)
        for key in self._live(card.sources):
            self.citing[key].append(card)
        self.near.add(card.id, card.signature, self.similar)

    def _same_sources(self, card: LineageKeys) -> dict[str, str]:
        """Shared sources count only while they are rare, their union counts them all: as a collection grows, ties between
        placed cards can be lost and never made."""
        own = set(card.sources) - TOOLS
        others = {other.id: set(other.sources) - TOOLS for key in self._live(own) for other in self.citing.get(key, ())}
        rare = {name: sorted(self._live(own & theirs)) for name, theirs in others.items()}
        return {name: ", ".join(keys) for name, keys in rare.items() if len(keys) >= SAME_SOURCES * len(own | others[name])}

    def _live(self, keys: Iterable[str]) -> list[str]:
        return [key for key in keys if key in self.recurring and key not in self.shared]


class Groups:
    """Union-find over card ids. Each group may have the split and family that an earlier run gave it."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}
        self.fixed: dict[str, tuple[str, str]] = {}  # root -> split, family

    def root(self, card: str) -> str:
        while self.parent[card] != card:
            self.parent[card] = card = self.parent[self.parent[card]]
        return card

    def add(self, card: str, related: Iterable[str], fixed: tuple[str, str] | None = None) -> None:
        """Joins `card` with all `related` cards."""
        self.parent[card] = card
        if fixed:
            self.fixed[card] = fixed
        for other in related:
            joined, own = self.root(other), self.root(card)
            if joined != own:
                self.parent[own] = joined
                if own in self.fixed:
                    self.fixed.setdefault(joined, self.fixed[own])


def group(
    known: list[LineageKeys], placed: Placed, config: LineageConfig, shared: Common
) -> tuple[dict[str, list[str]], list[Rejected]]:
    """New cards by the family they belong to (a placed one's id, or the smallest card id of a new one), and those set aside.

    A card is set aside before it joins anything, so it cannot carry a tie between two others.
    """
    groups, relatives = Groups(), Relatives(known, config, shared)
    first: dict[str, str] = {}  # family of placed cards -> its first one
    aside, new = [], []
    for card in sorted(known, key=lambda card: card.id not in placed.splits):  # stable: placed cards first
        tied = relatives.find(card)
        if card.id in placed.splits:
            family = placed.families[card.id]
            groups.add(card.id, [first.setdefault(family, card.id)], (placed.splits[card.id], family))
        elif refused := too_wide(card, config, shared) or bridge(card, tied, groups):
            aside.append(refused)
            continue
        else:
            groups.add(card.id, tied)
            new.append(card.id)
        relatives.add(card)
    members: dict[str, list[str]] = defaultdict(list)
    for card_id in new:
        members[groups.root(card_id)].append(card_id)
    return {groups.fixed[root][1] if root in groups.fixed else min(ids): ids for root, ids in members.items()}, aside


def families_of(cards: Iterable[Card]) -> dict[str, str]:
    """Family of each card by its id, for cards that no split has placed. One that would be set aside is a family by itself."""
    known, config = [ties(card) for card in cards], LineageConfig()
    members, aside = group(known, Placed({}, {}), config, common(known, config, ()))
    return {row.id: row.id for row in aside} | {card: family for family, ids in members.items() for card in ids}


def too_wide(card: LineageKeys, config: LineageConfig, shared: Common) -> Rejected | None:
    """Why a card has relatives in every split: a popular base, or a merge of many models."""
    own = card.own[0]
    if own in shared.bases:
        detail = f"{shared.bases[own]} cards name {own.removeprefix('model:')}, split.max_children is {config.max_children}"
        return Rejected("split", card.id, "a base whose children are in every split", detail)
    parents = {key for key in card.models if key not in shared.keys}
    if len(parents) > config.max_parents:
        detail = f"{len(parents)} parents, split.max_parents is {config.max_parents}"
        return Rejected("split", card.id, "a merge of too many models", detail)
    return None


def bridge(card: LineageKeys, tied: dict[str, str], groups: Groups) -> Rejected | None:
    """Why a card cannot be placed: it is tied to cards of more than one split."""
    touched = {
        groups.fixed[root][0]: (other, why) for other, why in tied.items() if (root := groups.root(other)) in groups.fixed
    }
    if len(touched) < 2:
        return None
    ends = "; ".join(f"{why} with {other} ({split})" for split, (other, why) in sorted(touched.items()))
    return Rejected("split", card.id, "would tie two splits together", f"shares {ends}")


def crossings(known: list[LineageKeys], placed: Placed, config: LineageConfig, shared: Common) -> Iterator[str]:
    """What two cards of different splits share, one sentence each; nothing where the splits are clean."""
    relatives, splits = Relatives(known, config, shared), placed.splits
    first: dict[str, str] = {}
    for card in known:
        if card.id not in splits:
            continue
        family = f"family:{placed.families[card.id]}"
        for other, why in [*relatives.find(card).items(), (first.setdefault(family, card.id), family)]:
            if splits[other] != splits[card.id]:
                yield f"{card.id} ({splits[card.id]}) and {other} ({splits[other]}) share {why}"
        relatives.add(card)
