"""Logged conversations -> cards with their research and summary.

Two forms: text with lines `---USER` and `---ASSISTANT` before each turn (one conversation a file), and JSONL with one
`{"messages": [{"role": ..., "content": ...}]}` a line. The user gives the card in a code fence, then notes in
`<model_research>`, then the task; the assistant acknowledges and at last writes the summary.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.collecting.misfit import Misfit
from data_prep.core.records import Note, RawCard, Rejected

SUFFIXES = (".txt", ".jsonl")
TURN = re.compile(r"^---(USER|ASSISTANT|SYSTEM)[ \t]*$", re.MULTILINE)
INTRODUCTION = re.compile(r"^[ \t]*Here is the model card for[ \t]+(\S+?):?[ \t]*$", re.MULTILINE | re.IGNORECASE)
# Logging left a stray `$` before some fences.
FENCE = re.compile(r"^[ \t]{0,3}\$?(?:```+|~~~+)[\w-]*[ \t]*$", re.MULTILINE)
RESEARCH = re.compile(r"<model_research>(.*)</model_research>", re.DOTALL)
NOTE = re.compile(r"<research\s+source=\"([^\"]*)\"\s*>[ \t]*\n?(.*?)\s*</research>", re.DOTALL)
NOTE_OPENING = re.compile(r"<research\s")
HEADING = re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE)
SUMMARY_WORDS = 100  # an assistant's turn without a heading and shorter than this acknowledges, it does not summarise


@dataclass(frozen=True)
class Turn:
    role: str  # "user", "assistant" or "system"
    text: str


def read_transcripts(path: Path) -> Iterator[RawCard | Rejected]:
    """The cards of a transcript file or of all `.txt` and `.jsonl` files below a folder; a misfit comes as Rejected.

    Raises ValueError where `path` is missing or holds no transcript.
    """
    if not path.exists():
        raise ValueError(f"there is no {path}; set collect.path to a transcript or a folder of them")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise ValueError(f"{path} holds no file ending in {' or '.join(SUFFIXES)}; set collect.path to a folder of transcripts")
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        if file.suffix == ".jsonl":
            yield from _read_jsonl(file, name)
        else:
            yield _recover(text_turns(file.read_bytes().decode("utf-8-sig", "replace")), name)


def _read_jsonl(file: Path, name: str) -> Iterator[RawCard | Rejected]:
    with open(file, encoding="utf-8-sig", errors="replace") as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                place = f"{name}:{number}"
                try:
                    turns = message_turns(json.loads(line))
                except (json.JSONDecodeError, RecursionError) as error:
                    yield Rejected("collect", place, "transcript line is not JSON", str(error)[:200])
                except Misfit as misfit:
                    yield Rejected("collect", place, str(misfit), misfit.detail)
                else:
                    yield _recover(turns, place)


def text_turns(text: str) -> list[Turn]:
    """Turns of the text form. Words before the first marker belong to nobody and are left out."""
    parts = TURN.split(text.replace("\r\n", "\n").replace("\r", "\n"))
    return [Turn(role.lower(), content.strip("\n")) for role, content in zip(parts[1::2], parts[2::2], strict=True)]


def message_turns(row: Any) -> list[Turn]:
    """Turns of the JSONL form. Raises Misfit where the line has another shape."""
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list):
        raise Misfit("transcript line has no list of messages")
    turns = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):  # content in parts, as chat APIs log it
            content = "\n".join(
                part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        if not isinstance(content, str):
            raise Misfit("message without text in a transcript line")
        turns.append(Turn(str(message.get("role", "")).lower(), content.replace("\r\n", "\n").strip("\n")))
    return turns


def _recover(turns: list[Turn], place: str) -> RawCard | Rejected:
    try:
        model_id, card = find_card(turns)
        notes = find_notes(turns)
        removed, summary = find_summary(turns)
    except Misfit as misfit:
        return Rejected("collect", place, str(misfit), misfit.detail)
    return RawCard(model_id, card, f"transcripts:{place}", notes=notes, summaries=[summary], removed=[removed])


def find_card(turns: list[Turn]) -> tuple[str, str]:
    """Model id and card. The card may hold fences of its own, so the outermost pair of its turn encloses it."""
    found = [
        (match, turn.text)
        for turn in turns
        if turn.role == "user" and (match := INTRODUCTION.search(_before_research(turn.text)))
    ]
    if not found:
        raise Misfit('transcript without "Here is the model card for ..."')
    if len(found) > 1:
        raise Misfit("transcript with more than one model card", ", ".join(match[1] for match, _ in found))
    introduction, text = found[0]
    text = _before_research(text)[introduction.end() :]
    fences = list(FENCE.finditer(text))
    if len(fences) < 2:
        raise Misfit("model card without its outer code fence", introduction[1])
    return introduction[1], text[fences[0].end() : fences[-1].start()].removeprefix("\n")


def _before_research(text: str) -> str:
    """Card and research may share a turn; the fence that opens the research is none of the card's."""
    research = text.find("<model_research>")
    if research < 0:
        return text
    before = text[:research].rstrip()
    last = before.rpartition("\n")
    return last[0] if FENCE.fullmatch(last[2]) else before


def find_notes(turns: list[Turn]) -> list[Note]:
    """One note per `<research source="URL">`. Raises Misfit where one cannot be told from the next."""
    notes = []
    for text in (turn.text for turn in turns if turn.role == "user" and "<model_research>" in turn.text):
        blocks = RESEARCH.findall(text)
        if not blocks:
            raise Misfit("research notes that do not close", "no </model_research>")
        for block in blocks:
            found, opened = NOTE.findall(block), len(NOTE_OPENING.findall(block))
            if len(found) != opened:
                raise Misfit("research notes that do not close", f"{opened} opened, {len(found)} read")
            notes += [Note(html.unescape(url), note) for url, note in found]
    return notes


def find_summary(turns: list[Turn]) -> tuple[str, str]:
    """Words before the summary's first heading, and the summary from there on; all of it where it has no heading."""
    if not turns or turns[-1].role != "assistant":
        raise Misfit("transcript that does not end with the assistant's summary")
    text = turns[-1].text
    fences = [match.start() for match in FENCE.finditer(text)]
    heading = next((match for match in HEADING.finditer(text) if sum(start < match.start() for start in fences) % 2 == 0), None)
    if heading is None and len(text.split()) < SUMMARY_WORDS:
        raise Misfit("transcript that ends with an acknowledgement, without a summary", f"{len(text.split())} words")
    start = heading.start() if heading else 0
    return text[:start], text[start:].rstrip() + "\n"
