"""Alignment by APO or DPO: a fresh LoRA adapter on the merged SFT model.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.align --config recipes/demo/apo.yaml

Reads <run_dir>/data/pairs/{train,validation}.parquet and <run_dir>/sft-merged. Writes <run_dir>/aligned. The reference
is the same weights with the adapter off, so the first margin is 0; that is measured before the first step.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from data_prep.manifest import Manifest
from training.checkpoints import open_output
from training.config import DEFAULTS, Parsed, RawRecipe, command, parse
from training.load import finish, load_model, load_tokenizer, read_rows
from training.tracking import follow_in_wandb

COLUMNS = ["prompt", "chosen", "rejected", "chat_template_kwargs"]
MARGIN_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}  # sums of log-probs over some 900 tokens, times beta


def main(raw: RawRecipe) -> None:
    data, output, base = raw.run_dir / "data" / "pairs", raw.run_dir / "aligned", raw.run_dir / "sft-merged"
    inputs = [data / "train.parquet", data / "validation.parquet", base]
    manifest = Manifest(output / "align.manifest.json", "align", raw.identity(), inputs, [output / "adapter_model.safetensors"])
    if manifest.is_done():
        return
    if not (base / "config.json").exists():
        raise ValueError(f"{base} has no model; run training.merge --merge.adapter sft first")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from trl import DPOConfig

    parsed = parse(raw, DPOConfig, {**DEFAULTS, "output_dir": str(output), "model_name_or_path": str(base)})
    checkpoint = open_output(manifest)
    follow_in_wandb(parsed, "align")
    trainer = build_trainer(parsed, data)
    if checkpoint is None:
        check_start(trainer, parsed)
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = trainer.evaluate() if trainer.eval_dataset is not None else {}
    finish(trainer, parsed, manifest, metrics)


def build_trainer(parsed: Parsed, data: Path) -> Any:
    import torch
    from trl import get_peft_config

    from training.shared_prefix import KeepsReferences, SharedPrefixDPOTrainer

    if parsed.run.threads:
        torch.set_num_threads(parsed.run.threads)
    shared = {"shared_prefix_attention": parsed.run.shared_prefix_attention} if parsed.run.shared_prefix else {}
    return (SharedPrefixDPOTrainer if shared else KeepsReferences)(
        model=load_model(parsed),
        args=parsed.trainer,
        train_dataset=read_rows(data / "train.parquet", COLUMNS),
        eval_dataset=read_rows(data / "validation.parquet", COLUMNS) if parsed.trainer.eval_strategy != "no" else None,
        processing_class=load_tokenizer(parsed.model.model_name_or_path, parsed.model.model_revision),
        peft_config=get_peft_config(parsed.model),
        **shared,
    )


def check_start(trainer: Any, parsed: Parsed) -> None:
    """Before the first step policy and reference are the same model: margin 0, up to rounding.

    Raises ValueError where they differ: the reference is then not the SFT model, and every reward is measured from
    the wrong place (trl's issue tracker is full of runs that only looked trained).
    """
    import torch

    rows = [trainer.train_dataset[index] for index in range(min(2, len(trainer.train_dataset)))]
    batch = {
        name: value.to(trainer.model.device) for name, value in trainer.data_collator(rows).items() if hasattr(value, "to")
    }
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch).item()
    margins = trainer._metrics["train"]["rewards/margins"]
    margin = abs(margins[-1])
    trainer._metrics["train"].clear()
    print(f"align: {len(trainer.train_dataset)} pairs; before the first step loss {loss:.6f}, margin {margin:.2e}")
    tolerance = MARGIN_TOLERANCE[parsed.model.dtype]
    if margin > tolerance:
        raise ValueError(
            f"the first margin is {margin:.4f}, expected 0 within {tolerance}: the reference is not the model that training "
            f"starts from; make {parsed.model.model_name_or_path} again with training.merge"
        )


if __name__ == "__main__":
    command(main, "DPOConfig", __doc__, "training.align")
