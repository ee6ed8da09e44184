"""What passes between the stages: small frozen records. Stable ids, and JSONL in and out: `files.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ATTACHED = "attached"  # the writer of a summary that came with its card
SPLICED = "spliced"  # of a sample with lines of the reference
READER = "reader"  # of a sample that a reader set right
PRUNED = "pruned"  # of a sample without what the checks mark
TRAINED_ON = ("train", "validation")  # the splits that become tables of rows


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
    writer: str  # ATTACHED, SPLICED, PRUNED, READER, "extractive" or the teacher's model
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
class PreferencePair:
    """One preference row; `reason` names what is wrong with the rejected summary."""

    id: str
    prompt: list[dict[str, str]]
    chosen: list[dict[str, str]]
    rejected: list[dict[str, str]]
    chat_template_kwargs: dict[str, Any]
    reason: str
    provenance: dict[str, Any] = field(default_factory=dict)
    rejected_cut: bool = False  # its model never ended it, so that alignment puts no end behind it


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
    finish_reason: str  # "stop", "length" where the token limit cut it, "loop" where it repeated itself and was ended,
    # "thought" where it was asked to think and the thought had no end
    prompt_tokens: int
    completion_tokens: int
    sample: int = 0
    repairs: str = ""  # key of the sample whose beginning it keeps
    decoding: str = "greedy"  # or "sampled"
    thinking: str = ""  # what the model thought aloud before it; never scored
    interventions: dict[str, int] = field(default_factory=dict)  # of grounded decoding, by kind; empty where it was free


@dataclass(frozen=True)
class Correction:
    """A page that a model wrote about a card, and what a reader made of it."""

    key: str  # of the sample
    card_id: str
    model_id: str  # that the card is of
    system: str  # that wrote the sample; it, its thought and its finish reason are as in Generation
    written: str
    thinking: str
    finish_reason: str
    corrected: str

    @property
    def sample(self) -> Generation:
        return Generation(self.key, self.card_id, self.system, self.written, self.finish_reason, 0, 0, thinking=self.thinking)

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.key, self.card_id, self.corrected, READER, revises=self.key)


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
