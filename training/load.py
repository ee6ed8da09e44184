"""Model, tokenizer, rows and checkpoints, the same way for every training stage."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from data_prep.manifest import Manifest, hashes
from data_prep.recipe import did_you_mean
from data_prep.schema import stable_id, write_json
from training.config import Parsed, write_resolved

CHECKPOINT_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "adapter_config.json", "adapter_model.safetensors")
DTYPES = ("float32", "bfloat16", "float16")


def load_tokenizer(name: str, revision: str | None = None) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, revision=revision)
    except OSError as error:
        raise ValueError(f'cannot load a tokenizer from "{name}": {str(error).splitlines()[0]}') from None


def load_model(parsed: Parsed) -> Any:
    """The base in the recipe's dtype, from safetensors alone; 4-bit or 8-bit where the recipe says so."""
    from transformers import AutoModelForCausalLM
    from trl import get_quantization_config

    quantization = get_quantization_config(parsed.model)
    try:
        return AutoModelForCausalLM.from_pretrained(
            parsed.model.model_name_or_path,
            revision=parsed.model.model_revision,
            dtype=torch_dtype(parsed.model.dtype),
            attn_implementation=parsed.model.attn_implementation,
            use_safetensors=True,
            use_cache=False,
            **({"quantization_config": quantization} if quantization else {}),
        )
    except OSError as error:
        raise ValueError(f'cannot load the model "{parsed.model.model_name_or_path}": {str(error).splitlines()[0]}') from None


def torch_dtype(name: str) -> Any:
    import torch

    if name not in DTYPES:
        raise ValueError(f'dtype is "{name}". {did_you_mean(str(name), DTYPES)}')
    return getattr(torch, name)


def read_rows(path: Path, columns: list[str]) -> Any:
    """Rows as a `datasets.Dataset` of the named columns, read into memory: no cache that could hold yesterday's prompt."""
    import pyarrow.parquet as pq
    from datasets import Dataset

    if not path.exists():
        raise ValueError(f"{path} is missing; run the stage that writes it first (recipes/run.sh shows their order)")
    rows = pq.read_table(path, columns=columns).to_pylist()
    if not rows:
        raise ValueError(f"{path} has no rows; data/rejected.jsonl says why candidates were set aside")
    return Dataset.from_list(rows)


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


def finish(trainer: Any, parsed: Parsed, manifest: Manifest, metrics: dict[str, float]) -> None:
    """Adapter, tokenizer, recipe; the manifest last. A later stage finds everything in this one folder."""
    if not trainer.is_world_process_zero():
        return
    output = manifest.path.parent
    trainer.save_model(str(output))
    trainer.processing_class.save_pretrained(output)
    write_resolved(parsed, output / f"{manifest.stage}_recipe.json")
    history = [entry for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]
    manifest.write(rows=len(trainer.train_dataset), steps=trainer.state.global_step, **metrics, history=history)
    print(f"{manifest.stage}: {trainer.state.global_step} steps, adapter in {output}")
