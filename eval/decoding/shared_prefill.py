"""Several rows of one prompt: it is read once, and its keys and values are shared by the rows, or handed to each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from eval.decoding.kv_cache import cpu_options
from eval.decoding.shared_prompt import can_share, shared


def read_once(model: Any, ids: torch.Tensor, mask: torch.Tensor, rows: Sequence[int], copied: bool = False) -> dict[str, Any]:
    """Arguments of `generate` for the rows that go on from the prompts with the numbers `rows`. `ids` and `mask`, shape (prompts,
    tokens), are padded left. All but the last token is read here: that one each row reads itself, in its first step. `copied`: each row gets keys and values of its own,
    as rows that forget need them."""
    read = model.generate(
        ids[:, :-1],
        attention_mask=mask[:, :-1],
        max_new_tokens=1,
        do_sample=False,
        return_dict_in_generate=True,
        **cpu_options(model),
    )
    each = torch.tensor(rows, device=ids.device)
    cache = read.past_key_values
    if not copied and can_share(model, cache, rows):
        cache = shared(model, cache, mask[:, :-1], rows)
    elif len(rows) > 1:
        # transformers has it for beams: the one choice of rows that layers of every kind know, those with a window or a state as well.
        cache.reorder_cache(each)
    return {"input_ids": ids[each], "attention_mask": mask[each], "past_key_values": cache}
