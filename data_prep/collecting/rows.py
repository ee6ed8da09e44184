"""What one task of collect makes: of each of its inputs one row, the card's line or the reason why it is set aside.

Rows stand alone, so they can be made in any number of tasks; only exact duplicates need all of them, and are found when the
rows are brought together in the order of the inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from data_prep.cards.parse import decode, draft
from data_prep.collecting.config import SourceConfig
from data_prep.collecting.filters import FilterConfig, reject
from data_prep.collecting.readers import read_share
from data_prep.core.files import to_json
from data_prep.core.records import Attached, Note, RawCard, Rejected

LONGEST_ID = 200


@dataclass(frozen=True)
class Row:
    """What became of one input. `card` and `attached` are lines of cards.jsonl and attached.jsonl, "" where there is none."""

    index: int
    origin: str
    card_id: str = ""
    card: str = ""
    attached: str = ""
    rejected: Rejected | None = None

    @classmethod
    def read(cls, line: str) -> Row:
        values = json.loads(line)
        rejected = values.pop("rejected")
        return cls(**values, rejected=Rejected(**rejected) if rejected else None)


def rows(seed: int, source: SourceConfig, filters: FilterConfig, rank: int = 0, tasks: int = 1) -> Iterator[Row]:
    """Rows of every `tasks`-th input from `rank` on. Raises ValueError where the source is not there."""
    for index, found in read_share(source, seed, rank, tasks):
        yield Row(index, found.id, rejected=found) if isinstance(found, Rejected) else row(index, found, filters)


def lines(seed: int, source: SourceConfig, filters: FilterConfig, rank: int, tasks: int) -> Iterator[str]:
    return map(to_json, rows(seed, source, filters, rank, tasks))


def row(index: int, raw: RawCard, filters: FilterConfig) -> Row:
    origin = f"{raw.model_id[:LONGEST_ID]} from {raw.source}"
    if not 0 < len(raw.model_id) <= LONGEST_ID or not raw.model_id.isprintable() or not raw.model_id.strip():
        return Row(index, origin, rejected=Rejected("collect", raw.model_id[:LONGEST_ID], "no usable model id", raw.source))
    if not raw.content:
        return Row(index, origin, rejected=Rejected("collect", raw.model_id, "empty card", raw.source))
    card = draft(raw)
    if refused := reject(card, filters):
        return Row(index, origin, card.id, rejected=refused)
    came = to_json(attached(card.id, raw)) if raw.notes or raw.summaries else ""
    return Row(index, origin, card.id, to_json(card.card()), came)


def attached(card_id: str, raw: RawCard) -> Attached:
    """What came with a card, as text that any tokenizer takes: no half of a character, and line ends of one kind."""

    def plain(texts: Sequence[str]) -> list[str]:
        return [decode(text).replace("\r\n", "\n") for text in texts]

    notes = zip(plain([note.url for note in raw.notes]), plain([note.text for note in raw.notes]), strict=True)
    return Attached(card_id, [Note(*note) for note in notes], plain(raw.summaries), plain(raw.removed))


def interleaved(shards: Sequence[Path]) -> Iterator[Row]:
    """The rows of all shards in the order of the inputs: shard r of n holds every n-th from r on.

    Raises ValueError where a shard does not hold what it should.
    """
    with ExitStack() as opened:
        files = [opened.enter_context(open(shard, encoding="utf-8")) for shard in shards]
        for index in count():
            line = files[index % len(files)].readline()
            if not line:
                break
            found = Row.read(line)
            if found.index != index:
                raise ValueError(
                    f"{shards[index % len(files)]} holds input {found.index} where {index} belongs; delete its folder and run again"
                )
            yield found
        if left := [str(shard) for shard, file in zip(shards, files, strict=True) if file.readline()]:
            raise ValueError(f"{left[0]} holds more inputs than the other shards; delete its folder and run again")


def without_duplicates(found: Iterable[Row]) -> Iterator[Row]:
    """The rows; of those with the same model id and text all but the first set aside. Memory: one number a card."""
    seen: set[int] = set()
    for current in found:
        number = int(current.card_id or "0", 16)
        if number in seen:
            why = Rejected("collect", current.card_id, "same model id and text as another card", current.origin)
            current = Row(current.index, current.origin, current.card_id, rejected=why)
        if current.card_id:
            seen.add(number)
        yield current
