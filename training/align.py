"""Alignment by APO or DPO: a fresh LoRA adapter on the merged SFT model.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.align --config recipes/demo/apo.yaml

Reads <run_dir>/data/pairs/{train,validation}.parquet and <run_dir>/sft-merged. Writes <run_dir>/aligned. The reference
is the same weights with the adapter off, so the first margin is 0; that is measured before the first step.
"""

from __future__ import annotations

from functools import partial

from data_prep.core.manifest import Manifest
from training.resume.checkpoints import starts_over
from training.setup.config import RawRecipe, command, parse


def main(raw: RawRecipe) -> None:
    data, output, base = raw.run_dir / "data" / "pairs", raw.run_dir / "aligned", raw.run_dir / "sft-merged"
    settled = raw.settled(output_dir=str(output), model_name_or_path=str(base))
    inputs = [data / "train.parquet", data / "validation.parquet", base]
    manifest = Manifest(output / "align.manifest.json", "align", raw.identity(), inputs, [output / "adapter_model.safetensors"])
    if not starts_over(raw.values.get("fresh") is True) and manifest.is_done():
        return
    if not (base / "config.json").exists():
        raise ValueError(f"{base} has no model; run training.merge --merge.adapter sft first")
    from trl import DPOConfig

    from training.loop.stage import run
    from training.loop.trainers import alignment_trainer
    from training.preflight.rows import check_alignment
    from training.setup.load import Rows

    parsed = parse(raw, DPOConfig, settled)
    run(parsed, manifest, Rows.read(data, "align", parsed), alignment_trainer, partial(check_alignment, parsed=parsed))


if __name__ == "__main__":
    command(main, "DPOConfig", __doc__, "training.align")
