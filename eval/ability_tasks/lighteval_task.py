"""The held-out cards as tasks of lighteval 0.13: `card_summary`, scored by our checks, and `card_needle` at five depths.

    PYTHONPATH=. CARD_SUMMARY_RUN=runs/smollm3-3b .venv-lighteval/bin/lighteval accelerate MODEL.yaml "card_summary|0" \\
        --custom-tasks eval/ability_tasks/lighteval_task.py --save-details

Reads   <CARD_SUMMARY_RUN>/data/heldout.jsonl
Writes  <CARD_SUMMARY_RUN>/eval/lighteval/<hash>/test.jsonl, a link to it, since this version loads folders alone

MODEL.yaml must give our system turn as `system_prompt`: lighteval sends no other. `python -m eval.ability` writes such files
and checks what came of them; docs in recipes/ability/README.md. Runs in lighteval's own environment, with few of our packages.
Texts reach the measures without the special tokens that `eval.generate` keeps visible: lighteval drops them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lighteval.metrics.metrics_sample import SampleLevelComputation
from lighteval.metrics.utils.metric_utils import SampleLevelMetric, SampleLevelMetricGrouping
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc, SamplingMethod

from data_prep.core.files import sha256_file
from data_prep.core.records import Generation
from data_prep.prompts.student import SYSTEM, parted
from eval.ability_tasks.needle import DEPTHS, is_found, plant
from eval.scoring.metrics import METRICS, measure

RUN = "CARD_SUMMARY_RUN"
# A batch's outputs come padded to one length, so that lighteval cannot tell which of them reached their end.
MEASURED = {metric.name: metric.better != "lower" for metric in METRICS if metric.name not in ("finished", "looped")}


def rows_folder(run_dir: Path) -> Path:
    """A folder with the held-out rows alone. It is named by their hash, which lighteval's caches would otherwise not see."""
    rows = (run_dir / "data" / "heldout.jsonl").resolve()
    if not rows.is_file():
        raise ValueError(f"there is no {rows}; set {RUN} to the folder of a run in which data_prep.examples is done")
    folder = run_dir.resolve() / "eval" / "lighteval" / sha256_file(rows)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "test.jsonl").symlink_to(rows)
    return folder


def summary_prompt(line: dict[str, Any], task_name: str) -> Doc:
    system, user = parted(line["prompt"]) or ("", "")
    if system != SYSTEM:
        raise ValueError(f"card {line['id']} has another system turn than this version; run data_prep.examples again")
    specific = {"id": line["id"], "family": line["family"], "source": line["source"]}
    return Doc(query=user, choices=[line["reference"]], gold_index=0, specific=specific, task_name=task_name)


def needle_prompt(line: dict[str, Any], task_name: str, depth: int) -> Doc:
    _, user = parted(line["prompt"]) or ("", "")
    needle = plant(line["id"], user, depth)
    specific = {"id": line["id"], "family": line["family"]}
    return Doc(query=needle.text, choices=[needle.code], gold_index=0, specific=specific, task_name=task_name)


class Measures(SampleLevelComputation):
    """What `eval.score` measures of one summary. What has nothing to measure is left out, and counts for no mean."""

    def compute(self, doc: Doc, model_response: ModelResponse, **_: Any) -> dict[str, float]:
        text = model_response.text[0].strip()  # as written: thought aloud without being asked is a fault here
        generation = Generation("", doc.specific["id"], "lighteval", text, "stop", prompt_tokens=0, completion_tokens=0)
        metrics = measure(generation, doc.specific["source"], doc.choices[0])["metrics"]
        return {name: metrics[name] for name in MEASURED if metrics[name] is not None}


class Found(SampleLevelComputation):
    def compute(self, doc: Doc, model_response: ModelResponse, **_: Any) -> float:
        return float(is_found(model_response.final_text[0], doc.choices[0]))


def task(name: str, prompt: Callable[..., Doc], metric: Any, tokens: int) -> LightevalTaskConfig:
    """Greedy or sampled as the model file says, at most `tokens` long, without a stop sequence: a summary has many lines."""
    return LightevalTaskConfig(
        name=name,
        prompt_function=prompt,
        hf_repo=str(FOLDER),
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        metrics=[metric],
        generation_size=tokens,
        stop_sequence=[],
        version=1,
    )


FOLDER = rows_folder(Path(os.environ.get(RUN) or "."))
MEASURES = SampleLevelMetricGrouping(
    metric_name=list(MEASURED),
    higher_is_better=MEASURED,
    category=SamplingMethod.GENERATIVE,
    sample_level_fn=Measures(),
    corpus_level_fn=dict.fromkeys(MEASURED, np.mean),
)
FOUND = SampleLevelMetric(
    metric_name="found",
    higher_is_better=True,
    category=SamplingMethod.GENERATIVE,
    sample_level_fn=Found(),
    corpus_level_fn=np.mean,
)
TASKS_TABLE = [
    task("card_summary", summary_prompt, MEASURES, 1_200),
    *(task(f"card_needle:{depth}", partial(needle_prompt, depth=depth), FOUND, 64) for depth in DEPTHS),
]
