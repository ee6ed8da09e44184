"""What a model is called in public: ids of the Hub, never a path of this machine."""

from __future__ import annotations

import json
from pathlib import Path


def is_hub_id(name: str) -> bool:
    return not Path(name).is_dir() and name.count("/") <= 1 and not name.startswith((".", "/"))


def public_name(name: str) -> str:
    """A Hub id as it is; of a local folder its name alone."""
    return name if is_hub_id(name) else Path(name).resolve().name


def lineage(name: str) -> list[str]:
    """The model trained on and what it came from, nearest first: a merged SFT model is followed to the base of its adapter."""
    folder = Path(name)
    if folder.is_symlink():  # a round begins with the model of the run, or of the round before
        return lineage(str(folder.resolve()))
    adapter = folder.parent / {"sft-merged": "sft", "model": "aligned"}.get(folder.name, "") / "adapter_config.json"
    if folder.name in ("sft-merged", "model") and adapter.exists():
        return [name, *lineage(json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"])]
    return [name]
