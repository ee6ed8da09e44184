"""Has a teacher mend the SFT model's own failing samples: chosen texts that differ from the rejected where the fault is.

    python -m data_prep.revise --config recipes/smollm3-3b/data.yaml

Reads data/sampling.jsonl and data/samples.jsonl, writes data/revisions.jsonl, each revision with the key of the sample it
mends and the checks it still fails. The teacher is told what the checks found (CLAIR, arXiv 2408.06266: the smallest change
that helps makes the clearest pair). Without `revise.teacher` nothing is asked and the file is empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.checked import CheckedSummary
from data_prep.candidates.from_teacher import candidate_of, refuse_licences
from data_prep.chat.client import Answer, Endpoint, Question, Usage, ask_all
from data_prep.core.files import read_jsonl, replacing, samples_of, to_json
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Candidate, HeldOut
from data_prep.core.text import count_words
from data_prep.prompts.student import read_source
from data_prep.prompts.teacher import TEACHER_VERSION, revision_question


class ReviseConfig(Block):
    teacher: Endpoint | None = None
    """Who mends the samples; its licence must let its words be trained on."""
    allow_licences: list[str] = []
    """Licences of the teacher beyond the permissive ones."""
    per_card: int = Field(1, ge=1)
    """Failing samples of a card that are mended, those with the fewest faults first."""


def main(recipe: Recipe[ReviseConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    refuse_licences([block.teacher] if block.teacher else [], block.allow_licences, "revise.allow_licences")
    inputs, output = [data / "sampling.jsonl", data / "samples.jsonl"], data / "revisions.jsonl"
    manifest = Manifest(
        data / "revise.manifest.json", "revise", recipe.resolved() | {"version": TEACHER_VERSION}, inputs, [output]
    )
    if manifest.is_done():
        return
    counts, usage = Counter(revisions=0), Usage()
    with replacing(output) as handle:
        for revision in revisions(data, block, usage) if block.teacher else ():
            counts["revisions"] += 1
            counts["pass_every_check"] += not revision.failed
            handle.write(to_json(revision) + "\n")
    if block.teacher:
        print(f"revise: {count_words(counts)}; {usage.line()}")
    else:
        print("revise: no teacher named, so nothing is mended")
    if usage.failures:
        print(f"revise: {usage.failures} questions failed; run it again to ask for these alone")
        return
    manifest.write(**counts)


def revisions(data: Path, block: ReviseConfig, usage: Usage) -> Iterator[Candidate]:
    assert block.teacher is not None
    for (card, sample), answer in ask_all(block.teacher, data / "answers.sqlite", questions(data, block), usage):
        if isinstance(answer, Answer):  # a failure is counted by `usage` and asked again by the next run
            made = candidate_of(answer, block.teacher, card.id, sample.key, revises=sample.key)
            yield replace(made, failed=CheckedSummary.candidate(made, card.source, "revision").failed)


def questions(data: Path, block: ReviseConfig) -> Iterator[tuple[tuple[HeldOut, CheckedSummary], Question]]:
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    for card, samples in tqdm(samples_of(cards, data / "samples.jsonl"), "revise", len(cards), unit=" cards", mininterval=1):
        judged = (CheckedSummary.sample(sample, card.source) for sample in samples)
        failing = sorted((item for item in judged if not item.accepted), key=lambda item: len(item.failed))
        _, model_id, _ = read_source(card.source)
        for item in failing[: block.per_card]:
            yield (card, item), Question(revision_question(model_id, card.source, item.text, item.reason))


if __name__ == "__main__":
    command("revise", ReviseConfig, main, __doc__, "data_prep.revise")
