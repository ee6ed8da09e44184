"""Plain TRL against one copy of the prompt: step time, tokens per second and memory, in one process.

    python -m training.benchmark --config recipes/benchmark/cpu.yaml
    python -m training.benchmark --config recipes/benchmark/h200.yaml

Weights are random, sizes and lengths are the recipe's. A step is forward, reference and backward; the optimiser's own
time is left out (LoRA: milliseconds). All ways run on the same batch in random order, so that whatever else the machine
does meets each; the ratio is the median over such pairs. On a CPU, time is the process's CPU time. Writes
<run_dir>/benchmark.json, with the peak that preflight/memory.py counts beside the measured one; on CUDA with the share
of the card's own matmul rate. Stopped, the same command goes on after the last setting. Without the card:

    python -m training.benchmark --config recipes/benchmark/h200.yaml --benchmark.predict_at 395
"""

from __future__ import annotations

import itertools
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

from data_prep.core.files import write_json
from data_prep.core.manifest import versions
from data_prep.core.recipe import Block, Recipe, command
from training.monitoring.flops import Weights, Work, step_flops
from training.preflight.memory import Longest, Settings, estimate
from training.setup.load import torch_dtype

FLOAT32 = 4  # bytes of an adapter's weight, its gradient and each of its two moments


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
    bf16: bool = False
    """Mixed precision over `dtype`, as `bf16: true` of a training recipe."""
    attention: list[Literal["auto", "split", "varlen"]] = ["split"]
    """How several answers attend to one prompt; each is a way of its own, set against plain TRL."""
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

    def ways(self, sharing: Iterable[str]) -> tuple[str, ...]:
        """Plain TRL, and where several answers have a prompt to share each way of sharing it."""
        return ("plain", *sharing) if len(self.answers) > 1 else ("plain",)

    @property
    def tokens(self) -> int:
        """Of the rows as TRL runs them; ours run fewer for the same work."""
        return len(self.answers) * self.prompt + sum(self.answers)

    def flops(self, way: str, weights: Weights) -> float:
        """Operations that the step needs when it is run this way, nothing masked or padded among them."""
        packed = [(self.prompt, (answer,)) for answer in self.answers] if way == "plain" else [(self.prompt, self.answers)]
        work = sum((Work.of_shared(prompt, answers) for prompt, answers in packed), Work(scored=sum(self.answers)))
        return step_flops(weights, work, self.checkpointing, self.reference == "adapter_off")

    def memory(self, way: str, block: BenchmarkConfig, weights: Weights) -> int:
        """Bytes above the weights that preflight/memory.py counts for the step; without the moments of an optimiser, which
        does not run here."""
        shared = way != "plain"
        one_row = shared or self.reference is not None  # of the data set: a pair, or references side by side
        settings = Settings(
            dtype=torch_dtype(block.dtype).itemsize,
            autocast=block.bf16,
            batch=1 if one_row else len(self.answers),
            checkpointing=self.checkpointing,
            offloading=False,
            shared_prefix=shared,
            load_in_4bit=False,
            load_in_8bit=False,
            lora_r=block.lora_r,
            on_gpu=block.device == "cuda",
            processes=1,
        )
        counted = estimate(sizes(block), settings, Longest(self.prompt, self.answers if one_row else self.answers[:1]))
        return counted.activations + counted.logits + counted.adapter - 3 * FLOAT32 * weights.lora


@dataclass(frozen=True)
class Subject:
    """A trainer of ours, its ways of sharing a prompt, and the loss by any way: of TRL's trainer below it, or of its own."""

    trainer: Any
    sharing: dict[str, Any]
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
        model.get_base_model().config._attn_implementation = "sdpa" if way == "plain" else "shared_prefix"
        self.trainer.sharing = self.sharing.get(way, self.trainer.sharing)
        self.trainer.precompute_ref_logps = case.reference == "precomputed"
        model.gradient_checkpointing_enable() if case.checkpointing else model.gradient_checkpointing_disable()
        with self.trainer.accelerator.autocast():
            loss = self.loss(way, dict(batch))
        loss.backward()
        model.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Measured:
    """By way: seconds of each repeat, None where it did not fit; peak memory in bytes above the weights, measured and as
    counted before; operations of a step; and their share of what the device's matrix products reach, where measured."""

    name: str
    tokens: int
    seconds: dict[str, list[float] | None]
    peak: dict[str, int | None]
    counted: dict[str, int]
    flops: dict[str, float]
    utilisation: dict[str, float]

    def ratios(self) -> dict[str, list[float]]:
        """Seconds of plain TRL over those of each other way, pair by pair."""
        plain = self.seconds.get("plain")
        others = {way: taken for way, taken in self.seconds.items() if way != "plain" and taken}
        return {way: [a / b for a, b in zip(plain, taken, strict=True)] for way, taken in others.items()} if plain else {}

    def line(self) -> str:
        parts = [f"{self.name:<46}", *(self.of_way(way) for way in self.seconds)]
        for way, ratios in self.ratios().items():
            parts.append(f"plain / {way} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
            plain, ours = self.peak.get("plain"), self.peak.get(way)
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
            words.append(f"{peak / 2**20:,.0f} MiB ({self.counted[way] / 2**20:,.0f} counted)")
        if way in self.utilisation:
            words.append(f"{100 * self.utilisation[way]:.0f}% of the matmul rate")
        return ", ".join(words)


def main(recipe: Recipe[BenchmarkConfig]) -> None:
    import torch

    from training.shared_prefix.answer_head import score_answers_alone

    block = recipe.block
    if block.predict_at is not None:
        weights = weights_of(block)
        report(recipe, [predict(case, weights, block.predict_at) for case in cases(block)])
        return
    if block.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("benchmark.device is cuda and this machine has none; use recipes/benchmark/cpu.yaml")
    torch.set_num_threads(block.threads)
    score_answers_alone()  # TRL's best: on a CPU it would score the whole prompt as well
    chance, weights, draft = random.Random(recipe.seed), weights_of(block), recipe.run_dir / "benchmark.json.part"
    results = drafted(draft, recipe)
    left = list(cases(block))[len(results) :]
    for aligned, group in itertools.groupby(left, key=lambda case: case.reference is not None):
        subject = alignment(block, recipe.seed) if aligned else sft(block, recipe.seed)
        for case in group:
            results.append(measure(subject, case, block, chance, weights))
            print(results[-1].line(), flush=True)
            write_json(draft, about(recipe) | {"results": [asdict(result) for result in results]})
    report(recipe, results)
    draft.unlink(missing_ok=True)


def drafted(draft: Path, recipe: Recipe[BenchmarkConfig]) -> list[Measured]:
    """Settings that a stopped run of this recipe measured on this machine: a card that is lent may be gone any minute."""
    written = json.loads(draft.read_text(encoding="utf-8")) if draft.exists() else {}
    same = all(written.get(key) == value for key, value in json.loads(json.dumps(about(recipe))).items() if key != "date")
    return [Measured(**result) for result in written["results"]] if same else []


def about(recipe: Recipe[BenchmarkConfig]) -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {"date": date.today().isoformat(), "versions": versions(), "recipe": recipe.resolved(), "device": device}


def report(recipe: Recipe[BenchmarkConfig], results: list[Measured]) -> None:
    block, path = recipe.block, recipe.run_dir / "benchmark.json"
    found = about(recipe)
    if block.predict_at is not None:
        del found["device"]
        found["predicted_at_tflops"] = block.predict_at
        print("\n".join(result.line() for result in results))
    elif block.device == "cuda":
        found["matmul_tflops"] = matmul_flops(block) / 1e12
    write_json(path, found | {"results": [asdict(result) | {"ratios": result.ratios()} for result in results]})
    print(f"benchmark: {len(results)} settings {'predicted' if block.predict_at else 'measured'} in {path}")


def matmul_flops(block: BenchmarkConfig) -> float:
    """A second of the device's own, in the precision that the layers compute in."""
    from training.monitoring.throughput import measured_matmul_flops

    return measured_matmul_flops("cuda", torch_dtype("bfloat16" if block.bf16 else block.dtype))


def cases(block: BenchmarkConfig) -> Iterator[Case]:
    for pair in block.pairs:
        for reference in block.references:
            for checkpointing in block.checkpointing:
                yield Case(pair.prompt, (pair.chosen, pair.rejected), checkpointing, reference)
    for card in block.sft:
        for checkpointing in block.checkpointing:
            yield Case(card.prompt, (card.answer,) * card.references, checkpointing)


def predict(case: Case, weights: Weights, tflops: float) -> Measured:
    flops = {way: case.flops(way, weights) for way in case.ways(["shared"])}  # the same however it is shared
    return Measured(case.name, case.tokens, {way: [flops[way] / tflops / 1e12] for way in flops}, {}, {}, flops, {})


def measure(subject: Subject, case: Case, block: BenchmarkConfig, chance: random.Random, weights: Weights) -> Measured:
    """Each way once for its memory, which warms it up, then `repeats` times in random order."""
    batch, ways = subject.batch(case), case.ways(block.attention)
    steps = {way: partial(subject.step, way, case, batch) for way in ways}
    peak = {way: peak_memory(step, block.device) for way, step in steps.items()}
    seconds: dict[str, list[float] | None] = {way: [] if peak[way] is not None else None for way in steps}
    for _ in range(block.repeats):
        for way in chance.sample(ways, len(ways)):
            if (times := seconds[way]) is not None:
                times.append(timed(steps[way], block.device))
    counted = {way: case.memory(way, block, weights) for way in ways}
    flops = {way: case.flops(way, weights) for way in ways}
    utilisation = {}
    if block.device == "cuda":
        rate = matmul_flops(block)
        utilisation = {way: flops[way] / statistics.median(taken) / rate for way, taken in seconds.items() if taken}
    return Measured(case.name, case.tokens, seconds, peak, counted, flops, utilisation)


def alignment(block: BenchmarkConfig, seed: int) -> Subject:
    from trl import DPOConfig, DPOTrainer

    from training.shared_prefix.trainers import SharedPrefixDPOTrainer as Shared

    row = {"prompt": "a", "chosen": " b", "rejected": " c"}
    trainer = build_trainer(block, seed, Shared, DPOConfig, row, loss_type=["apo_zero"])

    def loss(way: str, batch: dict[str, Any]) -> Any:
        return (DPOTrainer if way == "plain" else Shared)._compute_loss(trainer, trainer.model, batch, False)

    return Subject(trainer, sharings(trainer, block), loss)


def sft(block: BenchmarkConfig, seed: int) -> Subject:
    from trl import SFTConfig, SFTTrainer

    from training.shared_prefix.trainers import SharedPrefixSFTTrainer as Shared

    trainer = build_trainer(block, seed, Shared, SFTConfig, {"prompt": "a", "completion": " b"})

    def loss(way: str, batch: dict[str, Any]) -> Any:
        return (SFTTrainer if way == "plain" else Shared).compute_loss(trainer, trainer.model, batch)

    return Subject(trainer, sharings(trainer, block), loss)


def sharings(trainer: Any, block: BenchmarkConfig) -> dict[str, Any]:
    """By kind of attention; one that has no plan lets a batch pass, so that all can be attached at once."""
    from training.shared_prefix.attention import PrefixSharing

    found: dict[str, Any] = {block.attention[0]: trainer.sharing}
    for kind in block.attention[1:]:
        found[kind] = PrefixSharing(kind)
        found[kind].attach(trainer.model)
    return found


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
    options |= {"gradient_checkpointing": True, "use_cpu": block.device == "cpu", "bf16": block.bf16, "report_to": "none"}
    trainer = kind(
        model,
        args=config(output_dir="unused", max_length=None, **options),
        train_dataset=Dataset.from_list([row]),
        processing_class=letters(),
        peft_config=adapter(block),
        shared_prefix_attention=block.attention[0],
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
