"""How well each system takes notes on linked pages: the second task of a model that reads pages and writes summaries.

    python -m eval.notes --config recipes/demo/eval.yaml --notes.systems '{tuned: "{run_dir}/model", lead: "baseline:lead"}'

Reads   <run_dir>/data/heldout_notes.jsonl   (data_prep.examples writes it with `examples.notes_rows: true`)
Writes  <run_dir>/eval/notes/<system>.jsonl  the notes, greedy; notes that are there are not made again
        <run_dir>/eval/notes.json            means and paired differences with intervals, what each metric is

The page as shown in the prompt is the source: what stands on it is grounded. References are the teacher's notes that pass the
same checks. Intervals resample families of cards, since relatives link to the same pages; a difference of [a, b] is b minus a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from data_prep.checks.meaning import meanings
from data_prep.core.files import read_jsonl, write_json
from data_prep.core.manifest import Manifest, versions
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Generation, HeldOut
from eval.generation import transformers_backend
from eval.generation.systems import System, check_names
from eval.notes_task.generate import NotesJob, check_notes_system
from eval.notes_task.metrics import HEADLINE, NOTES_METRICS, measure_notes, notes_code_version
from eval.reporting.console import measured_cell, print_table
from eval.scoring.aggregate import (
    BootstrapSettings,
    Scored,
    comparisons,
    default_pairs,
    described,
    prompts_hash,
    systems_figures,
)

IN_TABLE = ("grounded", "numbers_grounded", "number_recall", "nothing_new_agrees", "words", "rougeLsum")


class NotesConfig(Block):
    systems: dict[str, System] = {}
    """Name -> model: a folder, a Hub id, `baseline:lead|reference`, or a block {model, revision}. `{run_dir}` stands for the
    run. The first one is what the others are set against."""
    pages: int | None = Field(None, ge=1)
    """The first so many held-out pages only."""
    batch_size: int = Field(8, ge=1)
    """Prompts per batch; part of what a text depends on."""
    max_new_tokens: int = Field(800, ge=1)
    """Notes of 350 words take some 700 tokens; what is not finished by then counts as cut."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    device: str = "auto"
    """`auto` is CUDA where there is one, else the CPU."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of torch."""
    bootstrap_samples: int = Field(10_000, ge=1000)
    """Draws of each interval and each p-value."""


def main(recipe: Recipe[NotesConfig]) -> None:
    block, run_dir = recipe.block, recipe.run_dir
    if not block.systems:
        raise ValueError('notes.systems names no model; add for example {tuned: "{run_dir}/model", lead: "baseline:lead"}')
    check_names("notes", block.systems)
    for name, system in block.systems.items():
        check_notes_system(name, system)
    pages = held_out_pages(recipe)
    transformers_backend.use_threads(block.threads)
    settings = block.model_dump(include={"max_new_tokens", "batch_size", "dtype", "pages"})
    jobs = [NotesJob(name, system, run_dir, settings, block.device) for name, system in block.systems.items()]
    notes = {job.name: job.run(pages) for job in jobs}
    output = run_dir / "eval" / "notes.json"
    manifest = Manifest(
        output.with_suffix(".manifest.json"),
        "notes",
        {
            "seed": recipe.seed,
            "bootstrap_samples": block.bootstrap_samples,
            "systems": list(notes),
            "pages": block.pages,
            "code": notes_code_version(),
        },
        [run_dir / "data" / "heldout_notes.jsonl", *(job.output for job in jobs)],
        [output],
    )
    if manifest.is_done():
        return
    found = figures({page.id: page for page in pages}, notes, block.bootstrap_samples, recipe.seed)
    write_json(output, found)
    manifest.write(pages=len(pages), systems=len(notes))
    print_figures(found)
    print(f"notes: {output}")


def held_out_pages(recipe: Recipe[NotesConfig]) -> list[HeldOut]:
    path = recipe.run_dir / "data" / "heldout_notes.jsonl"
    if not path.exists():
        raise ValueError(f"{path} is missing; set examples.notes_rows: true and run data_prep.examples again")
    pages = list(read_jsonl(path, HeldOut))[: recipe.block.pages]
    if not pages:
        raise ValueError(f"{path} holds no page; data/rejected.jsonl says why notes were set aside")
    return pages


def figures(pages: Mapping[str, HeldOut], notes: Mapping[str, Sequence[Generation]], draws: int, seed: int) -> dict[str, Any]:
    """The content of notes.json."""
    rows = [
        Scored(pages[one.id], one, measure_notes(one, pages[one.id]), [], []) for written in notes.values() for one in written
    ]
    reckoning = BootstrapSettings({page.id: page.family for page in pages.values()}, draws, seed)
    return {
        "pages": len(pages),
        "families": len(set(reckoning.families.values())),
        "metrics": described(NOTES_METRICS, HEADLINE),
        "systems": systems_figures(reckoning, list(notes), NOTES_METRICS, rows),
        "comparisons": comparisons(reckoning, default_pairs(list(notes)), NOTES_METRICS, HEADLINE, rows),
        "bootstrap": {"samples": draws, "seed": seed, "resampled": "families"},
        "versions": versions(),
        "prompts": prompts_hash(pages),
    }


def print_figures(found: dict[str, Any]) -> None:
    metrics = {metric["name"]: metric for metric in found["metrics"]}
    measured = dict(found["systems"])
    for row in found["comparisons"]:
        measured.setdefault(f"{row['b']} − {row['a']}", {})[row["metric"]] = row | {"mean": row["difference"]}
    rows = (
        [name, *(measured_cell(figures[key], metrics[key]["unit"]) for key in IN_TABLE)] for name, figures in measured.items()
    )
    title = f"notes on {found['pages']} held-out pages of {found['families']} families: mean [95% interval], n"
    print_table(title, ["system", *(metrics[key]["label"] for key in IN_TABLE)], rows, meanings(found["metrics"]), width=140)


if __name__ == "__main__":
    command("notes", NotesConfig, main, __doc__, "eval.notes")
