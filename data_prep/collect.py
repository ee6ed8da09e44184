"""Collects model cards, whatever their source, as one record each.

    python -m data_prep.collect --config recipes/demo/data.yaml

Writes data/cards.jsonl, data/attached.jsonl (notes and summaries that came with a card, in the order of the cards) and its
rows of data/rejected.jsonl. Every input ends in exactly one of cards and rejected. Cards are streamed: memory holds one
card and, to know exact duplicates, one number per card.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from data_prep.cards import parse_card, prose, words
from data_prep.manifest import Manifest
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import Attached, RawCard, Rejected, replacing, set_aside, to_json
from data_prep.transcripts import read_transcripts

BATCH = 256  # rows of Parquet in memory
LONGEST_ID = 200
CARD_FILE_NAMES = ("readme", "modelcard", "model_card", "model-card")


class CollectConfig(Block):
    source: Literal["synthetic", "folder", "parquet", "transcripts", "hub"] = "synthetic"
    """synthetic: invented models. folder: .md files. parquet: a table of cards. transcripts: logged conversations with card,
    research and summary. hub: the Hugging Face Hub."""
    path: str | None = None
    """File or folder of cards, for folder, parquet and transcripts."""
    limit: int | None = None
    """At most this many inputs are read; null reads all."""
    cards: int = 100
    """How many cards to invent, for synthetic."""
    ids: list[str] = []
    """Model ids to fetch, for hub: [owner/name, ...]."""
    authors: list[str] = []
    """Owners whose models are fetched, for hub."""
    model_column: str = "model_id"
    """Column with the model id, for parquet."""
    text_column: str = "card"
    """Column with the card as text or bytes, for parquet."""
    min_body_words: int = 20
    """A card with fewer words of prose is set aside: front matter, code, tables and template lines do not count."""


def main(recipe: Recipe[CollectConfig]) -> None:
    data = recipe.run_dir / "data"
    cards, attached, rejected = data / "cards.jsonl", data / "attached.jsonl", data / "rejected.jsonl"
    manifest = Manifest(data / "collect.manifest.json", "collect", recipe.resolved(), inputs(recipe.block), [cards, attached])
    # Later stages write to rejected.jsonl too, so its content cannot tell whether this stage is done.
    if rejected.exists() and manifest.is_done():
        return
    started, counts, reasons = time.monotonic(), Counter(cards=0, attached=0), Counter()
    with replacing(cards) as card_file, replacing(attached) as attached_file:
        found = tqdm(islice(read_source(recipe), recipe.block.limit), desc="collect", unit=" cards", mininterval=1)
        set_aside(rejected, "collect", sift(found, recipe.block.min_body_words, card_file, attached_file, counts, reasons))
    manifest.write(**counts, rejected=dict(reasons))
    report(counts, reasons, time.monotonic() - started)


def inputs(block: CollectConfig) -> list[Path]:
    return [Path(block.path)] if block.path and block.source in ("folder", "parquet", "transcripts") else []


def sift(
    found: Iterator[RawCard | Rejected],
    min_words: int,
    cards: TextIO,
    attached: TextIO,
    counts: Counter[str],
    reasons: Counter[str],
) -> Iterator[Rejected]:
    """Writes each acceptable card, and what came with it, as it goes by; yields the others with the reason."""
    seen: set[int] = set()
    for raw in found:
        kept = raw if isinstance(raw, Rejected) else keep(raw, min_words, seen, cards)
        if isinstance(kept, Rejected):
            reasons[kept.reason] += 1
            yield kept
            continue
        counts["cards"] += 1
        if raw.notes or raw.summaries:
            counts["attached"] += 1
            attached.write(to_json(Attached(kept, raw.notes, raw.summaries, raw.removed)) + "\n")
    if not counts["cards"] and not reasons:  # before any file is replaced
        raise ValueError("the source gave no card; check collect.path, collect.cards, collect.authors or collect.limit")


def keep(raw: RawCard, min_words: int, seen: set[int], cards: TextIO) -> str | Rejected:
    """Writes the card and returns its id, or says why it is set aside."""
    if not 0 < len(raw.model_id) <= LONGEST_ID or not raw.model_id.isprintable() or not raw.model_id.strip():
        return Rejected("collect", raw.model_id[:LONGEST_ID], "no usable model id", raw.source)
    if not raw.content:
        return Rejected("collect", raw.model_id, "empty card", raw.source)
    card = parse_card(raw)
    number = int(card.id, 16)
    if number in seen:
        return Rejected("collect", card.id, "same model id and text as another card", f"{card.model_id} from {card.source}")
    seen.add(number)
    count = len(words(prose(card.body)))
    if count < min_words:
        return Rejected(
            "collect", card.id, "too little prose", f"{card.model_id}: {count} words, collect.min_body_words is {min_words}"
        )
    cards.write(to_json(card) + "\n")
    return card.id


def report(counts: Counter[str], reasons: Counter[str], seconds: float) -> None:
    print(
        f"collect: {counts['cards']} cards, {counts['attached']} with notes or summaries, {reasons.total()} set aside, {seconds:.1f} s"
    )
    for reason, count in reasons.most_common():
        print(f"  {count} set aside: {reason}")


# --- sources ----------------------------------------------------------------------------------------------------------


def read_source(recipe: Recipe[CollectConfig]) -> Iterator[RawCard | Rejected]:
    """The cards of the recipe's source. Raises ValueError where it is not there or has another shape."""
    block = recipe.block
    match block.source:
        case "synthetic":
            from data_prep.synthetic import raw_cards

            return raw_cards(recipe.seed, block.cards)
        case "hub":
            from data_prep.hub import hub_cards  # the Hub library takes a second that other sources need not wait for

            if not block.ids and not block.authors:
                raise ValueError(
                    "collect.source hub needs collect.ids or collect.authors; add for example --collect.ids '[owner/name]'"
                )
            return hub_cards(block.ids, block.authors, block.limit)
        case "folder":
            return folder_cards(existing(block))
        case "parquet":
            return parquet_cards(existing(block), block.model_column, block.text_column)
        case "transcripts":
            return read_transcripts(existing(block))


def existing(block: CollectConfig) -> Path:
    if not block.path:
        raise ValueError(f"collect.source {block.source} needs collect.path; add it to the recipe or pass --collect.path PATH")
    if not Path(block.path).exists():
        raise ValueError(
            f'collect.path is "{block.path}", which does not exist; correct it in the recipe or pass --collect.path PATH'
        )
    return Path(block.path)


def folder_cards(root: Path) -> Iterator[RawCard | Rejected]:
    """All .md files below `root`, in the order of their paths."""
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*.md") if file.is_file())
    if not files:
        raise ValueError(f"{root} holds no .md file; set collect.path to a folder of model cards")
    base = root.parent if root.is_file() else root
    for file in files:
        place = file.relative_to(base)
        yield RawCard(model_id_of(place), file.read_bytes(), f"folder:{place.as_posix()}")


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


def parquet_cards(path: Path, model_column: str, text_column: str) -> Iterator[RawCard]:
    """One card per row of a Parquet file or of all `.parquet` files of a folder, read by batches."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise ValueError(f"{path} holds no .parquet file; set collect.path to a table of model cards")
    for file in files:
        with open_table(file) as table:
            check_columns(table, file, model_column, text_column)
            for batch in table.iter_batches(batch_size=BATCH, columns=[model_column, text_column]):
                for model_id, content in zip(batch.column(model_column), batch.column(text_column), strict=True):
                    yield RawCard(model_id.as_py() or "", content.as_py() or "", f"parquet:{file.name}")


def open_table(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no readable Parquet file ({str(error).splitlines()[0]}); check collect.path") from None


def check_columns(table: pq.ParquetFile, file: Path, model_column: str, text_column: str) -> None:
    schema = table.schema_arrow
    for key, column, kinds in (("model_column", model_column, ("string",)), ("text_column", text_column, ("string", "binary"))):
        if column not in schema.names:
            raise ValueError(f'{file} has no column "{column}"; set collect.{key} to one of: {", ".join(schema.names)}')
        kind = str(schema.field(column).type).removeprefix("large_").removesuffix("_view")
        if kind not in kinds:
            raise ValueError(
                f'column "{column}" of {file} holds {kind}, expected {" or ".join(kinds)}; set collect.{key} to another'
            )


if __name__ == "__main__":
    command("collect", CollectConfig, main, __doc__, "data_prep.collect")
