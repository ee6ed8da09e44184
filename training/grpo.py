"""Alignment by GRPO: a fresh LoRA adapter on the merged SFT model, trained on its own samples and what the checks say of them.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m training.grpo --config recipes/demo/grpo.yaml

Reads <run_dir>/data/sampling.jsonl (cards to summarise), split.json (which are trained on) and <run_dir>/sft-merged. Writes
<run_dir>/aligned as training.align does, which it takes the place of. Several summaries of each card are sampled in every
step; those that the checks grade above the mean of their card become likelier, the others less likely (Shao et al. 2024, arXiv
2402.03300). The reward is `loop/reward.py`; the means of its parts are in the log.
"""

from __future__ import annotations

from functools import partial

from data_prep.core.manifest import Manifest
from training.resume.checkpoints import starts_over
from training.setup.config import RawRecipe, command, parse


def main(raw: RawRecipe) -> None:
    data, output, base = raw.run_dir / "data", raw.run_dir / "aligned", raw.run_dir / "sft-merged"
    settled = raw.settled(output_dir=str(output), model_name_or_path=str(base))
    inputs = [data / "sampling.jsonl", data / "split.json", base]
    manifest = Manifest(output / "align.manifest.json", "align", raw.identity(), inputs, [output / "adapter_model.safetensors"])
    if not starts_over(raw.values.get("fresh") is True) and manifest.is_done():
        return
    if not (base / "config.json").exists():
        raise ValueError(f"{base} has no model; run training.merge --merge.adapter sft first")
    from trl import GRPOConfig

    from training.loop.rollouts import grpo_trainer
    from training.loop.stage import run
    from training.preflight.rollouts import check_rollouts
    from training.setup.load import Rows

    parsed = parse(raw, GRPOConfig, settled)
    run(parsed, manifest, Rows.cards(data, parsed), grpo_trainer, partial(check_rollouts, parsed=parsed))


if __name__ == "__main__":
    command(main, "GRPOConfig", __doc__, "training.grpo")
