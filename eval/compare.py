"""Compares two finished runs on the same held-out cards: another recipe, seed, or base model.

    python -m eval.compare RUN_A RUN_B
    python -m eval.compare RUN_A RUN_B --systems sft,aligned --output sft_to_aligned.json

Reads   RUN/eval/scores.parquet, RUN/eval/metrics.json, RUN/eval/score.manifest.json and
        RUN/eval/generations/SYSTEM.manifest.json of both runs
Writes  RUN_B/eval/compare-<name of RUN_A>.json   differences, what may be claimed of them, cards that differ most
        the same name with .md                    the same as tables to paste

Every difference is RUN_B minus RUN_A, card by card, with an interval that resamples families. Runs that saw other cards or
prompts, whose texts were decoded otherwise, or that other checks scored, are refused: their difference would not be the
models' alone. Grounded against free, or think mode against none, is compared where --systems names both. p is corrected (Holm) for the number of headline metrics of one pair of systems.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.checks.meaning import meanings
from data_prep.core.files import sha256_file, write_json, write_text
from data_prep.core.recipe import exit_on_mistake
from data_prep.core.text import bracketed, markdown_table, plural, probability, signed
from eval.reporting.console import print_table
from eval.reporting.markdown import meaning_lines
from eval.runs.two_runs import (
    ScoredRun,
    Side,
    common_metrics,
    read_scored_run,
    refuse_unlike,
    sides_of,
    system_pairs,
)
from eval.stats.claims import TENTHS, claims, not_shown, number
from eval.stats.figures import rounded
from eval.stats.paired import add_holm, compare_cards
from eval.stats.records import Comparison, MetricRecord

SHOWN = 10  # cards listed, those that differ most
COLUMNS = ("difference", "metric", "points", "p (Holm)", "p (McNemar)", "detectable", "n")


def main(options: argparse.Namespace) -> None:
    a, b = read_scored_run(options.run_a), read_scored_run(options.run_b)
    refuse_unlike(a, b)
    metrics, left_out = common_metrics(a, b)
    shared = [metric["name"] for metric in metrics if metric["headline"]]
    # One that a run lacks could not be compared: it counts in the correction and forbids a claim on the whole.
    headline = sorted({*shared, *(metric["name"] for run in (a, b) for metric in run.metrics["metrics"] if metric["headline"])})
    sides = [sides_of(a, b, pair) for pair in system_pairs(a, b, options.systems)]
    comparisons: list[Comparison] = []
    cards = []
    for first, second in sides:
        values = [{metric["name"]: side.means(metric["name"]) for metric in metrics} for side in (first, second)]
        comparisons += compared(first, second, metrics, values)
        cards.append({"a": first.label, "b": second.label, "cards": most_different(list(a.families), shared, values)})
    add_holm(comparisons, headline)
    result = {
        "a": identity(a),
        "b": identity(b),
        "cards": len(a.families),
        "families": len(set(a.families.values())),
        "metrics": metrics,
        "left_out": left_out,
        "comparisons": comparisons,
        "claims": claims(comparisons, metrics, headline),
        "not_shown": not_shown(comparisons, metrics, headline),
        "differ_most": cards,
        "bootstrap": b.metrics["bootstrap"],
    }
    output = options.output or b.folder / "eval" / f"compare-{a.folder.resolve().name}.json"
    if output.suffix != ".json":
        raise ValueError(f"--output is {output}, expected a name that ends in .json; the tables go beside it, in .md")
    write_json(output, result)
    write_text(output.with_suffix(".md"), markdown(result))
    print_result(result)
    print(f"compare: {output}, tables to paste: {output.with_suffix('.md')}")


def compared(
    first: Side, second: Side, metrics: Sequence[MetricRecord], values: Sequence[dict[str, np.ndarray]]
) -> list[Comparison]:
    names, families = (first.label, second.label), np.array(list(first.run.families.values()))
    draws, seed = (second.run.metrics["bootstrap"][key] for key in ("samples", "seed"))
    return [
        compare_cards(names, metric, values[0][metric["name"]], values[1][metric["name"]], families, draws, seed)
        for metric in metrics
    ]


def most_different(
    cards: Sequence[str], headline: Sequence[str], values: Sequence[dict[str, np.ndarray]]
) -> list[dict[str, Any]]:
    """The SHOWN cards with the largest mean absolute difference over the headline metrics, with both values of each."""
    gaps = np.stack([np.abs(values[1][name] - values[0][name]) for name in headline])
    measured = ~np.isnan(gaps)
    mean = np.where(measured, gaps, 0).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
    order = [index for index in np.argsort(-mean, kind="stable")[:SHOWN] if mean[index] > 0]
    return [
        {"id": cards[index], "values": {name: [rounded(side[name][index]) for side in values] for name in headline}}
        for index in order
    ]


def identity(run: ScoredRun) -> dict[str, Any]:
    folder = run.folder / "eval"
    files = {name: sha256_file(folder / name) for name in ("metrics.json", "scores.parquet")}
    return {"run": run.name, "decoding": run.metrics["decoding"], "files": files, "versions": run.metrics.get("versions", {})}


def difference_rows(result: dict[str, Any]) -> Iterator[list[str]]:
    """Cells of the headline differences: who, metric, points, p (Holm), McNemar's p, detectable difference, cards."""
    metrics = {metric["name"]: metric for metric in result["metrics"] if metric["headline"]}
    for row in result["comparisons"]:
        metric = metrics.get(row["metric"])
        if metric is None:
            continue
        points = "not measured" if row["difference"] is None else signed(row["difference"], metric["unit"], TENTHS)
        ends = bracketed(row["ci95"], metric["unit"], signed, TENTHS)
        detectable = number(row.get("detectable"), metric)
        p = [probability(row.get(key)) for key in ("p_holm", "mcnemar_p")]
        yield [f"{row['b']} − {row['a']}", metric["label"], points + ends, *p, detectable, str(row["n"])]


def print_result(result: dict[str, Any]) -> None:
    remarks = [*meanings(result["metrics"]), *result["claims"], *result["not_shown"], *left_out(result)]
    for pair in result["differ_most"]:
        names = ", ".join(card["id"] for card in pair["cards"]) or "none"
        remarks.append(f"cards on which {pair['a']} and {pair['b']} differ most: {names}")
    title = f"{of_families(result)}, paired: mean [95% interval]"
    print_table(title, COLUMNS, difference_rows(result), remarks, texts=2, width=140)


def of_families(result: dict[str, Any]) -> str:
    return f"{plural(result['cards'], 'held-out card')} of {plural(result['families'], 'family', 'families')}"


def left_out(result: dict[str, Any]) -> list[str]:
    return [f"left out: {why}." for why in result["left_out"]]


def markdown(result: dict[str, Any]) -> str:
    headline = [metric for metric in result["metrics"] if metric["headline"]]
    lines = [
        f"# {result['b']['run']} against {result['a']['run']}",
        "",
        f"{of_families(result)}, paired by card. Percent, difference [95% interval]; "
        "intervals resample families. Detectable: the smallest true difference that this test finds four times in five.",
        "",
        markdown_table(COLUMNS, difference_rows(result)),
        *meaning_lines(result["metrics"]),
    ]
    for title, sentences in (("Shown", result["claims"]), ("Not shown", [*result["not_shown"], *left_out(result)])):
        lines += ["", f"## {title}", "", *([f"- {sentence}" for sentence in sentences] or ["Nothing."])]
    for pair in result["differ_most"]:
        lines += ["", f"## Cards on which {pair['a']} and {pair['b']} differ most", ""]
        cells = ([card["id"], *(both(card["values"][metric["name"]], metric) for metric in headline)] for card in pair["cards"])
        lines.append(markdown_table(["card", *(metric["label"] for metric in headline)], cells))
    return "\n".join(lines) + "\n"


def both(values: Sequence[float | None], metric: MetricRecord) -> str:
    return " → ".join(number(value, metric) for value in values)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m eval.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_a", metavar="RUN_A", type=Path, help="folder of the run to compare with")
    parser.add_argument("run_b", metavar="RUN_B", type=Path, help="folder of the run that is judged; the result lies in it")
    parser.add_argument("--systems", metavar="A,B", help="a system of RUN_A and one of RUN_B; default: every name in both")
    parser.add_argument("--output", metavar="FILE.json", type=Path, help="where to write instead")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    exit_on_mistake(lambda: main(options(sys.argv[1:])), "eval.compare")
