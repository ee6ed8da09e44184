"""What readers counted of pages: the share of statements that are right, with intervals, and differences paired by card.

    python -m eval.readings recipes/smollm2-135m/readings.jsonl --split recipes/references/split.json --sitting 2

A line of the file is a page: `card_id`, `system`, and `readings`, a list of {"right", "wrong", "not_there"} with the `sitting` they are of,
since readers of one day are not those of another; systems are compared within a sitting. A card's value is all its readers' counts
together; `--split` names the families that intervals resample, without it each card is one. Differences are of each system to the first.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_prep.core.files import read_dicts, read_split
from data_prep.core.recipe import exit_on_mistake
from data_prep.core.text import bracketed, signed
from eval.reporting.console import measured_cell, print_table
from eval.stats.estimates import estimate_mean
from eval.stats.paired import compare_cards
from eval.stats.records import NamedMetric

DRAWS = 10_000
BOUNDS = {"share": (0.0, 1.0)}
MEASURES: dict[str, NamedMetric] = {
    "statements right": {"name": "right", "unit": "share"},
    "right a page": {"name": "right_page", "unit": ""},
    "wrong or not there a page": {"name": "false_page", "unit": ""},
}


def main(options: argparse.Namespace) -> None:
    counts = read_counts(options.file, options.sitting)
    systems = list(dict.fromkeys(system for system, _ in counts))
    cards = [card for card in dict.fromkeys(card for _, card in counts) if all((system, card) in counts for system in systems)]
    if not cards:
        raise ValueError(
            f"{options.file} has no card that was read for all of {', '.join(systems) or 'no system'}; name another --sitting"
        )
    placed = read_split(options.split)["families"] if options.split else {}
    families = np.array([placed.get(card, card) for card in cards])
    values = {system: np.array([measures(counts[system, card]) for card in cards]) for system in systems}
    rows = [[system, *cells(values[system], families)] for system in systems]
    remarks = list(differences(values, families))
    print_table(f"{len(cards)} cards: mean [95% interval], n; shares in percent", ["", *MEASURES], rows, remarks)


def read_counts(file: Path, sitting: int | None) -> dict[tuple[str, str], np.ndarray]:
    """(system, card) -> right, wrong and not there, each reader's own row."""
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    sittings = set()
    for row in read_dicts(file):
        try:
            sittings |= {one.get("sitting") for one in row["readings"]}
            of_sitting = [one for one in row["readings"] if sitting is None or one.get("sitting") == sitting]
            counts = [[one[name] for name in ("right", "wrong", "not_there")] for one in of_sitting]
            key = row["system"], row["card_id"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file}: a line lacks {error}; it takes card_id, system and readings") from None
        found[key] += counts
    if sitting is None and len(sittings) > 1:
        raise ValueError(
            f"{file} holds the sittings {', '.join(sorted(map(str, sittings)))}, and readers differ; add --sitting N"
        )
    return {key: np.array(counts, dtype=float) for key, counts in found.items() if counts}


def measures(counts: np.ndarray) -> list[float]:
    """Of one page, in the order of MEASURES. One without a statement has no share of right ones."""
    right, false = counts[:, 0], counts[:, 1:].sum(axis=1)
    return [float(right.sum() / counts.sum()) if counts.sum() else np.nan, float(right.mean()), float(false.mean())]


def cells(values: np.ndarray, families: np.ndarray) -> list[str]:
    return [
        measured_cell(
            estimate_mean(values[:, column], families, DRAWS, bounds=BOUNDS.get(metric["unit"])).noted, metric["unit"]
        )
        for column, metric in enumerate(MEASURES.values())
    ]


def differences(values: dict[str, np.ndarray], families: np.ndarray) -> Iterator[str]:
    first, *others = values
    for other in others:
        for column, (label, metric) in enumerate(MEASURES.items()):
            pair = values[first][:, column], values[other][:, column]
            row, unit = compare_cards((first, other), metric, *pair, families, DRAWS, 0), metric["unit"]
            told = signed(row["difference"], unit) + bracketed(row["ci95"], unit, signed)
            yield f"{other} − {first}, {label}: {told}, n={row['n']}"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m eval.readings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="READINGS.jsonl", type=Path, help="pages with what readers counted")
    parser.add_argument("--split", metavar="split.json", type=Path, help="families of the cards")
    parser.add_argument(
        "--sitting", metavar="N", type=int, help="readings of this sitting alone; needed where the file holds several"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    exit_on_mistake(lambda: main(options(sys.argv[1:])), "eval.readings")
