"""What judges are asked: the recipe's block, the summaries to score, the pairs to compare, the planted items.

Everything is a `Subject` that is asked once, whatever it serves: an intact summary of three planted items, equal texts of two
systems.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data_prep.checks.document import read
from data_prep.core.recipe import Block
from data_prep.core.records import Generation, HeldOut
from eval.judging.answers import Judge, Subject
from eval.judging.pairwise import ComparisonPair
from eval.judging.prompts import MAX_SOURCE_CHARACTERS, RUBRIC, SYSTEM, clean
from eval.judging.qualification import PlantedQuestion, planted
from eval.runs.summaries import choose_decoding, read_cards, read_system
from eval.scoring.aggregate import default_pairs

CHARACTERS_PER_TOKEN = 4  # about, of English and Markdown
ANSWER_TOKENS = {"pointwise": 450, "pairwise": 200}  # about, without reasoning
FORMS = tuple(ANSWER_TOKENS)


class JudgeConfig(Block):
    judges: list[Judge] = []
    """Models that judge, each of another family than teacher and student, and better of another than each other."""
    systems: list[str] = []
    """Systems to judge. Empty: every file in eval/generations, by name."""
    comparisons: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Pairs [a, b] to compare. Empty: each system against the one before it and against the first."""
    cards: int | None = Field(default=None, ge=1)
    """At most so many cards, drawn by the seed; with more later, these are asked no second time."""
    decoding: Literal["auto", "sampled", "greedy"] = "auto"
    """Which summaries: auto takes sampled ones where any system has them, as eval.score does, else greedy ones; a system without such is refused."""
    samples: int = Field(default=1, ge=1)
    """Sampled summaries of a card that are judged, the first so many."""
    gate_items: int = Field(default=25, ge=10)
    """Planted items of each kind."""
    gate_accuracy: float = Field(default=0.9, gt=0.5, le=1)
    """Share of all planted items that a judge must get right."""
    gate_kind_accuracy: float = Field(default=0.8, gt=0.5, le=1)
    """The same of each kind, pointwise and pairwise apart."""
    force_family: bool = False
    """Take a judge of the teacher's or the student's family all the same; the results say so."""
    bootstrap_samples: int = Field(default=10_000, ge=1000)
    """Draws of each interval and each p-value."""


@dataclass(frozen=True)
class Summary:
    """A system's summary of a card, as judges see it."""

    card: HeldOut
    generation: Generation
    text: str

    @property
    def subject(self) -> Subject:
        return Subject(self.card.id, self.text)

    @cached_property
    def words(self) -> int:
        document = read(self.text)
        return len(document.words) + document.words_cut


@dataclass(frozen=True)
class Task:
    """All that every judge is asked, and why."""

    cards: dict[str, HeldOut]  # all held-out ones
    summaries: list[Summary]
    pairs: dict[tuple[str, str], list[ComparisonPair]]
    gate: list[PlantedQuestion]

    @cached_property
    def uses(self) -> dict[Subject, list[str]]:
        """Each subject once, with what it serves; the gate first, then card by card."""
        found: dict[Subject, list[str]] = defaultdict(list)
        for item in self.gate:
            for part, subject in zip(("intact", "corrupted"), item.pointwise(), strict=False):
                found[subject].append(f"gate {item.kind} {part}")
            for subject in dict.fromkeys(item.pairwise()):
                found[subject].append(f"gate {item.kind}")
        for summary in self.summaries:
            found[summary.subject].append(f"{summary.generation.system} {summary.generation.key}")
        place = {card: number for number, card in enumerate(dict.fromkeys(summary.card.id for summary in self.summaries))}
        of_pairs = ((place[pair.card], f"{a} {b}", pair) for (a, b), pairs in self.pairs.items() for pair in pairs)
        for _, names, pair in sorted(of_pairs, key=lambda row: row[0]):
            for subject in pair.subjects:
                found[subject].append(names)
        return found

    def subjects(self, form: str) -> list[Subject]:
        return [subject for subject in self.uses if (subject.second is None) == (form == "pointwise")]


def read_task(heldout: Path, generations: Path, systems: Sequence[str], block: JudgeConfig, seed: int) -> Task:
    cards = read_cards(heldout)
    drawn = sorted(cards, key=lambda card: hashlib.sha256(f"{seed} {card}".encode()).digest())
    read = [read_system(generations / f"{name}.jsonl", cards, allow_missing=True) for name in systems]
    decoding = choose_decoding(read, None if block.decoding == "auto" else block.decoding, "judge")
    by_system = {system.name: summaries_by_card(system.decoded(decoding), cards, block.samples) for system in read}
    judged = drawn[: block.cards]
    texts = {card: [summary.text for found in by_system.values() for summary in found.get(card, ())] for card in drawn}
    comparisons = block.comparisons or default_pairs(systems)
    return Task(
        cards,
        [summary for card in judged for found in by_system.values() for summary in found.get(card, ())],
        {(a, b): list(pairs_of(by_system[a], by_system[b], judged)) for a, b in comparisons},
        planted([cards[card] for card in drawn], texts, block.gate_items),
    )


def summaries_by_card(rows: Sequence[Generation], cards: Mapping[str, HeldOut], most: int) -> dict[str, list[Summary]]:
    """A system's summaries to judge, by card."""
    found: dict[str, list[Summary]] = defaultdict(list)
    for row in rows:
        if len(found[row.id]) < most:
            found[row.id].append(Summary(cards[row.id], row, clean(row.text)))
    return found


def pairs_of(a: Mapping[str, list[Summary]], b: Mapping[str, list[Summary]], cards: Iterable[str]) -> Iterator[ComparisonPair]:
    """Sample by sample; a system with fewer samples (a baseline has one) gives them again."""
    for card in cards:
        ours, theirs = a.get(card, []), b.get(card, [])
        for number in range(max(len(ours), len(theirs)) if ours and theirs else 0):
            one, other = ours[number % len(ours)], theirs[number % len(theirs)]
            yield ComparisonPair(card, one.card.family, one.text, other.text, one.words, other.words)


def print_estimate(task: Task, judges: Sequence[Judge]) -> None:
    """Questions, tokens and cost before anything is sent, as if nothing were in the cache."""
    counts, tokens_in, tokens_out = {}, 0, 0
    for form, per_answer in ANSWER_TOKENS.items():
        subjects = task.subjects(form)
        counts[form] = len(subjects)
        tokens_in += sum(question_characters(task, subject) for subject in subjects) // CHARACTERS_PER_TOKEN
        tokens_out += len(subjects) * per_answer
    of_gate = sum(any(use.startswith("gate ") for use in uses) for uses in task.uses.values())
    print(
        f"judge: {counts['pointwise']:,} summaries and {counts['pairwise']:,} ordered pairs to judge, {of_gate:,} of them for the gate; "
        f"about {tokens_in:,} tokens in, {tokens_out:,} out for each judge, less what is in the cache"
    )
    for judge in judges:
        cost = (tokens_in * judge.price_in + tokens_out * judge.price_out) / 1e6
        print(f"  {judge.model}: " + (f"about {cost:.2f}" if cost else "no price given"))


def question_characters(task: Task, subject: Subject) -> int:
    source = min(len(task.cards[subject.card].source), MAX_SOURCE_CHARACTERS)
    return source + len(subject.first) + len(subject.second or "") + len(SYSTEM) + len(RUBRIC)
