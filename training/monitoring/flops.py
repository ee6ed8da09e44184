"""Floating-point operations of a training step, from sizes and lengths alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """What a forward pass runs: tokens, pairs of a query and a key that it may see, and tokens whose logits are formed.
    Numbers, or tensors of no dimension where reading them would make the device wait."""

    tokens: Any = 0
    pairs: Any = 0
    scored: Any = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.pairs + other.pairs, self.scored + other.scored)

    @classmethod
    def of_batch(cls, inputs: dict[str, Any]) -> Work:
        """Of a batch as TRL's collators make it: rows padded on the right, or several rows in one with `position_ids`."""
        if "attention_mask" in inputs:
            mask = inputs["attention_mask"].double()
            seen = mask.cumsum(-1) * mask
        else:
            seen = inputs["position_ids"].double() + 1
        answered = inputs["completion_mask"] if "completion_mask" in inputs else inputs["labels"] != -100
        return cls((seen > 0).sum().double(), seen.sum(), answered.sum().double())

    @classmethod
    def of_shared(cls, prefix: int, tails: Sequence[int]) -> Work:
        """Of one prefix run once, with tails that see it and themselves; what is scored is not in these lengths."""
        pairs = prefix * (prefix + 1) / 2 + sum(tail * prefix + tail * (tail + 1) / 2 for tail in tails)
        return cls(prefix + sum(tails), pairs)


@dataclass(frozen=True)
class Weights:
    """Sizes that a step's operations depend on, in numbers of weights; `attention` is heads x head size x layers."""

    body: int
    head: int
    attention: int
    lora: int

    @classmethod
    def of(cls, config: Any, lora: int) -> Weights | None:
        """From the config of a decoder with grouped heads and a gated MLP, as SmolLM3's; None where it is another kind."""
        names = "hidden_size intermediate_size num_attention_heads num_key_value_heads num_hidden_layers vocab_size".split()
        if any(getattr(config, name, None) is None for name in names):
            return None
        hidden, inner, heads, shared, layers, vocabulary = (getattr(config, name) for name in names)
        size = getattr(config, "head_dim", None) or hidden // heads
        layer = 2 * hidden * heads * size + 2 * hidden * shared * size + 3 * hidden * inner
        return cls(layer * layers, vocabulary * hidden, heads * size * layers, lora)


def step_flops(weights: Weights, work: Work, checkpointing: bool = False, reference: bool = False) -> float:
    """Floating-point operations of forward and backward over `work` with LoRA on frozen linear layers.

    Forward 2 per weight and token and 4 per attention width and pair. Backward: gradients of the inputs alone for frozen
    weights (2), both for LoRA's (4), 2.5 times the forward for attention (a flash kernel recomputes its scores), and
    twice the forward for the head, whose logits TRL forms again. `checkpointing` adds a forward of the body;
    `reference`, for alignment, a forward with the adapter off.
    """
    linear, lora, head = 2 * weights.body * work.tokens, 2 * weights.lora * work.tokens, 2 * weights.head * work.scored
    attention = 4 * weights.attention * work.pairs
    forward = linear + lora + attention + head
    backward = linear + 2 * lora + 2.5 * attention + 2 * head
    return forward + backward + checkpointing * (forward - head) + reference * (forward - lora)
