"""Training rows as Parquet with a fixed schema, written and counted as a stream."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.schema import Example, Pair, replacing

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

    def add(self, row: Example | Pair) -> None:
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
