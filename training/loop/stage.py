"""What SFT and alignment have in common: from a recipe and its rows to an adapter with its manifest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data_prep.core.manifest import Manifest
from data_prep.prompts.student import load_tokenizer
from training.monitoring.tracking import close, follow, watch
from training.preflight.memory import check_memory
from training.preflight.rows import check_adapter, check_rows
from training.resume.checkpoints import alone, open_output
from training.resume.disk import explain_full_disk
from training.resume.interruptions import train
from training.setup.config import Parsed
from training.setup.load import Rows, base_commit, fp32_outputs_under_fsdp2, save_run

Build = Callable[[Parsed, Rows, Any], Any]
Check = Callable[..., None]  # of the trainer, rows_in and eval_rows_in


def run(parsed: Parsed, manifest: Manifest, rows: Rows, build: Build, check: Check) -> None:
    """Checks, trains and writes. All that a recipe can get wrong is found before the first step, and before what an
    earlier recipe left is moved aside; most of it before the weights are loaded.

    Raises ValueError for people, SystemExit(75) after a signal.
    """
    follow(parsed, manifest.stage)
    tokenizer = load_tokenizer(parsed.model.model_name_or_path, "model_name_or_path", parsed.model.model_revision)
    for part in rows.parts():
        check_rows(part, tokenizer, rows.answers)
    if parsed.run.memory_check:
        check_memory(parsed, tokenizer, rows.train, rows.kind, rows.answers)
    trainer = build(parsed, rows, tokenizer)
    commit = base_commit(parsed.model.model_name_or_path, parsed.model.model_revision)  # now: the Hub's may move meanwhile
    fp32_outputs_under_fsdp2(trainer)
    check_adapter(trainer.model, parsed)
    check(trainer, rows_in=len(rows.train), eval_rows_in=len(rows.validation or ()))
    with alone(manifest):
        checkpoint = open_output(manifest, parsed.run.fresh)
        watch(trainer, parsed, manifest)
        train(trainer, checkpoint)
        metrics = trainer.evaluate() if trainer.eval_dataset is not None else {}
        with explain_full_disk(trainer):
            save_run(trainer, parsed, manifest, metrics, commit, resumed=checkpoint is not None)
    close(trainer, manifest)
