"""Where a training stage goes on: its output folder, its checkpoints, and what another recipe left there."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

from data_prep.manifest import Manifest, hashes
from data_prep.schema import write_json

CHECKPOINT_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "adapter_config.json", "adapter_model.safetensors")


def open_output(manifest: Manifest) -> str | None:
    """The checkpoint to go on from, or None. What another recipe or other data left in the folder is moved aside: going
    on from its checkpoint would end at once, with its weights, and look like the new recipe's result."""
    from accelerate import PartialState

    output, started = manifest.path.parent, manifest.path.with_name("started.manifest.json")
    task = {"recipe": manifest.recipe, "inputs": hashes(manifest.inputs)}
    with PartialState().main_process_first():
        if output.exists() and not (started.exists() and json.loads(started.read_text(encoding="utf-8")) == task):
            aside = next(
                place for n in itertools.count(1) if not (place := output.with_name(f"{output.name}.before-{n}")).exists()
            )
            os.replace(output, aside)
            print(f"{manifest.stage}: {output} was made by another recipe or from other data; it is now {aside}")
        if not output.exists():
            write_json(started, task)
        return last_whole_checkpoint(output)


def last_whole_checkpoint(output: Path) -> str | None:
    """The newest checkpoint with all its files; broken ones, from a run killed while it saved, are removed."""
    checkpoints = sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in checkpoints:
        if _is_whole(checkpoint):
            return str(checkpoint)
        print(f"{checkpoint} is incomplete and was removed")
        shutil.rmtree(checkpoint)
    return None


def _is_whole(checkpoint: Path) -> bool:
    import torch
    from safetensors import safe_open

    if not all((checkpoint / name).exists() for name in CHECKPOINT_FILES) or not list(checkpoint.glob("rng_state*.pth")):
        return False
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True)
        with safe_open(checkpoint / "adapter_model.safetensors", "pt") as weights:
            weights.keys()
    except Exception:  # whatever a half-written file makes its reader raise
        return False
    return True
