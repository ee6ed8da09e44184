"""Two finished runs as eval.compare takes them: their scores, and the refusals of what cannot be set side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data_prep.core.manifest import manifest_of
from data_prep.core.recipe import did_you_mean
from data_prep.core.text import plural
from eval.runs.scored import read_metrics, refuse_changed
from eval.stats.figures import card_means
from eval.stats.records import MetricRecord, Metrics

NAMED = 5  # ids named in a message
ROW = ("id", "system", "family", "decoding")
# What of a recipe decides how a text is drawn, whichever model draws it.
DRAWN = {
    "greedy": ("max_new_tokens",),
    "sampled": ("temperature", "top_p", "max_new_tokens"),
}
NEEDED = ("metrics", "systems", "decoding", "prompts", "bootstrap")


@dataclass(frozen=True)
class ScoredRun:
    """A finished run. `rows`: scores.parquet without its texts; `families`: of every card in it, in the ids' order."""

    folder: Path
    name: str
    metrics: Metrics
    columns: list[str]
    rows: list[dict[str, Any]]
    families: dict[str, str]


@dataclass(frozen=True)
class Side:
    """One system of one run as it is called here, and the rows of it that count."""

    label: str
    system: str
    run: ScoredRun
    decoding: str
    rows: list[dict[str, Any]]

    def means(self, metric: str) -> np.ndarray:
        """One value per card of the run, in the ids' order; NaN where none was measured."""
        samples = [(row["id"], row[metric]) for row in self.rows]
        return np.array(list(card_means([*((card, None) for card in self.run.families), *samples]).values()))


def read_scored_run(folder: Path) -> ScoredRun:
    metrics, scores = read_metrics(folder, NEEDED), folder / "eval" / "scores.parquet"
    refuse_changed(folder)
    known = set(pq.read_schema(scores).names)
    columns = [*ROW, *(metric["name"] for metric in metrics["metrics"] if metric["name"] in known)]
    if lacking := [name for name in ROW if name not in known]:
        raise ValueError(
            f"{scores} lacks the column {lacking[0]}, so an older eval.score wrote it; "
            f"run eval.score with --run_dir {folder} again"
        )
    rows = pq.read_table(scores, columns=columns).to_pylist()
    families = {row["id"]: row["family"] for row in rows}
    return ScoredRun(folder, folder.resolve().name, metrics, columns, rows, dict(sorted(families.items())))


def refuse_unlike(a: ScoredRun, b: ScoredRun) -> None:
    """Raises ValueError unless both runs saw the same prompts for the same cards."""
    for here, there in ((a, b), (b, a)):
        extra = sorted(set(here.families) - set(there.families))
        if extra:
            named = ", ".join(extra[:NAMED]) + (" ..." if len(extra) > NAMED else "")
            raise ValueError(
                f"{here.folder} has {plural(len(extra), 'card')} that {there.folder} has not ({named}); "
                "a comparison needs the same data/heldout.jsonl in both: copy one run's, then run eval.generate and eval.score"
            )
    if a.metrics["prompts"] != b.metrics["prompts"]:
        raise ValueError(
            f"{a.folder} and {b.folder} hold the same cards with other prompts, sources or references (prompts {a.metrics['prompts'][:12]} and "
            f"{b.metrics['prompts'][:12]}); copy one run's data/heldout.jsonl to the other, then run eval.generate and eval.score"
        )
    ours, theirs = (manifest_of(run.folder / "eval", "score").get("recipe", {}).get("code") for run in (a, b))
    if ours != theirs:
        raise ValueError(
            f"{a.folder} and {b.folder} were scored by different versions of the checks; "
            "run eval.score for both with this version"
        )
    moved = [card for card, family in a.families.items() if b.families[card] != family]
    if moved:
        raise ValueError(
            f"card {moved[0]} is of family {a.families[moved[0]]} in {a.folder} and of {b.families[moved[0]]} in {b.folder} "
            f"({plural(len(moved), 'card')} in all), so their families cannot be resampled as one; use one data/heldout.jsonl for both"
        )


def common_metrics(a: ScoredRun, b: ScoredRun) -> tuple[list[MetricRecord], list[str]]:
    """The metrics that both runs have, headline where either says so, and a sentence for each that only one has."""
    known = {metric["name"]: metric for metric in a.metrics["metrics"] if metric["name"] in a.columns}
    common: list[MetricRecord] = []
    left_out = []
    for metric in b.metrics["metrics"]:
        other = known.pop(metric["name"], None)
        if other is None or metric["name"] not in b.columns:
            left_out.append(f'"{metric["label"]}" is not in {a.name if other is None else b.name}')
        elif (other["unit"], other["better"]) != (metric["unit"], metric["better"]):
            left_out.append(f'"{metric["label"]}" is counted otherwise in {a.name}')
        else:
            common.append(metric | {"headline": metric["headline"] or other["headline"]})
    left_out += [f'"{metric["label"]}" is not in {b.name}' for metric in known.values()]
    if not any(metric["headline"] for metric in common):
        raise ValueError(f"{a.folder} and {b.folder} share no headline metric; run eval.score with one score.headline for both")
    return common, left_out


def system_pairs(a: ScoredRun, b: ScoredRun, wanted: str | None) -> list[tuple[str, str]]:
    """(system of A, system of B): the two that are wanted, else each name that both have."""
    ours, theirs = list(a.metrics["systems"]), list(b.metrics["systems"])
    if wanted is None:
        if a.folder.resolve() == b.folder.resolve():
            raise ValueError(f"{a.folder} is given twice; name two of its systems, as in --systems {ours[0]},{ours[-1]}")
        common = [name for name in ours if name in theirs]
        if not common:
            raise ValueError(
                f"no system has one name in both runs ({', '.join(ours)}; {', '.join(theirs)}); "
                f"name one of each, as in --systems {ours[0]},{theirs[0]}"
            )
        return [(name, name) for name in common]
    names = wanted.split(",")
    if len(names) != 2:
        raise ValueError(f'--systems is "{wanted}", expected a system of RUN_A, a comma, and a system of RUN_B')
    for name, run, known in ((names[0], a, ours), (names[1], b, theirs)):
        if name not in known:
            raise ValueError(f'{run.folder} has no system "{name}". {did_you_mean(name, known)}')
    if names[0] == names[1] and a.folder.resolve() == b.folder.resolve():
        raise ValueError(f"--systems {wanted} of one run is {names[0]} against itself; name two systems or two runs")
    return [(names[0], names[1])]


def sides_of(a: ScoredRun, b: ScoredRun, names: tuple[str, str]) -> tuple[Side, Side]:
    """Both systems with the rows that count. Raises ValueError where their texts were decoded differently."""
    first, second = (side(run, system, (a, b)) for run, system in zip((a, b), names, strict=True))
    if first.decoding != second.decoding:
        raise ValueError(
            f"{first.label} is {first.decoding} and {second.label} is {second.decoding}; "
            "give both generate.greedy and generate.samples alike, or score both runs with --score.decoding greedy"
        )
    for key in ("grounded", "think") if first.system == second.system else ():
        held = [bool(generate_recipe(one.run, one.system).get("system", {}).get(key)) for one in (first, second)]
        if held[0] != held[1]:
            raise ValueError(
                f"{first.label} was made with {key} {str(held[0]).lower()} and {second.label} was not; "
                "give two systems two names, and name both with --systems where that is the question"
            )
    ours, theirs = drawn_with(first), drawn_with(second)
    unlike = [key for key in ours if key in theirs and ours[key] != theirs[key]]
    if unlike:
        key = unlike[0]
        raise ValueError(
            f"{first.label} was made with {key} {ours[key]} and {second.label} with {key} {theirs[key]}; "
            f"run eval.generate for one of them again with --generate.{key} {ours[key]}, then eval.score"
        )
    return first, second


def side(run: ScoredRun, system: str, runs: tuple[ScoredRun, ScoredRun]) -> Side:
    """The rows of the run's decoding; a system that has none of it counts with what it has. A baseline writes one text
    whatever the decoding, so that text stands for both."""
    own = [row for row in run.rows if row["system"] == system]
    if not own:
        raise ValueError(f'{run.folder}/eval/scores.parquet holds no row of "{system}"; run eval.score for {run.folder} again')
    wanted, decodings = run.metrics["decoding"], {row["decoding"] for row in own}
    decoding = wanted if wanted in decodings else min(decodings)
    rows = [row for row in own if row["decoding"] == decoding]
    where = run.name if runs[0].name != runs[1].name else str(run.folder)
    same = runs[0].folder.resolve() == runs[1].folder.resolve()
    label = system if same else f"{where}/{system}"
    return Side(label, system, run, wanted if is_baseline(generate_recipe(run, system)) else decoding, rows)


def drawn_with(side: Side) -> dict[str, Any]:
    """How the system's texts were drawn, as far as its manifest says; nothing of a baseline, which draws none."""
    recipe = generate_recipe(side.run, side.system)
    return {} if is_baseline(recipe) else {key: recipe[key] for key in DRAWN[side.decoding] if key in recipe}


def generate_recipe(run: ScoredRun, system: str) -> dict[str, Any]:
    """What the system's manifest says that its texts were made with; nothing where there is no manifest."""
    return manifest_of(run.folder / "eval" / "generations", system).get("recipe", {})


def is_baseline(recipe: dict[str, Any]) -> bool:
    return recipe.get("system", {}).get("model", "").startswith("baseline:")
