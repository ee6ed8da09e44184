"""Training rows as Parquet with a fixed schema, written and counted as a stream."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
TEXT = pa.string()
EXAMPLE_SCHEMA = pa.schema(
    {"id": TEXT, "prompt": MESSAGES, "completion": MESSAGES, "chat_template_kwargs": KWARGS, "provenance": TEXT}
)
PAIR_SCHEMA = pa.schema(
    {"id": TEXT, "prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES}
    | {"chat_template_kwargs": KWARGS, "reason": TEXT, "rejected_cut": pa.bool_(), "provenance": TEXT}
)
ROWS_PER_GROUP = 256

Row = dict[str, Any]


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[Example | PreferencePair], None]]:
    """Gives the function that appends a row to a Parquet file, which appears under its name when the block ends well."""
    rows: list[Row] = []
    with replacing(path, "wb") as handle, pq.ParquetWriter(handle, schema) as writer:

        def flush() -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()

        def add(row: Example | PreferencePair) -> None:
            rows.append({**dataclasses.asdict(row), "provenance": json.dumps(row.provenance, ensure_ascii=False)})
            if len(rows) == ROWS_PER_GROUP:
                flush()

        yield add
        flush()


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
