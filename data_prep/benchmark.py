"""Measures what the stages cost on a table of cards: cards a second, seconds, memory.

    python -m data_prep.benchmark cards --path cards.parquet
    python -m data_prep.benchmark cards --path cards.parquet --collect.languages '[en]' --collect.min_words_beyond_tool 40

`cards` reads each card on one core in this process, front matter to filters, then the links of those kept; then it runs
`collect` and `split` as commands, once on the table and once on a table with every card twice under another id. It prints how
many cards each filter sets aside, and a table; wall seconds depend on what else the machine does, CPU seconds hardly. Reads
the columns that `collect` is told to read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.cards.parse import draft
from data_prep.collecting.card_files import BATCH
from data_prep.collecting.config import SourceConfig
from data_prep.collecting.filters import FilterConfig, reject
from data_prep.collecting.readers import read_share
from data_prep.core.recipe import exit_on_mistake, load, parse_overrides
from data_prep.core.records import RawCard

# Runs a module as a command and leaves the process's own account of its memory. What the system tells its parent counts the
# parent's memory too, as it was when the process was started.
PROBE = """
import atexit, pathlib, runpy, sys
target, sys.argv = pathlib.Path(sys.argv[1]), sys.argv[2:]
atexit.register(lambda: target.write_bytes(pathlib.Path("/proc/self/status").read_bytes()))
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class CardsConfig(FilterConfig, SourceConfig):
    """Keys of `collect` that decide which cards are read and kept."""


@dataclass(frozen=True)
class Cost:
    """Of one run: the cards it was given, seconds, and the most memory it held, in bytes; 0 without a process of its own."""

    cards: int
    wall: float
    cpu: float
    peak: int = 0


def main() -> None:
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
        return
    if len(sys.argv) < 4 or sys.argv[1] != "cards":
        raise ValueError("say what to measure and on what: python -m data_prep.benchmark cards --path CARDS.parquet")
    overrides = parse_overrides(sys.argv[2:])
    path = overrides.pop("path", "")
    given = [f"--{name}={value}" for name, value in overrides.items()]
    with tempfile.TemporaryDirectory() as folder:
        twice = Path(folder) / "twice.parquet"
        config = cards_config(path, given)
        runs = stages(path, Path(folder) / "once", given) | {
            f"{name}, every card twice": cost
            for name, cost in stages(str(doubled(config, twice)), Path(folder) / "twice", given).items()
        }
    parsing, linking, reasons = in_process(config)
    report({"parse and filter": parsing, "with links of kept cards": linking} | runs, reasons)


def cards_config(path: str, given: list[str]) -> CardsConfig:
    source = ["--run_dir", "unused", "--collect.source", "parquet", "--collect.path", path]
    own = [option for option in given if option.startswith("--collect.")]
    return load("collect", CardsConfig, [*source, *own]).block


def doubled(config: CardsConfig, target: Path) -> Path:
    """A table with each card twice, the second time as another author's."""
    columns = (config.model_column, config.text_column)
    schema = pa.schema([(columns[0], pa.string()), (columns[1], pa.binary())])
    with pq.ParquetWriter(target, schema) as writer:
        cards = _cards(config)
        while batch := list(islice(cards, BATCH)):
            for prefix in ("", "again-"):
                ids = [prefix + card.model_id for card in batch]
                texts = [card.content.encode() if isinstance(card.content, str) else card.content for card in batch]
                writer.write_table(pa.table([ids, pa.array(texts, pa.binary())], schema=schema))
    return target


def _cards(config: CardsConfig) -> Iterator[RawCard]:
    for _, card in read_share(config, seed=0):
        assert isinstance(card, RawCard), "a row of a table is a card, whatever it holds"
        yield card


def stages(path: str, run: Path, given: list[str]) -> dict[str, Cost]:
    """Cost of `collect` and `split` as a person runs them."""
    collected = command("collect", run, ["--collect.source", "parquet", "--collect.path", path, *given])
    kept = json.loads((run / "data" / "collect.manifest.json").read_text())["result"]
    inputs = kept["cards"] + sum(kept["rejected"].values())
    split = command("split", run, [])
    return {"collect": Cost(inputs, *collected), "split": Cost(kept["cards"], *split)}


def command(stage: str, run: Path, arguments: list[str]) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak bytes of a stage. Raises ValueError with its last line where it fails."""
    started, status = time.monotonic(), run / "memory"
    run.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE, str(status), f"data_prep.{stage}", "--run_dir", str(run), *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr  # a pipe
    said = process.stderr.read().strip().splitlines()
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise ValueError(
            f"data_prep.{stage} ended with {os.waitstatus_to_exitcode(code)}: {said[-1] if said else 'nothing said'}"
        )
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, peak * 1024


def in_process(config: CardsConfig) -> tuple[Cost, Cost, Counter[str]]:
    """Cost without and with the links of kept cards, in one pass on one core, and how many cards each filter sets aside."""
    reasons: Counter[str] = Counter()
    wall, cpu, link_wall, link_cpu, count = time.monotonic(), time.process_time(), 0.0, 0.0, 0
    for raw in _cards(config):
        count += 1
        card = draft(raw)
        refused = reject(card, config)
        reasons[refused.reason if refused else "kept"] += 1
        if not refused:
            link_wall, link_cpu = link_wall - time.monotonic(), link_cpu - time.process_time()
            card.card()
            link_wall, link_cpu = link_wall + time.monotonic(), link_cpu + time.process_time()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    return Cost(count, wall - link_wall, cpu - link_cpu), Cost(count, wall, cpu), reasons


def report(costs: dict[str, Cost], reasons: Counter[str]) -> None:
    for reason, count in reasons.most_common():
        print(f"{count:8,} {count / reasons.total():6.1%}  {reason}")
    print(f"\n{'':28} {'cards':>8} {'wall s':>8} {'CPU s':>8} {'cards/CPU s':>12} {'peak MB':>8}")
    for name, cost in costs.items():
        peak = f"{cost.peak / 1e6:,.0f}" if cost.peak else ""
        print(f"{name:28} {cost.cards:8,} {cost.wall:8.1f} {cost.cpu:8.1f} {cost.cards / cost.cpu:12,.0f} {peak:>8}")
    for stage in ("collect", "split"):
        once, twice = costs[stage], costs[f"{stage}, every card twice"]
        print(f"{stage}: {(twice.peak - once.peak) / (twice.cards - once.cards):,.0f} bytes more for each card more")
    print(f"collect and split: {costs['collect'].wall + costs['split'].wall:.1f} s")


if __name__ == "__main__":
    exit_on_mistake(main, "data_prep.benchmark")
