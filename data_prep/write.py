"""Candidate summaries of each card: those that came with it, a teacher's, or sentences of the card.

    python -m data_prep.write --config recipes/demo/data.yaml

Writes data/candidates.jsonl in the order of data/cards.jsonl, each candidate with the names of the checks it fails, and its
rows of data/rejected.jsonl. Summaries that came with a card are used first (writer "attached"). For the other cards every
teacher writes `candidates` summaries, all of which are kept; without a teacher the summary is made of the card's own
sentences (writer "extractive"). A teacher's answers are kept in data/answers.sqlite and never asked for again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.checked import CheckedSummary
from data_prep.candidates.extractive import extractive_summary
from data_prep.candidates.from_teacher import candidate_of, refuse_licences
from data_prep.chat.client import Answer, Endpoint, Failure, Question, Usage, ask_all
from data_prep.core.files import in_step, merge_join, read_jsonl, read_split, replacing, set_aside, stable_id, to_json
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import ATTACHED, Attached, Candidate, Card, CardNotes, Note, Rejected
from data_prep.prompts.student import source_text
from data_prep.prompts.teacher import TEACHER_VERSION, summary_question

EXTRACTIVE = "extractive"


class WriteConfig(Block):
    per_card: int = Field(8, ge=1)
    """At most this many different summaries of those that came with a card, the first ones in the order of the source."""
    teachers: list[Endpoint] = []
    """Who writes summaries of the cards that came without."""
    candidates: int = Field(4, ge=1)
    """Summaries that each teacher writes of a card."""
    temperatures: list[float] = []
    """Temperatures of a teacher's candidates in turn; empty takes the teacher's own for all."""
    allow_licences: list[str] = []
    """Licences of teachers beyond the permissive ones. Some terms forbid training on what a model writes: read them first."""
    offline: Literal["extractive", "none"] = "extractive"
    """What a card gets that has no summary while no teacher is named: sentences of its own, or nothing."""


def main(recipe: Recipe[WriteConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    refuse_licences(block.teachers, block.allow_licences, "write.allow_licences")
    inputs = [data / name for name in ("cards.jsonl", "attached.jsonl", "split.json", "notes.jsonl")]
    candidates, rejected = data / "candidates.jsonl", data / "rejected.jsonl"
    manifest = Manifest(
        data / "write.manifest.json", "write", recipe.resolved() | {"version": TEACHER_VERSION}, inputs, [candidates], rejected
    )
    if manifest.is_done():
        return
    started, usage = time.monotonic(), Usage()
    counts, writers = Counter(cards=0, candidates=0), Counter[str]()
    aside: list[Rejected] = []
    with replacing(candidates) as handle:
        for written in write(data, block, usage):
            if isinstance(written, Rejected):
                aside.append(written)
                continue
            counts["cards"] += 1
            for candidate in written:
                counts["candidates"] += 1
                writers[candidate.writer] += 1
                counts["pass_every_check"] += not candidate.failed
                handle.write(to_json(candidate) + "\n")
    set_aside(rejected, "write", aside)
    report(counts, writers, aside, usage, time.monotonic() - started)
    if usage.failures:
        usage.refuse_if_all_failed("write")
        print(f"write: {usage.failures} questions failed; run it again to ask for these alone")
        return
    manifest.write(**counts, by_writer=dict(writers), rejected=len(aside))


def write(data: Path, block: WriteConfig, usage: Usage) -> Iterator[list[Candidate] | Rejected]:
    """The candidates of each card of the split, or why it has none."""
    with ExitStack() as stack:
        streams = []
        for teacher in block.teachers:
            # Closed with the stage, so that a budget spent by one teacher stops what the others have in flight.
            answers = stack.enter_context(
                closing(ask_all(teacher, data / "answers.sqlite", questions(data, block, teacher), usage))
            )
            streams.append((teacher, in_step((card.id for card, _, _ in placed_cards(data)), answers, lambda pair: pair[0][0])))
        for card, notes, summaries in tqdm(placed_cards(data), desc="write", unit=" cards", mininterval=1):
            written = [(teacher, answers) for teacher, stream in streams for _, answers in [next(stream)]]
            theirs = (by_teacher(card, teacher, name[1], answer) for teacher, pairs in written for name, answer in pairs)
            candidates = [*attached(card, summaries, block.per_card), *filter(None, theirs)]
            if not candidates and not block.teachers and block.offline == "extractive":
                candidates = extractive(card, notes)
            source = source_text(card.model_id, card.text, notes)
            if candidates:
                yield [checked(candidate, source) for candidate in candidates]
            else:
                failures = [answer.reason for _, pairs in written for _, answer in pairs if isinstance(answer, Failure)]
                yield no_summary(card.id, block, failures)


def placed_cards(data: Path) -> Iterator[tuple[Card, list[Note], list[str]]]:
    """The cards of the split, each with its notes and the summaries that came with it."""
    placed = read_split(data / "split.json")["splits"]
    cards, attached = read_jsonl(data / "cards.jsonl", Card), read_jsonl(data / "attached.jsonl", Attached)
    everyone = merge_join(cards, attached, lambda card: card.id, lambda row: row.card_id)
    kept = ((card, came) for card, came in everyone if card.id in placed)
    notes = read_jsonl(data / "notes.jsonl", CardNotes)
    for (card, came), rows in merge_join(kept, notes, lambda pair: pair[0].id, lambda row: row.card_id):
        yield card, [note for row in rows for note in row.notes], [text for row in came for text in row.summaries]


def questions(data: Path, block: WriteConfig, teacher: Endpoint) -> Iterator[tuple[tuple[str, Question], Question]]:
    """What a teacher is asked: `candidates` questions for each card that came without a summary, named by card and question."""
    for card, notes, summaries in placed_cards(data):
        if not any(text.strip() for text in summaries):
            messages = summary_question(card.model_id, card.text, notes)
            for number in range(block.candidates):
                temperature = (
                    block.temperatures[number % len(block.temperatures)] if block.temperatures else teacher.temperature
                )
                question = Question(messages, sample=number, temperature=temperature)
                yield (card.id, question), question


def attached(card: Card, summaries: list[str], most: int) -> Iterator[Candidate]:
    for text in list(dict.fromkeys(text for text in summaries if text.strip()))[:most]:
        yield Candidate(stable_id(card.id, ATTACHED, text), card.id, text, ATTACHED)


def by_teacher(card: Card, teacher: Endpoint, question: Question, answer: Answer | Failure) -> Candidate | None:
    if isinstance(answer, Failure):
        return None  # counted by `usage`, asked again by the next run
    sampling = {"temperature": question.temperature, "top_p": teacher.top_p, "sample": question.sample}
    return candidate_of(answer, teacher, card.id, teacher.model, sampling)


def extractive(card: Card, notes: list[Note]) -> list[Candidate]:
    text = extractive_summary(card.model_id, card.text, notes)
    return [Candidate(stable_id(card.id, EXTRACTIVE, text), card.id, text, EXTRACTIVE)] if text else []


def checked(candidate: Candidate, source: str) -> Candidate:
    """The candidate with the names of the checks it fails; a text that was cut off fails "finished"."""
    return replace(candidate, failed=CheckedSummary.candidate(candidate, source, candidate.writer).failed)


def no_summary(card_id: str, block: WriteConfig, failures: Sequence[str]) -> Rejected:
    if block.teachers:
        told = "; ".join(dict.fromkeys(failures))
        return Rejected("write", card_id, "no teacher gave an answer", f"{told}; run write again to ask once more".lstrip("; "))
    advice = "collect it from a source with summaries (transcripts), name write.teachers, or set write.offline extractive"
    return Rejected("write", card_id, "no summary came with the card", advice)


def report(counts: Counter[str], writers: Counter[str], aside: list[Rejected], usage: Usage, seconds: float) -> None:
    by = "".join(f", {number} by {writer}" for writer, number in writers.items())
    passing = f", {counts['pass_every_check']} without a flag" if counts["candidates"] else ""
    print(f"write: {counts['cards']} cards, {counts['candidates']} candidates{by}{passing}, {seconds:.1f} s")
    for reason, number in Counter(row.reason for row in aside).most_common():
        print(f"  {number} cards set aside: {reason}")
    if usage.requests or usage.cached:
        print(f"  teachers: {usage.line()}")


if __name__ == "__main__":
    command("write", WriteConfig, main, __doc__, "data_prep.write")
