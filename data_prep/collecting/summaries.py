"""A person's own summaries -> cards with them: a JSON object a line.

    {"model_id": "ORG/NAME", "text": CARD, "summary": SUMMARY, "notes": [{"url": ..., "text": ...}]}

"summary" may be a list of several, "notes" may be left out. Further keys are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.collecting.misfit import Misfit
from data_prep.core.records import Note, RawCard, Rejected

Line = tuple[int, str]  # number, from 1


def summary_lines(path: Path) -> Iterator[Line]:
    with open(path, encoding="utf-8-sig", errors="replace") as handle:
        yield from ((number, line) for number, line in enumerate(handle, 1) if line.strip())


def summarised_card(file: Path, line: Line) -> RawCard | Rejected:
    """The card of a line of `file` with its summaries and notes, or what is wrong with the line."""
    place = f"{file.name}:{line[0]}"
    try:
        row = json.loads(line[1])
        if not isinstance(row, dict):
            raise Misfit("the line is no JSON object", type(row).__name__)
        for key in ("model_id", "text"):
            if not isinstance(row.get(key), str) or not row[key].strip():
                raise Misfit(f'the line has no "{key}"', f"its keys are {', '.join(row)}"[:200])
        return RawCard(row["model_id"], row["text"], f"summaries:{place}", notes=_notes(row), summaries=_summaries(row))
    except (json.JSONDecodeError, RecursionError) as error:
        return Rejected("collect", place, "the line is not JSON", str(error)[:200])
    except Misfit as misfit:
        return Rejected("collect", place, str(misfit), misfit.detail)


def _summaries(row: dict[str, Any]) -> list[str]:
    found = row.get("summary")
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise Misfit('the line has no "summary"', "a text, or a list of texts")
    return texts


def _notes(row: dict[str, Any]) -> list[Note]:
    try:
        notes = [Note(note["url"], note["text"]) for note in row.get("notes") or ()]
    except (KeyError, TypeError):
        raise Misfit('"notes" is no list of {"url", "text"}') from None
    if not all(isinstance(note.url, str) and isinstance(note.text, str) for note in notes):
        raise Misfit('"notes" is no list of {"url", "text"}')
    return notes
