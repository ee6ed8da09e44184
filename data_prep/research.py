"""Notes on the pages that each card links to: which links matter, their text, and what it adds for a researcher.

    python -m data_prep.research --config recipes/demo/data.yaml
    python -m data_prep.research --config recipes/smollm3-3b/data.yaml --research.fetch.mode allowlist

Writes data/notes.jsonl, one line per card of the split in the order of data/cards.jsonl, and data/sources.jsonl, one line per
link with what became of it and why. Notes that came with a card are used as they are (origin "attached"). Otherwise the
card's own sources are fetched (`fetch`), and a teacher writes the notes (`teacher`); without one they are the page's first
sentences. Pages and answers are kept in data/pages.sqlite and data/answers.sqlite: what is there is never asked for again.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.extractive import lead_notes
from data_prep.candidates.from_teacher import refuse_licences
from data_prep.chat.client import Answer, Endpoint, Question, Usage, ask_all
from data_prep.core.files import merge_join, read_jsonl, read_split, replacing, set_aside, to_json
from data_prep.core.manifest import Manifest, manifest_of
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Attached, Card, CardNotes, Note, Rejected, SourceRecord
from data_prep.lineage.keys import training_only
from data_prep.pages.cache import PageCache
from data_prep.pages.choose import Link, addresses, links_of_interest
from data_prep.pages.fetch import FetchConfig, fetch_all
from data_prep.pages.read import SAID_NOTHING, had, in_turn, text_of
from data_prep.prompts.student import is_nothing_new
from data_prep.prompts.teacher import TEACHER_VERSION, excerpt, notes_question
from data_prep.prompts.untrusted import injection_flags

NO_ANSWER = "no answer, or cut off"
BEYOND = "beyond research.max_sources"
COMMON = "cards of other splits may link to it: its notes serve training cards only"


class ResearchConfig(Block):
    max_sources: int = Field(8, ge=0)
    """At most this many notes a card: its own sources first, otherwise in the order of the card."""
    mentions: bool = False
    """True reads pages too that a card merely mentions, such as tools and data sets of others."""
    fetch: FetchConfig | None = None
    """How pages are fetched; null fetches none, and only notes that came with a card are used."""
    teacher: Endpoint | None = None
    """Who writes the notes; null takes the first sentences of a page."""
    allow_licences: list[str] = []
    """Licences of the teacher beyond the permissive ones: notes are in every prompt that is trained on and published."""
    note_words: int = Field(350, ge=20)
    """Length asked of a note, or taken from a page without a teacher."""
    max_page_characters: int = Field(60_000, ge=1_000)
    """Of a longer page the teacher reads the beginning; 60,000 characters are about 15,000 tokens."""


@dataclass(frozen=True)
class Reading:
    """A page that was read, with the question to the teacher; no question where there is nothing to ask."""

    record: SourceRecord
    question: Question | None = None


def main(recipe: Recipe[ResearchConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    refuse_licences([block.teacher] if block.teacher else [], block.allow_licences, "research.allow_licences")
    inputs = [data / name for name in ("cards.jsonl", "attached.jsonl", "split.json")]
    outputs, rejected = [data / "notes.jsonl", data / "sources.jsonl"], data / "rejected.jsonl"
    manifest = Manifest(
        data / "research.manifest.json", "research", recipe.resolved() | {"version": TEACHER_VERSION}, inputs, outputs, rejected
    )
    unanswered = manifest_of(data, "research").get("result", {}).get("unanswered")
    if not unanswered and manifest.is_done():
        return
    started, usage = time.monotonic(), Usage()
    notes_made, origins, reasons = 0, Counter[str](), Counter[str]()
    aside: list[Rejected] = []
    split = read_split(data / "split.json")
    if block.fetch:
        fetch(data, split, block, block.fetch)
    with replacing(data / "notes.jsonl") as notes, replacing(data / "sources.jsonl") as sources:
        for card_notes, records, left in research(data, split, block, usage):
            aside += left
            notes.write(to_json(card_notes) + "\n")
            origins[card_notes.origin] += 1
            notes_made += len(card_notes.notes)
            for record in records:
                sources.write(to_json(record) + "\n")
                reasons[record.reason or "used"] += 1
    set_aside(rejected, "research", aside)
    report(notes_made, origins, reasons, usage, time.monotonic() - started)
    if usage.failures:
        usage.refuse_if_all_failed("research")
        print(f"research: {usage.failures} questions failed; run it again to ask for these alone")
        return
    if unanswered := reasons[NO_ANSWER]:
        print(f"research: {unanswered} links gave no answer; run it again to ask for these alone")
    manifest.write(notes=notes_made, cards_by_origin=dict(origins), links=dict(reasons), unanswered=unanswered)


def research(
    data: Path, split: dict[str, Any], block: ResearchConfig, usage: Usage
) -> Iterator[tuple[CardNotes, list[SourceRecord], list[Rejected]]]:
    """Each card's notes, the record of each of its links, and notes that came with it and are left out."""
    read = answered(readings(data, split, block), block, data, usage)
    matched = merge_join(placed_cards(data, split), read, lambda placed: placed[0].id, lambda record: record.card_id)
    for (card, attached), records in matched:
        if attached:
            kept, aside = list[Note](), list[Rejected]()
            for note in attached:
                if why := COMMON if leaks(note, card, split) else BEYOND if len(kept) == block.max_sources else "":
                    aside.append(Rejected("research", card.id, why, note.url))
                else:
                    kept.append(note)
            yield CardNotes(card.id, kept, "attached" if kept else "none"), records, aside
        else:
            kept = [Note(record.url, record.note) for record in records if record.note]
            writer = block.teacher.model if block.teacher else "first sentences"
            yield CardNotes(card.id, kept, writer if kept else "none"), records, []


def placed_cards(data: Path, split: dict[str, Any]) -> Iterator[tuple[Card, list[Note]]]:
    """The cards of the split, each with the notes that came with it."""
    cards, attached = read_jsonl(data / "cards.jsonl", Card), read_jsonl(data / "attached.jsonl", Attached)
    for card, rows in merge_join(cards, attached, lambda card: card.id, lambda row: row.card_id):
        if card.id in split["splits"]:
            yield card, [note for row in rows for note in row.notes]


def leaks(note: Note, card: Card, split: dict[str, Any]) -> bool:
    """True where a note that came with a card is on a page that cards of several splits link to, or that is no card's own (a base that
    many are tuned from), and the card is not for training. The model's own pages are named after it."""
    if split["splits"][card.id] == "train" or not training_only(note.url, split["common_sources"]):
        return False
    return not re.search(rf"/{re.escape(card.model_id)}(?![\w.-])", unquote(note.url), re.IGNORECASE)


def wanted(card: Card, split: dict[str, Any], block: ResearchConfig) -> Iterator[tuple[Link, str]]:
    """The card's links, each with the reason not to read it, "" for those to read."""
    left = block.max_sources
    for link in links_of_interest(card):
        if link.standing == "mention" and not block.mentions:
            yield link, "a mention"
        elif split["splits"][card.id] != "train" and training_only(link.url, split["common_sources"]):
            yield link, COMMON
        elif not left:
            yield link, BEYOND
        else:
            left -= 1
            yield link, ""


# --- pages ------------------------------------------------------------------------------------------------------------


def fetch(data: Path, split: dict[str, Any], block: ResearchConfig, config: FetchConfig) -> None:
    """Fills the snapshots: every page's best address, then the next one of those that had none."""
    with PageCache(data / "pages.sqlite") as pages:
        for attempt, missing in enumerate(in_turn(lambda: wanted_urls(data, split, block), pages.get)):
            asking = fetch_all(config, data / "pages.sqlite", missing)
            got = sum(not page.refused for page in tqdm(asking, "fetch", len(missing), unit=" pages", mininterval=1))
            print(f"research: {got} of {len(missing)} addresses fetched" + (", as second choice" if attempt else ""))


def wanted_urls(data: Path, split: dict[str, Any], block: ResearchConfig) -> Iterator[str]:
    for card, attached in placed_cards(data, split):
        yield from (link.url for link, reason in (() if attached else wanted(card, split, block)) if not reason)


def readings(data: Path, split: dict[str, Any], block: ResearchConfig) -> Iterator[Reading]:
    with PageCache(data / "pages.sqlite") if block.fetch else nullcontext() as pages:
        for card, attached in tqdm(placed_cards(data, split), desc="research", unit=" cards", mininterval=1):
            for link, reason in () if attached else wanted(card, split, block):
                if reason or pages is None:
                    yield Reading(record_of(card, link, reason or "research.fetch names no way to fetch it"))
                else:
                    yield read(card, link, pages, block)


def record_of(card: Card, link: Link, reason: str = "") -> SourceRecord:
    return SourceRecord(card.id, link.url, link.kind, link.standing, link.why, reason)


def read(card: Card, link: Link, pages: PageCache, block: ResearchConfig) -> Reading:
    """The text of one link's page and what to ask about it, or why there is nothing to ask."""
    record, places = record_of(card, link), addresses(link.url)
    page = had(places, pages.get) or pages.get(places[0])
    if page is None or page.refused:
        return Reading(replace(record, address=places[0], reason=page.refused if page else why_not_cached(block)))
    text = text_of(card, link, page, block.mentions)
    record = replace(
        record, address=page.url, final_url=page.final_url, status=page.status, content_sha256=page.sha256,
        fetched_at=page.fetched_at, extractor=text.extractor, flags=injection_flags(text.text), reason=text.problem,
    )  # fmt: skip
    if record.reason:
        return Reading(record)
    if block.teacher is None:
        return Reading(replace(record, note=lead_notes(text.text, block.note_words)))
    page_text = excerpt(text.text, block.max_page_characters)
    return Reading(record, Question(notes_question(card.model_id, card.text, link.url, page_text, block.note_words)))


def why_not_cached(block: ResearchConfig) -> str:
    return "fetching is off" if block.fetch and block.fetch.mode == "off" else NO_ANSWER


# --- notes ------------------------------------------------------------------------------------------------------------


def answered(readings: Iterable[Reading], block: ResearchConfig, data: Path, usage: Usage) -> Iterator[SourceRecord]:
    """All records in their order, those with a question with the teacher's note. Records without one travel with the next
    question, so that order is kept and nothing waits in memory but what is in flight."""
    silent: list[SourceRecord] = []

    def questions() -> Iterator[tuple[tuple[list[SourceRecord], SourceRecord], Question]]:
        for reading in readings:
            if reading.question is None:
                silent.append(reading.record)
            else:
                before = silent.copy()
                silent.clear()
                yield (before, reading.record), reading.question

    if block.teacher:
        for (before, record), answer in ask_all(block.teacher, data / "answers.sqlite", questions(), usage):
            yield from before
            yield with_note(record, answer, block.teacher.model)
        yield from silent
    else:
        yield from (reading.record for reading in readings)


def with_note(record: SourceRecord, answer: Any, teacher: str) -> SourceRecord:
    record = replace(record, teacher=teacher, answer_key=answer.key)
    if not isinstance(answer, Answer):
        return replace(record, reason=f"the teacher gave no answer: {answer.reason}")
    if is_nothing_new(answer.text):
        return replace(record, reason=SAID_NOTHING)
    if answer.finish_reason == "length":
        return replace(record, reason="the note was cut at the teacher's max_tokens")
    return replace(record, note=answer.text.strip())


def report(notes: int, origins: Counter[str], reasons: Counter[str], usage: Usage, seconds: float) -> None:
    cards = [
        f"{number} cards {'without' if origin == 'none' else f'with {origin}'} notes" for origin, number in origins.items()
    ]
    print(f"research: {', '.join([*cards, f'{notes} notes'])}, {seconds:.1f} s")
    for reason, number in reasons.most_common():
        print(f"  {number} links: {reason}")
    if usage.requests or usage.cached:
        print(f"  teacher: {usage.line()}")


if __name__ == "__main__":
    command("research", ResearchConfig, main, __doc__, "data_prep.research")
