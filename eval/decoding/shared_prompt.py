"""Rows that go on from one prompt look at one copy of its keys and values, on a CPU.

Each step of decoding reads every key and value that is kept, which for many rows of long prompts takes longer than the weights do. Here a
prompt's are read once for all its rows, as matrix products of its rows' queries (Juravsky et al. 2024, Hydragen, arXiv 2402.05099), and
without the padding of shorter prompts. What comes out is the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from eval.decoding.kv_cache import RoomyLayer

NAME = "shared_prompt"
MARK = "_shares_prompts"  # of a model that was tried
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}  # of the largest logit


WORTH = 4_000_000  # bytes that a layer need not read for each prompt: below, the further calls take longer than the reading


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
        self.prompts, self._length = prompts, length

    def get_seq_length(self) -> int:
        return self._length + super().get_seq_length()

    def attend(self, query: torch.Tensor, scaling: float) -> torch.Tensor:
        """`query`, shape (rows, heads, 1, dimensions); what comes back has the dimensions of values."""
        rows, heads, _, size = query.shape
        precision = torch.promote_types(query.dtype, torch.float32)
        grouped = (query * scaling).view(rows, self.keys.shape[1], -1, size)
        own = grouped @ self.keys.transpose(-1, -2)
        output = grouped.new_empty(*grouped.shape[:-1], self.values.shape[-1])
        for prompt in self.prompts:
            # (heads of keys, rows and heads of queries, dimensions)
            asked = grouped[prompt.rows].transpose(0, 1)
            scores = (asked.flatten(1, 2) @ prompt.keys.transpose(-1, -2)).view(*asked.shape[:3], -1).transpose(0, 1)
            weights = torch.cat([scores, own[prompt.rows]], dim=-1).softmax(dim=-1, dtype=precision).to(query.dtype)
            on_prompt, on_own = weights.split([scores.shape[-1], own.shape[-1]], dim=-1)
            found = (on_prompt.transpose(0, 1).flatten(1, 2) @ prompt.values).view(*asked.shape[:-1], -1).transpose(0, 1)
            output[prompt.rows] = found + on_own @ self.values[prompt.rows]
        return output.view(rows, heads, 1, -1)


def can_share(model: Any, cache: DynamicCache, rows: Sequence[int]) -> bool:
    """False where it would not pay, and of models whose layers have a window, a state or an attention of their own, which is found
    by trying: once for each model."""
    if model.device.type != "cpu" or model.config._attn_implementation not in ("sdpa", NAME):
        return False
    if not all(type(layer) in (DynamicLayer, RoomyLayer) for layer in cache.layers) or not _pays(cache.layers[0], rows):
        return False
    if not hasattr(model, MARK):
        setattr(model, MARK, _agrees(model))
    return getattr(model, MARK)


def _pays(layer: Any, rows: Sequence[int]) -> bool:
    prompts = len(set(rows))
    return (len(rows) - prompts) * 2 * layer.keys[0].nbytes > prompts * WORTH


def _agrees(model: Any) -> bool:
    """Scores of a few tokens are what they are where each row has its own copy. A model of which they are not is left as it was."""
    ids = torch.arange(1, 15).view(2, 7) % model.config.get_text_config().vocab_size
    mask, rows = torch.ones_like(ids), [0, 1, 0, 1, 1]
    mask[1, :3] = 0
    how = {
        "max_new_tokens": 3,
        "do_sample": False,
        "return_dict_in_generate": True,
        "output_logits": True,
        "eos_token_id": None,
    }
    each = torch.tensor(rows)

    def logits(cache: DynamicCache) -> torch.Tensor:
        made = model.generate(ids[each], attention_mask=mask[each], past_key_values=cache, **how)
        return torch.stack(made.logits)

    def read() -> DynamicCache:
        return model.generate(ids[:, :-1], attention_mask=mask[:, :-1], **{**how, "max_new_tokens": 1}).past_key_values

    handed: Any = read()
    handed.reorder_cache(each)
    expected, undo = logits(handed), _attach(model)
    try:
        found = logits(shared(model, read(), mask[:, :-1], rows))
        if torch.allclose(found.float(), expected.float(), atol=TOLERANCE[model.dtype] * float(expected.abs().max())):
            return True
    except (RuntimeError, TypeError, ValueError):  # of another shape, or deaf to what it is called with
        pass
    undo()
    return False


def _attach(model: Any) -> Callable[[], None]:
    """Returns what takes it back."""
    model.set_attn_implementation(NAME)
    hook = model.base_model.register_forward_pre_hook(_hand_on, with_kwargs=True)

    def undo() -> None:
        hook.remove()
        model.set_attn_implementation("sdpa")

    return undo


def shared(model: Any, cache: DynamicCache, mask: torch.Tensor, rows: Sequence[int]) -> DynamicCache:
    """For `generate(past_key_values=...)` of the rows that go on from the prompts with the numbers `rows`, which `cache` has read;
    `mask`, shape (prompts, tokens), has 0 where they are padded, on the left. For a model that `can_share`."""
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
    index: Any = module.layer_idx
    layer = own_layers[index]
    if key is not layer.keys or value is not layer.values:
        raise RuntimeError("the layer changes keys or values behind the cache, so its prompts cannot be shared")
    output = layer.attend(query, query.shape[-1] ** -0.5 if scaling is None else scaling)
    return output.transpose(1, 2), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
