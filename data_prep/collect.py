"""Collects model cards, whatever their source, as one record each.

    python -m data_prep.collect --config recipes/demo/data.yaml

Writes data/cards.jsonl, data/attached.jsonl (notes and summaries that came with a card, in the order of the cards) and its
rows of data/rejected.jsonl. Every input ends in exactly one of cards and rejected. Cards are streamed: memory holds one
card and, to know exact duplicates, one number per card. In any number of tasks, with any executor, the files are the same.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO, TypeVar

from tqdm import tqdm

from data_prep.collecting.config import SourceConfig
from data_prep.collecting.executor import ExecutorConfig, run_shards
from data_prep.collecting.filters import FilterConfig
from data_prep.collecting.readers import local_inputs, open_source, settled
from data_prep.collecting.rows import Row, interleaved, lines, rows, without_duplicates
from data_prep.core.files import replacing, set_aside, sha256_text, to_json, write_json
from data_prep.core.manifest import Manifest, hashes
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Rejected

Part = TypeVar("Part", bound=Block)


class CollectConfig(ExecutorConfig, FilterConfig, SourceConfig):
    """Where cards come from, which are kept, and how the work is run; the last changes nothing in the result."""


def main(recipe: Recipe[CollectConfig]) -> None:
    data, block, seed = recipe.run_dir / "data", recipe.block, recipe.seed
    cards, attached, rejected = data / "cards.jsonl", data / "attached.jsonl", data / "rejected.jsonl"
    source, filters = settled(part(SourceConfig, block)), part(FilterConfig, block)
    settings = {"seed": seed, "collect": source.model_dump() | filters.model_dump()}
    manifest = Manifest(data / "collect.manifest.json", "collect", settings, local_inputs(source), [cards, attached], rejected)
    if manifest.is_done():
        return
    started, counts, reasons = time.monotonic(), Counter(cards=0, attached=0), Counter[str]()
    folder = data / "collect.work" / sha256_text(to_json([settings, hashes(manifest.inputs)]))[:16]
    in_one_go = block.executor == "inline" and block.tasks == 1
    made = rows(seed, source, filters) if in_one_go else in_shards(seed, source, filters, block, folder)
    if made is None:
        return
    found = tqdm(without_duplicates(made), desc="collect", unit=" cards", mininterval=1)
    with replacing(cards) as card_file, replacing(attached) as attached_file:
        set_aside(rejected, "collect", write_kept(found, card_file, attached_file, counts, reasons))
    manifest.write(**counts, rejected=dict(reasons))
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other recipes' shards may be waiting beside it
        folder.parent.rmdir()
    report(counts, reasons, time.monotonic() - started)


def part(schema: type[Part], block: Block) -> Part:
    return schema(**{name: getattr(block, name) for name in schema.model_fields})


def in_shards(
    seed: int, source: SourceConfig, filters: FilterConfig, execution: ExecutorConfig, folder: Path
) -> Iterator[Row] | None:
    """The rows, by way of one file for each task; None where a Slurm job has yet to write them.

    `folder` is named after all that the rows depend on, so a changed recipe or input never meets old shards.
    """
    source = listed(source, folder)
    if source.path and local_inputs(source):  # tasks may start in another folder
        whole = {name: [str(Path(place).resolve()) for place in getattr(source, name) or ()] for name in ("also", "card_texts")}
        source = source.model_copy(update={"path": str(Path(source.path).resolve()), **whole})
    next(iter(open_source(source, seed).inputs), None)  # a mistake in the source is told here, not by each task
    shards = run_shards(part(ExecutorConfig, execution), partial(lines, seed, source, filters), folder)
    return None if shards is None else interleaved(shards)


def listed(source: SourceConfig, folder: Path) -> SourceConfig:
    """For hub, the models by name, listed once: to all tasks, and after a stop, the inputs are the same."""
    if source.source != "hub":
        return source
    models = folder / "models.json"
    if not models.exists():
        write_json(models, list(islice(open_source(source, 0).inputs, source.limit)))
    names = json.loads(models.read_text(encoding="utf-8"))
    if not names:
        raise ValueError("the Hub lists no model that fits; check collect.authors, collect.task and the other keys that select")
    return SourceConfig(source="hub", ids=names)


def write_kept(
    found: Iterable[Row], cards: TextIO, attached: TextIO, counts: Counter[str], reasons: Counter[str]
) -> Iterator[Rejected]:
    """Writes each acceptable card, and what came with it, as it goes by; yields the others with the reason."""
    for row in found:
        if row.rejected:
            reasons[row.rejected.reason] += 1
            yield row.rejected
            continue
        counts["cards"] += 1
        cards.write(row.card + "\n")
        if row.attached:
            counts["attached"] += 1
            attached.write(row.attached + "\n")
    if not counts["cards"] and not reasons:  # before any file is replaced
        raise ValueError("the source gave no card; check collect.path, collect.cards, collect.authors or collect.limit")


def report(counts: Counter[str], reasons: Counter[str], seconds: float) -> None:
    print(
        f"collect: {counts['cards']} cards, {counts['attached']} with notes or summaries, {reasons.total()} set aside, {seconds:.1f} s"
    )
    for reason, count in reasons.most_common():
        print(f"  {count} set aside: {reason}")


if __name__ == "__main__":
    command("collect", CollectConfig, main, __doc__, "data_prep.collect")
