"""Held-out cards and every system's summaries of them, read and refused where they do not belong together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.core.files import read_jsonl
from data_prep.core.manifest import manifest_of
from data_prep.core.recipe import did_you_mean
from data_prep.core.records import Generation, HeldOut

DECODINGS = ("greedy", "sampled")
FIELDS = {"key": str, "id": str, "system": str, "text": str, "finish_reason": str, "sample": int, "decoding": str}

Place = tuple[str, str, int]  # card, decoding, sample


@dataclass(frozen=True)
class System:
    """A system's summaries in the cards' order; `missing` counts the cards and samples it has none for."""

    name: str
    generations: list[Generation]
    missing: int
    model: str | None = None  # as eval.generate noted it; None where no manifest lies beside

    def decoded(self, decoding: str) -> list[Generation]:
        """The rows of one decoding. A baseline writes one text whatever the decoding, so that text stands for both."""
        rows = [row for row in self.generations if row.decoding == decoding]
        return rows or (self.generations if self.is_baseline else [])

    @property
    def is_baseline(self) -> bool:
        """True where no model wrote; where nothing was noted: no token was read or made."""
        if self.model is not None:
            return self.model.startswith("baseline:")
        return not any(row.prompt_tokens or row.completion_tokens for row in self.generations)


def read_cards(path: Path) -> dict[str, HeldOut]:
    """Held-out cards by id, in file order. Raises ValueError where there are none or an id stands twice."""
    cards: dict[str, HeldOut] = {}
    for card in read_jsonl(path, HeldOut):
        if card.id in cards:
            raise ValueError(f"{path} holds card {card.id} twice; make it again with data_prep.examples")
        cards[card.id] = card
    if not cards:
        raise ValueError(f"{path} holds no card, so there is nothing to score; give data_prep.split more cards")
    return cards


def named_systems(folder: Path, wanted: Sequence[str], paired: Sequence[Sequence[str]], stage: str) -> list[str]:
    """The `wanted` systems that have summaries in `folder`; all, by name, where none is named. Raises ValueError where there
    are none, or not those that `wanted` or `paired`, the pairs that `stage` is to compare, name, or one is named twice."""
    found = sorted(path.stem for path in folder.glob("*.jsonl"))
    if not found:
        raise ValueError(f"{folder} holds no summaries; run eval.generate first")
    refuse_twice(wanted, f"{stage}.systems")
    refuse_twice([f"[{', '.join(pair)}]" for pair in paired], f"{stage}.comparisons")
    if alike := [pair[0] for pair in paired if len(set(pair)) == 1]:
        raise ValueError(f'{stage}.comparisons sets "{alike[0]}" against itself; name two systems')
    names = list(wanted) or found
    for name in sorted({*names, *(name for pair in paired for name in pair)}):
        if name not in found:
            raise ValueError(f'no summaries by "{name}" in {folder}. {did_you_mean(name, found)} Or run eval.generate for it.')
        if name not in names:
            raise ValueError(f'{stage}.comparisons names "{name}", which {stage}.systems leaves out; add it there')
    for name in sorted(set(found) - set(names)):
        print(f"{stage}: {name} is not in {stage}.systems and is left out")
    return names


def refuse_twice(names: Sequence[str], key: str) -> None:
    """Raises ValueError where a recipe's list names one thing twice: it would count twice in tables and corrections."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'{key} names "{twice[0]}" twice; name it once')


def read_system(path: Path, cards: Collection[str], allow_missing: bool) -> System:
    """One system's summaries. Raises ValueError where they are not of these cards, or not of all."""
    found: dict[Place, Generation] = {}
    for place, row in read_generations(path):
        key = (row.id, row.decoding, row.sample)
        if row.id not in cards:
            raise ValueError(
                f"{place} summarises card {row.id}, which is not held out; delete {path.name} and run eval.generate"
            )
        if key in found:
            raise ValueError(f"{place} holds card {row.id}, {row.decoding}, sample {row.sample} twice; delete one of the lines")
        found[key] = row
    if not found:
        raise ValueError(f"{path} holds no summary; run eval.generate again")
    system, lacking = gathered(path.stem, found, cards)
    if noted := manifest_of(path.parent, path.stem).get("recipe", {}).get("system"):
        system = replace(system, model=noted.get("model") or "")
    if lacking and not allow_missing:
        raise ValueError(
            f"{path} lacks {system.missing} of {len(found) + system.missing} summaries, first of card {lacking[0][0]}; "
            "run eval.generate again, it goes on where it stopped, or pass --score.allow_missing true"
        )
    return system


def gathered(name: str, found: Mapping[Place, Generation], cards: Collection[str]) -> tuple[System, list[Place]]:
    """The system, and what it lacks: every series that it has of any card is expected of all of them."""
    series = sorted({(decoding, sample) for _, decoding, sample in found})
    expected = [(card, *one) for card in cards for one in series]
    lacking = [place for place in expected if place not in found]
    return System(name, [found[place] for place in expected if place in found], len(lacking)), lacking


def read_generations(path: Path) -> Iterator[tuple[str, Generation]]:
    """Each row with its place, FILE:LINE. Raises ValueError where a line is no row, or not of the system the file is named for."""
    number = 0
    try:
        for number, row in enumerate(read_jsonl(path, Generation), 1):
            place = f"{path}:{number}"
            for name, kind in FIELDS.items():
                if type(value := getattr(row, name)) is not kind:
                    raise ValueError(f"{place} has {name} {value!r}, expected {kind.__name__}; run eval.generate again")
            if row.decoding not in DECODINGS:
                raise ValueError(f'{place} has decoding "{row.decoding}", expected {" or ".join(DECODINGS)}')
            if row.system != path.stem:
                raise ValueError(f'{place} holds a summary by "{row.system}"; one file holds one system, named like it')
            yield place, row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:{number + 1} or below is not UTF-8 ({error.reason}); run eval.generate again") from None


def choose_decoding(systems: Sequence[System], wanted: str | None, stage: str = "score") -> str:
    """What the headline rests on: sampled where any system has it, else greedy. Raises ValueError where a model lacks it:
    two systems decoded in two ways differ by more than themselves."""
    decoding = wanted or (
        "sampled" if any(row.decoding == "sampled" for one in systems for row in one.generations) else "greedy"
    )
    for system in systems:
        if not system.decoded(decoding):
            raise ValueError(
                f"{system.name} has no {decoding} summaries, so it cannot stand beside systems that have; run eval.generate "
                f"for it, pass --{stage}.decoding {other(decoding)}, or leave it out of {stage}.systems"
            )
    return decoding


def other(decoding: str) -> str:
    return DECODINGS[1 - DECODINGS.index(decoding)]


def by_card(cards: Mapping[str, HeldOut], systems: Sequence[System]) -> Iterator[tuple[HeldOut, list[Generation]]]:
    """Each card with all summaries of it: a card's source is then indexed once, whatever the number of systems."""
    rows: dict[str, list[Generation]] = {card: [] for card in cards}
    for system in systems:
        for row in system.generations:
            rows[row.id].append(row)
    return ((card, rows[card.id]) for card in cards.values())
