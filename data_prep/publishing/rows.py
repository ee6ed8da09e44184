"""Which rows of a run may be published, and in what form.

| `text`     | card's licence permissive                | any other licence                              |
|------------|------------------------------------------|------------------------------------------------|
| `licensed` | rows as they are, card text included     | id, hash and notes of the card, in `withheld`  |
| `never`    | rows without prompt: id, hash and notes of the card, and what was written about it, for all |

Whatever the form, a row goes out only where the licence of everybody who wrote its notes and its summary is known. Rows of
held-out cards never do: `cards` says which they are, so that others can keep them out too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from data_prep.checks.licences import PERMISSIVE, normal
from data_prep.core.files import in_step, read_dicts, read_jsonl, read_split, stable_id
from data_prep.core.manifest import manifest_of
from data_prep.core.parquet import EXAMPLE_SCHEMA, PAIR_SCHEMA, Row, read_table
from data_prep.core.records import PRUNED, TRAINED_ON, Candidate, Card, CardNotes, Correction

Mode = Literal["licensed", "never"]
OWN_TEXT = ("own sample", "repair", "small model")  # written by models of this project
TEXT = pa.string()
NOTES = pa.list_(pa.struct([("url", TEXT), ("text", TEXT)]))
OF_CARD = ("card_id", "model_id", "revision", "sha256", "licence")
CARD_SCHEMA = pa.schema(dict.fromkeys([*OF_CARD, "split", "family"], TEXT))
WITHHELD_SCHEMA = pa.schema(dict.fromkeys([*OF_CARD, "split"], TEXT) | {"notes": NOTES})
CANDIDATE_SCHEMA = pa.schema(
    dict.fromkeys(["id", "card_id", "model_id", "split", "family", "text", "writer", "licence", "decoding"], TEXT)
    | {"failed": pa.list_(TEXT)}
)


@dataclass(frozen=True, slots=True)
class PublishedCard:
    """What is published of a card besides its text. `licence` is a Hub identifier, None where the card names none."""

    card_id: str
    model_id: str
    revision: str | None
    sha256: str
    licence: str | None
    split: str
    family: str

    def facts(self) -> Row:
        return {name: getattr(self, name) for name in OF_CARD}

    def row(self) -> Row:
        """Of a held-out card only id and family."""
        told = self.facts() if self.split in TRAINED_ON else {"card_id": self.card_id, "model_id": self.model_id}
        return dict.fromkeys(CARD_SCHEMA.names) | told | {"split": self.split, "family": self.family}


@dataclass(frozen=True)
class PublishableRun:
    """A run seen as a publisher: its cards, its writers' licences, and what has been left out so far."""

    data: Path
    text: Mode
    cards: dict[str, PublishedCard]
    licences: dict[str, str]  # of each writer; "" where nobody said
    writer_of: dict[str, str]  # digest of card id and text -> who wrote it
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, data: Path, text: Mode, licences: dict[str, str]) -> PublishableRun:
        """`licences` says what is known besides what teachers were recorded with."""
        split = read_split(data / "split.json")
        cards = {
            card.id: PublishedCard(
                card.id, card.model_id, card.revision, card.sha256, card.licence and normal(card.licence),
                split["splits"][card.id], split["families"][card.id],
            )
            for card in read_jsonl(data / "cards.jsonl", Card)
            if card.id in split["splits"]
        }  # fmt: skip
        known, writer_of = notes_licence(data), {}
        for candidate in written(data):
            if candidate.writer != PRUNED:  # an own sample, of which nobody wrote a word
                known.setdefault(candidate.writer, candidate.licence)
            writer_of[stable_id(candidate.card_id, candidate.text.strip())] = candidate.writer
        return cls(data, text, cards, known | licences, writer_of)

    # --- who may be quoted

    def free(self, card: PublishedCard) -> bool:
        return card.licence in PERMISSIVE

    def unknown(self, writer: str, card: PublishedCard) -> str:
        """Why what `writer` wrote about the card stays here; "" where it may go."""
        if writer == "extractive":
            return "" if self.text == "licensed" and self.free(card) else "the summary is made of the card's own sentences"
        if writer == "first sentences":
            return "the notes are sentences of the linked pages"
        return "" if self.licences.get(writer) else f'the licence of the writer "{writer}" is not known'

    def refusal(self, card: PublishedCard, notes: CardNotes, writer: str) -> str:
        assert card.split in TRAINED_ON, f"a row of held-out card {card.card_id}"
        return (self.unknown(notes.origin, card) if notes.notes else "") or (writer and self.unknown(writer, card))

    # --- rows

    def rows(self, kind: Literal["sft", "pairs"], split: str) -> Iterator[Row]:
        """The rows of one table that may go out, in their order."""
        source = read_table(self.data / kind / f"{split}.parquet")
        rows = (row | {"provenance": json.loads(row["provenance"])} for row in source)
        for notes, found in self.by_card(rows, lambda row: row["provenance"]["card_id"]):
            if notes.card_id not in self.cards:
                raise ValueError(
                    f"notes.jsonl names card {notes.card_id}, cards.jsonl does not; run the stages from split on again"
                )
            card = self.cards[notes.card_id]
            for row in found:
                told = row["provenance"]
                if told.get("task") == "notes":
                    self.left_out[f"{kind} rows: the prompt holds the text of a linked page"] += 1
                    continue
                writer = told["writer"] if kind == "sft" else self.writer_of_pair(card, row)
                if refused := self.refusal(card, notes, writer) or self.withheld(card):
                    self.left_out[f"{kind} rows: {refused}"] += 1
                    continue
                told |= card.facts() | {"writer": writer or "this project's model", "writer_licence": self.licences.get(writer)}
                told["notes_writer"] = notes.origin
                yield self.form(row | {"provenance": json.dumps(told, ensure_ascii=False)}, card, notes)

    def by_card(self, rows: Iterable[Any], key: Any) -> Iterator[tuple[CardNotes, list[Any]]]:
        """Each card's notes with its rows, which are in the order of the cards."""
        path = self.data / "notes.jsonl"
        ids = (notes.card_id for notes in read_jsonl(path, CardNotes))
        matched = in_step(ids, rows, key)
        return ((notes, found) for notes, (_, found) in zip(read_jsonl(path, CardNotes), matched, strict=True))

    def writer_of_pair(self, card: PublishedCard, row: Row) -> str:
        """Who wrote the chosen text; "" for a model of this project. A broken reference is its writer's too."""
        if row["provenance"]["chosen"] in OWN_TEXT:
            return ""
        writer = self.writer_of.get(stable_id(card.card_id, row["chosen"][0]["content"].strip()), "unknown")
        return "" if writer == PRUNED else writer

    def withheld(self, card: PublishedCard) -> str:
        if self.text == "never" or self.free(card):
            return ""
        return f"the card's licence ({card.licence or 'none stated'}) is not permissive"

    def form(self, row: Row, card: PublishedCard, notes: CardNotes) -> Row:
        if self.text == "licensed":
            return row
        return row | card.facts() | {"notes": told_notes(notes)}  # the table's schema leaves the prompt out

    def schema(self, kind: Literal["sft", "pairs"]) -> pa.Schema:
        whole = EXAMPLE_SCHEMA if kind == "sft" else PAIR_SCHEMA
        if self.text == "licensed":
            return whole
        columns = [column for column in whole if column.name != "prompt"]
        return pa.schema([*((name, TEXT) for name in OF_CARD), ("notes", NOTES), *columns])

    def candidates(self, split: str) -> Iterator[Row]:
        stream = read_jsonl(self.data / "candidates.jsonl", Candidate)
        for notes, found in self.by_card(stream, lambda candidate: candidate.card_id):
            card = self.cards[notes.card_id]
            for candidate in found if card.split == split else ():
                if refused := self.unknown(candidate.writer, card) or self.withheld(card):
                    self.left_out[f"candidates: {refused}"] += 1
                    continue
                yield {
                    "id": candidate.id, "card_id": card.card_id, "model_id": card.model_id, "split": split,
                    "family": card.family, "text": candidate.text, "writer": candidate.writer,
                    "licence": self.licences.get(candidate.writer) or card.licence,
                    "decoding": json.dumps(candidate.decoding, ensure_ascii=False), "failed": candidate.failed,
                }  # fmt: skip

    def withheld_cards(self, split: str) -> Iterator[Row]:
        """Id, hash and notes of the cards whose text stays here; notes whose writer is unknown stay too."""
        for notes in read_jsonl(self.data / "notes.jsonl", CardNotes):
            card = self.cards[notes.card_id]
            if card.split == split and self.withheld(card):
                told = [] if self.unknown(notes.origin, card) else told_notes(notes)
                yield card.facts() | {"split": split, "notes": told}


def written(data: Path) -> Iterator[Candidate]:
    yield from read_jsonl(data / "candidates.jsonl", Candidate)
    if (data / "revisions.jsonl").exists():
        yield from read_jsonl(data / "revisions.jsonl", Candidate)
    if (data / "corrections.jsonl").exists():
        yield from (row.candidate for row in read_jsonl(data / "corrections.jsonl", Correction))


def notes_licence(data: Path) -> dict[str, str]:
    """The teacher that wrote notes and its licence, as research recorded them."""
    teacher = manifest_of(data, "research").get("recipe", {}).get("research", {}).get("teacher")
    return {teacher["model"]: teacher["licence"]} if teacher else {}


def told_notes(notes: CardNotes) -> list[Row]:
    return [{"url": note.url, "text": note.text} for note in notes.notes]


def set_aside_counts(data: Path) -> Counter[tuple[str, str]]:
    """Inputs set aside, by stage and reason."""
    path = data / "rejected.jsonl"
    return Counter((row["stage"], row["reason"]) for row in read_dicts(path)) if path.exists() else Counter()
