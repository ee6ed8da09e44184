"""Which tokens end a turn. Tokenizers name one; models may know more: Gemma's and Phi-3's turns end with a token that
generation_config.json alone names, and a stage that listens for the tokenizer's only has the next turn written as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def end_ids(tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    """The tokenizer's end token, then those of the model's generation config (None where it has none), each once."""
    named = getattr(generation_config, "eos_token_id", None)
    further = named if isinstance(named, (list, tuple)) else [named]
    return tuple(dict.fromkeys(int(one) for one in (tokenizer.eos_token_id, *further) if one is not None))


def before_end(ids: Sequence[int], ends: Sequence[int]) -> int | None:
    """How many of `ids` stand before the first end token; None where there is none."""
    return next((at for at, one in enumerate(ids) if one in ends), None)
