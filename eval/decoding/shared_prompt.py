"""Rows that go on from one prompt look at one copy of its keys and values, on a CPU.

Each step of decoding reads every key and value that is kept, which for many rows of long prompts takes longer than the weights do. Here a
prompt's are read once for all its rows, as matrix products of its rows' queries (Juravsky et al. 2024, Hydragen, arXiv 2402.05099), and
without the padding of shorter prompts. What comes out is the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from eval.decoding.kv_cache import RoomyLayer

NAME = "shared_prompt"


@dataclass(frozen=True)
class Prompt:
    """What one layer keeps of a prompt, shape (heads, tokens, dimensions), and the numbers of the rows that go on from it."""

    keys: torch.Tensor
    values: torch.Tensor
    rows: torch.Tensor


class OwnLayer(RoomyLayer):
    """`keys` and `values` are of what the rows wrote themselves. `length` counts the tokens of the longest prompt."""

    def __init__(self, prompts: Sequence[Prompt], length: int) -> None:
        super().__init__()
        self.prompts, self._length, self._is_read = prompts, length, True

    def get_seq_length(self) -> int:
        return self._length + super().get_seq_length()

    def update(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._is_read:
            raise RuntimeError("this model's layers do not hand on what they are called with, so prompts cannot be shared")
        self._is_read = False
        return super().update(*args, **kwargs)

    def attend(self, query: torch.Tensor, scaling: float) -> torch.Tensor:
        """`query`, shape (rows, heads, 1, dimensions); so is what comes back."""
        self._is_read = True
        rows, heads, _, size = query.shape
        precision = torch.promote_types(query.dtype, torch.float32)
        grouped = (query * scaling).view(rows, self.keys.shape[1], -1, size)
        own = grouped @ self.keys.transpose(-1, -2)
        output = torch.empty_like(grouped)
        for prompt in self.prompts:
            # (heads of keys, rows and heads of queries, dimensions)
            asked = grouped[prompt.rows].transpose(0, 1)
            scores = (asked.flatten(1, 2) @ prompt.keys.transpose(-1, -2)).view(*asked.shape[:3], -1).transpose(0, 1)
            weights = torch.cat([scores, own[prompt.rows]], dim=-1).softmax(dim=-1, dtype=precision).to(query.dtype)
            on_prompt, on_own = weights.split([scores.shape[-1], own.shape[-1]], dim=-1)
            found = (on_prompt.transpose(0, 1).flatten(1, 2) @ prompt.values).view(asked.shape).transpose(0, 1)
            output[prompt.rows] = found + on_own @ self.values[prompt.rows]
        return output.view(rows, heads, 1, size)


def can_share(model: Any, cache: DynamicCache, rows: Sequence[int]) -> bool:
    """False where no prompt has two rows, and of models whose layers have a window, a state or an attention of their own."""
    return (
        len(set(rows)) < len(rows)
        and model.device.type == "cpu"
        and model.config._attn_implementation in ("sdpa", NAME)
        and all(isinstance(layer, DynamicLayer) and not layer.is_sliding for layer in cache.layers)
    )


def shared(model: Any, cache: DynamicCache, mask: torch.Tensor, rows: Sequence[int]) -> DynamicCache:
    """For `generate(past_key_values=...)` of the rows that go on from the prompts with the numbers `rows`, which `cache` has read;
    `mask`, shape (prompts, tokens), has 0 where they are padded, on the left."""
    if model.config._attn_implementation != NAME:
        model.set_attn_implementation(NAME)
        model.base_model.register_forward_pre_hook(_hand_on, with_kwargs=True)
    numbers = torch.tensor(rows)
    groups = [(prompt, (numbers == prompt).nonzero().flatten()) for prompt in sorted(set(rows))]
    starts = (mask.shape[1] - mask.sum(dim=1)).tolist()
    made = DynamicCache(config=model.config)
    made.layers = [
        OwnLayer([_prompt(layer, at, starts[at], rows) for at, rows in groups], mask.shape[1]) for layer in cache.layers
    ]
    return made


def _prompt(layer: Any, at: int, start: int, rows: torch.Tensor) -> Prompt:
    return Prompt(layer.keys[at, :, start:].contiguous(), layer.values[at, :, start:].contiguous(), rows)


def _hand_on(_: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
    cache = kwargs.get("past_key_values")
    layers = getattr(cache, "layers", None)
    return (args, {**kwargs, "own_layers": layers}) if layers and isinstance(layers[0], OwnLayer) else None


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    own_layers: Sequence[OwnLayer] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in every layer; without shared prompts its sdpa."""
    if own_layers is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    layer: Any = module
    output = own_layers[layer.layer_idx].attend(query, query.shape[-1] ** -0.5 if scaling is None else scaling)
    return output.transpose(1, 2), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
