"""A model for inputs longer than it was trained on: YaRN, which is a matter of config.json alone.

Source of the method: Peng et al. 2023, arXiv 2309.00071; factor and original length as SmolLM3-3B's card gives them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from data_prep.core.files import write_json


def lengthen(model: Path, folder: Path, factor: float) -> Any:
    """Puts the model into `folder` with a context `factor` times as long; returns the new `transformers` config.

    Weights are linked where the file system allows it. Raises ValueError where the model's positions are scaled already
    or are not rotary with one base for all layers.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "default" or "rope_theta" not in rope:
        kind = rope.get("rope_type", "no one kind")
        raise ValueError(
            f"{model} has rotary positions of type {kind}, expected default; name the model before it was lengthened"
        )
    original = config.max_position_embeddings
    # The base of the rotation stands beside the scaling: transformers 5 takes a `rope_scaling` as the whole of the
    # positions' parameters, and would go on with the class's default base (2e6 for SmolLM3, whose 3B model has 5e6).
    scaled = rope | {"rope_type": "yarn", "factor": float(factor), "original_max_position_embeddings": original}
    changes = {"rope_parameters": scaled, "max_position_embeddings": round(original * factor)}
    longer = type(config).from_dict({**config.to_dict(), **changes})
    for file in model.iterdir():
        if file.is_file() and not file.name.endswith((".manifest.json", ".parity.json")) and file.name != "config.json":
            link_or_copy(file, folder / file.name)
    longer.save_pretrained(folder)
    raise_model_max_length(folder / "tokenizer_config.json", longer.max_position_embeddings)
    return longer


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link for weights, which nothing here edits in place; small files are copied."""
    if source.suffix == ".safetensors":
        try:
            os.link(source.resolve(), target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(source, target)


def raise_model_max_length(path: Path, tokens: int) -> None:
    """Servers take the smaller of the model's length and its tokenizer's."""
    if not path.exists():
        return
    values = json.loads(path.read_text(encoding="utf-8"))
    if values.get("model_max_length", tokens) < tokens:
        write_json(path, values | {"model_max_length": tokens})
