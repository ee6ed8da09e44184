"""Plain TRL against one copy of the prompt: step time, tokens per second and memory, in one process.

    python -m training.benchmark --config recipes/benchmark/cpu.yaml
    python -m training.benchmark --config recipes/benchmark/h200.yaml

Weights are random, sizes and lengths are the recipe's. A step is forward, reference and backward; the optimiser's own
time is left out (LoRA: milliseconds). Both ways run on the same batch in random order, so that whatever else the machine
does meets both; the ratio is the median over such pairs. On a CPU, time is the process's CPU time. Writes
<run_dir>/benchmark.json; on CUDA with the share of the card's own matmul rate. Without the card:

    python -m training.benchmark --config recipes/benchmark/h200.yaml --benchmark.predict_at 395
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
from functools import partial
from typing import Any, Literal

from data_prep.core.files import write_json
from data_prep.core.manifest import versions
from data_prep.core.recipe import Block, Recipe, command
from training.monitoring.throughput import Weights, Work, measured_matmul_flops, step_flops
from training.setup.load import torch_dtype


class TimedPair(Block):
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
    pairs: list[TimedPair] = []
    """Lengths in tokens of the pairs to align on, one pair a step."""
    references: list[Literal["adapter_off", "precomputed"]] = ["adapter_off", "precomputed"]
    """Where the reference's log-probs come from."""
    checkpointing: list[bool] = [False, True]
    sft: list[References] = []
    """Lengths in tokens of prompt and answers for SFT; one reference has nothing to share and is timed alone."""
    repeats: int = 5
    predict_at: float | None = None
    """TFLOP/s. Where it is given nothing runs: seconds are the operations of a step at this rate."""


@dataclass(frozen=True)
class Case:
    """One setting: a prompt and its answers, in tokens. A pair is aligned on, anything else is SFT."""

    prompt: int
    answers: tuple[int, ...]
    checkpointing: bool
    reference: str | None = None

    @property
    def name(self) -> str:
        lengths = " + ".join(map(str, (self.prompt, *self.answers)))
        return f"{self.reference or 'SFT'}, {lengths}{', checkpointing' * self.checkpointing}"

    @property
    def ways(self) -> tuple[str, ...]:
        return ("plain", "shared") if len(self.answers) > 1 else ("plain",)

    @property
    def tokens(self) -> int:
        """Of the rows as TRL runs them; ours run fewer for the same work."""
        return len(self.answers) * self.prompt + sum(self.answers)

    def flops(self, way: str, weights: Weights) -> float:
        """Operations that the step needs when it is run this way, nothing masked or padded among them."""
        packed = [(self.prompt, self.answers)] if way == "shared" else [(self.prompt, (answer,)) for answer in self.answers]
        work = sum((Work.of_shared(prompt, answers) for prompt, answers in packed), Work(scored=sum(self.answers)))
        return step_flops(weights, work, self.checkpointing, self.reference == "adapter_off")


@dataclass(frozen=True)
class Subject:
    """A trainer of ours, and the loss by either way: of TRL's trainer below it, or of its own."""

    trainer: Any
    loss: Callable[[str, dict[str, Any]], Any]

    def batch(self, case: Case) -> dict[str, Any]:
        prompt, answers = tokens(case.prompt), [tokens(answer) for answer in case.answers]
        if case.reference:
            row = {"prompt_ids": prompt, "chosen_ids": answers[0], "rejected_ids": answers[1]}
            rows = [row | {"ref_chosen_logps": -1.0, "ref_rejected_logps": -1.0}]
        else:
            rows = [{"input_ids": prompt + answer, "labels": [-100] * case.prompt + answer} for answer in answers]
        return self.trainer._prepare_inputs(self.trainer.data_collator(rows))

    def step(self, way: str, case: Case, batch: dict[str, Any]) -> None:
        """One step's forward, reference and backward. Plain TRL runs on transformers' own attention, not on ours idle."""
        model = self.trainer.model
        model.get_base_model().config._attn_implementation = {"plain": "sdpa", "shared": "shared_prefix"}[way]
        self.trainer.precompute_ref_logps = case.reference == "precomputed"
        model.gradient_checkpointing_enable() if case.checkpointing else model.gradient_checkpointing_disable()
        self.loss(way, dict(batch)).backward()
        model.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Measured:
    """By way: seconds of each repeat, None where it did not fit; peak memory in bytes above the weights; operations of a
    step; and their share of what the device's matrix products reach, where that was measured."""

    name: str
    tokens: int
    seconds: dict[str, list[float] | None]
    peak: dict[str, int | None]
    flops: dict[str, float]
    utilisation: dict[str, float]

    def ratios(self) -> list[float]:
        plain, ours = self.seconds.get("plain"), self.seconds.get("shared")
        return [a / b for a, b in zip(plain, ours, strict=True)] if plain and ours else []

    def line(self) -> str:
        parts = [f"{self.name:<46}", *(self.of_way(way) for way in self.seconds)]
        if ratios := self.ratios():
            parts.append(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
            plain, ours = self.peak.get("plain"), self.peak.get("shared")
            if plain is not None and ours is not None:
                parts[-1] += f", memory {ours / plain:.2f}"
        return " | ".join(parts)

    def of_way(self, way: str) -> str:
        seconds = self.seconds[way]
        if seconds is None:
            return f"{way} does not fit"
        middle = statistics.median(seconds)
        words = [f"{way} {middle:.3g} s", f"{self.tokens / middle:,.0f} tokens/s", f"{self.flops[way] / 1e12:,.3g} TFLOP"]
        if (peak := self.peak.get(way)) is not None:
            words.append(f"{peak / 2**20:,.0f} MiB")
        if way in self.utilisation:
            words.append(f"{100 * self.utilisation[way]:.0f}% of the matmul rate")
        return ", ".join(words)


def main(recipe: Recipe[BenchmarkConfig]) -> None:
    import torch

    from training.shared_prefix.answer_head import score_answers_alone

    block = recipe.block
    if block.predict_at is not None:
        weights = weights_of(block)
        return report(recipe, [predict(case, weights, block.predict_at) for case in cases(block)])
    if block.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("benchmark.device is cuda and this machine has none; use recipes/benchmark/cpu.yaml")
    torch.set_num_threads(block.threads)
    score_answers_alone()  # TRL's best: on a CPU it would score the whole prompt as well
    chance, weights = random.Random(recipe.seed), weights_of(block)
    results = []
    for aligned, group in itertools.groupby(cases(block), key=lambda case: case.reference is not None):
        subject = alignment(block, recipe.seed) if aligned else sft(block, recipe.seed)
        for case in group:
            results.append(measure(subject, case, block, chance, weights))
            print(results[-1].line(), flush=True)
    return report(recipe, results)


def report(recipe: Recipe[BenchmarkConfig], results: list[Measured]) -> None:
    import torch

    block, path = recipe.block, recipe.run_dir / "benchmark.json"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    about: dict[str, Any] = {"date": date.today().isoformat(), "versions": versions(), "recipe": recipe.resolved()}
    about |= {"device": device} if block.predict_at is None else {"predicted_at_tflops": block.predict_at}
    write_json(path, about | {"results": [asdict(result) | {"ratios": result.ratios()} for result in results]})
    if block.predict_at is not None:
        print("\n".join(result.line() for result in results))
    print(f"benchmark: {len(results)} settings {'predicted' if block.predict_at else 'measured'} in {path}")


def cases(block: BenchmarkConfig) -> Iterator[Case]:
    for pair in block.pairs:
        for reference in block.references:
            for checkpointing in block.checkpointing:
                yield Case(pair.prompt, (pair.chosen, pair.rejected), checkpointing, reference)
    for card in block.sft:
        for checkpointing in block.checkpointing:
            yield Case(card.prompt, (card.answer,) * card.references, checkpointing)


def predict(case: Case, weights: Weights, tflops: float) -> Measured:
    flops = {way: case.flops(way, weights) for way in case.ways}
    return Measured(case.name, case.tokens, {way: [flops[way] / tflops / 1e12] for way in flops}, {}, flops, {})


def measure(subject: Subject, case: Case, block: BenchmarkConfig, chance: random.Random, weights: Weights) -> Measured:
    """Each way once for its memory, which warms it up, then `repeats` times in random order."""
    batch = subject.batch(case)
    steps = {way: partial(subject.step, way, case, batch) for way in case.ways}
    peak = {way: peak_memory(step, block.device) for way, step in steps.items()}
    seconds: dict[str, list[float] | None] = {way: [] if peak[way] is not None else None for way in steps}
    for _ in range(block.repeats):
        for way in chance.sample(case.ways, len(steps)):
            if (times := seconds[way]) is not None:
                times.append(timed(steps[way], block.device))
    flops = {way: case.flops(way, weights) for way in steps}
    utilisation = {}
    if block.device == "cuda":
        rate = measured_matmul_flops("cuda", torch_dtype(block.dtype))
        utilisation = {way: flops[way] / statistics.median(taken) / rate for way, taken in seconds.items() if taken}
    return Measured(case.name, case.tokens, seconds, peak, flops, utilisation)


def alignment(block: BenchmarkConfig, seed: int) -> Subject:
    from trl import DPOConfig, DPOTrainer

    from training.shared_prefix.trainers import SharedPrefixDPOTrainer

    row = {"prompt": "a", "chosen": " b", "rejected": " c"}
    trainer = build_trainer(block, seed, SharedPrefixDPOTrainer, DPOConfig, row, loss_type=["apo_zero"])
    kinds: dict[str, type[DPOTrainer]] = {"plain": DPOTrainer, "shared": SharedPrefixDPOTrainer}
    return Subject(trainer, lambda way, batch: kinds[way]._compute_loss(trainer, trainer.model, batch, False))


def sft(block: BenchmarkConfig, seed: int) -> Subject:
    from trl import SFTConfig, SFTTrainer

    from training.shared_prefix.trainers import SharedPrefixSFTTrainer

    trainer = build_trainer(block, seed, SharedPrefixSFTTrainer, SFTConfig, {"prompt": "a", "completion": " b"})
    kinds: dict[str, type[SFTTrainer]] = {"plain": SFTTrainer, "shared": SharedPrefixSFTTrainer}
    return Subject(trainer, lambda way, batch: kinds[way].compute_loss(trainer, trainer.model, batch))


def tokens(count: int) -> list[int]:
    import torch

    return torch.randint(4, 1000, (count,)).tolist()


def build_trainer(block: BenchmarkConfig, seed: int, kind: type, config: type, row: dict[str, str], **options: Any) -> Any:
    """Our trainer on random weights, with one row of text that nobody trains on."""
    import torch
    from datasets import Dataset
    from transformers import SmolLM3ForCausalLM

    torch.manual_seed(seed)
    with torch.device(block.device):
        model = SmolLM3ForCausalLM._from_config(sizes(block), dtype=torch_dtype(block.dtype))
    options |= {"gradient_checkpointing": True, "use_cpu": block.device == "cpu", "bf16": False, "report_to": "none"}
    trainer = kind(
        model,
        args=config(output_dir="unused", max_length=None, **options),
        train_dataset=Dataset.from_list([row]),
        processing_class=letters(),
        peft_config=adapter(block),
        shared_prefix_attention=block.attention,
    )
    trainer.agrees = True  # tests measure that; here it would be timed
    trainer.model.train()
    return trainer


def sizes(block: BenchmarkConfig) -> Any:
    from transformers import SmolLM3Config

    return SmolLM3Config(pad_token_id=0, bos_token_id=None, eos_token_id=0, **block.config)


def adapter(block: BenchmarkConfig) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=block.lora_r, target_modules="all-linear")


def weights_of(block: BenchmarkConfig) -> Weights:
    """Sizes of model and adapter, counted on a model that has none of its numbers."""
    import torch
    from peft import get_peft_model
    from transformers import SmolLM3ForCausalLM

    with torch.device("meta"):
        model = get_peft_model(SmolLM3ForCausalLM(sizes(block)), adapter(block))
    weights = Weights.of(model.config, model.get_nb_trainable_parameters()[0])
    assert weights is not None, "SmolLM3 is a decoder of that kind"
    return weights


def letters() -> Any:
    """A tokenizer of three letters: rows are made of numbers, the trainer only wants to have one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "a": 1, "b": 2, "c": 3}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def timed(step: Callable[[], None], device: str) -> float:
    """Seconds: of this process's CPU, which others on the machine hardly move, or of the clock for a GPU."""
    import torch

    clock, wait = (time.process_time, lambda: None) if device == "cpu" else (time.perf_counter, torch.cuda.synchronize)
    wait()
    start = clock()
    step()
    wait()
    return clock() - start


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
