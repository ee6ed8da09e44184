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
    config = Path(name).parent / "sft" / "adapter_config.json"
    if Path(name).name == "sft-merged" and config.exists():
        return [name, *lineage(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])]
    return [name]
