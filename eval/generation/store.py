"""Summaries that are there already: kept under their keys, only ever appended to, one file for each process.

`<system>.jsonl.part`, `.part1`, ... hold one batch a line, so a killed process leaves whole batches and at most one broken
line, which is dropped. All parts are read, however many processes wrote them; the file that other stages read is made of
them in an order of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_prep.core.append_log import cut, open_log, whole_lines
from data_prep.core.files import to_json, write_jsonl
from data_prep.core.records import Generation
from eval.generation.requests import GenerationRequest


def read_store(output: Path) -> dict[str, Generation]:
    """All summaries beside `output` by key, broken last lines left out. Where a key should stand twice, the first counts."""
    found: dict[str, Generation] = {}
    for part in sorted(output.parent.glob(f"{output.name}.part*")):
        for row in _read_part(part):
            found.setdefault(row.key, row)
    return found


def _read_part(part: Path) -> Iterator[Generation]:
    lines = list(whole_lines(part))
    for number, line in enumerate(lines, 1):
        try:
            rows = [Generation(**row) for row in json.loads(line)]
        except (ValueError, TypeError):
            if number < len(lines):
                raise ValueError(f"{part}:{number} holds no batch of summaries; delete the line or the file") from None
            cut(part, sum(map(len, lines[:-1])))
            return
        yield from rows


@contextmanager
def appending(output: Path, process: int) -> Iterator[Callable[[Iterable[Generation]], None]]:
    """Gives the function with which process number `process` appends a batch, whole or, after a kill, not at all."""
    with open_log(output.with_name(f"{output.name}.part{process or ''}")) as append:
        yield lambda rows: append("[" + ", ".join(map(to_json, rows)) + "]")


def assemble(output: Path, asks: Sequence[GenerationRequest], stored: dict[str, Generation]) -> list[Generation]:
    """Writes `output`, one row for each of `asks` in their order, and returns the rows."""
    rows = [stored[ask.key] for ask in asks]
    write_jsonl(output, rows)
    return rows
