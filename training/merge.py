"""Merges an adapter into its base and checks that the merged model says the same.

    python -m training.merge --config recipes/demo/merge.yaml --merge.adapter sft
    python -m training.merge --config recipes/demo/merge.yaml --merge.adapter aligned

Reads <run_dir>/sft or <run_dir>/aligned. Writes <run_dir>/sft-merged or <run_dir>/model: safetensors, tokenizer, manifest.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from data_prep.manifest import Manifest
from data_prep.prompts import SYSTEM, render
from data_prep.recipe import Block, Recipe, command

OUTPUTS = {"sft": "sft-merged", "aligned": "model"}
PROBE = "Merging must not change what the model says about 12 models, 3.4B parameters and https://example.org/a-page."


class MergeConfig(Block):
    adapter: Literal["sft", "aligned"]
    """Which adapter of the run; `sft` becomes sft-merged/, `aligned` becomes model/."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the merged weights. bfloat16 rounds them; the check below says by how much the logits move."""
    tolerance: float = 0.5
    """Largest difference of a logit between adapter and merged model; above it nothing is written."""


def main(recipe: Recipe[MergeConfig]) -> None:
    source = recipe.run_dir / recipe.block.adapter
    output = recipe.run_dir / OUTPUTS[recipe.block.adapter]
    if not (source / "adapter_config.json").exists():
        stage = "training.sft" if recipe.block.adapter == "sft" else "training.align"
        raise ValueError(f"{source} has no adapter_config.json; run {stage} first")
    manifest = Manifest(
        output / "merge.manifest.json", f"merge {source.name}", recipe.resolved(), [source], [output / "model.safetensors"]
    )
    if manifest.is_done():
        return
    tokenizer, merged, expected = merge(source, recipe.block)
    temporary = output.with_name(output.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    merged.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    difference = check(temporary, tokenizer, expected, recipe.block)
    shutil.rmtree(output, ignore_errors=True)
    os.replace(temporary, output)
    manifest.write(largest_logit_difference=difference)
    print(f"merge: {output}, logits within {difference:.1e} of the adapter model's")


def merge(source: Path, block: MergeConfig) -> tuple[Any, Any, Any]:
    """Tokenizer, merged model, and the adapter model's logits on the probe, shape (1, tokens, vocabulary)."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    base_name = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    try:
        base = AutoModelForCausalLM.from_pretrained(base_name, dtype=torch.float32, use_safetensors=True)
    except OSError as error:
        raise ValueError(f'the adapter\'s base "{base_name}" cannot be loaded: {str(error).splitlines()[0]}') from None
    model = PeftModel.from_pretrained(base, str(source)).eval()
    expected = probe(model, tokenizer)
    # safe_merge looks for NaN before it overwrites the base's weights.
    merged = model.merge_and_unload(safe_merge=True).to(getattr(torch, block.dtype))
    return tokenizer, merged, expected


def check(folder: Path, tokenizer: Any, expected: Any, block: MergeConfig) -> float:
    """Largest logit difference of the model as saved and loaded again. Raises ValueError above the tolerance."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    difference = (probe(model, tokenizer) - expected).abs().max().item()
    if not difference <= block.tolerance:
        raise ValueError(
            f"merged logits differ by {difference:.3g}, allowed {block.tolerance}; set merge.dtype: float32 or, if that "
            "does not help, report it: the adapter was not merged as it was trained"
        )
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == model.config.tie_word_embeddings, "merging must not untie the embeddings"
    return difference


def probe(model: Any, tokenizer: Any) -> Any:
    import torch

    text = render([{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROBE}], tokenizer)
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits.float()


if __name__ == "__main__":
    command("merge", MergeConfig, main, __doc__, "training.merge")
