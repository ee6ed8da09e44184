"""Many cards, a JSON line each. What is done is kept in OUT.part line by line, so that a killed run goes on where it was.

A line of the input is what the command takes, or a JSON object: {"card": PLACE or "text": CARD, "model_id", "notes": [{"url",
"text"}]}. Each gives a line of the output, repeated ones too; inputs without a summary stand in OUT.rejected.jsonl with line and
reason, and are tried again by the next run, as are cards that were edited. Output of another batch is never replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.core.append_log import open_log, whole_lines
from data_prep.core.files import replacing, stable_id, to_json
from data_prep.core.lock import alone
from data_prep.core.manifest import content_hash
from data_prep.core.recipe import did_you_mean
from eval.summarizing.notes import note_of
from eval.summarizing.pipeline import Options, Say, read, write_summary
from eval.summarizing.request import NoNetwork, PageAway, Request, card_file
from eval.summarizing.screen import Screen
from eval.summarizing.writers import Writer

KEYS = ("card", "text", "model_id", "notes")
SHOWN = 500  # characters of an input that its output repeats


@dataclass(frozen=True)
class CardLine:
    number: int  # from 1
    text: str


def run_batch(source: Path, out: Path, writer: Writer, options: Options, say: Say) -> None:
    """Raises NoNetwork where the model's server is away, at once, or where a line's was, at the end: what is done stays, the same
    command goes on. Raises ValueError where `out` holds what this batch would not write again."""
    with alone(out, "name another --out"):
        _run_batch(source, out, writer, options, say)


def _run_batch(source: Path, out: Path, writer: Writer, options: Options, say: Say) -> None:
    part = out.with_name(out.name + ".part")
    identity = to_json([writer.identity, options.that_matter()])
    _refuse_others(source, out, part, identity)
    done = kept_lines(out) | kept_lines(part)
    before, rejected, away = frozenset(done), [], 0
    order: list[tuple[int, str]] = []
    with open_log(part) as append:
        for line in read_lines(source):
            key = line_key(line, identity)
            order.append((line.number, key))
            if key in done:
                continue
            try:
                record = _summarised(line, writer, options, say)
            except (ValueError, OSError) as error:
                if isinstance(error, NoNetwork) and not isinstance(error, PageAway):
                    kept = sum(key in done for _, key in order)
                    raise NoNetwork(f"{error}; {kept} summaries are kept, the same command goes on") from None
                away += isinstance(error, PageAway)
                rejected.append({"line": line.number, "input": line.text[:SHOWN], "reason": str(error)})
                say(f"line {line.number} set aside: {error}")
            else:
                head = {"key": key, "asked": stable_id(identity, line.text), "line": line.number, "input": line.text[:SHOWN]}
                done[key] = to_json({**head, **record})
                append(done[key])
    _finish(out, part, order, done, rejected)
    kept = sum(key in before for _, key in order)
    aside = f", {len(rejected)} set aside in {_rejected(out)}" if rejected else ""
    say(f"{len(order) - len(rejected)} of {len(order)} summaries in {out}, {kept} of them there before{aside}")
    if away:
        raise NoNetwork(f"the network did not answer for {away} of the lines set aside; the same command asks for them again")


def _refuse_others(source: Path, out: Path, part: Path, identity: str) -> None:
    """Raises ValueError where an earlier output has lines that are neither of this batch nor of a card of it since edited."""
    keys, asked = set(), set()
    for line in read_lines(source):
        keys.add(line_key(line, identity))
        if _content(line):  # a file that is gone cannot be summarised again
            asked.add(stable_id(identity, line.text))
    for path in filter(Path.exists, (out, part)):
        with open(path, "rb") as handle:
            torn = path == part  # by a kill, its last line may be
            others = sum(not _ours(raw, keys, asked, torn) for raw in handle if raw.strip())
        if others:
            raise ValueError(
                f"{path} holds {others} lines of another batch or of other options; name another --out, or move it away"
            )


def _summarised(line: CardLine, writer: Writer, options: Options, say: Say) -> dict[str, Any]:
    request = parse(line)
    found = read(request, options, say)
    result = write_summary(found, request, writer, options, Screen(), say)
    say(f"line {line.number}: {found.card.model_id}, flagged by {', '.join(result.best.failed) or 'nothing'}")
    return result.as_json()


def _ours(raw: bytes, keys: set[str], asked: set[str], torn: bool) -> bool:
    try:
        row = json.loads(raw)
        return row["key"] in keys or row["asked"] in asked
    except (ValueError, KeyError, TypeError):
        return torn and not raw.endswith(b"\n")


def _finish(out: Path, part: Path, order: list[tuple[int, str]], done: dict[str, str], rejected: list[dict[str, Any]]) -> None:
    with replacing(out) as handle:
        for number, key in order:
            if key in done:
                handle.write(to_json(json.loads(done[key]) | {"line": number}) + "\n")
    if rejected:
        with replacing(_rejected(out)) as handle:
            handle.writelines(to_json(row) + "\n" for row in rejected)
    else:
        _rejected(out).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _rejected(out: Path) -> Path:
    return out.with_name(out.name + ".rejected.jsonl")


def read_lines(source: Path) -> Iterator[CardLine]:
    """Lines that are neither blank nor a comment. Raises ValueError where there is none."""
    empty = True
    with open(source, encoding="utf-8-sig", errors="replace") as handle:
        for number, text in enumerate(handle, 1):
            if text.strip() and not text.startswith("#"):
                empty = False
                yield CardLine(number, text.strip())
    if empty:
        raise ValueError(f"{source} names no card; write one a line: a Hub id, an address, a file, or a JSON object")


def line_key(line: CardLine, identity: str) -> str:
    """Over all that can change the line's summary, but for what the web says."""
    return stable_id(identity, line.text, _content(line) or "")


def _content(line: CardLine) -> str | None:
    """Hash of the file that the line names, where it names one."""
    try:
        request = parse(line)
        file = card_file(request.card) if request.text is None else None
        return content_hash(file) if file else None
    except (ValueError, OSError):  # told when the line's turn comes
        return None


def parse(line: CardLine) -> Request:
    """Raises ValueError where a line is no card's place and no object of KEYS."""
    request = _object(line.text) if line.text.startswith("{") else Request(line.text)
    if request.card.strip() == "-":
        raise ValueError("a batch cannot read standard input; name a file")
    return request


def _object(text: str) -> Request:
    try:
        row = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the line is not JSON ({error})") from None
    if unknown := next((key for key in row if key not in KEYS), None):
        raise ValueError(f'the line has an unknown key "{unknown}". {did_you_mean(unknown, KEYS)}')
    wrong = [key for key in ("card", "text", "model_id") if not isinstance(row.get(key, ""), str)]
    if wrong or ("card" in row) == ("text" in row):
        raise ValueError('the line needs either "card" or "text", as text' if not wrong else f'"{wrong[0]}" is no text')
    notes = row.get("notes")
    if notes is not None and not isinstance(notes, list):
        raise ValueError('"notes" is no list of {"url", "text"}')
    given = None if notes is None else tuple(note_of(note, f"note {at}") for at, note in enumerate(notes, 1))
    return Request(row.get("card", ""), row.get("model_id", ""), row.get("text"), given)


def kept_lines(path: Path) -> dict[str, str]:
    """Whole lines of an earlier run by key."""
    found: dict[str, str] = {}
    for raw in whole_lines(path):
        try:
            found[json.loads(raw)["key"]] = raw.decode().rstrip("\n")
        except (ValueError, KeyError, TypeError):
            continue  # not ours: made again
    return found
