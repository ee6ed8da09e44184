"""Scores any lines of id, source and summary, without a run: checks and measures that need no reference, one line out for each.

Bad lines are set aside with their number and the reason, beside the output; they never stop the others. What is done is kept
in OUT.part line by line, so that a killed run goes on where it was: `key` says which text, source and code a line was made from.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from data_prep.core.append_log import cut, open_log, whole_lines
from data_prep.core.files import replacing, stable_id, to_json
from data_prep.core.lock import alone
from data_prep.core.recipe import did_you_mean
from data_prep.core.records import Generation
from data_prep.core.text import plural
from eval.scoring.metrics import code_version, measure

KEYS = ("id", "source", "summary")
MAX_LINE = 32 * 2**20  # bytes
MAX_SUMMARY = 200_000  # characters: fifty times a page is no summary, and not worth the minutes
MAX_SOURCE = 8_000_000  # characters, 2 million tokens
NEED_MORE = ("finished", "looped", "rouge1", "rouge2", "rougeLsum")  # a finish reason, a reference
SHOWN_EVERY = 5.0  # seconds


@dataclass(frozen=True)
class LinesReport:
    """`scored` lines are in the output, `kept` of them from a run before; `rejected` counts the others by reason."""

    scored: int
    kept: int
    rejected: dict[str, int]


@dataclass(frozen=True)
class SummaryLine:
    number: int  # from 1
    id: str
    source: str
    summary: str


@dataclass(frozen=True)
class Bad:
    """A line set aside. `reason` is one of few, `detail` what is wrong with this one."""

    line: int
    id: str | None
    reason: str
    detail: str


def score_lines(source: Path, output: Path) -> LinesReport:
    """Scores the lines of `source` (JSONL) into `output`, in their order, and sets bad ones aside in OUTPUT.rejected.jsonl.

    An output line: {"id", "key", "metrics": {name: number or null}, "checks": [{"name", "passed", "value", "reason", "spans",
    "derived", "remarks", "total"}]}.
    Raises ValueError where `source` is no file or is `output`, and where `output` cannot be written or another run writes it.
    """
    if not source.is_file():
        raise ValueError(f"{source} is no file; score.input names a file with one JSON object a line: {', '.join(KEYS)}")
    part, rejected = output.with_name(output.name + ".part"), output.with_name(output.name + ".rejected.jsonl")
    if source.resolve() in {path.resolve() for path in (output, part, rejected)}:
        raise ValueError(f"{source} would be overwritten; give score.output another name")
    refuse_unwritable(output)
    with alone(output):
        return _score_lines(source, output, part, rejected)


def refuse_unwritable(output: Path) -> None:
    """Raises ValueError where no file can be made at `output`: hours later would be too late to say so."""
    if output.is_dir():
        raise ValueError(f"{output} is a folder; score.output names a file, as {output / 'scored.jsonl'}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise ValueError(f"{output} cannot be written ({error.strerror}); give score.output another place") from None


def _score_lines(source: Path, output: Path, part: Path, rejected: Path) -> LinesReport:
    version, reasons, scored, kept, shown = code_version(), Counter[str](), 0, 0, time.monotonic()
    before, size, resuming = whole_lines(part), 0, True
    with replacing(rejected) as aside, open_log(part) as append:
        for item in read_lines(source):
            if isinstance(item, Bad):
                reasons[item.reason] += 1
                aside.write(to_json(item) + "\n")
                continue
            key = stable_id(version, item.id, item.source, item.summary)
            if resuming and not (resuming := _has_key(line := next(before, b""), key)):
                cut(part, size)  # from here on all is done again
            if resuming:
                size += len(line)
            else:
                append(to_json(scored_line(item, key)))
            scored, kept = scored + 1, kept + resuming
            if time.monotonic() - shown > SHOWN_EVERY:
                shown = time.monotonic()
                print(f"score: {scored:,} scored, {reasons.total():,} set aside", file=sys.stderr, flush=True)
        if resuming:
            cut(part, size)  # what an earlier run made of lines that are gone
    os.replace(part, output)
    _say(scored, kept, reasons, output, rejected)
    return LinesReport(scored, kept, dict(reasons))


def scored_line(line: SummaryLine, key: str) -> dict[str, Any]:
    generation = Generation(key, line.id, "", line.summary, "stop", 0, 0)
    found = measure(generation, line.source, "")
    metrics = {name: value for name, value in found["metrics"].items() if name not in NEED_MORE}
    return {"id": line.id, "key": key, "metrics": metrics, "checks": found["checks"]}


def _has_key(line: bytes, key: str) -> bool:
    try:
        return json.loads(line)["key"] == key
    except (ValueError, KeyError, TypeError):
        return False


def _say(scored: int, kept: int, reasons: Counter[str], output: Path, rejected: Path) -> None:
    again = f", {kept:,} of them done before" if kept else ""
    print(f"score: {plural(scored, 'line')} scored{again}, see {output}")
    if reasons:
        said = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common())
        print(f"score: {plural(reasons.total(), 'line')} set aside: {said}; see {rejected}")


# --- reading ----------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[SummaryLine | Bad]:
    """Every line that is not blank, as a Line, or as Bad with the reason; an id counts once."""
    seen: set[str] = set()
    with open(path, "rb") as handle:
        for number, raw in enumerate(_raw_lines(handle), 1):
            if not raw.strip():
                continue
            item = parse(number, raw)
            if isinstance(item, SummaryLine):
                if item.id in seen:
                    item = Bad(number, item.id, "duplicated id", f'an earlier line has the id "{item.id[:80]}" too')
                else:
                    seen.add(item.id)
            yield item


def _raw_lines(handle: BinaryIO) -> Iterator[bytes]:
    """Lines of at most MAX_LINE + 1 bytes; the rest of a longer one is passed over."""
    while raw := handle.readline(MAX_LINE + 1):
        rest = raw
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = handle.readline(MAX_LINE + 1)
        yield raw


def parse(number: int, raw: bytes) -> SummaryLine | Bad:
    if len(raw) > MAX_LINE:
        return Bad(number, None, "line too long", f"more than {MAX_LINE:,} bytes")
    try:
        row = json.loads(raw.strip().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Bad(number, None, "not UTF-8", f"byte {error.start + 1}: {error.reason}")
    except (ValueError, RecursionError) as error:
        return Bad(number, None, "not JSON", str(error)[:200])
    if not isinstance(row, dict):
        return Bad(number, None, "wrong type", f"{type(row).__name__}, expected an object with {', '.join(KEYS)}")
    fault = _fault(row)
    if fault:
        return Bad(number, _printable(row.get("id")), *fault)
    return SummaryLine(number, row["id"], row["source"], row["summary"])


def _fault(row: dict[str, Any]) -> tuple[str, str] | None:
    """(reason, detail) of what is wrong with a line's values; None for a good one. Further keys are left alone."""
    for key in KEYS:
        if key not in row:
            others = [name for name in row if name not in KEYS]
            return (
                f"no {key}",
                f"keys are {', '.join(others[:8]) or 'none'}; {did_you_mean(key, others) if others else ''}".strip(),
            )
        if not isinstance(row[key], str):
            return "wrong type", f"{key} is {type(row[key]).__name__}, expected text"
        if not row[key].strip():
            return f"empty {key}", f"{key} has no visible character"
        if "\0" in row[key]:
            return "binary", f"{key} holds a NUL at character {row[key].index(chr(0)) + 1}"
        if not row[key].isascii() and _surrogate(row[key]):
            return "lone surrogate", f"{key} holds half a character, which no encoding can spell"
    for key, most in (("summary", MAX_SUMMARY), ("source", MAX_SOURCE)):
        if len(row[key]) > most:
            return f"{key} too long", f"{len(row[key]):,} characters, at most {most:,}"
    return None


def _surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _printable(value: Any) -> str | None:
    return value[:200].encode(errors="replace").decode() if isinstance(value, str) else None
