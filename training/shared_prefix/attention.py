"""Attention for answers to one prompt, run over one copy of it.

A preference pair of our data is some 10,000 tokens of prompt and twice 900 of answer. TRL runs prompt + chosen and
prompt + rejected as two rows; here they are one, [prompt | chosen | rejected]: positions restart at each answer, and no
answer sees another. That is exact, not an approximation: causal attention gives the prompt's tokens the same states
whatever follows them (prefix sharing for DPO: arXiv 2410.20305). k references of one card under SFT are the same case.

`PrefixSharing` packs a padded batch before the decoder and spreads the states out again behind it, so that labels, the
fused head, every loss and every metric stay TRL's own. Attention comes in two kinds:

    split    one causal call for [prompt | first answer], one more for each further answer; any device
    varlen   one call of a variable-length kernel with unequal query and key lengths; CUDA, in bfloat16 or float16
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "shared_prefix"
KINDS = ("auto", "split", "varlen")
HALVES = (torch.float16, torch.bfloat16)  # what CUDA's fast kernels take, varlen ones and those for grouped queries


@dataclass(frozen=True)
class Group:
    """Rows of one prompt as they lie in the packed row: `start`, the shared tokens, then each row's own."""

    start: int
    prefix: int
    tails: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + self.prefix + sum(self.tails)

    def further(self) -> Iterator[tuple[int, int]]:
        """Start and length of every tail but the first, which follows the prefix as in any causal row."""
        at = self.start + self.prefix + self.tails[0]
        for tail in self.tails[1:]:
            yield at, tail
            at += tail


@dataclass(frozen=True)
class Plan:
    """How a padded batch of shape (rows, length) becomes one row of `tokens` tokens and back.

    `source` (tokens,) is each packed token's place in the flattened batch, `target` (rows, length) the way back, with 0
    for padding, whose states nobody reads. `positions` (1, tokens) restart after the prefix for every tail.
    """

    groups: tuple[Group, ...]
    source: torch.Tensor
    target: torch.Tensor
    positions: torch.Tensor

    @property
    def tokens(self) -> int:
        return self.groups[-1].stop

    @cached_property
    def segments(self) -> Segments:
        return Segments.of(self.groups, self.source.device)

    @cached_property
    def masks(self) -> dict[tuple[int, int], torch.Tensor]:
        """Lower-right causal masks by (prefix, tail): CUDA's kernels know the pattern, other devices need it written."""
        shapes = {(group.prefix, tail) for group in self.groups for _, tail in group.further()}
        device = self.source.device
        if device.type == "cuda":
            return {(prefix, tail): causal_lower_right(tail, prefix + tail) for prefix, tail in shapes}
        return {
            (prefix, tail): torch.ones(tail, prefix + tail, dtype=torch.bool, device=device).tril(prefix)
            for prefix, tail in shapes
        }


@dataclass(frozen=True)
class Segments:
    """The groups as a variable-length kernel takes them: queries in packed order, keys with each further tail's prefix
    before it again. Causal masks of such kernels are aligned to the lower right."""

    keys: torch.Tensor
    query_ends: torch.Tensor
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, groups: Sequence[Group], device: torch.device) -> Segments:
        keys, queries, lengths = [], [], []
        for group in groups:
            first = group.prefix + group.tails[0]
            keys.append(torch.arange(group.start, group.start + first))
            queries.append(first)
            lengths.append(first)
            for at, tail in group.further():
                keys += [torch.arange(group.start, group.start + group.prefix), torch.arange(at, at + tail)]
                queries.append(tail)
                lengths.append(group.prefix + tail)
        return cls(torch.cat(keys).to(device), _ends(queries, device), _ends(lengths, device), max(queries), max(lengths))


def _ends(lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)


def plan(input_ids: torch.Tensor, attention_mask: torch.Tensor, answered: torch.Tensor) -> Plan:
    """The plan for a batch padded on the right; all arguments have shape (rows, length).

    Rows whose tokens before the first answered one are the same make a group. What its rows have in common from the
    start is run once, the first words of the answers included, but every row keeps one token of its own.
    """
    ids, mask = input_ids.cpu(), attention_mask.cpu().bool()
    lengths = mask.sum(1).tolist()
    assert bool((mask == (torch.arange(ids.size(1)) < mask.sum(1, keepdim=True))).all()), "rows must be padded on the right"
    prompts = answered.cpu().bool().int().argmax(1).tolist()
    by_prompt: dict[bytes, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_prompt.setdefault(ids[row, :prompt].numpy().tobytes(), []).append(row)

    groups, source, positions = [], [], []
    target = torch.zeros(ids.shape, dtype=torch.long)
    at = 0
    for rows in by_prompt.values():
        prefix = common_prefix([ids[row, : lengths[row]] for row in rows])
        group = Group(at, prefix, tuple(lengths[row] - prefix for row in rows))
        target[rows, :prefix] = torch.arange(at, at + prefix)
        source.append(rows[0] * ids.size(1) + torch.arange(prefix))
        positions.append(torch.arange(prefix))
        at += prefix
        for row in rows:
            own = torch.arange(prefix, lengths[row])
            target[row, own] = torch.arange(at, at + len(own))
            source.append(row * ids.size(1) + own)
            positions.append(own)
            at += len(own)
        groups.append(group)
    device = input_ids.device
    return Plan(tuple(groups), torch.cat(source).to(device), target.to(device), torch.cat(positions)[None].to(device))


def common_prefix(rows: Sequence[torch.Tensor]) -> int:
    """Tokens that all rows share from the start, at most one less than the shortest; 0 for a single row."""
    if len(rows) == 1:
        return 0
    most = min(len(row) for row in rows) - 1
    same = torch.stack([row[:most] == rows[0][:most] for row in rows]).all(0)
    return most if bool(same.all()) else int(same.int().argmin())


def split_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: Plan, scale: float | None, dropout: float
) -> torch.Tensor:
    """Attention over a packed row by plain causal calls; query (1, heads, tokens, d), key and value (1, kv_heads, tokens, d)."""
    # In float32 grouped heads would get the kernel that holds all scores: (heads, tokens, tokens).
    if query.is_cuda and query.dtype not in HALVES:
        key, value = (tensor.repeat_interleave(query.size(1) // tensor.size(1), 1) for tensor in (key, value))
    options: dict[str, Any] = {"dropout_p": dropout, "scale": scale, "enable_gqa": query.size(1) != key.size(1)}
    outputs = []
    for group in plan.groups:
        first = slice(group.start, group.start + group.prefix + group.tails[0])
        outputs.append(
            scaled_dot_product_attention(query[:, :, first], key[:, :, first], value[:, :, first], is_causal=True, **options)
        )
        shared = slice(group.start, group.start + group.prefix)
        for at, tail in group.further():
            own = slice(at, at + tail)
            keys = torch.cat([key[:, :, shared], key[:, :, own]], dim=2)
            values = torch.cat([value[:, :, shared], value[:, :, own]], dim=2)
            mask = plan.masks[group.prefix, tail]
            outputs.append(scaled_dot_product_attention(query[:, :, own], keys, values, attn_mask=mask, **options))
    return torch.cat(outputs, dim=2)


def varlen_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: Plan, scale: float | None, kernel: Callable
) -> torch.Tensor:
    """The same by one call of `kernel`; shapes as for `split_attention`."""
    segments = plan.segments
    keys, values = (tensor[0].transpose(0, 1).index_select(0, segments.keys) for tensor in (key, value))
    output = kernel(query[0].transpose(0, 1).contiguous(), keys, values, segments, scale)
    return output.transpose(0, 1)[None]


def varlen_kernel() -> Callable:
    """torch's own variable-length kernel where it takes grouped queries, else flash-attn's.

    Raises ValueError where neither is there.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn

        if {"enable_gqa", "window_size"} <= inspect.signature(varlen_attn).parameters.keys():
            return lambda query, keys, values, at, scale: varlen_attn(
                query, keys, values, at.query_ends, at.key_ends, at.longest_query, at.longest_key,
                scale=scale, window_size=(-1, 0), enable_gqa=True,
            )  # fmt: skip
    except ImportError:
        pass
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        raise ValueError(
            "shared_prefix_attention is varlen, which needs torch 2.12 or newer, or flash-attn; set it to split, which needs neither"
        ) from None
    return lambda query, keys, values, at, scale: flash_attn_varlen_func(
        query, keys, values, at.query_ends, at.key_ends, at.longest_query, at.longest_key, softmax_scale=scale, causal=True
    )


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    shared_prefix: tuple[Plan, Callable | None, bool] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in every layer. Without a plan (generation, plain forward) it is transformers' sdpa."""
    if shared_prefix is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    packed, kernel, required = shared_prefix
    device = query.device.type
    if torch.is_autocast_enabled(device):  # which does this for sdpa and knows no varlen kernel
        query, key, value = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (query, key, value))
    if kernel is not None and query.dtype in HALVES:
        output = varlen_attention(query, key, value, packed, scaling, kernel)
    elif required:
        raise ValueError(
            f"shared_prefix_attention is varlen, which computes in bfloat16 or float16, and the model in {query.dtype}; "
            "set bf16: true, or shared_prefix_attention: auto"
        )
    else:
        output = split_attention(query, key, value, packed, scaling, dropout)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


class PrefixSharing:
    """Lets the decoders of some models run batches by a plan while `over` is open, and as ever outside it.

    attention: one of `KINDS`; `auto` is varlen on CUDA where a kernel is there and takes the dtype, else split.
    Raises ValueError for an attention implementation that cannot express the mask.
    """

    def __init__(self, attention: str = "auto") -> None:
        if attention not in KINDS:
            raise ValueError(f'shared_prefix_attention is "{attention}"; choose one of {", ".join(KINDS)}')
        if attention == "varlen" and not torch.cuda.is_available():
            raise ValueError("shared_prefix_attention is varlen, which needs a CUDA device; set it to split or auto")
        self.attention = attention
        self.plan: Plan | None = None

    def attach(self, model: Any) -> None:
        """`model`: a causal language model of transformers, as it is or inside PEFT. Done before anything wraps it."""
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        refuse_what_cannot_share(causal.config)
        causal.set_attn_implementation(NAME)
        causal.base_model.register_forward_pre_hook(self._pack, with_kwargs=True)
        causal.base_model.register_forward_hook(self._spread)

    @contextmanager
    def over(self, plan: Plan | None) -> Iterator[None]:
        outer, self.plan = self.plan, plan
        try:
            yield
        finally:
            self.plan = outer

    @cached_property
    def varlen(self) -> Callable | None:
        if self.attention == "split":
            return None
        try:
            return varlen_kernel()
        except ValueError:
            if self.attention == "varlen":
                raise
            return None

    def _pack(self, _: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        if self.plan is None:
            return None
        packed = kwargs | {
            "input_ids": kwargs["input_ids"].flatten().index_select(0, self.plan.source)[None],
            "position_ids": self.plan.positions,
            # A mask of four dimensions is passed on as it stands: none of (tokens, tokens) is built, and restarting
            # positions are not taken for packed documents, which would hide the prompt from later answers.
            "attention_mask": self.plan.positions[None, None],
            NAME: (self.plan, self.varlen if kwargs["input_ids"].is_cuda else None, self.attention == "varlen"),
        }
        return args, packed

    def _spread(self, _: torch.nn.Module, args: tuple, output: Any) -> Any:
        if self.plan is None:
            return None
        states = output.last_hidden_state[0].index_select(0, self.plan.target.flatten())
        output.last_hidden_state = states.view(*self.plan.target.shape, -1)
        return output


def refuse_what_cannot_share(config: Any) -> None:
    asked = config._attn_implementation
    if asked not in (None, "sdpa", NAME):
        raise ValueError(
            f"attn_implementation is {asked}, which cannot run two answers over one prompt; set attn_implementation: sdpa, or shared_prefix: false"
        )
    other = set(getattr(config, "layer_types", None) or []) - {"full_attention"}
    if other:
        raise ValueError(
            f"{config.model_type} has layers of {', '.join(sorted(other))}: only full attention can share a prompt; set shared_prefix: false"
        )
