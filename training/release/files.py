"""Makes the folders of a release: named files alone, written for use elsewhere.

A model's weights are linked or copied as they are. Its config and tokenizer lose what only this machine knows, and
generation_config.json holds the decoding that the results were made with. An adapter becomes one on the base of the Hub:
alignment trains on the merged SFT model, which nobody else has, so both adapters are joined, which is exact (Hu et al.
2021, arXiv 2106.09685: an adapter adds B A; the sum of two is one whose A are stacked and whose B stand side by side).
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.core.files import write_json

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
TOKENIZER = (
    "tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json merges.txt chat_template.jinja"
).split()
ADAPTER = "adapter_model.safetensors"
PAPERS = ("LICENSE*", "LICENCE*", "NOTICE*")
LOADED_FROM = ("is_local", "local_files_only", "name_or_path", "_name_or_path")  # left in configs by loading from a folder
PLAIN_LORA = {"use_dora": False, "use_rslora": False, "bias": "none", "modules_to_save": None, "rank_pattern": {},
              "alpha_pattern": {}, "layer_replication": None, "target_parameters": None, "trainable_token_indices": None}  # fmt: skip


def write_model(source: Path, folder: Path, generation: dict[str, Any]) -> None:
    """The files of a merged model. `generation`: keys that replace those of generation_config.json."""
    place(source, folder, WEIGHTS)
    write_tokenizer(source, folder)
    write_without_origin(source / "config.json", folder / "config.json")
    path = source / "generation_config.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(folder / "generation_config.json", fit_for_use(before, generation))


def fit_for_use(before: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    """What servers generate with when nobody says otherwise: the evaluated decoding, and the ends that the model knows."""
    kept = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version")
    return {name: before[name] for name in kept if before.get(name) is not None} | generation


def write_tokenizer(source: Path, folder: Path) -> None:
    place(source, folder, [name for name in TOKENIZER if name != "tokenizer_config.json"])
    write_without_origin(source / "tokenizer_config.json", folder / "tokenizer_config.json")


def write_without_origin(source: Path, target: Path) -> None:
    config = json.loads(source.read_text(encoding="utf-8"))
    write_json(target, {name: value for name, value in config.items() if name not in LOADED_FROM})


def place(source: Path, folder: Path, patterns: Sequence[str]) -> None:
    """A second name for each file where the disk can do that, else a copy: weights are large, and nobody writes into them."""
    for path in sorted({path for pattern in patterns for path in source.glob(pattern) if path.is_file()}):
        try:
            os.link(path.resolve(), folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)


def write_adapter(sources: Sequence[Path], folder: Path, base: str, revision: str | None) -> None:
    """One adapter that does on `base`, a Hub id, what `sources` do one after the other.

    Raises ValueError where they are no plain LoRA of the same layers, whose sum is no adapter.
    """
    configs = [json.loads((source / "adapter_config.json").read_text(encoding="utf-8")) for source in sources]
    joined = configs[-1] | {"base_model_name_or_path": base, "revision": revision}
    if len(sources) == 1:
        place(sources[0], folder, [ADAPTER])
    else:
        rank = sum(config["r"] for config in configs)
        joined |= {"r": rank, "lora_alpha": rank}
        join(sources, configs, folder / ADAPTER)
    write_json(folder / "adapter_config.json", joined)
    write_tokenizer(sources[-1], folder)


def round_adapter(folder: Path) -> int:
    """The adapter's weights in bfloat16; returns the bytes of the file."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(folder / ADAPTER).items()}
    (folder / ADAPTER).unlink()  # it may be a second name of the trained one
    save_file(weights, folder / ADAPTER, {"format": "pt"})
    return (folder / ADAPTER).stat().st_size


def join(sources: Sequence[Path], configs: Sequence[dict[str, Any]], target: Path) -> None:
    """A's rows below each other, B's columns side by side. Each scale goes into B, so that the whole has scale 1."""
    import torch
    from safetensors.torch import load_file, save_file

    parts = [load_file(source / ADAPTER) for source in sources]
    check_joinable(sources, configs, [set(part) for part in parts])
    scales = [config["lora_alpha"] / config["r"] for config in configs]
    tensors = {}
    for name in parts[0]:
        if ".lora_A." in name:
            tensors[name] = torch.cat([part[name] for part in parts], dim=0)
        else:
            tensors[name] = torch.cat([part[name] * scale for part, scale in zip(parts, scales, strict=True)], dim=1)
    save_file(tensors, target, {"format": "pt"})


def human_size(folder: Path) -> str:
    """Parameters and bytes of a model's weights, from their headers. A head that repeats tied embeddings is stored once."""
    from safetensors import safe_open

    count = size = 0
    for path in folder.glob("*.safetensors"):
        size += path.stat().st_size
        with safe_open(path, "pt") as weights:
            count += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return (
        f"{count / 1e9:.3g}B parameters in {size / 1e9:.3g} GB"
        if count >= 1e8
        else f"{count / 1e6:.3g}M parameters in {size / 1e6:.3g} MB"
    )


def check_joinable(sources: Sequence[Path], configs: Sequence[dict[str, Any]], names: Sequence[set[str]]) -> None:
    advice = "publish the merged model alone: set publish_model.adapter_repository: null"
    for source, config, found in zip(sources, configs, names, strict=True):
        for key, plain in PLAIN_LORA.items():
            if (config.get(key) or plain) != plain:
                raise ValueError(f"{source} has {key} {config[key]!r}, so it cannot be joined with another adapter; {advice}")
        if strangers := found ^ names[0]:
            raise ValueError(
                f"{source} and {sources[0]} train other layers ({min(strangers)}), so they cannot be joined; {advice}"
            )
