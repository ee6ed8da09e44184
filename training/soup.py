"""Averages the weights of several models with one architecture: several seeds, or a tuned model and what it came from.

    python -m training.soup --config recipes/smollm3-3b/soup.yaml

Reads the models, folders or Hub ids. Writes <run_dir>/<name>: safetensors, the first model's config, tokenizer, chat
template and generation config, and a manifest. One tensor of each model is in memory at a time, and one shard of the result.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from data_prep.core.files import made_whole, sha256_text, write_json
from data_prep.core.manifest import Manifest, content_hash
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.text import first_line

SHARD = "2GB"
INDEX = "model.safetensors.index.json"
# What a model is served with: all of it the first model's.
CARRIED = (
    "config.json generation_config.json tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json "
    "chat_template.jinja"
).split()
# Written by another version, or by the trainer from the tokenizer, which is compared itself.
BESIDE = "_name_or_path transformers_version dtype use_cache bos_token_id eos_token_id pad_token_id architectures".split()


class SoupConfig(Block):
    models: dict[str, Annotated[float, Field(gt=0)]]
    """Models and their weights, which sum to 1: a folder, {run_dir}/model, or a Hub id, with @REVISION where it matters."""
    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")] = "model-soup"
    """Folder of the result in run_dir."""


@dataclass(frozen=True)
class Model:
    """One model of the soup. `tensors`: name to file in `folder`; the head that a tied model repeats is not among them."""

    name: str
    folder: Path
    weight: float
    config: dict[str, Any]
    tensors: Mapping[str, str]


def main(recipe: Recipe[SoupConfig]) -> None:
    weights = recipe.block.models
    if len(weights) < 2 or not math.isclose(sum(weights.values()), 1.0, abs_tol=1e-6):
        raise ValueError(
            f"soup.models holds {len(weights)} models whose weights sum to {sum(weights.values()):g}, expected two or more and 1; "
            "equal weights of three models are 0.3333333 0.3333333 0.3333334"
        )
    folders = {name: folder_of(name, recipe.run_dir) for name in weights}
    output = recipe.run_dir / recipe.block.name
    # By the names in the recipe: several runs' folders are all called model.
    identity = {**recipe.resolved(), "content": {name: content_hash(folder) for name, folder in folders.items()}}
    manifest = Manifest(output / "soup.manifest.json", "soup", identity, [], [output])
    if output.resolve() in {folder.resolve() for folder in folders.values()}:
        raise ValueError(f"soup.name is {recipe.block.name}, which is one of its own models; name another folder")
    if output.exists() and not manifest.path.exists():
        raise ValueError(f"soup.name is {recipe.block.name}, and {output} is no soup of before; name another folder")
    if manifest.is_done():
        return
    models = [read_model(name, folder, weights[name]) for name, folder in folders.items()]
    check_alike(models)
    with made_whole(output) as folder:
        count = write_soup(models, folder)
    manifest.write(models=len(models), tensors=count)
    print(f"soup: {count} tensors of {len(models)} models averaged in {output}")


def folder_of(name: str, run_dir: Path) -> Path:
    """The model's folder; a Hub id is downloaded, safetensors and text alone."""
    folder = Path(name.replace("{run_dir}", str(run_dir)))
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repo, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=["*.safetensors", "*.json", "*.jinja"]))
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f'"{name}" in soup.models is no folder, and no model of the Hub that can be had: {first_line(error)}'
        ) from None


def read_model(name: str, folder: Path, weight: float) -> Model:
    """Config and tensor places. Raises ValueError where the folder is no model in safetensors, or a quantised one."""
    from safetensors import safe_open
    from transformers import AutoConfig

    index = folder / INDEX
    if not (folder / "config.json").exists() or not (index.exists() or (folder / "model.safetensors").exists()):
        raise ValueError(
            f'"{name}" in soup.models is no model in safetensors: {folder} lacks config.json or weights; merge its adapter first'
        )
    # Through the library, so that configs written by two of its versions read alike.
    config = AutoConfig.from_pretrained(folder).to_dict()
    if config.get("quantization_config"):
        raise ValueError(f'"{name}" in soup.models is quantised; merge its adapter with training.merge, which dequantises')
    if index.exists():
        tensors = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    else:
        with safe_open(folder / "model.safetensors", "pt") as weights:
            tensors = dict.fromkeys(weights.keys(), "model.safetensors")
    if config.get("tie_word_embeddings"):
        tensors = {tensor: file for tensor, file in tensors.items() if tensor != "lm_head.weight"}
    return Model(name, folder, weight, config, tensors)


def check_alike(models: Sequence[Model]) -> None:
    """Raises ValueError that names the first difference between the first model and another: config, tokenizer, tensors."""
    first, *others = models
    for other in others:
        for kind, view in (("config", _architecture), ("tokenizer", _vocabulary), ("shape of", _tensor_shapes)):
            difference = _first_difference(view(first), view(other))
            if difference:
                raise ValueError(
                    f'"{first.name}" and "{other.name}" cannot be averaged, {kind} {difference}; '
                    "take models that were tuned from one base"
                )


def _first_difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    for key in sorted(first.keys() | other.keys()):
        if first.get(key) != other.get(key):
            return f"{key} is {first.get(key, 'missing')} and {other.get(key, 'missing')}"
    return ""


def _architecture(model: Model) -> dict[str, Any]:
    return {key: value for key, value in model.config.items() if key not in BESIDE}


def _vocabulary(model: Model) -> dict[str, Any]:
    """Token to id, and the merges: what decides which row of the embedding a text reaches."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("merges")
    return {
        **{f"id of {token!r}": index for token, index in tokenizer.get_vocab().items()},
        "merges": sha256_text(json.dumps(merges)),
    }


def _tensor_shapes(model: Model) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in _empty(model).items()}


def _empty(model: Model) -> dict[str, Any]:
    """The model's tensors without their values, on the meta device."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for file in sorted(set(model.tensors.values())):
        with safe_open(model.folder / file, "pt") as weights:
            found |= {name: weights.get_tensor(name).to("meta") for name, place in model.tensors.items() if place == file}
    return {name: found[name] for name in model.tensors}


def write_soup(models: Sequence[Model], folder: Path) -> int:
    """Writes the averaged model, shard by shard; returns how many tensors it has."""
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors import safe_open
    from safetensors.torch import save_file

    plan = split_torch_state_dict_into_shards(
        _empty(models[0]), filename_pattern="model{suffix}.safetensors", max_shard_size=SHARD
    )
    with ExitStack() as stack:
        files = {
            (model.name, file): stack.enter_context(safe_open(model.folder / file, "pt"))
            for model in models
            for file in set(model.tensors.values())
        }
        for file, names in plan.filename_to_tensors.items():
            save_file({name: average(name, models, files) for name in names}, folder / file, metadata={"format": "pt"})
    if plan.is_sharded:
        write_json(folder / INDEX, {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename})
    for name in CARRIED:
        if (models[0].folder / name).exists():
            shutil.copyfile(models[0].folder / name, folder / name)
    return len(plan.tensor_to_filename)


def average(name: str, models: Sequence[Model], files: Mapping[tuple[str, str], Any]) -> Any:
    """The weighted sum of one tensor in float32, rounded once to the first model's dtype.

    Raises ValueError where a model holds NaN or infinity there: one such value would spread to the whole soup.
    """
    import torch

    total: Any = None
    dtype = None
    for model in models:
        tensor = files[model.name, model.tensors[name]].get_tensor(name)
        if not torch.isfinite(tensor).all():
            raise ValueError(f'{name} of "{model.name}" holds NaN or infinity; leave that model out or make it again')
        dtype = dtype or tensor.dtype
        total = tensor.float() * model.weight if total is None else total.add_(tensor.float(), alpha=model.weight)
    return total.to(dtype)


if __name__ == "__main__":
    command("soup", SoupConfig, main, __doc__, "training.soup")
