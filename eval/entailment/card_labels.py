"""Labelled statements about real cards. The file holds no card text: a row names its card by SHA-256, and the text is found on this
machine or on the Hub, like that of the reference summaries beside it (`data_prep/collecting/references.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.collecting.config import SourceConfig
from data_prep.collecting.readers import card_finder
from data_prep.collecting.references import Reference, read_references
from data_prep.core.files import read_jsonl
from data_prep.core.records import RawCard
from data_prep.core.text import plural
from data_prep.prompts.student import raw_source
from eval.entailment.calibration import Labelled, of_both_kinds


@dataclass(frozen=True)
class CardLabel:
    """A statement of a page about the card with this SHA-256. `read_as`: what each reader found it, "right", "wrong" or "not there"."""

    sha256: str
    writer: str  # "reference", or the model whose page it is
    context: str
    claim: str
    read_as: list[str]
    supported: bool


def read_card_labels(path: Path, card_texts: Sequence[str] | None) -> list[Labelled]:
    """The statements whose card is to be had, as claims to measure a checker by; prints how many are not. `references.jsonl` beside `path`
    tells each card's id and notes. Raises ValueError where no card is to be had, a row's card is in no reference, or all are of one kind."""
    rows = list(read_jsonl(path, CardLabel))
    references = {one.sha256: one for one in read_references(path.parent / "references.jsonl")}
    wanted = dict.fromkeys(row.sha256 for row in rows)
    if unknown := [name for name in wanted if name not in references]:
        raise ValueError(
            f"{path} names the card {unknown[0]}, which {path.parent}/references.jsonl lacks; correct one of the two"
        )
    sources = _sources([references[name] for name in wanted], card_texts)
    if not sources:
        raise ValueError(
            f"none of the {len(wanted)} cards of {path} is to be had; name folders or Parquet tables that have them in "
            "support.card_texts, or take support.calibration: synthetic"
        )
    known = [(sources[row.sha256], row) for row in rows if row.sha256 in sources]
    if gone := len(wanted) - len(sources):
        print(
            f"support: {plural(gone, 'card')} of {path} not to be had: {len(known)} of {len(rows)} labelled statements are used"
        )
    labelled = [Labelled(source, row.context, row.claim, row.supported, "language model") for source, row in known]
    return of_both_kinds(labelled, path)


def _sources(references: list[Reference], card_texts: Sequence[str] | None) -> dict[str, str]:
    config = SourceConfig(source="references", card_texts=list(card_texts) if card_texts else None)
    find = card_finder(config, references)
    found = ((one.sha256, find(one)) for one in references)
    return {name: raw_source(card) for name, card in found if isinstance(card, RawCard)}
