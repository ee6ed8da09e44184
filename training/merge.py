"""Merges an adapter into its base and checks that the merged model says the same.

    python -m training.merge --config recipes/demo/merge.yaml --merge.adapter sft
    python -m training.merge --config recipes/demo/merge.yaml --merge.adapter aligned

Reads <run_dir>/sft or <run_dir>/aligned, its base and prompts of <run_dir>/data/sft. Writes <run_dir>/sft-merged or
<run_dir>/model: safetensors, tokenizer and chat template, generation config, merge.parity.json, manifest.

The weights are added in float32 and rounded once, a quantised base is dequantised first, and both models answer the
parity prompts in float32, so that what differs is the weights.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from data_prep.core.files import made_whole, write_json
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.text import first_line, plural
from data_prep.prompts.student import load_tokenizer
from training.merging.adapter import Adapter, attach, load_base, read_adapter
from training.merging.parity import Observed, compare, observe, real_prompts, without_grouped_attention

OUTPUTS = {"sft": "sft-merged", "aligned": "model"}
SHARD = "5GB"


class MergeConfig(Block):
    adapter: Literal["sft", "aligned"]
    """Which adapter of the run; `sft` becomes sft-merged/, `aligned` becomes model/."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the merged weights. bfloat16 rounds them; the parity report says by how much the logits move."""
    tolerance: float = 0.5
    """Largest difference of a logit between adapter and merged model; above it nothing is written."""
    prompts: Annotated[int, Field(ge=1)] = 4
    """Prompts of the run's validation rows that both models answer."""
    greedy_tokens: Annotated[int, Field(ge=1)] = 200
    """Longest answer to each, in tokens."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1."""


def main(recipe: Recipe[MergeConfig]) -> None:
    block = recipe.block
    adapter = read_adapter(recipe.run_dir, block.adapter)
    output = recipe.run_dir / OUTPUTS[block.adapter]
    base = [Path(adapter.base)] if Path(adapter.base).is_dir() else []
    manifest = Manifest(
        output / "merge.manifest.json", f"merge {block.adapter}", recipe.resolved(), [adapter.folder, *base], [output]
    )
    if manifest.is_done():
        return
    import torch

    with made_whole(output) as folder:
        try:
            parity = merge(adapter, folder, recipe.run_dir, block)
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"the GPU is too small for both models' answers in float32 ({first_line(error)}); add --merge.device cpu"
            ) from None
    manifest.write(parity=parity["together"])
    print(f"merge: {output}, {in_words(parity)}")


def merge(adapter: Adapter, folder: Path, run_dir: Path, block: MergeConfig) -> dict[str, Any]:
    """Writes the merged model into `folder` and returns the parity report. Raises ValueError above the tolerance."""
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if block.device == "auto" else block.device
    tokenizer = load_tokenizer(str(adapter.folder), "merge.adapter")
    model = without_grouped_attention(in_float32(attach(load_base(adapter, device), adapter)))
    observed = observe(model, tokenizer, real_prompts(run_dir, tokenizer, block.prompts), block.greedy_tokens)
    if adapter.is_quantised:
        del model
        free()
        # Merged into the quantised layers, the adapter would be quantised too. Loaded again, since bitsandbytes may have
        # repacked the weights it answered with, and dequantises those to noise.
        model = attach(load_base(adapter, device).dequantize().float(), adapter)
    # safe_merge looks for NaN before it overwrites the base's weights.
    merged = model.merge_and_unload(safe_merge=True).to(getattr(torch, block.dtype))
    save(merged, tokenizer, folder)
    del model, merged
    free()
    return check(folder, observed, device, block)


def in_float32(model: Any) -> Any:
    """The model computing in float32. Quantised weights stay what they are: only the arithmetic around them changes."""
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            import torch

            module.compute_dtype = torch.float32
            # bitsandbytes computes in bfloat16 on CPUs that can, except in layers that train.
            module.training = True
        elif type(module).__name__ != "Linear8bitLt" and not list(module.children()):
            module.float()
    return model


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights, config, the base's generation config, tokenizer and chat template."""
    generation = model.generation_config
    stops = generation.eos_token_id if isinstance(generation.eos_token_id, list) else [generation.eos_token_id]
    if tokenizer.eos_token_id not in stops:
        # What the adapter learned to end with; without it every server would run on to its token limit.
        generation.eos_token_id = [tokenizer.eos_token_id, *(stop for stop in stops if stop is not None)]
    model.save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)


def check(folder: Path, observed: list[Observed], device: str, block: MergeConfig) -> dict[str, Any]:
    """Parity of the model as saved and loaded again, left in the folder as merge.parity.json."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map={"": device}, use_safetensors=True
    ).eval()
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == model.config.tie_word_embeddings, "merging must not untie the embeddings"
    parity = compare(without_grouped_attention(model), observed)
    if not parity["together"]["max"] <= block.tolerance:
        raise ValueError(
            f"merged logits differ by {parity['together']['max']:.3g}, allowed merge.tolerance {block.tolerance} "
            f"({in_words(parity)}); set merge.dtype: float32 or, if that does not help, report it: the adapter was not "
            "merged as it was trained"
        )
    write_json(folder / "merge.parity.json", {"device": device, "dtype": block.dtype, "tolerance": block.tolerance, **parity})
    return parity


def in_words(parity: dict[str, Any]) -> str:
    figures, count = parity["together"], len(parity["prompts"])
    return (
        f"{plural(count, 'prompt')}: logits within {figures['max']:.1e} of the adapter model's, {figures['mean']:.1e} on "
        f"average (their own deviation is {figures['logit_std']:.2g}), {figures['equal_tokens']:.1%} of {figures['generated']} "
        "greedy tokens equal"
    )


def free() -> None:
    """Gives a deleted model's memory back before the next one is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    command("merge", MergeConfig, main, __doc__, "training.merge")
