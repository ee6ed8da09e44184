"""Measures the checks: summaries a second on one core, where each source is indexed once for all systems.

    python -m eval.benchmark
    python -m eval.benchmark --benchmark.systems 6

The sources are put together from invented cards and their notes. Each is about `source_tokens` long, at four characters a token.
Summaries hold sentences of several sources, as bullets with links, so that every check has something to find. Times are CPU seconds
of this process, the best of `rounds`; what a round takes on the wall depends on what else the machine does. Writes nothing.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import Field

from data_prep.candidates.extractive import sentences
from data_prep.checks import SourceIndex, check_summary
from data_prep.checks.document import read
from data_prep.checks.source_index import forget
from data_prep.core.recipe import Block, command
from data_prep.core.records import Note
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards

CHARACTERS_A_TOKEN = 4  # English cards with SmolLM3's tokenizer
LENGTHS = (500, 1000, 2000)  # words of a summary
BULLET = 15  # words of a bullet at least: written summaries have 13 to 20


class BenchmarkConfig(Block):
    count: int = Field(20, ge=2)
    """Sources."""
    systems: int = Field(6, ge=1)
    """Summaries of each source."""
    source_tokens: int = Field(10_000, ge=100)
    """Length of a source."""
    rounds: int = Field(3, ge=1)
    """Each figure is the best of this many."""


@dataclass(frozen=True)
class Speed:
    """CPU seconds of one round: to index the sources, and for everything."""

    words: float  # of a summary, on average
    summaries: int
    index: float
    total: float


def main(block: BenchmarkConfig) -> None:
    sources = invented_sources(block)
    size = sum(map(len, sources)) / len(sources)
    print(f"{len(sources)} sources of {size:,.0f} characters, {block.systems} systems, best of {block.rounds}, one core")
    print(f"{'words':>7} {'summaries':>10} {'index ms/source':>16} {'checks ms/summary':>18} {'summaries/s':>12}")
    for words in LENGTHS:
        speed = min((measure(sources, words, block.systems) for _ in range(block.rounds)), key=lambda one: one.total)
        index = 1000 * speed.index / len(sources)
        checks = 1000 * (speed.total - speed.index) / speed.summaries
        rate = speed.summaries / speed.total
        print(f"{speed.words:7,.0f} {speed.summaries:10,} {index:16.1f} {checks:18.2f} {rate:12.1f}")


def measure(sources: Sequence[str], words: int, systems: int) -> Speed:
    texts = [[summary(sources, number, words, system) for system in range(systems)] for number in range(len(sources))]
    forget()
    index = 0.0
    start = time.process_time()
    for source, written in zip(sources, texts, strict=True):
        begun = time.process_time()
        SourceIndex.from_source(source)
        index += time.process_time() - begun
        for text in written:
            check_summary(text, source)
    total = time.process_time() - start
    flat = [text for written in texts for text in written]
    return Speed(sum(len(read(text).words) for text in flat) / len(flat), len(flat), index, total)


def summary(sources: Sequence[str], number: int, words: int, system: int) -> str:
    """About `words` words: sentences of this source and, the more so the later the system, of others, which are not grounded."""
    rng = random.Random(f"{number}:{words}:{system}")
    other = sources[(number + 1 + system) % len(sources)]
    own, foreign = _sentences(sources[number]), _sentences(other)
    links = re.findall(r"https?://[^\s)\"'<>]+", sources[number]) or ["https://a.example"]
    lines, count = ["## Summary", ""], 1
    while count < words:
        text = rng.choice(own)
        while len(text.split()) < BULLET:
            text += " " + rng.choice(foreign if rng.random() < 0.1 * system else own)
        link = f" ([page]({rng.choice(links)}))" if rng.random() < 0.2 else ""
        lines.append(f"- **Point**: {text}{link}")
        count += len(text.split()) + 1
        if rng.random() < 0.1:
            lines += ["", f"### Part {len(lines)}", ""]
    return "\n".join(lines) + "\n"


@cache
def _sentences(source: str) -> list[str]:
    return list(sentences(source)) or ["It is a model."]


def invented_sources(block: BenchmarkConfig) -> list[str]:
    """Each the card and notes of one model, with the cards and notes of others as further pages until it is long enough."""
    room = block.source_tokens * CHARACTERS_A_TOKEN
    cards, made = raw_cards(seed=1, cards=1_000_000), []
    for raw in cards:
        notes, length = list(raw.notes), len(raw.content)
        while length < room:
            other = next(cards)
            notes += [Note(f"https://pages.example/{other.model_id}", str(other.content)), *other.notes]
            length += len(other.content) + sum(len(note.text) + len(note.url) + 30 for note in other.notes)
        made.append(source_text(raw.model_id, str(raw.content), notes))
        if len(made) == block.count:
            return made
    raise AssertionError("the invented world has no end")


if __name__ == "__main__":
    arguments = ["--run_dir", "unused", *sys.argv[1:]]
    command("benchmark", BenchmarkConfig, lambda recipe: main(recipe.block), __doc__, "eval.benchmark", arguments)
