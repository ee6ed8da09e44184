"""An adapter that a training stage left in a run, and the very base that it was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.core.files import sha256_file
from data_prep.core.manifest import content_hash
from data_prep.core.text import first_line
from training.setup.load import torch_dtype

STAGES = {"sft": "sft", "aligned": "align"}
WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Adapter:
    """`base` is a folder or a Hub id, `revision` the commit where training recorded one, `model` the values of TRL's
    ModelConfig that the adapter was trained with."""

    folder: Path
    base: str
    revision: str | None
    model: dict[str, Any]

    @property
    def is_quantised(self) -> bool:
        return bool(self.model["load_in_4bit"] or self.model["load_in_8bit"])


def read_adapter(run_dir: Path, name: str) -> Adapter:
    """The adapter `name` ("sft" or "aligned") of a run.

    Raises ValueError where training did not finish, or where the adapter or its base is not what training recorded: the
    base's name is compared, its content hash where it is a folder. A Hub id is loaded at the commit that was recorded.
    """
    folder, stage = run_dir / name, STAGES[name]
    if not (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder} has no adapter_config.json; run training.{stage} first")
    config = _json(folder / "adapter_config.json", stage)
    model = _json(folder / f"{stage}_recipe.json", stage)["model"]
    manifest = _json(folder / f"{stage}.manifest.json", stage)
    named, trained = config["base_model_name_or_path"], model["model_name_or_path"]
    if named != trained:
        raise ValueError(
            f'{folder} holds an adapter of "{named}", but its recipe trained one of "{trained}"; put the adapter of this run '
            f"back or run training.{stage} again"
        )
    if sha256_file(folder / WEIGHTS) != manifest["outputs"].get(WEIGHTS):
        raise ValueError(
            f"{folder / WEIGHTS} is not what training.{stage} wrote; put that file back or run training.{stage} again"
        )
    # A run that was moved as a whole still knows its own SFT model; the hash below says whether it is that one.
    base = str(run_dir / "sft-merged") if name == "aligned" else trained
    recorded, found = manifest["inputs"].get(Path(base).name), content_hash(Path(base))
    if found != recorded:
        raise ValueError(
            f'the adapter in {folder} was trained on "{base}" with content {_short(recorded)}, which now has content '
            f"{_short(found)}; restore that base or run training.{stage} again"
        )
    return Adapter(folder, base, manifest["result"].get("base_commit") or model.get("model_revision"), model)


def load_base(adapter: Adapter, device: str) -> Any:
    """The base as it was trained on: same dtype, same quantisation. Safetensors alone."""
    from transformers import AutoModelForCausalLM
    from trl import ModelConfig, get_quantization_config

    kept = "model_name_or_path dtype load_in_4bit load_in_8bit bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage"
    quantisation = get_quantization_config(ModelConfig(**{name: adapter.model[name] for name in kept.split()}))
    try:
        return AutoModelForCausalLM.from_pretrained(
            adapter.base,
            revision=adapter.revision,
            dtype=torch_dtype(adapter.model["dtype"]),
            device_map={"": device},
            use_safetensors=True,
            **({"quantization_config": quantisation} if quantisation else {}),
        )
    except OSError as error:
        raise ValueError(f'the adapter\'s base "{adapter.base}" cannot be loaded: {first_line(error)}') from None


def attach(base: Any, adapter: Adapter) -> Any:
    """The base with the adapter on it, in evaluation mode.

    Raises ValueError where a tensor of the adapter has another shape than the base asks for, or finds no place in it:
    PEFT only warns of the latter.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    advice = f'the adapter in {adapter.folder} does not fit its base "{adapter.base}"'
    try:
        model = PeftModel.from_pretrained(base, str(adapter.folder)).eval()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ValueError(f"{advice}: {next((line for line in lines if 'size mismatch' in line), lines[0])}") from None
    with safe_open(adapter.folder / WEIGHTS, "pt") as weights:
        strangers = set(weights.keys()) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if strangers:
        raise ValueError(f"{advice}: {min(strangers)} is in one and not in the other")
    return model


def _json(path: Path, stage: str) -> dict[str, Any]:
    if not path.exists():
        raise ValueError(
            f"{path} is missing, so training did not finish; run training.{stage} again, it goes on where it stopped"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "unknown"
