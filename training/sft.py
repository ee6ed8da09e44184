"""LoRA SFT of the summariser: on accepted summaries, or on top of that on its own best samples.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.sft --config recipes/demo/sft.yaml
    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.sft --config recipes/demo/rft.yaml

Reads <run_dir>/data/sft/{train,validation}.parquet. Writes <run_dir>/sft: the adapter, the tokenizer, the resolved
recipe and a manifest with versions and data hashes. Killed and run again, it goes on from the last whole checkpoint.
With `rejection_sampling: true` it takes the place of training.align: it reads <run_dir>/data/best and <run_dir>/sft-merged
and writes <run_dir>/aligned.
"""

from __future__ import annotations

from pathlib import Path

from data_prep.core.manifest import Manifest
from training.resume.checkpoints import starts_over
from training.setup.config import RawRecipe, command, parse


def main(raw: RawRecipe) -> None:
    again = raw.values.get("rejection_sampling") is True
    rows, folder, stage = ("best", "aligned", "align") if again else ("sft", "sft", "sft")
    data, output = raw.run_dir / "data" / rows, raw.run_dir / folder
    base = raw.run_dir / "sft-merged" if again else Path(str(raw.values.get("model_name_or_path")))
    settled = raw.settled(output_dir=str(output), **({"model_name_or_path": str(base)} if again else {}))
    inputs = [data / "train.parquet", data / "validation.parquet", *([base] if base.is_dir() else [])]
    manifest = Manifest(
        output / f"{stage}.manifest.json", stage, raw.identity(), inputs, [output / "adapter_model.safetensors"]
    )
    if not starts_over(raw.values.get("fresh") is True) and manifest.is_done():
        return
    if again and not (base / "config.json").exists():
        raise ValueError(f"{base} has no model; run training.merge --merge.adapter sft first")
    from trl import SFTConfig

    from training.loop.stage import run
    from training.loop.trainers import sft_trainer
    from training.preflight.rows import check_sft
    from training.setup.load import Rows

    parsed = parse(raw, SFTConfig, settled)
    if not parsed.model.model_name_or_path:
        raise ValueError(f"{raw.where} names no model_name_or_path; add the folder or Hub id of the model to tune")
    run(parsed, manifest, Rows.read(data, "sft", parsed), sft_trainer, check_sft)


if __name__ == "__main__":
    command(main, "SFTConfig", __doc__, "training.sft")
