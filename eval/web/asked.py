"""What a visitor gave -> a request: a Hub id, an https address, an uploaded file or pasted text, and never a path of this machine.

Ids become addresses of the Hub before anything looks at them: what reads cards for the person at the terminal takes `my/README.md`
for a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from data_prep.core.records import Note
from eval.summarizing.notes import read_notes
from eval.summarizing.request import HUB_ID, Request
from eval.web.limits import CARD_BYTES, MOST_MODEL_ID, UPLOAD_BYTES

HUB = "https://huggingface.co/"
_SHOWN = 80  # characters of what is told to be wrong
_PATH = re.compile(r"[./~\\]|[A-Za-z]:[\\/]|file:|.*\\", re.IGNORECASE)
_FILE_NAME = re.compile(r".+\.(?:md|txt|markdown|html?|json|pdf)", re.IGNORECASE)


@dataclass(frozen=True)
class Upload:
    """A file that a visitor dropped: its name, for messages alone, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Asked:
    """All that the form holds. `typed` is an id, an address or the text of a card."""

    typed: str = ""
    card: Upload | None = None
    model_id: str = ""
    notes: Upload | None = None
    research: bool = False


def request_of(asked: Asked) -> Request:
    """Raises ValueError where the form names no card, two of them, or something that visitors may not name."""
    typed, model_id = asked.typed.strip(), asked.model_id.strip()
    if typed and asked.card:
        raise ValueError("both a file and a text are given; clear one of them")
    if not typed and not asked.card:
        raise ValueError("no card is named; give a Hub id such as Qwen/Qwen3-8B, an https address, a file, or paste the card")
    if model_id and (not HUB_ID.fullmatch(model_id) or len(model_id) > MOST_MODEL_ID):
        raise ValueError(f'the model id "{model_id[:_SHOWN]}" is not ORG/NAME; correct it, or leave it empty')
    notes = tuple(notes_of(asked.notes)) if asked.notes else None
    if asked.card:
        return Request(asked.card.name, model_id, text_of(asked.card), notes)
    if is_text(typed):
        if len(typed.encode("utf-8", "replace")) > CARD_BYTES:
            raise ValueError(f"the text holds more than {CARD_BYTES:,} bytes, which no model card does; cut it")
        return Request("", model_id, asked.typed, notes)
    return Request(address_of(typed), model_id, None, notes)


def is_text(typed: str) -> bool:
    """A card has spaces or lines; an id or an address has none."""
    return re.search(r"\s", typed) is not None


def address_of(typed: str) -> str:
    """The https address that one word means. Raises ValueError where it is no Hub id and no such address."""
    shown = typed[:_SHOWN]
    if typed.lower().startswith("https://"):
        return typed
    if re.match(r"[A-Za-z][A-Za-z+.-]*://", typed):
        raise ValueError(f'"{shown}" is no https address, and others are not asked here; give https://..., or drop the file')
    if _PATH.match(typed) or _FILE_NAME.fullmatch(typed):
        raise ValueError(f'"{shown}" is a path, and files of this machine are not read; drop the file here, or paste its text')
    if not HUB_ID.fullmatch(typed) or typed.count("/") != 1:
        raise ValueError(
            f'"{shown}" is no Hub id, which reads ORG/NAME, and no https address; correct it, or paste the whole card'
        )
    return HUB + typed


def text_of(upload: Upload) -> str:
    """Raises ValueError where the file is too large or no text."""
    if len(upload.content) > UPLOAD_BYTES:
        raise ValueError(f"{upload.name[:_SHOWN]} holds more than {UPLOAD_BYTES // 1_000_000} MB; cut it, or paste the card")
    try:
        return upload.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{upload.name[:_SHOWN]} is not UTF-8 text; save the card as UTF-8, or paste its text") from None


def notes_of(upload: Upload) -> list[Note]:
    """Notes of an uploaded file, read as `--research-file` is. Raises ValueError where it has none of the forms."""
    text_of(upload)  # its errors speak of uploads
    with TemporaryDirectory() as folder:
        file = Path(folder, "notes")
        file.write_bytes(upload.content)
        try:
            return read_notes(file)
        except ValueError as error:
            raise ValueError(str(error).replace(str(file), f"the file of notes {upload.name[:_SHOWN]}")) from None
