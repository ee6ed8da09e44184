"""Notes on the pages that a card links to: read from a file, or researched as the data are and written by a model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_prep.cards.parse import decode
from data_prep.collecting.misfit import Misfit
from data_prep.collecting.transcripts import Turn, find_notes
from data_prep.core.records import Card, Note
from data_prep.pages.cache import Page
from data_prep.pages.choose import Link, addresses, links_of_interest
from data_prep.pages.fetch import FetchConfig, fetch_all
from data_prep.pages.read import SAID_NOTHING, had, in_turn, text_of
from data_prep.prompts.student import is_nothing_new
from data_prep.prompts.untrusted import injection_flags

MAX_FILE_BYTES = 5_000_000
SECTION = re.compile(r"^##[ \t]+<?(https?://\S+?)>?[ \t]*$", re.MULTILINE)

WriteNotes = Callable[[Link, str], str]


@dataclass(frozen=True)
class ReadSource:
    """What became of one link: its note, or in `reason` why there is none. `flags` is what in the page speaks to a model."""

    url: str
    standing: str = "given"  # "own", "likely", or "given" with the card
    note: str = ""
    reason: str = ""
    address: str = ""  # where its text was had
    fetched_at: str = ""
    flags: list[str] = field(default_factory=list)


def given_sources(notes: list[Note] | tuple[Note, ...], most: int) -> list[ReadSource]:
    """Notes that a person gave, the first `most` of them used."""
    beyond = f"beyond the first {most}"
    return [
        ReadSource(note.url, note=note.text if at < most else "", reason="" if at < most else beyond)
        for at, note in enumerate(notes)
    ]


def notes_of(sources: list[ReadSource]) -> list[Note]:
    return [Note(source.url, source.note) for source in sources if source.note]


# --- from a file ------------------------------------------------------------------------------------------------------


def read_notes(path: str | Path) -> list[Note]:
    """Notes of a file: lines or an array of {"url", "text"}, Markdown with a heading `## URL` over each note, or the form of transcripts,
    `<model_research><research source="URL">...</research></model_research>`.

    Raises ValueError where the file is missing or has none of these forms.
    """
    path = Path(path)
    if not os.path.isfile(path):  # pathlib raises on names that are too long
        raise ValueError(f"there is no file {path}; correct --research-file, or leave it out to have the links researched")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} holds more than {MAX_FILE_BYTES:,} bytes, which notes do not; correct --research-file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; save the notes as UTF-8") from None
    if "<model_research>" in text:
        notes = _from_transcript(text, path)
    elif text.lstrip().startswith("{"):
        notes = list(_from_lines(text, path))
    elif (rows := _array(text)) is not None:
        notes = [note_of(row, f"{path}, note {at}") for at, row in enumerate(rows, 1)]
    else:
        notes = list(_from_sections(text))
    notes = [note for note in notes if note.text.strip()]
    if not notes:
        raise ValueError(
            f'{path} holds no notes; write lines or an array of {{"url", "text"}}, or a heading "## URL" over each note'
        )
    return notes


def _from_transcript(text: str, path: Path) -> list[Note]:
    try:
        return find_notes([Turn("user", text)])
    except Misfit as error:
        raise ValueError(f"{path} holds {error}; close each <research> and the <model_research> around them") from None


def _from_lines(text: str, path: Path) -> Iterator[Note]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                row = None
            yield note_of(row, f"{path}:{number}")


def _array(text: str) -> list[object] | None:
    """The list of a JSON text; None where it is none: Markdown may begin with a bracket, too."""
    try:
        rows = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return rows if isinstance(rows, list) else None


def note_of(row: object, place: str) -> Note:
    """The note of a JSON object. Raises ValueError that names `place` where it is none."""
    if not isinstance(row, dict) or not isinstance(row.get("url"), str) or not isinstance(row.get("text"), str):
        raise ValueError(f'{place} is no object with the texts "url" and "text"; correct it')
    if not re.match(r"https?://\S+$", row["url"]):
        raise ValueError(f"{place}: the url {row['url'][:80]!r} is no web address; correct it")
    return Note(decode(row["url"]), decode(row["text"]).strip())


def _from_sections(text: str) -> Iterator[Note]:
    parts = SECTION.split(text)
    yield from (Note(url, note.strip()) for url, note in zip(parts[1::2], parts[2::2], strict=True))


# --- from the web -----------------------------------------------------------------------------------------------------


def research(card: Card, pages: Path, most: int, write: WriteNotes, say: Callable[[str], None]) -> list[ReadSource]:
    """The card's own links, at most `most`, each fetched as the data stage does and noted by `write` (link, page's text -> note).

    Pages are kept in `pages` and never asked for twice. Nothing that a page or server does is raised.
    """
    links = [link for link in links_of_interest(card) if link.standing != "mention"][:most]
    if not links:
        say("research: the card links to no page of its own")
        return []
    say(f"research: reading {len(links)} linked pages")
    found = _fetched(links, pages)
    sources = []
    for link in links:
        source, text = _read(card, link, found)
        if not source.reason:
            say(f"  notes on {link.url}")
            note = write(link, text)
            empty = not note.strip() or is_nothing_new(note)
            source = replace(source, reason=SAID_NOTHING) if empty else replace(source, note=note)
        if source.reason:
            say(f"  left out {link.url}: {source.reason}")
        if source.flags:
            say(f"  beware of {link.url}: the page {', '.join(source.flags)}")
        sources.append(source)
    say(f"research: {len(notes_of(sources))} of {len(links)} pages noted")
    return sources


def _fetched(links: list[Link], pages: Path) -> dict[str, Page]:
    """What came of each address that was asked."""
    found: dict[str, Page] = {}
    for asked in in_turn(lambda: [link.url for link in links], found.get):
        # The allow-list of the data holds: a card is written by strangers, and so are the addresses in it.
        found |= {page.url: page for page in fetch_all(FetchConfig(), pages, asked)}
    return found


def _read(card: Card, link: Link, found: dict[str, Page]) -> tuple[ReadSource, str]:
    """What is known of the page before it is noted, and its text."""
    places = addresses(link.url)
    page = had(places, found.get) or found[places[0]]
    if page.refused:
        return ReadSource(link.url, link.standing, reason=page.refused), ""
    text = text_of(card, link, page)
    flags = injection_flags(text.text)
    return ReadSource(link.url, link.standing, "", text.problem, page.final_url, page.fetched_at, flags), text.text
