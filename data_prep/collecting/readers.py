"""Where cards come from: each source is a row of inputs that are cheap to list, and a way to turn one input into a card.

So a share of the inputs can be read without reading the others, and the same input is the same card whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from data_prep.collecting.card_files import DATASET, existing, folder_card, folder_files, parquet_card, parquet_rows
from data_prep.collecting.config import SourceConfig
from data_prep.collecting.references import LocalCards, Reference, read_references
from data_prep.collecting.summaries import summarised_card, summary_lines
from data_prep.collecting.transcripts import read_transcripts
from data_prep.core.records import RawCard, Rejected


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
            from data_prep.synthetic.world import raw_cards

            return Source(raw_cards(seed, config.cards), lambda card: card)
        case "hub":
            # The Hub library takes a second that other sources need not wait for.
            from data_prep.collecting.hub import HubCards

            hub = HubCards()
            return Source(hub.names(config), hub.card)
        case "folder":
            root = existing(config)
            return Source(folder_files(root), partial(folder_card, root.parent if root.is_file() else root))
        case "parquet":
            return Source(table_rows(config), parquet_card)
        case "references":
            references = read_references(existing(config), *further(config))
            return Source(references, card_finder(config, references))
        case "summaries":
            file = existing(config)
            if not file.is_file():
                raise ValueError(
                    f"collect.path {file} is a folder; name a file of JSON lines, or set collect.source to folder or transcripts"
                )
            return Source(summary_lines(file), partial(summarised_card, file))
        case "transcripts":
            return Source(read_transcripts(existing(config)), lambda card: card)


def card_finder(config: SourceConfig, references: list[Reference]) -> Callable[[Reference], RawCard | Rejected]:
    if config.card_texts:
        return LocalCards(config, references).find
    from data_prep.collecting.hub import HubCards

    return HubCards().find


def settled(config: SourceConfig) -> SourceConfig:
    """With a tag of a dataset on the Hub resolved to its commit, which is what the recipe then stands for."""
    if config.source == "parquet" and config.path and config.path.startswith(DATASET):
        from data_prep.collecting.hub_datasets import pinned

        return config.model_copy(update={"path": pinned(config.path)})
    return config


def local_inputs(config: SourceConfig) -> list[Path]:
    more = further(config)
    if config.source in ("synthetic", "hub") or not config.path or config.path.startswith(DATASET):
        return []
    return [existing(config), *more, *map(Path, config.card_texts or ())]


def further(config: SourceConfig) -> list[Path]:
    """Raises ValueError where one is not there."""
    if config.also and config.source != "references":
        raise ValueError(f"collect.also is for collect.source references, which is {config.source}; leave it out")
    if missing := [name for name in config.also if not Path(name).is_file()]:
        raise ValueError(f'collect.also names "{missing[0]}", which is no file; correct it in the recipe')
    return [Path(name) for name in config.also]


def table_rows(config: SourceConfig) -> Iterator[tuple[Any, Any, str]]:
    rows = parquet_rows(config)
    if config.path and config.path.startswith(DATASET):
        from data_prep.collecting.hub_datasets import answered

        return answered(config.path, rows)
    return rows
