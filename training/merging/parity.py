"""Two models that should say the same: how far apart their logits are on real prompts.

The first model is observed, the second compared with what was observed, so both are never in memory at once. Of a prompt
of 10,000 tokens only the last positions and those of the continuation are kept: whole, its logits would be 5 GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from data_prep.prompts.end_tokens import end_ids
from data_prep.prompts.student import SYSTEM, render

PROMPT_POSITIONS = 64
UNGROUPED = "ungrouped"
PROBE = "Merging must not change what the model says about 12 models, 3.4B parameters and https://example.org/a-page."


@dataclass(frozen=True)
class Observed:
    """One prompt with a model's own greedy continuation, and that model's logits there.

    `ids`: (tokens,), prompt and continuation. `logits`: (positions, vocabulary) float32 on the CPU, of the last
    `positions` tokens. `generated`: tokens of the continuation.
    """

    ids: Any
    logits: Any
    generated: int


def real_prompts(run_dir: Path, tokenizer: Any, count: int) -> list[str]:
    """The first `count` different prompts of the run's validation rows, or of its training rows, as rendered; a built-in
    one where the run has no rows."""
    for name in ("validation", "train"):
        path = run_dir / "data" / "sft" / f"{name}.parquet"
        prompts = _first(_prompts(path, tokenizer), count) if path.exists() else []
        if prompts:
            return prompts
    return [render([{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROBE}], tokenizer)]


def _prompts(path: Path, tokenizer: Any) -> Iterator[str]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=16, columns=["prompt"]):
        yield from (render(row["prompt"], tokenizer) for row in batch.to_pylist())


def _first(prompts: Iterator[str], count: int) -> list[str]:
    found: dict[str, None] = {}
    for prompt in prompts:
        found[prompt] = None
        if len(found) == count:
            break
    return list(found)


def without_grouped_attention(model: Any) -> Any:
    """The model with keys and values repeated for each query head, where its attention is torch's. In float32 CUDA's kernels for grouped
    heads are none but the one that holds all scores: 16 heads over 14,000 tokens would take 34 GB."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        key, value = (repeat_kv(tensor, query.size(1) // tensor.size(1)) for tensor in (key, value))
        # Not the module itself: it names its groups, and they would be repeated or announced again.
        nameless: Any = SimpleNamespace(is_causal=getattr(module, "is_causal", True))
        return sdpa_attention_forward(nameless, query, key, value, mask, **options)

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    if causal.config._attn_implementation == "sdpa":
        AttentionInterface.register(UNGROUPED, attention)
        AttentionMaskInterface.register(UNGROUPED, sdpa_mask)
        causal.set_attn_implementation(UNGROUPED)
    return model


def observe(model: Any, tokenizer: Any, prompts: Sequence[str], greedy_tokens: int) -> list[Observed]:
    """What `model` says after each prompt, greedily, until it ends or has said `greedy_tokens`, and its logits there."""
    import torch

    seen = []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
        with torch.inference_mode():
            ids = model.generate(
                **inputs,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=greedy_tokens,
                eos_token_id=list(end_ids(tokenizer, model.generation_config)),
                pad_token_id=tokenizer.pad_token_id,
            )
        length = inputs["input_ids"].shape[1]
        generated = ids.shape[1] - length
        seen.append(Observed(ids[0].cpu(), last_logits(model, ids, min(length, PROMPT_POSITIONS) + generated), generated))
    return seen


def last_logits(model: Any, ids: Any, positions: int) -> Any:
    """Logits of the last `positions` tokens of `ids` (1, tokens): (positions, vocabulary), float32 on the CPU."""
    import torch

    with torch.inference_mode():
        return model(input_ids=ids.to(model.device), logits_to_keep=positions, use_cache=False).logits[0].float().cpu()


def compare(model: Any, observed: Sequence[Observed]) -> dict[str, Any]:
    """How far `model` is from what was observed: of all prompts together, and of each one.

    `max` and `mean`: of the absolute differences of all logits at the kept positions. `equal_tokens`: the share of the
    continuation's tokens for which both models' likeliest token is the same, each given the observed continuation up to
    there (teacher-forced, so one early difference is not counted again at every later token). `first_difference`: the
    first such token that differs, counted from 0, which is where greedy decoding would part; None where none does.
    `logit_std`: standard deviation of the observed logits, for scale.
    """
    rows = [_compare(last_logits(model, seen.ids[None], len(seen.logits)), seen) for seen in observed]
    positions, generated = (sum(row[name] for row in rows) for name in ("positions", "generated"))
    together = {
        "positions": positions,
        "generated": generated,
        "max": max(row["max"] for row in rows),
        "mean": sum(row["mean"] * row["positions"] for row in rows) / positions,
        "equal_tokens": sum(row["equal_tokens"] * row["generated"] for row in rows) / generated,
        "logit_std": sum(row["logit_std"] for row in rows) / len(rows),
    }
    return {"together": together, "prompts": rows}


def _compare(logits: Any, seen: Observed) -> dict[str, Any]:
    difference = (logits - seen.logits).abs()
    # The last position speaks of a token behind the continuation.
    said = slice(len(logits) - seen.generated - 1, -1)
    equal = (logits[said].argmax(-1) == seen.logits[said].argmax(-1)).tolist()
    return {
        "tokens": len(seen.ids) - seen.generated,
        "positions": len(logits),
        "generated": seen.generated,
        "max": difference.max().item(),
        "mean": difference.mean().item(),
        "equal_tokens": sum(equal) / len(equal),
        "first_difference": equal.index(False) if False in equal else None,
        "logit_std": seen.logits.std().item(),
    }
