"""Decoding of one row in fewer steps: what followed the last words where they stood before is proposed, and checked at once.

A summary says much that its prompt says: names, addresses, numbers. A forward pass over eight tokens takes a CPU about as long as
two over one, so proposals pay where a third of them hold. Each token is still chosen from the model's own scores, in order, through
the same logits processors, which see no proposal that failed: the text is that of plain decoding, but for rounding, since sums of
one row and of eight are made in another order.
Method: prompt lookup decoding (Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding), a draft without a draft model as
in speculative decoding (Leviathan et al. 2022, arXiv 2211.17192). transformers' own takes no processor with a memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch

from eval.decoding.grounded import Row
from eval.decoding.kv_cache import RoomyLayer

MOST_PROPOSED = 7
LONGEST_MATCH = 3  # last tokens that are looked up; where they stood nowhere, fewer
SHORTEST_MATCH = 2


class Lookup:
    """Where each run of two and of three tokens stood last."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}  # by run of tokens: where what follows it begins

    def extend(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            # Runs that end before this token, so that the last words never find themselves.
            for size in range(SHORTEST_MATCH, LONGEST_MATCH + 1):
                self._ends[tuple(self._tokens[-size:])] = len(self._tokens)
            self._tokens.append(token)

    def proposed(self) -> list[int]:
        """What followed the last tokens where they stood before; nothing where they are new."""
        for size in range(LONGEST_MATCH, SHORTEST_MATCH - 1, -1):
            if start := self._ends.get(tuple(self._tokens[-size:])):
                return self._tokens[start : start + MOST_PROPOSED]
        return []


def lookup_options(model: Any, options: dict[str, Any], row: Row | None = None) -> dict[str, Any]:
    """`options` of `generate` for one row without padding, with proposals where these are greedy and the cache, of
    `kv_cache.cpu_options`, can be cut back; else as they are. A grounded `row` forgets what it gives up (`forgetful.py`)."""
    cache = options.get("past_key_values")
    croppable = cache is not None and all(isinstance(layer, RoomyLayer) for layer in cache.layers)
    if options["do_sample"] or not croppable or "logits_to_keep" not in signature(model.forward).parameters:
        return options
    return options | {"custom_generate": partial(lookup_decoding, streamer=options.get("streamer"), row=row)}


def lookup_decoding(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    streamer: Any = None,
    row: Row | None = None,
    **model_kwargs: Any,
) -> torch.Tensor:
    """For `generate(custom_generate=...)`, which hands on no streamer: bind it. All tokens, shape (1, tokens), forgotten ones too."""
    cache, lookup = model_kwargs["past_key_values"], Lookup()
    seen = input_ids[0].tolist()  # without what was forgotten
    lookup.extend(seen)
    proposed: list[int] = []
    while True:
        unread = [*seen[cache.get_seq_length() :], *proposed]
        read = torch.tensor([unread], device=input_ids.device)
        logits = model(input_ids=read, past_key_values=cache, use_cache=True, logits_to_keep=len(proposed) + 1).logits
        for at, scores in enumerate(logits[0].float()):
            token = logits_processor(input_ids, scores[None]).argmax(dim=-1)
            given_up = row.take_forgotten() if row else []
            if given_up:
                del seen[len(seen) - len(given_up) :]
            seen.append(token.item())
            input_ids = torch.cat((input_ids, token[None]), dim=-1)
            lookup.extend(token.tolist())
            if streamer:
                streamer.put(token.cpu())
            if stopping_criteria(input_ids, None).all():
                if streamer:
                    streamer.end()
                return input_ids
            if given_up or at == len(proposed) or token.item() != proposed[at]:
                break
        if refused := cache.get_seq_length() - (len(seen) - 1):
            cache.crop(-refused)
        proposed = lookup.proposed()
