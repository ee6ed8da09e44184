"""Scores every system's summaries of the held-out cards, with an interval beside each mean and each difference.

    python -m eval.score --config recipes/demo/eval.yaml
    python -m eval.score --score.input summaries.jsonl --score.output scored.jsonl    (a file of any summaries, no run)

Reads   <run_dir>/data/heldout.jsonl, <run_dir>/eval/generations/<system>.jsonl
        and where they are there: eval/measures/*.json[l] of other stages, data/probes.jsonl with eval/probe_generations/*.jsonl,
        data/cards.jsonl, split.json, notes.jsonl (for two of the slices)
Writes  <run_dir>/eval/scores.parquet   one row per system, card and sample: metrics, text, checks with their spans
        <run_dir>/eval/metrics.json     means, paired differences, slices, probes, and what each metric is
        <run_dir>/eval/scores.part.jsonl   what was measured already: a scoring that is killed or repeated goes on from there

The checks are the ones that accept training data. Samples of one card are averaged first, so the unit is the card;
intervals resample families of cards. A difference of [a, b] is b minus a, on the cards where both were measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from tqdm import tqdm

from data_prep.checks.document import MAX_CHARACTERS
from data_prep.checks.meaning import meanings
from data_prep.core.files import replacing, write_json
from data_prep.core.manifest import Manifest, versions
from data_prep.core.recipe import Block, Recipe, command, did_you_mean, exit_on_mistake, parse_overrides
from data_prep.core.records import Generation, HeldOut
from data_prep.core.text import count_words, plural
from data_prep.prompts.untrusted import UNSEEN
from eval.probing.figures import probe_figures, read_answers, read_probes
from eval.reporting.console import measured_cell, print_table
from eval.runs.scored import score_inputs
from eval.runs.summaries import (
    Place,
    System,
    by_card,
    choose_decoding,
    gathered,
    named_systems,
    read_cards,
    read_system,
    refuse_twice,
)
from eval.scoring.aggregate import (
    BootstrapSettings,
    Scored,
    comparisons,
    default_pairs,
    described,
    prompts_hash,
    slice_figures,
    systems_figures,
)
from eval.scoring.cache import ScoreStore
from eval.scoring.external import Measure, read_measures
from eval.scoring.metrics import METRICS, SUMMED_UP, Metric, code_version, measure
from eval.scoring.slices import Slices, slice_cards
from eval.stats.claims import claims
from eval.stats.records import Metrics, Scores

FILE_KEYS = ("score.input", "score.output")
TEXT_COLUMNS = ("id", "system", "family", "decoding", "key", "finish_reason", "text", "thinking", "checks", "spans", "slices")


class ScoreConfig(Block):
    """Block `score` of an eval recipe."""

    systems: list[str] = []
    """Systems in the order of the tables. Empty: every file in eval/generations, by name."""
    comparisons: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Pairs [a, b]; the difference is b minus a. Empty: each system against the one before it and against the first."""
    headline: list[str] = Field(
        default=["all_pass", "fact_recall", "numbers_grounded", "links_grounded"], min_length=1, max_length=4
    )
    """Metrics named before looking, at most four: set in bold, and their p-values corrected for being several (Holm)."""
    decoding: Literal["sampled", "greedy"] | None = None
    """Which summaries the headline rests on. Null: the sampled ones where any system has them, else the greedy ones."""
    bootstrap_samples: int = Field(default=10_000, ge=1000)
    """Draws of each interval and each p-value."""
    allow_missing: bool = False
    """Score a system that lacks summaries of some cards; how many is reported."""


def main(recipe: Recipe[ScoreConfig]) -> None:
    folder = recipe.run_dir / "eval"
    scores, metrics = folder / "scores.parquet", folder / "metrics.json"
    resolved = recipe.resolved() | {"code": code_version(*SUMMED_UP, "eval/score.py")}
    manifest = Manifest(folder / "score.manifest.json", "score", resolved, score_inputs(recipe.run_dir), [scores, metrics])
    if not manifest.is_done():
        count, missing = score_run(recipe, scores, metrics)
        manifest.write(summaries=count, missing=missing)
    print_results(json.loads(metrics.read_text(encoding="utf-8")))


def score_run(recipe: Recipe[ScoreConfig], scores: Path, metrics: Path) -> tuple[int, dict[str, int]]:
    """Measures everything and writes both files; returns how many summaries there are and how many each system lacks."""
    config, folder, data = recipe.block, recipe.run_dir / "eval", recipe.run_dir / "data"
    cards = read_cards(data / "heldout.jsonl")
    generations = folder / "generations"
    names = named_systems(generations, config.systems, config.comparisons, "score")
    systems = [read_system(generations / f"{name}.jsonl", cards, config.allow_missing) for name in names]
    decoding = choose_decoding(systems, config.decoding)
    measures = read_measures(folder / "measures", {row.key: row.system for system in systems for row in system.generations})
    known = [*METRICS, *(metric for one in measures for metric in one.metrics)]
    check_headline(config.headline, known)
    probes = read_probes(data / "probes.jsonl")
    answers = read_answers(folder / "probe_generations", probes, [system.name for system in systems])
    slices = slice_cards(cards, data)
    store = ScoreStore(folder / "scores.part.jsonl", code_version())
    rows = list(score(cards, systems, measures, store))
    figures, probe_metrics = probe_figures(probes, answers, rows, store, config.bootstrap_samples, recipe.seed)
    store.close()
    write_scores(scores, rows, known, slices)
    found: Metrics = {
        **metrics_json(cards, systems, rows, known, decoding, slices, config, recipe.seed),
        "probes": figures,
        "probe_metrics": probe_metrics,
        "measures": {one.name: one.passed_on for one in measures},
    }
    write_json(metrics, found)
    return len(rows), found["missing"]


def score_summaries(
    cards: Sequence[HeldOut], summaries: Sequence[Generation], config: ScoreConfig | None = None, seed: int = 0
) -> Scores:
    """The figures of summaries in memory, without a run: what metrics.json holds, but for probes and other stages' measures.

    Raises ValueError where a summary is of none of the `cards`, or systems cannot stand side by side.
    """
    config, known = config or ScoreConfig(), {card.id: card for card in cards}
    if strange := [row.id for row in summaries if row.id not in known]:
        raise ValueError(f'a summary is of card "{strange[0]}", which is not among the cards; add it, or leave the summary out')
    check_headline(config.headline, METRICS)
    found: dict[str, dict[Place, Generation]] = {}
    for row in summaries:
        place, rows = (row.id, row.decoding, row.sample), found.setdefault(row.system, {})
        if place in rows:
            raise ValueError(f'"{row.system}" has two summaries of card "{row.id}"; give the second sample: 1, or leave it out')
        rows[place] = row
    systems = [gathered(name, rows, known)[0] for name, rows in found.items()]
    decoding = choose_decoding(systems, config.decoding)
    with TemporaryDirectory() as folder:
        store = ScoreStore(Path(folder) / "scores.part.jsonl", code_version())
        scored = list(score(known, systems, (), store))
        store.close()
        slices = slice_cards(known, Path(folder) / "data")
    return metrics_json(known, systems, scored, METRICS, decoding, slices, config, seed)


def check_headline(headline: Sequence[str], known: Sequence[Metric]) -> None:
    refuse_twice(headline, "score.headline")
    names = [metric.name for metric in known]
    for name in headline:
        if name not in names:
            raise ValueError(f'score.headline names "{name}", which is no metric. {did_you_mean(name, names)}')


def score(
    cards: Mapping[str, HeldOut], systems: Sequence[System], measures: Sequence[Measure], store: ScoreStore
) -> Iterator[Scored]:
    """Every summary, card by card."""
    todo = sum(len(system.generations) for system in systems)
    with tqdm(total=todo, desc="score", unit=" summaries", mininterval=1) as progress:
        for card, generations in by_card(cards, systems):
            for one in generations:
                parts = [one.key, one.text, one.finish_reason, card.source, card.reference]
                own = store.measured(parts, partial(measure, one, card.source, card.reference))
                metrics, spans = dict(own["metrics"]), []
                for other in measures:
                    found, marked = other.of(one.key)
                    metrics |= found
                    spans += [{**span, "measure": other.name} for span in marked]
                yield Scored(card, one, metrics, own["checks"], spans)
                progress.update()


def metrics_json(
    cards: Mapping[str, HeldOut],
    systems: Sequence[System],
    rows: Sequence[Scored],
    metrics: Sequence[Metric],
    decoding: str,
    slices: Slices,
    config: ScoreConfig,
    seed: int,
) -> Scores:
    """The content of metrics.json, but for probes and the figures of other stages."""
    names = [system.name for system in systems]
    reckoning = BootstrapSettings({card.id: card.family for card in cards.values()}, config.bootstrap_samples, seed)
    headline = [metric for metric in metrics if metric.name in config.headline]
    main_rows = decoded(rows, systems, decoding)
    compared = comparisons(reckoning, config.comparisons or default_pairs(names), metrics, config.headline, main_rows)
    records = described(metrics, config.headline)
    beside = decoded(rows, systems, "greedy") if decoding == "sampled" else []
    with_greedy = [system.name for system in systems if system.decoded("greedy")]
    return {
        "cards": len(cards),
        "families": len({card.family for card in cards.values()}),
        "decoding": decoding,
        "metrics": records,
        "systems": systems_figures(reckoning, names, metrics, main_rows),
        "greedy": systems_figures(reckoning, with_greedy, metrics, beside) if beside else None,
        "missing": {system.name: system.missing for system in systems},
        "odd": {name: found for name in names if (found := odd_texts(rows, name))},
        "comparisons": compared,
        "claims": claims(compared, records, config.headline),
        "slices": slice_figures(reckoning, slices, names, headline, main_rows),
        "slice_notes": slices.notes,
        "bootstrap": {"samples": config.bootstrap_samples, "seed": seed, "resampled": "families"},
        "versions": versions(),
        "prompts": prompts_hash(cards),
    }


def decoded(rows: Sequence[Scored], systems: Sequence[System], decoding: str) -> list[Scored]:
    wanted = {id(row) for system in systems for row in system.decoded(decoding)}
    return [row for row in rows if id(row.generation) in wanted]


def odd_texts(rows: Sequence[Scored], system: str) -> dict[str, int]:
    """Summaries that are none, by what is odd about them. They are scored like the others, and fail."""
    texts = [row.generation.text for row in rows if row.generation.system == system]
    counts = {
        "empty": sum(not text.strip() for text in texts),
        "too_long": sum(len(text) > MAX_CHARACTERS for text in texts),
        "with_control_characters": sum("\0" in text or len(UNSEEN.findall(text[:MAX_CHARACTERS])) > 20 for text in texts),
    }
    return {what: count for what, count in counts.items() if count}


def write_scores(path: Path, rows: Sequence[Scored], metrics: Sequence[Metric], slices: Slices) -> None:
    schema = pa.schema(
        {name: pa.string() for name in TEXT_COLUMNS}
        | {"sample": pa.int64()}
        | {metric.name: pa.float64() for metric in metrics}
    )
    with replacing(path, "wb") as handle:
        pq.write_table(pa.Table.from_pylist([score_row(row, slices) for row in rows], schema), handle)


def score_row(row: Scored, slices: Slices) -> dict[str, Any]:
    """The summary's own fields with all that was found of it; the schema takes what it names."""
    one = row.generation
    return {
        **asdict(one),
        "family": row.card.family,
        "text": storable(one.text),
        "thinking": storable(one.thinking),
        "checks": json.dumps(row.checks),
        "spans": json.dumps(row.spans),
        "slices": json.dumps(slices.of(row.card.id)),
        **row.metrics,
    }


def storable(text: str) -> str:
    """Parquet holds UTF-8 only; "?" for a lone surrogate keeps every offset."""
    return text.encode("utf-8", "replace").decode("utf-8")


def print_results(metrics: Metrics) -> None:
    headline = [metric for metric in metrics["metrics"] if metric["headline"]]
    on = f"{plural(metrics['cards'], 'held-out card')} of {plural(metrics['families'], 'family', 'families')}"
    rows = (
        [name, *(measured_cell(measured[metric["name"]], metric["unit"]) for metric in headline)]
        for name, measured in metrics["systems"].items()
    )
    columns = ["system", *(metric["label"] for metric in headline)]
    print_table(f"{on}, {metrics['decoding']}: mean [95% interval], n", columns, rows, remarks(metrics))


def remarks(metrics: Metrics) -> Iterator[str]:
    """What a reader of the table must know beside it."""
    yield from meanings(metrics["metrics"])
    for name, count in metrics["missing"].items():
        if count:
            yield f"{name} lacks {plural(count, 'summary', 'summaries')}; its figures stand on the others"
    for name, counts in metrics["odd"].items():
        yield f"{name}: {count_words(counts)}; they are scored, and flagged"
    for name, found in metrics["measures"].items():
        if not found["printed"]:
            yield f"{name} is left out: {found.get('reason', 'it is not to be printed')}"
    yield from metrics["claims"]


def score_file(arguments: Sequence[str]) -> None:
    """`--score.input FILE --score.output FILE`: any summaries with their sources, without a run."""
    given = parse_overrides(arguments)
    for name in given:
        if name not in FILE_KEYS:
            raise ValueError(f"--{name} does not go with --score.input; give --score.input FILE --score.output FILE alone")
    for name in FILE_KEYS:
        if name not in given:
            raise ValueError(f"--{name} is missing; give --score.input FILE --score.output FILE")
    from eval.scoring.jsonl_file import score_lines  # what a run's scoring needs not load

    score_lines(Path(given["score.input"]), Path(given["score.output"]))


def run() -> None:
    """The stage, or the scoring of one file, which needs no recipe."""
    arguments = sys.argv[1:]
    named = {argument.partition("=")[0].removeprefix("--") for argument in arguments}
    if named.isdisjoint(FILE_KEYS) or named & {"help", "-h"}:
        command("score", ScoreConfig, main, __doc__, "eval.score")
    else:
        exit_on_mistake(lambda: score_file(arguments), "eval.score")


if __name__ == "__main__":
    run()
