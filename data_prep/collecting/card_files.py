"""Files that hold cards: folders of .md files, Parquet tables here or of a dataset on the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.cards.file_names import model_id_of
from data_prep.collecting.config import SourceConfig
from data_prep.core.records import RawCard
from data_prep.core.text import first_line

BATCH = 256  # rows of Parquet in memory
DATASET = "hf://datasets/"


def existing(config: SourceConfig) -> Path:
    if not config.path:
        raise ValueError(f"collect.source {config.source} needs collect.path; add it to the recipe or pass --collect.path PATH")
    if not Path(config.path).exists():
        raise ValueError(
            f'collect.path is "{config.path}", which does not exist; correct it in the recipe or pass --collect.path PATH'
        )
    return Path(config.path)


def folder_files(root: Path) -> list[Path]:
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*.md") if file.is_file())
    if not files:
        raise ValueError(f"{root} holds no .md file; name a folder of model cards")
    return files


def folder_card(base: Path, file: Path) -> RawCard:
    place = file.relative_to(base)
    return RawCard(model_id_of(place), file.read_bytes(), f"folder:{place.as_posix()}")


def parquet_rows(config: SourceConfig) -> Iterator[tuple[Any, Any, str]]:
    """Model id and card of each row, as Arrow scalars, and the source; read by batches of the two columns."""
    columns = [config.model_column, config.text_column]
    for name, opened in tables(config):
        with opened as table:
            check_columns(table, name, *columns)
            for batch in table.iter_batches(batch_size=BATCH, columns=columns):
                yield from zip(*(batch.column(column) for column in columns), [f"parquet:{name}"] * len(batch), strict=True)


def parquet_card(row: tuple[Any, Any, str]) -> RawCard:
    model_id, content, source = row
    return RawCard(model_id.as_py() or "", content.as_py() or "", source)


def tables(config: SourceConfig) -> Iterator[tuple[str, pq.ParquetFile]]:
    """The Parquet file, or all of a folder or pattern, one open at a time, with the name that cards of it carry."""
    if config.path and config.path.startswith(DATASET):
        from data_prep.collecting.hub_datasets import dataset_files

        for name, handle in dataset_files(config.path):
            yield name, open_table(handle, name)
        return
    path = existing(config)
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise ValueError(f"{path} holds no .parquet file; set collect.path to a table of model cards")
    for file in files:
        yield file.name, open_table(file, str(file))


def open_table(file: Any, name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{name} is no readable Parquet file ({first_line(error)}); check collect.path") from None


def check_columns(table: pq.ParquetFile, name: str, model_column: str, text_column: str) -> None:
    schema = table.schema_arrow
    for key, column, kinds in (("model_column", model_column, ("string",)), ("text_column", text_column, ("string", "binary"))):
        if column not in schema.names:
            raise ValueError(f'{name} has no column "{column}"; set collect.{key} to one of: {", ".join(schema.names)}')
        kind = str(schema.field(column).type).removeprefix("large_").removesuffix("_view")
        if kind not in kinds:
            raise ValueError(
                f'column "{column}" of {name} holds {kind}, expected {" or ".join(kinds)}; set collect.{key} to another'
            )
