"""Which model a card is of, by the name of its file."""

from __future__ import annotations

from pathlib import Path

CARD_FILE_NAMES = ("readme", "modelcard", "model_card", "model-card")


def model_id_of(place: Path) -> str:
    """Model id of a card's path: `owner--name.md`, `owner__repo__name.md` and `owner/name/README.md` are owner/name.

    A last part that only says "card" gives way to the one before (`owner__repo__README.md` is owner/repo), one with `--` wins
    over what stands before it (`mirror__cards__owner--name.md` is owner/name). Anything else is the name without `.md`.
    """
    *before, last = [part for part in place.stem.split("__") if part] or [place.stem]
    if last.lower() in CARD_FILE_NAMES:
        *before, last = before or place.parts[-3:-1] or [last]
    owner, dashes, name = last.partition("--")
    if dashes and owner and name:
        return f"{owner}/{name}"
    return f"{before[0]}/{last}" if before else last
