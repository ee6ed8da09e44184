"""Mends the SFT model's own failing samples: chosen texts that differ from the rejected where the fault is.

    python -m data_prep.revise --config recipes/smollm3-3b/data.yaml

Reads data/sampling.jsonl and data/samples.jsonl, writes data/revisions.jsonl, each revision with the key of the sample it
mends and the checks it still fails. The smallest change that helps makes the clearest pair (CLAIR, arXiv 2408.06266). `revise.by`:

| by        | what becomes of what a check marks                                                               |
|-----------|--------------------------------------------------------------------------------------------------|
| teacher   | `revise.teacher`, who is told what the checks found, writes it anew; without one nothing is made |
| reference | the line gives way to the like line of the card's reference (candidates/spliced.py)              |
| removal   | it goes, the item of a list, the address of a link or the line, and the line in which a page is  |
|           | cut or runs in a loop (candidates/pruned.py)                                                      |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.checked import CheckedSummary
from data_prep.candidates.from_teacher import candidate_of, refuse_licences
from data_prep.candidates.pruned import PRUNED_VERSION, pruned
from data_prep.candidates.spliced import spliced
from data_prep.chat.client import Answer, Endpoint, Question, Usage, ask_all
from data_prep.core.files import read_jsonl, replacing, samples_of, stable_id, to_json
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import PRUNED, SPLICED, Candidate, HeldOut
from data_prep.core.text import count_words
from data_prep.prompts.student import read_source
from data_prep.prompts.teacher import TEACHER_VERSION, revision_question

VERSIONS = {"teacher": TEACHER_VERSION, "reference": TEACHER_VERSION, "removal": PRUNED_VERSION}


class ReviseConfig(Block):
    by: Literal["teacher", "reference", "removal"] = "teacher"
    """What is done about what a check marks: a model writes it anew, the reference's line takes its place, or it goes."""
    teacher: Endpoint | None = None
    """The model that is asked; its licence must let its words be trained on."""
    allow_licences: list[str] = []
    """Licences of the teacher beyond the permissive ones."""
    per_card: int = Field(1, ge=1)
    """Failing samples of a card that are mended, those with the fewest faults first."""


def main(recipe: Recipe[ReviseConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    if block.teacher and block.by != "teacher":
        raise ValueError(f"revise.by is {block.by} and revise.teacher names a model; leave one of them out")
    refuse_licences([block.teacher] if block.teacher else [], block.allow_licences, "revise.allow_licences")
    inputs, output = [data / "sampling.jsonl", data / "samples.jsonl"], data / "revisions.jsonl"
    manifest = Manifest(
        data / "revise.manifest.json", "revise", recipe.resolved() | {"version": VERSIONS[block.by]}, inputs, [output]
    )
    if manifest.is_done():
        return
    counts, usage = Counter(revisions=0), Usage()
    with replacing(output) as handle:
        for revision in revisions(data, block, usage):
            counts["revisions"] += 1
            counts["pass_every_check"] += not revision.failed
            handle.write(to_json(revision) + "\n")
    if block.by == "teacher" and not block.teacher:
        print("revise: no teacher named, so nothing is mended")
    else:
        print(f"revise: {count_words(counts)}" + (f"; {usage.line()}" if block.teacher else ""))
    if usage.failures:
        usage.refuse_if_all_failed("revise")
        print(f"revise: {usage.failures} questions failed; run it again to ask for these alone")
        return
    manifest.write(**counts)


def revisions(data: Path, block: ReviseConfig, usage: Usage) -> Iterator[Candidate]:
    if block.by != "teacher":
        # What was thought aloud stands before the text that the marks are in.
        yield from (by_program(card, item, block.by) for card, item in failing(data, block) if not item.thought)
    elif block.teacher:
        for (card, sample), answer in ask_all(block.teacher, data / "answers.sqlite", questions(data, block), usage):
            if isinstance(answer, Answer):  # a failure is counted by `usage` and asked again by the next run
                yield checked(candidate_of(answer, block.teacher, card.id, sample.key, revises=sample.key), card)


def by_program(card: HeldOut, sample: CheckedSummary, by: str) -> Candidate:
    if by == "removal":
        # A page that was cut or ran in a loop ends with its last whole line.
        finish, writer, text = {}, PRUNED, pruned(sample.text, sample.results, cut=not sample.finished)
    else:
        writer, text = SPLICED, spliced(sample.text, sample.results, card.reference)
        finish = {} if sample.finished else {"finish_reason": "loop" if sample.looped else "length"}
    made = Candidate(stable_id(card.id, sample.key, text), card.id, text, writer, decoding=finish, revises=sample.key)
    return checked(made, card)


def checked(made: Candidate, card: HeldOut) -> Candidate:
    return replace(made, failed=CheckedSummary.candidate(made, card.source, "revision").failed)


def questions(data: Path, block: ReviseConfig) -> Iterator[tuple[tuple[HeldOut, CheckedSummary], Question]]:
    for card, item in failing(data, block):
        _, model_id, _ = read_source(card.source)
        yield (card, item), Question(revision_question(model_id, card.source, item.text, item.reason))


def failing(data: Path, block: ReviseConfig) -> Iterator[tuple[HeldOut, CheckedSummary]]:
    """The samples to be mended, of each card those with the fewest faults."""
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    for card, samples in tqdm(samples_of(cards, data / "samples.jsonl"), "revise", len(cards), unit=" cards", mininterval=1):
        # Without what stands before it, or the places that are marked would be others.
        begun = (replace(sample, text=sample.text.lstrip()) for sample in samples)
        judged = (CheckedSummary.sample(sample, card.source) for sample in begun)
        faulty = sorted((item for item in judged if not item.accepted), key=lambda item: len(item.failed))
        yield from ((card, item) for item in faulty[: block.per_card])


if __name__ == "__main__":
    command("revise", ReviseConfig, main, __doc__, "data_prep.revise")
