"""What a person asks for: one card by its place. Apart from what reads it, so that `--help` need not wait for that."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from data_prep.core.records import Note

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
SHOWN = 300  # characters of a place that is told to be wrong


class NoNetwork(ValueError):
    """Nothing is wrong with what was asked for: the Hub or a server does not answer."""


class PageAway(NoNetwork):
    """What holds one card does not answer, which says nothing about the next card."""


@dataclass(frozen=True)
class Request:
    """One card to be summarised. `text` stands in place of the place `card` where the card itself was given."""

    card: str
    model_id: str = ""
    text: str | None = None
    notes: tuple[Note, ...] | None = None  # None where the links are to be researched


def card_file(given: str) -> Path | None:
    """The file that `given` names, README.md of a folder; None where it can be nothing but a Hub id.

    Raises ValueError where it is neither.
    """
    path = os.path.expanduser(given)  # os.path, since pathlib raises on names that are too long
    folder, readme = os.path.isdir(path), os.path.join(path, "README.md")
    if folder and os.path.isfile(readme):
        return Path(readme)
    if os.path.exists(path) and not folder:
        return Path(path)
    if folder and not HUB_ID.fullmatch(given):
        raise ValueError(f"the folder {given} holds no README.md; name the card's file")
    if not HUB_ID.fullmatch(given) or given.lower().endswith((".md", ".txt", ".markdown")):
        raise ValueError(f"there is no file {given[:SHOWN]}, and it is no Hub id, which reads ORG/NAME; correct it")
    return None
