"""Builds the SFT rows, the held-out cards and the cards to sample pairs from.

    python -m data_prep.examples --config recipes/demo/data.yaml

Reads data/cards.jsonl, split.json, notes.jsonl, candidates.jsonl. Writes data/sft/{train,validation}.parquet,
data/heldout.jsonl (cards no training stage sees), data/sampling.jsonl (training and validation cards). A candidate that
fails a check goes to data/rejected.jsonl with the reason that evaluation would print for it; one that came with its card is used
all the same, and data/findings.jsonl tells what the checks say of it.
With `examples.notes_rows` the second task joins in, notes on a linked page: it also reads data/sources.jsonl and pages.sqlite, adds
rows to both tables and writes data/heldout_notes.jsonl.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.checked import CheckedSummary
from data_prep.checks import CheckResult, check_summary, failures
from data_prep.core.files import first_by, merge_join, read_jsonl, read_split, replacing, set_aside, stable_id, to_json
from data_prep.core.manifest import Manifest
from data_prep.core.parquet import EXAMPLE_SCHEMA, table_writer
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import (
    ATTACHED,
    TRAINED_ON,
    Candidate,
    Card,
    CardNotes,
    Example,
    HeldOut,
    Note,
    Rejected,
    SourceRecord,
)
from data_prep.core.text import count_words
from data_prep.evidence.plan import PLAN_VERSION, plan_of
from data_prep.notes_task.rows import NotesRows
from data_prep.pages.cache import PageCache
from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import (
    NOTES_VERSION,
    PROMPT_VERSION,
    Prompt,
    build_completion,
    build_prompt,
    count_tokens,
    fitted,
    load_tokenizer,
    render,
    source_text,
    tokenizer_hash,
)

SPLITS = ("train", "validation", "heldout")
NO_SUMMARY = "no summary of the card is accepted: it is in no table"
BEYOND_BUDGET = "states what the budget cut from the prompt; raise examples.max_prompt_tokens"
RECKONS = "computes numbers that the source does not state; examples.derived_numbers: keep takes it"
TWICE = "the text of another candidate of the card"
SURPLUS = "passes, but the card has better ones enough"
Add = Callable[[Example], None]  # to a table


class ExamplesConfig(Block):
    tokenizer: str
    """Folder or Hub id of the tokenizer of the model to be trained; the budget is counted in its tokens."""
    max_prompt_tokens: int = 14_000
    """Length of a prompt as rendered without thoughts; the switch to think may add a word. What does not fit is cut at line ends, longest part first, and recorded."""
    references: int = 2
    """Accepted summaries used per training card, the best ones by the checks' measures; each is a row of its own."""
    attached: Literal["keep", "check"] = "keep"
    """What becomes of summaries that came with their card and fail a check. keep: they are used, and data/findings.jsonl tells what the
    checks say of them; in training only where the budget did not cut what they state. check: they are set aside as a teacher's are; of a held-out card too, which then leaves the held-out set."""
    check: bool = True
    """False keeps candidates that fail a check. Only for looking at data: training on them teaches the fault."""
    derived_numbers: Literal["keep", "refuse"] = "refuse"
    """What becomes of summaries for training whose numbers are computed from the source's (differences, sums, ratios, shares), unless they
    came with their card. refuse: they are set aside, since a small model that learns to compute learns to invent. Counts are no matter."""
    think: float = Field(0.0, ge=0, le=1)
    """Share of the rows that appear a second time in think mode: the same card with `/think`, and before the summary a thought that
    lists what it is going to state and where the sources have it. Each row stays without thoughts too, so that both modes live.
    The template of `tokenizer` must have the switch `enable_thinking`."""
    plan_tokens: int = Field(150, ge=1)
    """Length of such a thought at most."""
    notes_rows: bool = False
    """True adds rows of the second task: notes on a linked page, from the page's text in data/pages.sqlite."""
    notes_per_card: int = Field(2, ge=1)
    """At most this many of them a card, so that summaries keep their share."""
    notes_prompt_tokens: int | None = Field(None, ge=1)
    """Length of their prompts as rendered; null takes max_prompt_tokens. Of a longer page the beginning is shown."""


@dataclass(frozen=True)
class Material:
    """All that is known of one card when its rows are built."""

    card: Card
    notes: list[Note]
    candidates: list[Candidate]
    split: str
    family: str
    records: list[SourceRecord] = field(default_factory=list)  # of its links, where notes rows are asked for


@dataclass(frozen=True)
class Finding:
    """What the checks say of a summary that is used all the same, since it came with its card."""

    card_id: str
    candidate_id: str
    split: str
    failed: list[str]
    detail: str


@dataclass(frozen=True)
class Built:
    """What becomes of one card: its prompt, the candidates that are used, best first, and those that are set aside."""

    material: Material
    prompt: Prompt | None
    used: list[Candidate]
    rejected: list[Rejected]
    findings: list[Finding] = field(default_factory=list)


def main(recipe: Recipe[ExamplesConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    inputs = [data / name for name in ("cards.jsonl", "split.json", "notes.jsonl", "candidates.jsonl")]
    tables = {split: data / "sft" / f"{split}.parquet" for split in TRAINED_ON}
    outputs = [*tables.values(), data / "heldout.jsonl", data / "sampling.jsonl", data / "findings.jsonl"]
    if block.notes_rows:
        inputs += [data / "sources.jsonl", data / "pages.sqlite"]
        outputs.append(data / "heldout_notes.jsonl")
    else:
        (data / "heldout_notes.jsonl").unlink(missing_ok=True)  # of an earlier build, whose split may have been another
    rejected = data / "rejected.jsonl"
    versions = {"prompt": PROMPT_VERSION, "notes": NOTES_VERSION, "tokenizer": tokenizer_hash(block.tokenizer)}
    versions |= {"plans": PLAN_VERSION} if block.think else {}
    manifest = Manifest(data / "examples.manifest.json", "examples", recipe.resolved() | versions, inputs, outputs, rejected)
    if manifest.is_done():
        return
    tokenizer = load_tokenizer(block.tokenizer, "examples.tokenizer")
    if block.think:
        chat_format(tokenizer, think=True)
    tally = RowTally()
    with ExitStack() as stack:
        rows = {split: stack.enter_context(table_writer(path, EXAMPLE_SCHEMA)) for split, path in tables.items()}
        files = {path.stem: stack.enter_context(replacing(path)) for path in outputs if path.suffix == ".jsonl"}
        noted = open_notes(data, tokenizer, block, stack) if block.notes_rows else None
        for material in tqdm(materials(data, noted is not None), desc="examples", unit=" cards", mininterval=1):
            built = build(material, tokenizer, block)
            tally.add(built, tokenizer)
            thoughts = planned(built, tokenizer, block) if material.split in rows else {}
            tally.plans += [count_tokens(thought, tokenizer) for thought in thoughts.values()]
            write_rows(built, thoughts, noted, rows.get(material.split), files, tokenizer)
    aside = [*tally.rejected, *tally.without, *(noted.rejected if noted else [])]
    set_aside(rejected, "examples", aside)
    counts, tokens = tally.result()
    second = {"notes": dict(noted.counts) | {"prompt_tokens": spread(noted.prompt_lengths)}} if noted else {}
    manifest.write(**counts, rejected=len(tally.rejected), cards_without=len(tally.without), tokens=tokens, **second)
    report(counts, tokens, aside, noted)


def write_rows(
    built: Built, thoughts: dict[str, str], noted: NotesRows | None, add: Add | None, files: dict[str, TextIO], tokenizer: Any
) -> None:
    """To the table of the card's split, which `add` appends to, and the files of cards. `thoughts`: by candidate, of those that are
    to appear in think mode too."""
    material = built.material
    files["findings"].writelines(to_json(finding) + "\n" for finding in built.findings)
    if built.prompt is not None and built.used:
        store = files["heldout" if material.split == "heldout" else "sampling"]
        store.write(to_json(held_out(material, built.prompt, built.used[0].text)) + "\n")
        if add:
            for candidate in built.used:
                add(example(material, candidate, built.prompt, tokenizer))
                if candidate.id in thoughts:
                    add(example(material, candidate, built.prompt, tokenizer, thoughts[candidate.id]))
    for row in noted.of(material.card, material.notes, material.records, material.split, material.family) if noted else ():
        if add:
            add(row.example(tokenizer))
        else:
            files["heldout_notes"].write(to_json(row.held_out()) + "\n")


class RowTally:
    """Counts and lengths of all that was built."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter({"train_rows": 0, "validation_rows": 0, "candidates": 0})
        self.lengths: dict[str, list[int]] = {"prompt": [], "completion": [], "cut_by_budget": []}
        self.plans: list[int] = []  # tokens of each thought
        self.rejected: list[Rejected] = []  # candidates
        self.without: list[Rejected] = []  # cards

    def add(self, built: Built, tokenizer: Any) -> None:
        split = built.material.split
        self.rejected += built.rejected
        self.counts["candidates"] += len(built.material.candidates)
        self.counts["heldout_references" if split == "heldout" else f"{split}_rows"] += len(built.used)
        self.counts["used_with_findings"] += len(built.findings)
        self.lengths["completion"] += [count_tokens(candidate.text, tokenizer) for candidate in built.used]
        if not built.used:
            self.without.append(Rejected("examples", built.material.card.id, NO_SUMMARY, f"{split} card"))
        if built.prompt and built.used:
            self.counts[f"{split}_cards"] += 1
            self.counts["prompts_cut_to_budget"] += bool(built.prompt.omitted)
            self.lengths["prompt"].append(built.prompt.tokens)
            self.lengths["cut_by_budget"] += [omission.tokens for omission in built.prompt.omitted]

    def result(self) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
        """Counts, and the spread of the lengths in tokens."""
        out = sum(self.counts[name] for name in ("train_rows", "validation_rows", "heldout_references"))
        assert self.counts["candidates"] == out + len(self.rejected), "a candidate is lost"
        lengths = self.lengths | {"plan": self.plans}
        more = {"think_rows": len(self.plans)} if self.plans else {}
        return dict(self.counts) | more, {name: spread(values) for name, values in lengths.items() if values}


def build(material: Material, tokenizer: Any, block: ExamplesConfig) -> Built:
    """Fits the prompt and chooses among the candidates; each one is used or set aside with the reason."""
    card = material.card
    try:
        prompt = build_prompt(card.model_id, card.text, material.notes, tokenizer, block.max_prompt_tokens)
    except ValueError as error:  # its frame alone is over the budget
        refused = [Rejected("examples", row.id, "the prompt does not fit", str(error)) for row in material.candidates]
        return Built(material, None, [], refused)
    accepted, refused, findings = split_accepted(material, prompt, block)
    unlike = first_by(accepted, lambda row: row.text.strip())  # two servers, or a temperature of 0, give one text twice
    kept = set(map(id, unlike))  # cached answers of two servers are equal rows
    refused += [Rejected("examples", row.id, TWICE) for row in accepted if id(row) not in kept]
    accepted = unlike
    most = 1 if material.split == "heldout" else block.references
    surplus = [Rejected("examples", row.id, SURPLUS) for row in accepted[most:]]
    used = {candidate.id for candidate in accepted[:most]}
    told = [finding for finding in findings if finding.candidate_id in used]
    return Built(material, prompt, accepted[:most], [*refused, *surplus], told)


def open_notes(data: Path, tokenizer: Any, block: ExamplesConfig, stack: ExitStack) -> NotesRows:
    pages = data / "pages.sqlite"
    store = stack.enter_context(PageCache(pages)) if pages.exists() else None
    return NotesRows.of_run(data, store, tokenizer, block.notes_per_card, block.notes_prompt_tokens or block.max_prompt_tokens)


def materials(data: Path, with_records: bool = False) -> Iterator[Material]:
    """Joins cards, notes and candidates, all in the order of cards.jsonl, holding one card at a time."""
    split = read_split(data / "split.json")
    cards = (card for card in read_jsonl(data / "cards.jsonl", Card) if card.id in split["splits"])
    noted = merge_join(cards, read_jsonl(data / "notes.jsonl", CardNotes), lambda card: card.id, lambda row: row.card_id)
    written = read_jsonl(data / "candidates.jsonl", Candidate)
    matched = merge_join(noted, written, lambda pair: pair[0].id, lambda row: row.card_id)
    told = read_jsonl(data / "sources.jsonl", SourceRecord) if with_records else ()
    for ((card, rows), candidates), records in merge_join(matched, told, lambda both: both[0][0].id, lambda row: row.card_id):
        notes = [note for row in rows for note in row.notes]
        yield Material(card, notes, candidates, split["splits"][card.id], split["families"][card.id], records)


def source_of(material: Material, prompt: Prompt) -> str:
    """What a summary is checked against: card and notes, without what the budget cut. A fact that the prompt does not hold
    is no fact to the student, and training on it teaches invention."""
    if prompt.omitted:
        return source_text(material.card.model_id, prompt.card, prompt.notes)
    return whole_source(material)


def whole_source(material: Material) -> str:
    return source_text(material.card.model_id, material.card.text, material.notes)


def split_accepted(
    material: Material, prompt: Prompt, block: ExamplesConfig
) -> tuple[list[Candidate], list[Rejected], list[Finding]]:
    """Candidates that are used, best first; the others with the reason; and what the checks say of those that are used for
    having come with the card."""
    accepted, refused, findings = [], [], []
    source = source_of(material, prompt)
    for candidate in material.candidates:
        judged = CheckedSummary.candidate(candidate, source, candidate.writer)
        detail = failures(judged.results) or "cut at the writer's max_tokens"
        if judged.accepted and judged.reckoned and must_not_reckon(candidate, material, block):
            refused.append(Rejected("examples", candidate.id, RECKONS, ", ".join(judged.reckoned)))
        elif judged.accepted or not block.check:
            accepted.append((candidate, quality_score(judged)))
        elif candidate.writer != ATTACHED or block.attached == "check":
            why = ", ".join(result.name for result in judged.results if not result.passed) or "to finish"
            refused.append(Rejected("examples", candidate.id, f"fails {why}", detail))
        elif material.split != "heldout" and (unseen := stated_beyond(candidate.text, judged.results, material, prompt)):
            refused.append(Rejected("examples", candidate.id, BEYOND_BUDGET, ", ".join(unseen)))
        else:
            accepted.append((candidate, quality_score(judged)))
            findings.append(Finding(material.card.id, candidate.id, material.split, judged.failed, detail))
    accepted.sort(key=lambda pair: -pair[1])  # stable: equals stay in the order of the candidates
    return [candidate for candidate, _ in accepted], refused, findings


def must_not_reckon(candidate: Candidate, material: Material, block: ExamplesConfig) -> bool:
    """True where a summary is trained on, is no reference that came with its card, and the recipe wants no computed numbers."""
    is_ours = candidate.writer != ATTACHED and material.split != "heldout"
    return is_ours and block.check and block.derived_numbers == "refuse"


def stated_beyond(summary: str, shown: Sequence[CheckResult], material: Material, prompt: Prompt) -> list[str]:
    """What the summary states that the card says and the prompt, cut to the budget, does not: training on it teaches invention.
    `shown` is what the checks say of it against the prompt."""
    if not prompt.omitted:
        return []
    whole = unsupported(summary, check_summary(summary, whole_source(material)))
    return [text for text in unsupported(summary, shown) if text not in whole]


def unsupported(summary: str, results: Sequence[CheckResult]) -> list[str]:
    """Numbers, names and links of the summary that the checks do not find in its source."""
    grounded = (result for result in results if result.name in ("links", "numbers", "names"))
    return [summary[span.start : span.end] for result in grounded for span in result.spans]


def quality_score(judged: CheckedSummary) -> float:
    """What tells passing summaries apart: the share of the source's facts recalled, less the share of words repeated."""
    return round(judged.value("facts") - judged.value("repetition"), 3)


def planned(built: Built, tokenizer: Any, block: ExamplesConfig) -> dict[str, str]:
    """Thoughts by candidate, of the share that is to appear in think mode. Drawn by the candidate's id, so that a larger share only
    adds; one of whose facts no line of the prompt tells has none."""
    if not block.think or built.prompt is None:
        return {}
    source = source_of(built.material, built.prompt)
    drawn = (one for one in built.used if int(stable_id("think", one.id), 16) < block.think * 16**16)
    plans = {one.id: plan_of(one.text, source, lambda text: count_tokens(text, tokenizer), block.plan_tokens) for one in drawn}
    return {name: plan for name, plan in plans.items() if plan}


def example(material: Material, candidate: Candidate, prompt: Prompt, tokenizer: Any, thought: str = "") -> Example:
    """The row of a candidate: in think mode where there is a `thought`."""
    chat = chat_format(tokenizer, bool(thought))
    if thought:
        prompt = replace(prompt, tokens=count_tokens(render(prompt.messages, tokenizer, think=True), tokenizer))
    told = {"writer": candidate.writer, "decoding": candidate.decoding} | ({"plan_version": PLAN_VERSION} if thought else {})
    return Example(
        id=stable_id(candidate.id, PROMPT_VERSION, *(["think", PLAN_VERSION] if thought else [])),
        prompt=fitted(prompt.messages, chat),
        completion=build_completion(candidate.text, tokenizer, thought),
        chat_template_kwargs=chat.kwargs,
        provenance=prompt.provenance(material.card, material.family, PROMPT_VERSION) | told,
    )


def held_out(material: Material, prompt: Prompt, reference: str) -> HeldOut:
    source = source_of(material, prompt)
    return HeldOut(material.card.id, prompt.messages, source, reference, material.family, prompt.template_kwargs)


def spread(values: Sequence[int]) -> dict[str, int]:
    """How many, and the smallest, middle, 95th of 100 and largest."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    at = {"min": 0, "median": len(ordered) // 2, "p95": int(len(ordered) * 0.95), "max": len(ordered) - 1}
    return {"n": len(ordered)} | {name: ordered[min(place, len(ordered) - 1)] for name, place in at.items()}


def report(
    counts: dict[str, int], tokens: dict[str, dict[str, int]], rejected: list[Rejected], noted: NotesRows | None
) -> None:
    print("examples: " + count_words(counts))
    if not counts["train_rows"]:
        print("  nothing to train on: every summary of a training card is flagged")
    for name, numbers in tokens.items():
        print(f"  tokens {name.replace('_', ' ')}: {spelled(numbers)}")
    for reason, count in Counter(row.reason for row in rejected).most_common():
        print(f"  set aside {count}: {reason}")
    if noted:
        of = noted.counts
        parts = [f"{of[f'{split}_told']} {split} (+{of[f'{split}_declined']} NOTHING NEW)" for split in SPLITS]
        print(f"examples: notes rows of {of['notes']} notes: {', '.join(parts)}")
        print("  tokens notes prompt: " + spelled(spread(noted.prompt_lengths)))


def spelled(numbers: dict[str, int]) -> str:
    return ", ".join(f"{key} {number:,}" for key, number in numbers.items())


if __name__ == "__main__":
    command("examples", ExamplesConfig, main, __doc__, "data_prep.examples")
