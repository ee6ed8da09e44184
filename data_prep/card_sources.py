"""Where cards come from: each source is a row of inputs that are cheap to list, and a way to turn one input into a card.

So a share of the inputs can be read without reading the others, and the same input is the same card whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from data_prep.recipe import Block
from data_prep.references import Cards, LocalCards, Reference, read_references
from data_prep.schema import RawCard, Rejected
from data_prep.transcripts import read_transcripts

BATCH = 256  # rows of Parquet in memory
CARD_FILE_NAMES = ("readme", "modelcard", "model_card", "model-card")
DATASET = "hf://datasets/"


class SourceConfig(Block):
    source: Literal["synthetic", "folder", "parquet", "transcripts", "references", "hub"] = "synthetic"
    """synthetic: invented models. folder: .md files. parquet: a table of cards. transcripts: logged conversations with card,
    research and summary. references: a file of summaries that names its cards, as recipes/references has. hub: the Hugging Face Hub."""
    path: str | None = None
    """File or folder of cards, for folder, parquet and transcripts; for references the file of summaries. For parquet also files of a dataset on the Hub, at a commit
    or tag: hf://datasets/OWNER/NAME@REVISION/data/*.parquet."""
    card_texts: list[str] | None = None
    """For references: folders of .md files and Parquet tables where their cards are looked up by SHA-256. null asks the Hub for the
    commit whose README.md each summary was written from."""
    limit: int | None = Field(None, ge=1)
    """At most this many inputs are read; null reads all."""
    cards: int = 100
    """How many cards to invent, for synthetic."""
    ids: list[str] = []
    """Model ids to fetch, for hub: [owner/name, ...]. The keys below select among the models of authors, or of the whole Hub."""
    authors: list[str] = []
    """Owners whose models are fetched, for hub."""
    task: str | None = None
    """For hub: models of this task, as the Hub names it: text-generation."""
    library: str | None = None
    """For hub: models of this library: transformers."""
    min_downloads: int | None = None
    """For hub: models with at least so many downloads in the last 30 days."""
    min_likes: int | None = None
    """For hub: models with at least so many likes."""
    modified_after: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\d$")
    """For hub: models changed on this day or later, as 2026-01-31."""
    sort: Literal["downloads", "likes", "last_modified", "created_at", "trending_score"] | None = None
    """For hub: the order of the models, highest first; with `limit`, which of them are taken."""
    model_column: str = "model_id"
    """Column with the model id, for parquet."""
    text_column: str = "card"
    """Column with the card as text or bytes, for parquet."""


@dataclass(frozen=True)
class Source:
    """`inputs` in a fixed order; `load` makes a card of one, or says why it cannot."""

    inputs: Iterable[Any]
    load: Callable[[Any], RawCard | Rejected]


def read_share(config: SourceConfig, seed: int, rank: int = 0, tasks: int = 1) -> Iterator[tuple[int, RawCard | Rejected]]:
    """Every `tasks`-th input from `rank` on, with its place among all. Raises ValueError as `open_source` does."""
    source = open_source(config, seed)
    for index, found in enumerate(islice(source.inputs, config.limit)):
        if index % tasks == rank:
            yield index, source.load(found)


def open_source(config: SourceConfig, seed: int) -> Source:
    """Raises ValueError where the source is not there or has another shape."""
    match config.source:
        case "synthetic":
            from data_prep.synthetic import raw_cards

            return Source(raw_cards(seed, config.cards), lambda card: card)
        case "hub":
            from data_prep.hub import HubCards, Wanted  # the Hub library takes a second that other sources need not wait for

            hub = HubCards()
            return Source(hub.names(Wanted.of(config), config.ids), hub.card)
        case "folder":
            return folder_source(existing(config))
        case "parquet":
            return parquet_source(config)
        case "references":
            references = read_references(existing(config))
            return Source(references, cards_of_references(config, references).find)
        case "transcripts":
            return Source(read_transcripts(existing(config)), lambda card: card)


def cards_of_references(config: SourceConfig, references: list[Reference]) -> Cards:
    if config.card_texts:
        return LocalCards(config, references)
    from data_prep.hub import HubCards

    return HubCards()


def settled(config: SourceConfig) -> SourceConfig:
    """With a tag of a dataset on the Hub resolved to its commit, which is what the recipe then stands for."""
    if config.source == "parquet" and config.path and config.path.startswith(DATASET):
        from data_prep.hub import pinned

        return config.model_copy(update={"path": pinned(config.path)})
    return config


def local_inputs(config: SourceConfig) -> list[Path]:
    local = (
        config.source in ("folder", "parquet", "transcripts", "references")
        and config.path
        and not config.path.startswith(DATASET)
    )
    return [existing(config), *map(Path, config.card_texts or ())] if local else []


def existing(config: SourceConfig) -> Path:
    if not config.path:
        raise ValueError(f"collect.source {config.source} needs collect.path; add it to the recipe or pass --collect.path PATH")
    if not Path(config.path).exists():
        raise ValueError(
            f'collect.path is "{config.path}", which does not exist; correct it in the recipe or pass --collect.path PATH'
        )
    return Path(config.path)


# --- folders ----------------------------------------------------------------------------------------------------------


def folder_source(root: Path) -> Source:
    """All .md files below `root`, in the order of their paths."""
    files = folder_files(root)
    return Source(files, partial(folder_card, root.parent if root.is_file() else root))


def folder_files(root: Path) -> list[Path]:
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*.md") if file.is_file())
    if not files:
        raise ValueError(f"{root} holds no .md file; name a folder of model cards")
    return files


def folder_card(base: Path, file: Path) -> RawCard:
    place = file.relative_to(base)
    return RawCard(model_id_of(place), file.read_bytes(), f"folder:{place.as_posix()}")


def model_id_of(place: Path) -> str:
    """Model id of a card's path: `owner--name.md`, `owner__repo__name.md` and `owner/name/README.md` are owner/name.

    A last part that only says "card" gives way to the one before (`owner__repo__README.md` is owner/repo), one with `--` wins
    over what stands before it (`mirror__cards__owner--name.md` is owner/name). Anything else is the name without `.md`.
    """
    *before, last = [part for part in place.stem.split("__") if part] or [place.stem]
    if last.lower() in CARD_FILE_NAMES:
        *before, last = before or place.parts[-3:-1] or [last]
    owner, dashes, name = last.partition("--")
    if dashes and owner and name:
        return f"{owner}/{name}"
    return f"{before[0]}/{last}" if before else last


# --- Parquet ----------------------------------------------------------------------------------------------------------


def parquet_source(config: SourceConfig) -> Source:
    rows = parquet_rows(config)
    if config.path and config.path.startswith(DATASET):
        from data_prep.hub import answered

        rows = answered(config.path, rows)
    return Source(rows, parquet_card)


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
        from data_prep.hub import dataset_files

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
        raise ValueError(f"{name} is no readable Parquet file ({str(error).splitlines()[0]}); check collect.path") from None


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
