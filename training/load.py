"""Model, tokenizer, rows and checkpoints, the same way for every training stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_prep.manifest import Manifest
from data_prep.recipe import did_you_mean
from training.config import Parsed, write_resolved

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
