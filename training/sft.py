"""LoRA SFT of the summariser on accepted summaries.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.sft --config recipes/demo/sft.yaml

Reads <run_dir>/data/sft/{train,validation}.parquet. Writes <run_dir>/sft: the adapter, the tokenizer, the resolved
recipe and a manifest with versions and data hashes. Killed and run again, it goes on from the last whole checkpoint.
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

COLUMNS = ["prompt", "completion", "chat_template_kwargs"]


def main(raw: RawRecipe) -> None:
    data, output = raw.run_dir / "data" / "sft", raw.run_dir / "sft"
    base = Path(str(raw.values.get("model_name_or_path")))
    inputs = [data / "train.parquet", data / "validation.parquet", *([base] if base.is_dir() else [])]
    manifest = Manifest(output / "sft.manifest.json", "sft", raw.identity(), inputs, [output / "adapter_model.safetensors"])
    if manifest.is_done():
        return
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from trl import SFTConfig

    parsed = parse(raw, SFTConfig, {**DEFAULTS, "output_dir": str(output)})
    checkpoint = open_output(manifest)
    follow_in_wandb(parsed, "sft")
    trainer = build_trainer(parsed, data)
    check_rows(trainer)
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = trainer.evaluate() if trainer.eval_dataset is not None else {}
    finish(trainer, parsed, manifest, metrics)


def build_trainer(parsed: Parsed, data: Path) -> Any:
    import torch
    from trl import SFTTrainer, get_peft_config

    if parsed.run.threads:
        torch.set_num_threads(parsed.run.threads)
    validation = data / "validation.parquet"
    return SFTTrainer(
        model=load_model(parsed),
        args=parsed.trainer,
        train_dataset=read_rows(data / "train.parquet", COLUMNS),
        eval_dataset=read_rows(validation, COLUMNS) if parsed.trainer.eval_strategy != "no" else None,
        processing_class=load_tokenizer(parsed.model.model_name_or_path, parsed.model.model_revision),
        peft_config=get_peft_config(parsed.model),
    )


def check_rows(trainer: Any) -> None:
    """What is trained on, in words, before the first step: the summary, the end token and the template's newline.

    Raises ValueError where the tokenizer's template put anything else there, or a row lost its answer.
    """
    row = trainer.train_dataset[0]
    labels = (
        row["labels"]
        if "labels" in row
        else [t if m else -100 for t, m in zip(row["input_ids"], row["completion_mask"], strict=True)]
    )
    tokenizer = trainer.processing_class
    trained = tokenizer.decode([token for token in labels if token != -100])
    print(
        f"sft: {len(trainer.train_dataset)} rows; the first has {len(labels)} tokens, trained on: {trained[:60]!r} ... {trained[-40:]!r}"
    )
    if "<think>" in trained or not trained.rstrip("\n").endswith(tokenizer.eos_token):
        raise ValueError(
            f"the trained part of the first row is {trained[:40]!r} ... {trained[-40:]!r}, expected the summary and {tokenizer.eos_token}; "
            "check the tokenizer's chat template against data_prep/prompts.py"
        )


if __name__ == "__main__":
    command(main, "SFTConfig", __doc__, "training.sft")
