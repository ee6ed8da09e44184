"""Plain TRL against one copy of the prompt: step time, tokens per second and memory, in one process.

    python -m training.benchmark --config recipes/benchmark/cpu.yaml
    python -m training.benchmark --config recipes/benchmark/h200.yaml

Weights are random, sizes and lengths are the recipe's. A step is forward, reference and backward; the optimiser's own
time is left out (LoRA: milliseconds). Both ways run on the same batch in random order, so that whatever else the machine
does meets both; the ratio is the median over such pairs. On a CPU, time is the process's CPU time. Writes
<run_dir>/benchmark.json.
"""

from __future__ import annotations

import itertools
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from data_prep.manifest import versions
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import write_json


class Pair(Block):
    prompt: int
    chosen: int
    rejected: int


class References(Block):
    prompt: int
    answer: int
    references: int


class BenchmarkConfig(Block):
    config: dict[str, Any] = {}
    """Keys of SmolLM3Config; what is left out is SmolLM3-3B's."""
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: Literal["split", "varlen"] = "split"
    """How several answers attend to one prompt."""
    threads: int = 1
    """CPU threads of torch."""
    lora_r: int = 16
    pairs: list[Pair] = []
    """Lengths in tokens of the pairs to align on, one pair a step."""
    references: list[Literal["adapter_off", "precomputed"]] = ["adapter_off", "precomputed"]
    """Where the reference's log-probs come from."""
    checkpointing: list[bool] = [False, True]
    sft: list[References] = []
    """Lengths in tokens of prompt and answers for SFT; one reference has nothing to share and is timed alone."""
    repeats: int = 5


@dataclass(frozen=True)
class Case:
    """One setting. `tokens` are those of the rows as TRL runs them; ours run fewer for the same work."""

    name: str
    tokens: int
    batch: dict[str, Any]
    checkpointing: bool
    precomputed: bool = False
    shares: bool = True


@dataclass(frozen=True)
class Subject:
    """A trainer of ours, and the trainer of TRL that it stands on."""

    trainer: Any
    loss: Callable[[str, dict[str, Any]], Any]

    def step(self, way: str, case: Case) -> None:
        """One step's forward, reference and backward. Plain TRL runs on transformers' own attention, not on ours idle."""
        model = self.trainer.model
        model.get_base_model().config._attn_implementation = {"plain": "sdpa", "shared": "shared_prefix"}[way]
        self.trainer.precompute_ref_logps = case.precomputed
        model.gradient_checkpointing_enable() if case.checkpointing else model.gradient_checkpointing_disable()
        self.loss(way, case.batch).backward()
        model.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Measured:
    """Seconds of each repeat and peak memory in bytes above the weights, by way; None where it did not fit."""

    name: str
    tokens: int
    seconds: dict[str, list[float] | None]
    peak: dict[str, int | None]

    def ratios(self) -> list[float]:
        plain, ours = self.seconds.get("plain"), self.seconds.get("shared")
        return [a / b for a, b in zip(plain, ours, strict=True)] if plain and ours else []

    def line(self) -> str:
        parts = [f"{self.name:<44}"]
        for way, seconds in self.seconds.items():
            if seconds is None:
                parts.append(f"{way} does not fit")
                continue
            middle = statistics.median(seconds)
            parts.append(f"{way} {middle:.3g} s, {self.tokens / middle:,.0f} tokens/s, {self.peak[way] / 2**20:,.0f} MiB")
        if ratios := self.ratios():
            memory = self.peak["shared"] / self.peak["plain"]
            parts.append(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), memory {memory:.2f}")
        return " | ".join(parts)


def main(recipe: Recipe[BenchmarkConfig]) -> None:
    import torch

    from training.answers_head import score_answers_alone

    block = recipe.block
    if block.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("benchmark.device is cuda and this machine has none; use recipes/benchmark/cpu.yaml")
    torch.set_num_threads(block.threads)
    score_answers_alone()  # TRL's best: on a CPU it would score the whole prompt as well
    chance = random.Random(recipe.seed)
    results = []
    for subject, cases in subjects(block, recipe.seed):
        for case in cases:
            results.append(measure(subject, case, block, chance))
            print(results[-1].line(), flush=True)
    write_json(recipe.run_dir / "benchmark.json", record(recipe, results))
    print(f"benchmark: {len(results)} settings in {recipe.run_dir / 'benchmark.json'}")


def record(recipe: Recipe[BenchmarkConfig], results: list[Measured]) -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if recipe.block.device == "cuda" else platform.processor() or platform.machine()
    return {
        "date": date.today().isoformat(),
        "device": device,
        "versions": versions(),
        "recipe": recipe.resolved(),
        "results": [asdict(result) | {"ratios": result.ratios()} for result in results],
    }


def subjects(block: BenchmarkConfig, seed: int) -> Iterator[tuple[Subject, Iterator[Case]]]:
    """Alignment first, then SFT, each on a model of its own."""
    if block.pairs:
        yield alignment(block, seed)
    if block.sft:
        yield sft(block, seed)


def alignment(block: BenchmarkConfig, seed: int) -> tuple[Subject, Iterator[Case]]:
    from trl import DPOConfig, DPOTrainer

    from training.shared_prefix import SharedPrefixDPOTrainer

    row = {"prompt": "a", "chosen": " b", "rejected": " c"}
    trainer = build_trainer(block, seed, SharedPrefixDPOTrainer, DPOConfig, row, loss_type=["apo_zero"])
    kinds = {"plain": DPOTrainer, "shared": SharedPrefixDPOTrainer}
    return Subject(trainer, lambda way, batch: kinds[way]._compute_loss(trainer, trainer.model, batch, False)), pair_cases(
        block, trainer
    )


def pair_cases(block: BenchmarkConfig, trainer: Any) -> Iterator[Case]:
    for pair in block.pairs:
        row = {"prompt_ids": tokens(pair.prompt), "chosen_ids": tokens(pair.chosen), "rejected_ids": tokens(pair.rejected)}
        batch = on_device(trainer.data_collator([row | {"ref_chosen_logps": -1.0, "ref_rejected_logps": -1.0}]), block)
        for reference in block.references:
            for checkpointing in block.checkpointing:
                yield Case(
                    f"{pair.prompt} + {pair.chosen} + {pair.rejected}, {reference}{', checkpointing' * checkpointing}",
                    2 * pair.prompt + pair.chosen + pair.rejected,
                    batch,
                    checkpointing,
                    reference == "precomputed",
                )


def sft(block: BenchmarkConfig, seed: int) -> tuple[Subject, Iterator[Case]]:
    from trl import SFTConfig, SFTTrainer

    from training.shared_prefix import SharedPrefixSFTTrainer

    trainer = build_trainer(block, seed, SharedPrefixSFTTrainer, SFTConfig, {"prompt": "a", "completion": " b"})
    kinds = {"plain": SFTTrainer, "shared": SharedPrefixSFTTrainer}
    return Subject(trainer, lambda way, batch: kinds[way].compute_loss(trainer, trainer.model, dict(batch))), sft_cases(
        block, trainer
    )


def sft_cases(block: BenchmarkConfig, trainer: Any) -> Iterator[Case]:
    for card in block.sft:
        prompt, answers = tokens(card.prompt), [tokens(card.answer) for _ in range(card.references)]
        rows = [{"input_ids": prompt + answer, "labels": [-100] * card.prompt + answer} for answer in answers]
        batch = on_device(trainer.data_collator(rows), block)
        for checkpointing in block.checkpointing:
            name = f"SFT {card.prompt} + {card.references} x {card.answer}{', checkpointing' * checkpointing}"
            count = card.references * (card.prompt + card.answer)
            yield Case(name, count, batch, checkpointing, shares=card.references > 1)


def tokens(count: int) -> list[int]:
    import torch

    return torch.randint(4, 1000, (count,)).tolist()


def on_device(batch: dict[str, Any], block: BenchmarkConfig) -> dict[str, Any]:
    return {name: value.to(block.device) for name, value in batch.items()}


def build_trainer(block: BenchmarkConfig, seed: int, kind: type, config: type, row: dict[str, str], **options: Any) -> Any:
    """Our trainer on random weights, with one row of text that nobody trains on."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    torch.manual_seed(seed)
    sizes = SmolLM3Config(pad_token_id=0, bos_token_id=None, eos_token_id=0, **block.config)
    with torch.device(block.device):
        model = SmolLM3ForCausalLM._from_config(sizes, dtype=getattr(torch, block.dtype))
    options |= {"gradient_checkpointing": True, "use_cpu": block.device == "cpu", "bf16": False, "report_to": "none"}
    trainer = kind(
        model,
        args=config(output_dir="unused", max_length=None, **options),
        train_dataset=Dataset.from_list([row]),
        processing_class=letters(),
        peft_config=LoraConfig(r=block.lora_r, target_modules="all-linear"),
        shared_prefix_attention=block.attention,
    )
    trainer.agrees = True  # tests measure that; here it would be timed
    trainer.model.train()
    return trainer


def letters() -> Any:
    """A tokenizer of three letters: rows are made of numbers, the trainer only wants to have one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "a": 1, "b": 2, "c": 3}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def measure(subject: Subject, case: Case, block: BenchmarkConfig, chance: random.Random) -> Measured:
    """Each way once for its memory, which warms it up, then `repeats` times in random order."""
    ways = ("plain", "shared") if case.shares else ("plain",)
    peak = {way: peak_memory(lambda way=way: subject.step(way, case), block.device) for way in ways}
    seconds = {way: [] if peak[way] is not None else None for way in ways}
    for _ in range(block.repeats):
        for way in chance.sample(ways, len(ways)):
            if seconds[way] is not None:
                seconds[way].append(timed(lambda way=way: subject.step(way, case), block.device))
    return Measured(case.name, case.tokens, seconds, peak)


def timed(step: Callable[[], None], device: str) -> float:
    """Seconds: of this process's CPU, which others on the machine hardly move, or of the clock for a GPU."""
    if device == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(step: Callable[[], None], device: str) -> int | None:
    """Bytes that torch's allocator held at most during the step, above what it held before; None where they ran out."""
    import torch

    if device == "cpu":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            step()
        events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
        changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        return max(itertools.accumulate(changes), default=0)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    try:
        step()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None
    return torch.cuda.max_memory_allocated() - before


if __name__ == "__main__":
    command("benchmark", BenchmarkConfig, main, __doc__, "training.benchmark")
