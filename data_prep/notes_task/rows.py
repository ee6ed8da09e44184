"""Rows of the second task, a page -> notes on it: one model then reads pages and writes the summary.

Targets are the notes that a teacher wrote or that came with a card; the prompt holds the page they were written on, out of
data/pages.sqlite. Each note is a row, or is set aside with the reason: its page is not there, is another text by now, or lacks what the
note states. Cards of all splits may have rows; which pages may serve which split is decided as in `research`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.checks import failures
from data_prep.core.files import read_split, stable_id
from data_prep.core.manifest import manifest_of
from data_prep.core.records import Card, Example, HeldOut, Note, Rejected, SourceRecord
from data_prep.lineage.keys import training_only
from data_prep.notes_task.checks import check_notes, page_source
from data_prep.pages.cache import PageCache
from data_prep.pages.choose import addresses
from data_prep.pages.extract import extract
from data_prep.pages.read import SAID_NOTHING, had
from data_prep.prompts.student import NOTES_VERSION, NOTHING_NEW, Prompt, build_completion, build_notes_prompt

NOTHING_NEW_SHARE = 0.1  # of the training rows, at most: a model that may always decline learns to
PAGE_CHARACTERS = 60_000  # that a teacher read, where research recorded nothing else

NO_PAGE = "notes: the page's text is not in pages.sqlite"
CHANGED = "notes: the page in pages.sqlite is not the one that the notes were written on"
UNREADABLE = "notes: no text can be read from the page"
COMMON = "notes: cards of other splits may link to the page"
NO_TEACHER = "notes: the page's first sentences, which nobody wrote as notes"
NO_ROOM = "notes: the prompt does not fit"
SURPLUS = "notes: the card has notes rows enough"
DECLINES = f"notes: {NOTHING_NEW}, of which there are enough"


@dataclass(frozen=True)
class NoteTarget:
    """What somebody wrote on a page, and where its text may be stored."""

    url: str
    notes: str
    writer: str
    places: tuple[str, ...]
    sha256: str = ""  # of the page as it was read; "" where nobody recorded it


@dataclass(frozen=True)
class NotesRow:
    """A page with its notes, ready to be trained on or to be held out."""

    card: Card
    told: NoteTarget
    prompt: Prompt
    source: str
    family: str

    def example(self, tokenizer: Any) -> Example:
        told, prompt = self.told, self.prompt
        page = {"writer": told.writer, "url": told.url, "page_sha256": told.sha256}
        provenance = {"task": "notes"} | prompt.provenance(self.card, self.family, NOTES_VERSION) | page
        completion = build_completion(told.notes, tokenizer)
        return Example(row_id(self.card, told.url), prompt.messages, completion, prompt.template_kwargs, provenance)

    def held_out(self) -> HeldOut:
        name, prompt, notes = row_id(self.card, self.told.url), self.prompt, self.told.notes.strip()
        return HeldOut(name, prompt.messages, self.source, notes, self.family, prompt.template_kwargs)


@dataclass
class NotesRows:
    """Makes the rows card by card; counts them and keeps what was set aside."""

    tokenizer: Any
    pages: PageCache | None  # None where no page was ever fetched
    common_sources: Sequence[str]
    per_card: int
    max_tokens: int
    page_characters: int = PAGE_CHARACTERS
    counts: Counter[str] = field(default_factory=Counter)
    prompt_lengths: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @classmethod
    def of_run(cls, data: Path, pages: PageCache | None, tokenizer: Any, per_card: int, max_tokens: int) -> NotesRows:
        research = manifest_of(data, "research").get("recipe", {}).get("research", {})
        read = research.get("max_page_characters", PAGE_CHARACTERS)
        return cls(tokenizer, pages, read_split(data / "split.json")["common_sources"], per_card, max_tokens, read)

    def of(
        self, card: Card, attached: Sequence[Note], records: Sequence[SourceRecord], split: str, family: str
    ) -> Iterator[NotesRow]:
        """The card's rows, at most `per_card`. Which of its pages are taken follows their hash: the first ones in a card are
        nearly always its paper and its repository."""
        made = 0
        for told in sorted(note_targets(attached, records), key=lambda told: row_id(card, told.url)):
            self.counts["notes"] += 1
            found = SURPLUS if made == self.per_card else self.row(card, told, split, family)
            if isinstance(found, NotesRow):
                made += 1
                self.counts[f"{split}_declined" if told.notes == NOTHING_NEW else f"{split}_told"] += 1
                self.prompt_lengths.append(found.prompt.tokens)
                yield found
            else:
                reason, _, detail = found.partition("\n")
                self.rejected.append(Rejected("examples", row_id(card, told.url), reason, f"{told.url} {detail}".strip()))
        assert self.counts["notes"] == len(self.rejected) + len(self.prompt_lengths), "a note is lost"

    def row(self, card: Card, told: NoteTarget, split: str, family: str) -> NotesRow | str:
        """The row, or why there is none, details behind a line end."""
        if split != "train" and training_only(told.url, self.common_sources):
            return COMMON
        if not told.writer:
            return NO_TEACHER
        if told.notes == NOTHING_NEW and split != "heldout" and self.enough_declined(split):
            return DECLINES
        text, problem = self.page_text(told)
        if problem:
            return problem
        try:
            prompt = build_notes_prompt(card.model_id, card.text, told.url, text, self.tokenizer, self.max_tokens)
        except ValueError as error:
            return f"{NO_ROOM}\n{error}"
        # What the budget cut is no fact to the student.
        shown = prompt.notes[0].text if any(omission.part == told.url for omission in prompt.omitted) else text
        source = page_source(card.model_id, told.url, shown)
        results = check_notes(told.notes, source)
        if failed := [result.name for result in results if not result.passed]:
            return f"notes fail {', '.join(failed)}\n{failures(results)}"
        return NotesRow(card, told, prompt, source, family)

    def enough_declined(self, split: str) -> bool:
        declined, told = self.counts[f"{split}_declined"], self.counts[f"{split}_told"]
        return declined + 1 > NOTHING_NEW_SHARE * (declined + 1 + told)

    def page_text(self, told: NoteTarget) -> tuple[str, str]:
        """Text of the stored page as far as a teacher read it, or why there is none."""
        page = had(told.places, self.pages.get) if self.pages else None
        if page is None:
            return "", NO_PAGE
        if told.sha256 and page.sha256 != told.sha256:
            return "", CHANGED
        found = extract(page.content, page.content_type, page.final_url)
        if found.problem:
            return "", f"{UNREADABLE}\n{found.problem}"
        text = found.text
        if len(text) > self.page_characters:
            end = text.rfind("\n", 0, self.page_characters)
            text = text[: end if end > 0 else self.page_characters]
        return text, ""


def note_targets(attached: Sequence[Note], records: Sequence[SourceRecord]) -> Iterator[NoteTarget]:
    """All notes of a card: those that came with it, where links were never looked at, or those of its records."""
    for note in attached if not records else ():
        yield NoteTarget(note.url, note.text.strip(), "attached", tuple(addresses(note.url)))
    for record in records:
        place = (record.address,)
        if record.note:
            yield NoteTarget(record.url, record.note.strip(), record.teacher, place, record.content_sha256)
        elif record.teacher and record.reason == SAID_NOTHING:
            yield NoteTarget(record.url, NOTHING_NEW, record.teacher, place, record.content_sha256)


def row_id(card: Card, url: str) -> str:
    return stable_id(card.id, url, "notes", NOTES_VERSION)
