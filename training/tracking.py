"""Following a run: wandb groups and names."""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.schema import stable_id
from training.config import Parsed


def follow_in_wandb(parsed: Parsed, stage: str) -> None:
    """One group per run folder, one id per stage, so that a resumed stage continues its own curve."""
    if "wandb" not in (parsed.trainer.report_to or []):
        return
    run = Path(parsed.run.run_dir).resolve()
    os.environ.setdefault("WANDB_PROJECT", parsed.run.wandb_project)
    os.environ["WANDB_RUN_GROUP"] = run.name
    os.environ["WANDB_JOB_TYPE"] = stage
    os.environ["WANDB_RUN_ID"] = stable_id(str(run), stage)
    os.environ["WANDB_RESUME"] = "allow"
    os.environ.setdefault("WANDB_DIR", str(run))
    parsed.trainer.run_name = f"{run.name}-{stage}"
