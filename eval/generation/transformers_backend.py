"""Summaries by a model in this process, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_prep.core.records import Generation
from data_prep.core.text import first_line
from eval.decoding.pieces import Pieces
from eval.decoding.thoughts import Budget
from eval.generation.held import DecodingControl
from eval.generation.local_model import LocalModel, summary
from eval.generation.requests import Batch, PromptPrefix


def summaries(
    model: LocalModel, batches: Iterable[Batch], system: str, max_new_tokens: int, dtype: str, device: str, thoughts: int = 0
) -> Iterator[list[Generation]]:
    """Loads the weights; then each batch's rows, in the order of its asks. Rows draw with random numbers of their own: what came
    before and what stands beside them changes nothing. `thoughts`: tokens for those of a model that is asked to think. Raises ValueError
    where the weights cannot be loaded."""
    return _written(load_weights(model, dtype).to(device).eval(), model, batches, system, Budget(max_new_tokens, thoughts))


def _written(
    weights: Any, model: LocalModel, batches: Iterable[Batch], system: str, budget: Budget
) -> Iterator[list[Generation]]:
    import torch

    from eval.decoding.forgetful import forgetful_options

    tokenizer, pieces = model.tokenizer, Pieces(model.tokenizer)
    for batch in batches:
        decoding, openings = batch.asks[0].decoding, [ask.opening for ask in batch.asks]
        with torch.inference_mode():
            read = _read(weights, tokenizer, openings, shared=bool(decoding.temperature))
            length = read["input_ids"].shape[1]
            held = DecodingControl(model, decoding, openings, [ask.seed for ask in batch.asks], length, pieces, budget)
            output = weights.generate(
                **read,
                eos_token_id=list(model.end_ids),
                pad_token_id=tokenizer.pad_token_id,
                **forgetful_options(held.options, held.rows),
            )
        new = held.new_tokens(output)
        lengths = read["attention_mask"].sum(dim=1).tolist()
        yield [
            summary(model, ask, system, ids, length, row, thinks=budget.thoughts > 0)
            for ask, ids, length, row in zip(batch.asks, new, lengths, held.rows, strict=True)
        ]
    del weights
    torch.cuda.empty_cache()  # the next system may be vLLM's, which counts what is free


def _read(weights: Any, tokenizer: Any, openings: Sequence[PromptPrefix], shared: bool) -> dict[str, Any]:
    """Arguments of `generate` for these openings, one a row; `shared`: equal ones are read once, and now."""
    from eval.decoding.kv_cache import cpu_options  # with torch, which `--help` need not wait for
    from eval.decoding.shared_prefill import read_once

    texts, grounded = [opening.text for opening in openings], any(opening.source for opening in openings)
    unlike = list(dict.fromkeys(texts)) if shared else texts
    encoded = tokenizer(unlike, return_tensors="pt", padding=True, add_special_tokens=False).to(weights.device)
    if not shared:
        return {**encoded, **cpu_options(weights)}
    rows = [unlike.index(text) for text in texts]
    return read_once(weights, encoded["input_ids"], encoded["attention_mask"], rows, copied=grounded)


def load_weights(model: LocalModel, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            model.place, revision=model.revision, dtype=getattr(torch, dtype), use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f'cannot load the model "{model.place}": {first_line(error)}; run the stage that makes it, or correct systems'
        ) from None


def use_threads(threads: int | None) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def device_of(name: str, local_rank: int) -> str:
    """`auto` and `cuda` are this process's own GPU, `auto` the CPU where there is none. Raises ValueError where a launch has
    more processes than GPUs."""
    import torch

    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return "cpu" if name == "auto" else name
    if local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"process {local_rank} of this machine has no GPU of its own, there are {torch.cuda.device_count()}; lower --num_processes"
        )
    return f"cuda:{local_rank}"
