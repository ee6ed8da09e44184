"""A cache of keys and values with room: a new token is written behind the others, where transformers' own copies all of them.

On a CPU that copy is a third of a decoding step at 1,000 tokens and grows with their number. What comes out is the same.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

GROWTH = 512  # tokens of room beyond what is asked for: a summary makes the buffers anew twice


class RoomyLayer(DynamicLayer):
    """`keys` and `values`, shape (batch, heads, tokens, dimensions), are beginnings of buffers that are longer."""

    keys: torch.Tensor  # from the first update on
    values: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rooms = (self.keys, self.values)
        stored = (self.keys, self.values)
        new = (key_states, value_states)
        key_room, value_room = map(_with_room, self._rooms, stored, new)
        self._rooms = (key_room, value_room)
        self.keys, self.values = map(_written, self._rooms, stored, new)
        return self.keys, self.values


def _length(stored: torch.Tensor) -> int:
    return stored.shape[-2] if stored.numel() else 0


def _with_room(room: torch.Tensor, stored: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """The buffer that `stored` lies in, or a longer one with a copy of it: where it is full, or rows were chosen out of it."""
    length, end = _length(stored), _length(stored) + new.shape[-2]
    if length and room.data_ptr() == stored.data_ptr() and room.shape[-2] >= end and room.shape[:2] == new.shape[:2]:
        return room
    room = new.new_empty(*new.shape[:2], end + GROWTH, new.shape[-1])
    if length:
        room[..., :length, :] = stored
    return room


def _written(room: torch.Tensor, stored: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    start = _length(stored)
    end = start + new.shape[-2]
    room[..., start:end, :] = new
    return room[..., :end, :]


def cpu_options(model: Any) -> dict[str, Any]:
    """Further arguments of `generate` for a model on a CPU; none elsewhere."""
    if model.device.type != "cpu":
        return {}
    # Keys and values of grouped heads are used as they are; transformers would else copy them for every head where rows are padded.
    os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")
    return {"past_key_values": roomy_cache(model)}


def roomy_cache(model: Any) -> DynamicCache:
    """For `generate(past_key_values=...)`. Layers with a sliding window stay as transformers makes them."""
    cache = DynamicCache(config=model.config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
