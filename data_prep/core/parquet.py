"""Training rows as Parquet with a fixed schema, written and counted as a stream."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.core.files import replacing
from data_prep.core.records import Example, PreferencePair

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
# A schema read off the first row would lose what later rows hold. Its field is null where the template takes no argument.
KWARGS = pa.struct([("enable_thinking", pa.bool_())])
EXAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", MESSAGES),
        ("completion", MESSAGES),
        ("chat_template_kwargs", KWARGS),
        ("provenance", pa.string()),
    ]
)
PAIR_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", MESSAGES),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("chat_template_kwargs", KWARGS),
        ("reason", pa.string()),
        ("provenance", pa.string()),
    ]
)
ROWS_PER_GROUP = 256


class TableWriter:
    """Appends rows to a Parquet file that appears under its name only when `close` is called."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows: list[dict[str, Any]] = []
        self.count = 0
        self.schema = schema
        self._place = replacing(path, "wb")
        self._writer = pq.ParquetWriter(self._place.__enter__(), schema)

    def add(self, row: Example | PreferencePair) -> None:
        self.rows.append({**dataclasses.asdict(row), "provenance": json.dumps(row.provenance, ensure_ascii=False)})
        self.count += 1
        if len(self.rows) == ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()
        self._place.__exit__(None, None, None)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None:
            self.close()
        else:  # an unfinished table is no table: its handle is closed, its temporary name stays
            with suppress(Exception):
                self._writer.close()
            with suppress(BaseException):
                self._place.__exit__(kind, *error)

    def _flush(self) -> None:
        if self.rows:
            self._writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
            self.rows = []


Row = dict[str, Any]


def read_table(path: Path) -> Iterator[Row]:
    if path.exists():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_GROUP):
                yield from batch.to_pylist()


def write_table(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> int:
    """Writes rows as they come; returns how many. No row, no file."""
    stream, count = iter(rows), 0
    chunk = list(islice(stream, ROWS_PER_GROUP))
    if not chunk:
        return 0
    with replacing(path, "wb") as handle, pq.ParquetWriter(handle, schema) as writer:
        while chunk:
            writer.write_table(pa.Table.from_pylist(chunk, schema))
            count += len(chunk)
            chunk = list(islice(stream, ROWS_PER_GROUP))
    return count
