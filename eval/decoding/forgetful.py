"""Decoding in which a row forgets what it gave up, since a loop that the model goes on to see it goes on with, and in which a row that has
ended takes no more time: a batch's last row decodes alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch

from eval.decoding.grounded import Row


def forgetful_options(options: dict[str, Any], rows: Sequence[Row | None]) -> dict[str, Any]:
    """`options` of `generate`, under which grounded `rows` forget; as they are where rows are free."""
    if not any(rows):
        return options
    return options | {"custom_generate": partial(forgetful_decoding, rows=rows, streamer=options.get("streamer"))}


def forgetful_decoding(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    rows: Sequence[Row | None],
    streamer: Any = None,
    **model_kwargs: Any,
) -> torch.Tensor:
    """For `generate(custom_generate=...)`: all tokens, shape (rows, tokens), forgotten ones too. What is forgotten is masked, and positions
    count what is not, as if it had never been written. Rows that have ended leave the cache."""
    cache, mask, prompt = model_kwargs["past_key_values"], model_kwargs.get("attention_mask"), input_ids.shape[1]
    mask = torch.ones_like(input_ids) if mask is None else mask
    known = signature(model.forward).parameters
    keep = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
    going = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    padding = generation_config.pad_token_id
    left, unread = going.nonzero().flatten(), input_ids[:, cache.get_seq_length() :]
    while True:
        seen = mask[left]
        positions = (seen.cumsum(dim=1) - 1).clamp(min=0)[:, -unread.shape[1] :]
        placed = {"position_ids": positions} if "position_ids" in known else {}
        read = model(input_ids=unread, attention_mask=seen, past_key_values=cache, use_cache=True, **placed, **keep)
        logits = read.logits[:, -1].float()
        scores = logits.new_zeros(len(rows), logits.shape[-1]).index_copy(0, left, logits)
        tokens = logits_processor(input_ids, scores).argmax(dim=-1)
        tokens = torch.where(going, tokens, torch.full_like(tokens, padding if padding is not None else 0))
        for row, one in enumerate(rows):
            if one and (given_up := one.take_forgotten()):
                mask[row, [prompt + number for number in given_up]] = 0
        input_ids = torch.cat((input_ids, tokens[:, None]), dim=-1)
        mask = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=-1)
        if streamer:
            streamer.put(tokens.cpu())
        going &= ~stopping_criteria(input_ids, None)
        if not going.any():
            if streamer:
                streamer.end()
            return input_ids
        if not going[left].all():
            stays = going[left].nonzero().flatten()
            cache.batch_select_indices(stays)
            left = left[stays]
        unread = tokens[left, None]
