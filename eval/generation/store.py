"""Summaries that are there already: kept under their keys, only ever appended to, one file for each process.

`<system>.jsonl.part`, `.part1`, ... hold one batch a line, so a killed process leaves whole batches and at most one broken
line, which is dropped. All parts are read, however many processes wrote them; the file that other stages read is made of
them in an order of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_prep.core.files import to_json, write_jsonl
from data_prep.core.records import Generation
from eval.generation.requests import GenerationRequest


def read_store(output: Path) -> dict[str, Generation]:
    """All summaries beside `output` by key, broken last lines cut off. Where a key should stand twice, the first counts."""
    found: dict[str, Generation] = {}
    for part in sorted(output.parent.glob(f"{output.name}.part*")):
        for row in _read_part(part):
            found.setdefault(row.key, row)
    return found


def _read_part(part: Path) -> Iterator[Generation]:
    lines = part.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            if not line.endswith(b"\n"):
                raise ValueError
            rows = [Generation(**row) for row in json.loads(line)]
        except (ValueError, TypeError):
            if number < len(lines):
                raise ValueError(f"{part}:{number} holds no batch of summaries; delete the line or the file") from None
            with open(part, "r+b") as handle:
                handle.truncate(sum(map(len, lines[:-1])))
            return
        yield from rows


@contextmanager
def appending(output: Path, process: int) -> Iterator[_Part]:
    """Where process number `process` puts what it makes."""
    part = output.with_name(f"{output.name}.part{process or ''}")
    part.parent.mkdir(parents=True, exist_ok=True)
    # As elsewhere: a lone surrogate becomes the JSON escape that means it.
    with open(part, "a", encoding="utf-8", errors="backslashreplace") as handle:
        yield _Part(handle)


class _Part:
    def __init__(self, handle) -> None:
        self._handle = handle

    def append(self, rows: Iterable[Generation]) -> None:
        """One batch, whole or, after a kill, not at all; on the disk when this returns."""
        self._handle.write("[" + ", ".join(map(to_json, rows)) + "]\n")
        self._handle.flush()
        os.fsync(self._handle.fileno())


def assemble(output: Path, asks: Sequence[GenerationRequest], stored: dict[str, Generation]) -> list[Generation]:
    """Writes `output`, one row for each of `asks` in their order, and returns the rows."""
    rows = [stored[ask.key] for ask in asks]
    write_jsonl(output, rows)
    return rows
