"""LoRA SFT of the summariser on accepted summaries.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.sft --config recipes/demo/sft.yaml

Reads <run_dir>/data/sft/{train,validation}.parquet. Writes <run_dir>/sft: the adapter, the tokenizer, the resolved
recipe and a manifest with versions and data hashes. Killed and run again, it goes on from the last whole checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from data_prep.core.manifest import Manifest
from training.resume.checkpoints import starts_over
from training.setup.config import DEFAULTS, RawRecipe, command, parse


def main(raw: RawRecipe) -> None:
    data, output = raw.run_dir / "data" / "sft", raw.run_dir / "sft"
    base = Path(str(raw.values.get("model_name_or_path")))
    inputs = [data / "train.parquet", data / "validation.parquet", *([base] if base.is_dir() else [])]
    manifest = Manifest(output / "sft.manifest.json", "sft", raw.identity(), inputs, [output / "adapter_model.safetensors"])
    if not starts_over(raw.values.get("fresh") is True) and manifest.is_done():
        return
    from trl import SFTConfig

    from training.loop.stage import run
    from training.loop.trainers import sft_trainer
    from training.preflight.rows import check_sft
    from training.setup.load import Rows

    parsed = parse(raw, SFTConfig, {**DEFAULTS, "output_dir": str(output)})
    run(parsed, manifest, Rows.read(data, "sft", parsed), sft_trainer, check_sft)


if __name__ == "__main__":
    command(main, "SFTConfig", __doc__, "training.sft")
