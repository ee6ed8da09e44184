"""What passes between the stages: small frozen records, stable ids, JSONL in and out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Record = TypeVar("Record")
Item = TypeVar("Item")

ATTACHED = "attached"  # the writer of a summary that came with its card


@dataclass(frozen=True)
class Card:
    """A model card as collected. `id` is a function of model id and text, so the same card is the same everywhere."""

    id: str
    model_id: str
    revision: str | None
    text: str  # the README as found, front matter included
    body: str  # without front matter
    metadata: dict[str, Any]
    metadata_status: str  # "parsed", "none", "salvaged: why", "unreadable: why"
    links: list[str]
    base_models: list[str]
    licence: str | None
    language: list[str]
    sha256: str
    source: str
    # Facts an invented card was made from. Read by tests, by the validation of the checks and by
    # synthetic_pages, which plays the web; by no stage.
    truth: dict[str, Any] | None = None


@dataclass(frozen=True)
class Note:
    """Research on one linked page: what it adds beyond the card."""

    url: str
    text: str


@dataclass(frozen=True)
class Attached:
    """Notes and summaries that came with a card; research and write use them before anything else."""

    card_id: str
    notes: list[Note]
    summaries: list[str]
    removed: list[str] = field(default_factory=list)  # text before each summary's first heading


@dataclass(frozen=True)
class RawCard:
    """What a source of cards hands to collect: a README as found and whatever came with it."""

    model_id: str
    content: bytes | str
    source: str
    revision: str | None = None
    notes: list[Note] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    base_models: list[str] = field(default_factory=list)  # parents that the Hub names; the card may name others, or none
    truth: dict[str, Any] | None = None


@dataclass(frozen=True)
class CardNotes:
    """All notes of one card, one line of `notes.jsonl`."""

    card_id: str
    notes: list[Note]
    origin: str  # who wrote them: "attached" or the teacher's name


@dataclass(frozen=True)
class SourceRecord:
    """What became of one link of a card: one line of `sources.jsonl`. `reason` is "" where a note came of it."""

    card_id: str
    url: str
    kind: str
    standing: str  # "own", "likely" or "mention", with the reason in `why`
    why: str
    reason: str = ""
    address: str = ""  # where its text was asked for
    final_url: str = ""
    status: int | None = None
    content_sha256: str = ""
    fetched_at: str = ""
    extractor: str = ""
    flags: list[str] = field(default_factory=list)  # what in the page speaks to a model
    teacher: str = ""
    answer_key: str = ""  # of the teacher's stored answer
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """One summary somebody wrote for a card, with what every check says of it. None is ever thrown away."""

    id: str
    card_id: str
    text: str
    writer: str  # ATTACHED, "extractive" or the teacher's model
    licence: str = ""  # of what the writer writes; "" where it came with the card
    decoding: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # names of the checks it does not pass
    usage: dict[str, int] = field(default_factory=dict)  # tokens in and out
    revises: str = ""  # key of the sample that it mends


@dataclass(frozen=True)
class Example:
    """One SFT row: prompt and completion are chat messages, never truncated."""

    id: str
    prompt: list[dict[str, str]]
    completion: list[dict[str, str]]
    chat_template_kwargs: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """One preference row; `reason` names what is wrong with the rejected summary."""

    id: str
    prompt: list[dict[str, str]]
    chosen: list[dict[str, str]]
    rejected: list[dict[str, str]]
    chat_template_kwargs: dict[str, Any]
    reason: str
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOut:
    """A card to be summarised by every system: a held-out one, or a training card to sample pairs from."""

    id: str
    prompt: list[dict[str, str]]
    source: str  # card and notes as text: what the checks compare a summary with
    reference: str
    family: str
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)  # of the prompt


@dataclass(frozen=True)
class Generation:
    """One summary by one system. `key` covers everything that can change the text."""

    key: str
    id: str  # of the held-out card
    system: str
    text: str
    finish_reason: str  # "stop", "length" where the token limit cut it, "loop" where it repeated itself and was ended
    prompt_tokens: int
    completion_tokens: int
    sample: int = 0
    repairs: str = ""  # key of the sample whose beginning it keeps
    decoding: str = "greedy"  # or "sampled"
    thinking: str = ""  # what the model thought aloud before it; never scored
    interventions: dict[str, int] = field(default_factory=dict)  # of grounded decoding, by kind; empty where it was free


@dataclass(frozen=True)
class Probe:
    """A held-out card changed on purpose, to see what a system does with it. `changes`: `kind` of the fact, `was`, `now`
    ("" where something was put in or taken out)."""

    id: str  # of card and kind of probe
    card_id: str
    kind: str  # "counterfactual", "injected", "missing" or "long"
    prompt: list[dict[str, str]]
    source: str
    family: str
    changes: list[dict[str, str]]


@dataclass(frozen=True)
class Rejected:
    """An input set aside, with the reason in words."""

    stage: str
    id: str
    reason: str
    detail: str = ""


def stable_id(*parts: str) -> str:
    """First 16 hex digits of the SHA-256 of the parts, separated so that ("ab", "c") and ("a", "bc") differ."""
    return sha256_text("\x1f".join(parts))[:16]


def sha256_text(text: str) -> str:
    # Cards hold lone surrogates now and then; the hash must not be what stops on them.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_file(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[Any]:
    """A handle on `path.tmp`, renamed to `path` when the block ends well, so that nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    # backslashreplace turns a lone surrogate (YAML can spell one) into the JSON escape that means it.
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
    with open(temporary, mode, **text) as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def to_json(record: Any) -> str:
    value = dataclasses.asdict(record) if dataclasses.is_dataclass(record) else record
    return json.dumps(value, ensure_ascii=False, sort_keys=False)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as handle:
        handle.write(text)


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def write_jsonl(path: Path, records: Iterable[Any]) -> int:
    """Writes one record a line, streaming; returns how many."""
    count = 0
    with replacing(path) as handle:
        for record in records:
            handle.write(to_json(record) + "\n")
            count += 1
    return count


def read_dicts(path: Path) -> Iterator[dict[str, Any]]:
    """One dict a line. Raises ValueError that names file and line where a line is no JSON object."""
    with open(path, encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number} is not JSON ({error.msg}); delete the line or make the file again") from None
            if not isinstance(value, dict):
                raise ValueError(f"{path}:{number} holds {type(value).__name__}, expected a JSON object")
            yield value


def read_jsonl(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Streams records of `kind`. Raises ValueError where a line lacks a field or has one too many."""
    if not path.exists():
        raise ValueError(f"{path} is missing; run the stage that writes it first (recipes/run.sh shows their order)")
    for number, row in enumerate(read_dicts(path), 1):
        try:
            yield _build(kind, row)
        except TypeError as error:
            raise ValueError(f"{path}:{number} does not fit {kind.__name__}: {error}") from None


def _build(kind: type[Record], row: dict[str, Any]) -> Record:
    if kind in (Attached, CardNotes) and "notes" in row:
        row = {**row, "notes": [Note(**note) for note in row["notes"]]}
    return kind(**row)


def read_split(path: Path) -> dict[str, Any]:
    """`split.json`: `splits` and `families` by card id, and `common_sources`, whose notes serve training cards only."""
    if not path.exists():
        raise ValueError(f"{path} is missing; run data_prep.split first")
    return {"common_sources": [], **json.loads(path.read_text(encoding="utf-8"))}


def set_aside(path: Path, stage: str, rows: Iterable[Rejected]) -> int:
    """Replaces `stage`'s rows in the shared `rejected.jsonl`, leaving the other stages' rows; returns how many."""
    others = (row for row in read_dicts(path) if row["stage"] != stage) if path.exists() else ()
    count = 0
    with replacing(path) as handle:
        for row in others:
            handle.write(to_json(row) + "\n")
        for row in rows:
            handle.write(to_json(row) + "\n")
            count += 1
    return count


def in_step(ids: Iterable[str], rows: Iterable[Record], key: Callable[[Record], str]) -> Iterator[tuple[str, list[Record]]]:
    """For each id its rows, where `rows` follow the order of `ids`: a join that holds one id's rows at a time.

    Raises ValueError where a row is left that no id claimed: the two files are not of one run.
    """
    stream = iter(rows)
    waiting = next(stream, None)
    for current in ids:
        found = []
        while waiting is not None and key(waiting) == current:
            found.append(waiting)
            waiting = next(stream, None)
        yield current, found
    if waiting is not None:
        raise ValueError(f"no card {key(waiting)} at its place in cards.jsonl; run the stages from collect on again")


def joined(
    items: Iterable[Item], rows: Iterable[Record], name_of: Callable[[Item], str], key: Callable[[Record], str]
) -> Iterator[tuple[Item, list[Record]]]:
    """`in_step` for the items themselves, which are read once: each with its rows."""
    current: list[Item] = []

    def names() -> Iterator[str]:
        for item in items:
            current[:] = [item]
            yield name_of(item)

    return ((current[0], found) for _, found in in_step(names(), rows, key))


def samples_of(cards: Sequence[HeldOut], path: Path) -> Iterator[tuple[HeldOut, list[Generation]]]:
    """Each card with its samples of `path`, in the order of the cards and of the samples' numbers. Batches of like length
    left them in another order, so all are held. Raises ValueError where a sample is of no such card."""
    place = {card.id: index for index, card in enumerate(cards)}
    samples = sorted(read_jsonl(path, Generation), key=lambda sample: (place.get(sample.id, len(place)), sample.sample))
    return joined(cards, samples, lambda card: card.id, lambda sample: sample.id)
