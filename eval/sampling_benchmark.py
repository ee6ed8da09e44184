"""Measures sampling by transformers: each sample of a card in another batch, against samples side by side that read their prompt once.

    python -m eval.sampling_benchmark
    python -m eval.sampling_benchmark --benchmark.cards 4 --benchmark.samples 4 --benchmark.batch_size 4

Weights and prompts are random, sizes are SmolLM2-135M's. Seconds to read the prompts and to write behind them, of this process's CPU,
which others on the machine hardly move, or of the clock for a GPU. No end is drawn, so all rows are equally long; of batches of one
shape, one is measured and counts for all. Writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from data_prep.core.recipe import Block, command
from eval.decoding.sampling import Decoding, Sampled
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix, plan

WAY = Decoding("sampled", 0, 0.6, 0.95)
SIZES: dict[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


class SamplingBenchmarkConfig(Block):
    cards: int = Field(1, ge=1)
    samples: int = Field(8, ge=1)
    """Of each card."""
    batch_size: int = Field(8, ge=1)
    """Rows of a batch at most."""
    prompt_tokens: int = Field(2000, ge=2)
    new_tokens: int = Field(500, ge=1)
    """Of each sample."""
    threads: int = Field(2, ge=1)
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"


def main(block: SamplingBenchmarkConfig) -> None:
    import torch

    torch.set_num_threads(block.threads)
    model, prompts = random_model(block), torch.randint(1, SIZES["vocab_size"], (block.cards, block.prompt_tokens))
    asks, size = requests(block), block.batch_size
    apart = [batch for at in range(block.samples) for batch in plan([ask for ask in asks if ask.decoding.sample == at], size)]
    totals = []
    for name, batches in (("apart", apart), ("side by side", plan(asks, size))):
        shapes = Counter(rows_of(batch) for batch in batches)
        reading = writing = 0.0
        for rows, count in shapes.items():
            read, write = measure(model, prompts, rows, block)
            reading, writing = reading + count * read, writing + count * write
        totals.append(reading + writing)
        print(
            f"{name:>12}: {len(batches)} batches, prompts {reading:.1f} s, tokens {writing:.1f} s, {totals[-1]:.1f} s",
            flush=True,
        )
    print(f"{'ratio':>12}: {totals[0] / totals[1]:.2f}")


def requests(block: SamplingBenchmarkConfig) -> list[GenerationRequest]:
    ways = [replace(WAY, sample=sample) for sample in range(block.samples)]
    return [GenerationRequest(PromptPrefix(str(card), [], ""), way, "") for card in range(block.cards) for way in ways]


def random_model(block: SamplingBenchmarkConfig) -> Any:
    """Warmed up."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SIZES, bos_token_id=None, eos_token_id=None, pad_token_id=0)
    model = LlamaForCausalLM._from_config(config, dtype=getattr(torch, block.dtype)).to(block.device).eval()
    model.generate(torch.ones(2, 50, dtype=torch.long, device=model.device), max_new_tokens=3, do_sample=False)
    return model


def rows_of(batch: Batch) -> tuple[int, ...]:
    """For each row the number of its prompt within the batch: a batch's shape."""
    cards = [ask.opening.card_id for ask in batch.asks]
    unlike = list(dict.fromkeys(cards))
    return tuple(unlike.index(card) for card in cards)


def measure(model: Any, prompts: Any, rows: Sequence[int], block: SamplingBenchmarkConfig) -> tuple[float, float]:
    """Seconds to read the prompts, each once, and to write."""
    import torch

    from eval.decoding.shared_prefill import read_once

    ids = prompts[: max(rows) + 1].to(model.device)
    how = {"max_new_tokens": block.new_tokens, "do_sample": False, "logits_processor": [Sampled(WAY, rows)]}
    with torch.inference_mode():
        read, reading = timed(lambda: read_once(model, ids, torch.ones_like(ids), rows), block.device)
        _, writing = timed(lambda: model.generate(**read, **how), block.device)
    return reading, writing


def timed(step: Callable[[], Any], device: str) -> tuple[Any, float]:
    import torch

    clock, wait = (time.process_time, lambda: None) if device == "cpu" else (time.perf_counter, torch.cuda.synchronize)
    wait()
    start = clock()
    result = step()
    wait()
    return result, clock() - start


if __name__ == "__main__":
    arguments = ["--run_dir", "unused", *sys.argv[1:]]
    command(
        "benchmark",
        SamplingBenchmarkConfig,
        lambda recipe: main(recipe.block),
        __doc__,
        "eval.sampling_benchmark",
        arguments,
    )
