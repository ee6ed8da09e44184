"""Reference summaries that hold no card text -> cards with their notes and summary.

A line of the file names a card by model id, SHA-256 and Git blob id; its text comes from a folder or Parquet table that has it, by
the SHA-256, or from the Hub, from the commit whose README.md has that blob id. A card may have changed since the summary was
written: another text under the same name is not taken.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.core.files import read_dicts
from data_prep.core.records import Note, RawCard, Rejected

if TYPE_CHECKING:
    from data_prep.collecting.config import SourceConfig

SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_BLOB = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """One summary and what it was written from. Further fields of a line tell of its making and are not read here."""

    model_id: str
    sha256: str  # of the README as found
    git_blob: str  # its id in a Git repository, which the Hub's are
    summary: str
    notes: list[Note] = field(default_factory=list)
    with_arithmetic: str | None = None  # another true writing, with computed figures: it trains nothing

    @classmethod
    def read(cls, row: dict[str, Any], place: str) -> Reference:
        """Raises ValueError that names `place` where a field is missing or is something else."""
        try:
            notes = [Note(note["url"], note["text"]) for note in row.get("notes", [])]
            texts = (row["summary"], notes, row.get("with_arithmetic"))
            reference = cls(row["model_id"], row["sha256"], row["git_blob"], *texts)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{place} lacks {error}; a reference has model_id, sha256, git_blob, summary and perhaps notes of url and text"
            ) from None
        for name, rule in (("sha256", SHA256), ("git_blob", GIT_BLOB)):
            if not rule.fullmatch(str(getattr(reference, name))):
                raise ValueError(f"{place}: {name} is {getattr(reference, name)!r}, expected {rule.pattern}; correct the line")
        return reference

    def with_card(self, content: bytes, source: str, revision: str | None = None) -> RawCard:
        return RawCard(self.model_id, content, source, revision, notes=self.notes, summaries=[self.summary])


def read_references(*paths: Path) -> list[Reference]:
    """Raises ValueError where a line is no reference, or two are of one card."""
    found: dict[str, tuple[str, Reference]] = {}  # place and reference, by the card's hash
    for place, row in ((f"{path}:{number}", row) for path in paths for number, row in enumerate(read_dicts(path), 1)):
        reference = Reference.read(row, place)
        if reference.sha256 in found:
            raise ValueError(f"{found[reference.sha256][0]} and {place} are of one card (the same sha256); delete one of them")
        found[reference.sha256] = place, reference
    return [reference for _, reference in found.values()]


class LocalCards:
    """The wanted cards of a folder of .md files or of Parquet tables. What is held in memory are their texts alone."""

    def __init__(self, config: SourceConfig, wanted: Iterable[Reference]) -> None:
        self.place = ", ".join(config.card_texts or ())
        names = {reference.sha256 for reference in wanted}
        self.found: dict[str, tuple[bytes, str]] = {}
        for content, source in _contents(config):
            if (name := hashlib.sha256(content).hexdigest()) in names:
                self.found.setdefault(name, (content, source))

    def find(self, reference: Reference) -> RawCard | Rejected:
        if reference.sha256 not in self.found:
            detail = f"no card in {self.place} has the sha256 {reference.sha256}"
            return Rejected("collect", reference.model_id, "the card of the reference is not there", detail)
        return reference.with_card(*self.found[reference.sha256])


def _contents(config: SourceConfig) -> Iterable[tuple[bytes, str]]:
    from data_prep.collecting.card_files import folder_files, parquet_rows

    for place in (Path(part) for part in config.card_texts or ()):
        if not place.exists():
            raise ValueError(
                f'collect.card_texts names "{place}", which does not exist; correct it, or leave it out to ask the Hub for the cards'
            )
        has_tables = place.suffix == ".parquet" or (place.is_dir() and any(place.rglob("*.parquet")))
        has_files = not has_tables or (place.is_dir() and any(place.rglob("*.md")))  # of neither, `folder_files` says so
        if has_tables:
            rows = parquet_rows(config.model_copy(update={"path": str(place)}))
            yield from ((_bytes(content.as_py()), source) for _, content, source in rows if content.as_py())
        if has_files:
            yield from ((file.read_bytes(), f"folder:{file.name}") for file in folder_files(place))


def _bytes(content: bytes | str) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
