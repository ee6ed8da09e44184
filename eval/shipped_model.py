"""The model that writes where nobody names one: the small base of data_prep.small_base with the adapter that this project ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_prep.small_base import NAME, ensure

ROOT = Path(__file__).resolve().parent.parent
PLACES = (ROOT / "recipes" / "smollm2-135m" / "adapter", Path(__file__).resolve().parent / "shipped_adapter")  # checkout, wheel
TITLE = f"{NAME} with the adapter that ships"
CAVEAT = (
    "a model of 135M parameters wrote this: good at form, weak at facts; read each fact against the card. "
    "SmolLM3-3B is the real thing (--model)"
)


@dataclass(frozen=True)
class Shipped:
    """Folders of base and adapter."""

    base: Path
    adapter: Path


def adapter_folder() -> Path:
    """Raises ValueError where this copy of the project has none."""
    found = next((place for place in PLACES if (place / "adapter_model.safetensors").exists()), None)
    if found is None:
        raise ValueError("no adapter ships with this copy of the project; name a model with --model")
    return found


def shipped_model() -> Shipped:
    """The base is made where it is not there yet: about a minute, once. Raises ValueError as `ensure` does."""
    adapter = adapter_folder()
    return Shipped(ensure(), adapter)
