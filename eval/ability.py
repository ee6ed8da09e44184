"""General ability before and after tuning, through lighteval, so that what a model forgot shows.

    recipes/ability/install.sh                                     # lighteval's own environment, once
    python -m eval.ability --config recipes/smollm3-3b/eval.yaml

Reads   the models of `ability.systems`, <run_dir>/data/heldout.jsonl
Writes  <run_dir>/eval/ability/<system>/<task>/   model.yaml, log.txt, lighteval's results.json and its details per sample
        <run_dir>/eval/ability.json               means, differences from the first system, and a verdict on each

Each task of each system is one run of lighteval and is not run again while model, rows and recipe stay as they are.
A difference is measured sample by sample, against the margin that the recipe allows: "held" where the whole 95% interval is
above minus the margin, "fell" where the difference itself is not, "unclear" between.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import yaml
from pydantic import Field

from data_prep.core.files import replacing, write_json
from data_prep.core.manifest import Manifest, versions
from data_prep.core.recipe import Block, Recipe, command
from eval.reporting.console import print_table
from eval.stats.estimates import Estimate, estimate_mean, sign_flip_p

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "recipes" / "ability" / "requirements.txt"
OPENING = 16  # tokens: a prompt cut at its beginning, or with another system turn, differs within them
UNCUT = 1_000_000  # tokens: more than any prompt


class AbilityTask(Block):
    task: str
    """As lighteval calls it, with the number of examples shown: "ifeval|0"."""
    metric: str
    """The one figure to watch: 0 to 1 for each sample."""
    margin: float = Field(gt=0)
    """How far below the first system a mean may be."""
    system_prompt: str = "/system_override /no_think"
    """The system turn. The default is SmolLM3's empty one: without thinking, and without today's date."""
    custom_tasks: str = "eval/ability_tasks/lighteval_task.py"
    """Python file with tasks that lighteval does not have."""
    max_samples: int | None = None
    """So many samples of each part of the task, drawn by lighteval with a seed of its own."""


class AbilityConfig(Block):
    """Block `ability` of an eval recipe."""

    systems: dict[str, str] = Field(min_length=1)
    """Name -> model, a folder or a Hub id; the first is the one before tuning. `{run_dir}` stands for the run."""
    tasks: dict[str, AbilityTask] = Field(min_length=1)
    """Name -> task."""
    model: dict[str, Any] = {"dtype": "bfloat16", "batch_size": 8}
    """More of lighteval's model file, in its own names."""
    backend: Literal["accelerate", "vllm"] = "accelerate"
    """What lighteval runs models with. vllm has not been tried: lighteval 0.13 asks for versions of 2025."""
    lighteval: str = ".venv-lighteval/bin/lighteval"
    """The program, in an environment of its own."""


@dataclass(frozen=True)
class Samples:
    """One system's values on one task, by part and sample, with the family each sample counts to."""

    values: dict[tuple[str, str], float]
    families: dict[tuple[str, str], str]

    def estimate(self, seed: int) -> Estimate:
        values, families = np.array(list(self.values.values())), np.array(list(self.families.values()))
        return estimate_mean(values, families, seed=seed, bounds=(0.0, 1.0))

    def minus(self, before: Samples, seed: int) -> tuple[Estimate, float | None]:
        """Mean difference of the same samples and its p-value."""
        differences = np.array([value - before.values[key] for key, value in self.values.items()])
        families = np.array(list(self.families.values()))
        estimate = estimate_mean(differences, families, seed=seed, bounds=(-1.0, 1.0))
        return estimate, sign_flip_p(differences, families, seed=seed)


def main(recipe: Recipe[AbilityConfig]) -> None:
    config, out = recipe.block, recipe.run_dir / "eval" / "ability.json"
    for system in config.systems:
        for name in config.tasks:
            run(recipe, system, name)
    manifest = Manifest(out.with_name("ability.manifest.json"), "ability", recipe.resolved(), [out.with_suffix("")], [out])
    if not manifest.is_done():
        write_json(out, ability_results(recipe))
        manifest.write()
    print_results(json.loads(out.read_text(encoding="utf-8")))


def folder_of(run_dir: Path, system: str, name: str) -> Path:
    return run_dir / "eval" / "ability" / system / name


def run(recipe: Recipe[AbilityConfig], system: str, name: str) -> None:
    """One task of one system, unless it is done. Raises ValueError where lighteval fails or cut a prompt."""
    config, task = recipe.block, recipe.block.tasks[name]
    model = config.systems[system].replace("{run_dir}", str(recipe.run_dir))
    folder, rows = folder_of(recipe.run_dir, system, name), recipe.run_dir / "data" / "heldout.jsonl"
    setting = {
        "model": config.systems[system],
        "task": task.model_dump(exclude={"margin"}),
        "settings": config.model,
        "backend": config.backend,
    }
    inputs = [rows, ROOT / task.custom_tasks, PINS, *([Path(model)] if Path(model).is_dir() else [])]
    manifest = Manifest(folder.with_name(f"{name}.manifest.json"), "ability", setting, inputs, [folder])
    if not manifest.is_done():
        work = folder.with_name(f"{name}.tmp")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_model_file(work, model, task, config)
        call(work, task, config, recipe.run_dir)
        keep(work)
        check_openings(work, model, task)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
        manifest.write()


def write_model_file(work: Path, model: str, task: AbilityTask, config: AbilityConfig) -> None:
    """What lighteval is told of the model.

    A folder is named by a link beside the file: an absolute path would make lighteval keep its cache inside the model. That
    cache does not see a model's weights, so it lives and dies with the run.
    """
    if Path(model).is_dir():
        (work / "model").symlink_to(Path(model).resolve())
        model = "model"
    generation: dict[str, Any] = {"temperature": 0.0}
    if config.backend == "accelerate":
        # Here it bounds prompts alone, and a task's own limit the answer. Without it, prompts with more tokens than the one
        # with the most characters lose their beginning.
        generation["max_new_tokens"] = UNCUT
    settings = {"system_prompt": task.system_prompt, "cache_dir": "cache", "generation_parameters": generation}
    with replacing(work / "model.yaml") as handle:
        yaml.safe_dump({"model_parameters": {"model_name": model, **settings, **config.model}}, handle, sort_keys=False)


def call(work: Path, task: AbilityTask, config: AbilityConfig, run_dir: Path) -> None:
    program = shutil.which(str(ROOT / config.lighteval))
    if program is None:
        raise ValueError(
            f"there is no {config.lighteval}; make it with recipes/ability/install.sh, or name it: ability.lighteval"
        )
    command = [program, config.backend, "model.yaml", task.task, "--custom-tasks", str(ROOT / task.custom_tasks)]
    command += ["--output-dir", "out", "--save-details"]
    command += ["--max-samples", str(task.max_samples)] if task.max_samples else []
    print(f"ability: {' '.join(command)}   in {work}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CARD_SUMMARY_RUN": str(run_dir.resolve())}
    with open(work / "log.txt", "w", encoding="utf-8") as log:
        code = subprocess.run(command, cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        last = (work / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise ValueError(
            f"lighteval ended with {code} on {task.task}: {''.join(last)}; the whole of it is in {work / 'log.txt'}"
        )


def keep(work: Path) -> None:
    """Takes results and details out of lighteval's folders, which carry the time in their names, and drops the rest."""
    (results,) = work.glob("out/results/**/results_*.json")
    stamp = results.stem.removeprefix("results")
    results.rename(work / "results.json")
    for details in work.glob("out/details/**/*.parquet"):
        details.rename(work / f"{details.stem.removesuffix(stamp)}.parquet")
    for name in ("out", "cache"):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / "model").unlink(missing_ok=True)


def check_openings(folder: Path, model: str, task: AbilityTask) -> None:
    """Raises ValueError where a prompt does not begin as the chat template begins it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    columns = ["doc.query", "model_response.input_tokens", "model_response.padded_tokens_count"]
    samples = cut = 0
    for _, row in read_details(folder, columns):
        messages = [
            {"role": "system", "content": task.system_prompt},
            {"role": "user", "content": row["doc"]["query"].strip()},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        wanted = tokenizer(text, add_special_tokens=False)["input_ids"][:OPENING]
        response = row["model_response"]
        padding = response["padded_tokens_count"]
        cut += response["input_tokens"][padding : padding + OPENING] != wanted
        samples += 1
    if cut:
        raise ValueError(
            f"{cut} of {samples} prompts of {task.task} reached the model without their beginning: they are longer than it takes "
            f"with the answer, or have another system turn; look at {folder / 'model.yaml'} and log.txt beside it"
        )


def read_details(folder: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(part of the task, row) for each sample. A row holds those of the columns, named "doc.id", that the file has."""
    for path in sorted(folder.glob("details_*.parquet")):
        part = path.stem.removeprefix("details_")
        for row in pq.ParquetFile(path).read(columns=list(columns)).to_pylist():
            yield part, row


def read_samples(folder: Path, task: AbilityTask) -> Samples:
    """Raises ValueError where the metric is none of the task's, or no share."""
    values, families = {}, {}
    for part, row in read_details(folder, ["doc.id", "doc.specific.family", f"metric.{task.metric}"]):
        name, value = row["doc"]["id"], (row.get("metric") or {}).get(task.metric)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(
                f'{task.task} gives {value!r} as "{task.metric}"; name a metric that is 0 to 1 of each sample: {folder}'
            )
        values[part, name] = float(value)
        families[part, name] = (row["doc"].get("specific") or {}).get("family") or f"{part} {name}"
    return Samples(values, families)


def ability_results(recipe: Recipe[AbilityConfig]) -> dict[str, Any]:
    config = recipe.block
    tasks = {}
    for name, task in config.tasks.items():
        folders = {system: folder_of(recipe.run_dir, system, name) for system in config.systems}
        samples = {system: read_samples(folder, task) for system, folder in folders.items()}
        before, *after = samples
        tasks[name] = {
            **task.model_dump(include={"task", "metric", "margin"}),
            "systems": {system: found.estimate(recipe.seed).figure for system, found in samples.items()},
            "differences": {
                system: compared(*samples[system].minus(samples[before], recipe.seed), task.margin) for system in after
            },
            "parts": {system: parts(folder, task.metric) for system, folder in folders.items()},
        }
    return {"before": next(iter(config.systems)), "tasks": tasks, "versions": versions()}


def compared(estimate: Estimate, p: float | None, margin: float) -> dict[str, Any]:
    figures = {"difference": estimate.mean, "ci95": estimate.ci95, "n": estimate.n, "families": estimate.families}
    return {**figures, "p": p, "verdict": verdict(estimate, margin)}


def verdict(estimate: Estimate, margin: float) -> str:
    assert estimate.mean is not None
    if estimate.mean <= -margin:
        return "fell"
    return "held" if estimate.low is not None and estimate.low > -margin else "unclear"


def parts(folder: Path, metric: str) -> dict[str, dict[str, float | None]]:
    """lighteval's own figures for each part of the task."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))["results"]
    return {
        part: {"mean": figures[metric], "stderr": figures.get(f"{metric}_stderr")}
        for part, figures in results.items()
        if metric in figures and part != "all" and ":_average" not in part
    }


def print_results(summary: dict[str, Any]) -> None:
    rows = []
    for name, task in summary["tasks"].items():
        for system, figures in task["systems"].items():
            row = [name, system, *spelled(figures["mean"], figures["ci95"], ".3f")]
            if difference := task["differences"].get(system):
                row += spelled(difference["difference"], difference["ci95"], "+.3f")
                row += [f"{task['margin']:g}", difference["verdict"]]
            rows.append(row)
    columns = ("task", "system", "mean", "95%", "difference", "95%", "margin", "")
    print_table(f"General ability; differences from {summary['before']}", columns, rows, texts=len(columns))


def spelled(mean: float, interval: list[float] | None, form: str) -> tuple[str, str]:
    return f"{mean:{form}}", " to ".join(f"{bound:{form}}" for bound in interval or ()) or "none"


if __name__ == "__main__":
    command("ability", AbilityConfig, main, __doc__, "eval.ability")
