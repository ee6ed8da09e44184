"""The model that writes where nobody names one: the small base of data_prep.small_base with the adapter that this project ships."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from data_prep.core.text import first_line
from data_prep.pretrained.smollm2 import NAME, ensure

ADAPTER = Path(__file__).resolve().parents[1] / "shipped_adapter"  # within the package, so that an installed copy has it too
TITLE = f"{NAME} with the adapter that ships"
MOST_PROMPT_TOKENS = 4200  # longest it was trained on: a card of some 2,000 words, longer ones are cut and the cut is told
CAVEAT = "a model of 135M parameters wrote this: good at form, weak at facts; read each fact against the card"


def shipped_model() -> tuple[Path, Path]:
    """Folders of base and adapter. The base is made where it is not there yet: about a minute, once. Raises ValueError as `ensure`
    does, and where this copy of the project has no adapter."""
    if not (ADAPTER / "adapter_model.safetensors").exists():
        raise ValueError("no adapter ships with this copy of the project; name a model with --model")
    return ensure(), ADAPTER


def merged(weights: Any, adapter: Path) -> Any:
    """The base with the adapter in its weights, which makes it as fast as the base. Raises ValueError where they do not fit."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings():  # peft asks transformers for what its next version renames
            warnings.simplefilter("ignore", FutureWarning)
            return PeftModel.from_pretrained(weights, str(adapter)).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"the adapter {adapter} does not fit its base ({first_line(error, 200)}); name a model with --model"
        ) from None
