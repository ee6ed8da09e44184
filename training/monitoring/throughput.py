"""How fast a run is, in every line of its log: tokens a second, peak memory, and the share of the card's own matmul rate.

    speed/tokens_per_second   tokens that the model ran, padding left out, of all processes together
    speed/memory_gb           peak of this process: CUDA memory in tensors, or resident memory without CUDA
    speed/utilisation         floating-point operations that the tokens need, over what the card could do in that time;
                              CUDA only. The card's rate is measured, not taken from its data sheet

The clock stands still while a run logs, evaluates, saves or writes samples.
"""

from __future__ import annotations

import functools
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import ProgressCallback, TrainerCallback

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers import Trainer as Mixed  # what stands behind the mixin in every class that has it
else:
    Mixed = object

MATMUL = {"cuda": 8192, "cpu": 512}  # side of the square matrices: large enough for the device to reach its rate
ROUNDS, REPEATS = 5, 20


@dataclass(frozen=True)
class Work:
    """What a forward pass runs: tokens, pairs of a query and a key that it may see, and tokens whose logits are formed.
    Numbers, or tensors of no dimension where reading them would make the device wait."""

    tokens: Any = 0
    pairs: Any = 0
    scored: Any = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.pairs + other.pairs, self.scored + other.scored)

    @classmethod
    def of_batch(cls, inputs: dict[str, Any]) -> Work:
        """Of a batch as TRL's collators make it: rows padded on the right, or several rows in one with `position_ids`."""
        if "attention_mask" in inputs:
            mask = inputs["attention_mask"].double()
            seen = mask.cumsum(-1) * mask
        else:
            seen = inputs["position_ids"].double() + 1
        answered = inputs["completion_mask"] if "completion_mask" in inputs else inputs["labels"] != -100
        return cls((seen > 0).sum().double(), seen.sum(), answered.sum().double())

    @classmethod
    def of_shared(cls, prefix: int, tails: Sequence[int]) -> Work:
        """Of one prefix run once, with tails that see it and themselves; what is scored is not in these lengths."""
        pairs = prefix * (prefix + 1) / 2 + sum(tail * prefix + tail * (tail + 1) / 2 for tail in tails)
        return cls(prefix + sum(tails), pairs)


@dataclass(frozen=True)
class Weights:
    """Sizes that a step's operations depend on, in numbers of weights; `attention` is heads x head size x layers."""

    body: int
    head: int
    attention: int
    lora: int

    @classmethod
    def of(cls, config: Any, lora: int) -> Weights | None:
        """From the config of a decoder with grouped heads and a gated MLP, as SmolLM3's; None where it is another kind."""
        names = "hidden_size intermediate_size num_attention_heads num_key_value_heads num_hidden_layers vocab_size".split()
        if any(getattr(config, name, None) is None for name in names):
            return None
        hidden, inner, heads, shared, layers, vocabulary = (getattr(config, name) for name in names)
        size = getattr(config, "head_dim", None) or hidden // heads
        layer = 2 * hidden * heads * size + 2 * hidden * shared * size + 3 * hidden * inner
        return cls(layer * layers, vocabulary * hidden, heads * size * layers, lora)


def step_flops(weights: Weights, work: Work, checkpointing: bool = False, reference: bool = False) -> float:
    """Floating-point operations of forward and backward over `work` with LoRA on frozen linear layers.

    Forward 2 per weight and token and 4 per attention width and pair. Backward: gradients of the inputs alone for frozen
    weights (2), both for LoRA's (4), 2.5 times the forward for attention (a flash kernel recomputes its scores), and
    twice the forward for the head, whose logits TRL forms again. `checkpointing` adds a forward of the body;
    `reference`, for alignment, a forward with the adapter off.
    """
    linear, lora, head = 2 * weights.body * work.tokens, 2 * weights.lora * work.tokens, 2 * weights.head * work.scored
    attention = 4 * weights.attention * work.pairs
    forward = linear + lora + attention + head
    backward = linear + 2 * lora + 2.5 * attention + 2 * head
    return forward + backward + checkpointing * (forward - head) + reference * (forward - lora)


@functools.cache
def measured_matmul_flops(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of square matrix products on `device`: the best of some rounds, within a second."""
    kind = torch.device(device).type
    side = MATMUL[kind]
    generator = torch.Generator(device).manual_seed(0)  # its own, or measuring would change the run's random numbers
    left, right = (torch.randn(side, side, device=device, generator=generator).to(dtype) for _ in range(2))
    wait = torch.cuda.synchronize if kind == "cuda" else lambda: None
    best = float("inf")
    for _ in range(ROUNDS):
        wait()
        start = time.perf_counter()
        for _ in range(REPEATS):
            left @ right
        wait()
        best = min(best, time.perf_counter() - start)
    return REPEATS * 2 * side**3 / best


def peak_memory() -> float:
    """Bytes that this process has held at most."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def time_left(seconds: float) -> str:
    """`2 h 05 min left`, `7 min left`, `40 s left`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min left"
    return f"{minutes} min left" if seconds >= 90 else f"{round(seconds)} s left"


class Meter(TrainerCallback):
    """The clock and the work since the last line of the log."""

    def __init__(self) -> None:
        self.work, self.seconds, self.steps, self.since = Work(), 0.0, 0, time.perf_counter()

    def on_train_begin(self, args, state, control, **kwargs):
        self.since = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        if control.should_log and torch.cuda.is_available():
            torch.cuda.synchronize()  # the host is ahead of the card by up to a backward pass
        now = time.perf_counter()
        self.seconds, self.steps, self.since = self.seconds + now - self.since, self.steps + 1, now

    # What these end is not training.
    on_log = on_evaluate = on_save = on_train_begin

    def take(self) -> tuple[Work, float, int]:
        """Work, seconds and steps since the last call."""
        taken = self.work, max(self.seconds, 1e-9), self.steps
        self.work, self.seconds, self.steps = Work(), 0.0, 0
        return taken


class SpeedBar(ProgressCallback):
    """The progress bar with tokens a second, and the time left at the speed of the last steps."""

    seconds_per_step = 0.0

    def on_log(self, args, state, control, logs=None, **kwargs):
        super().on_log(args, state, control, logs=logs, **kwargs)
        if state.is_world_process_zero and self.training_bar is not None and "speed/tokens_per_second" in (logs or {}):
            left = time_left((state.max_steps - state.global_step) * self.seconds_per_step)
            self.training_bar.set_postfix_str(f"{logs['speed/tokens_per_second']:,.0f} tokens/s, {left}")


class Metered(Mixed):
    """Mixin before an SFTTrainer, a DPOTrainer or a GRPOTrainer. A trainer that ran a batch over one copy of its prompts leaves how in
    `plan_run`, a `Plan` of shared_prefix/attention.py."""

    model: PreTrainedModel  # or PEFT's around it, which answers in its place

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.meter, self.bar = Meter(), SpeedBar()
        self.add_callback(self.meter)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(self.bar)

    def training_step(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        loss = super().training_step(model, inputs, *arguments, **options)
        self.meter.work += self.work_of(inputs)
        return loss

    def work_of(self, inputs: Any) -> Work:
        """Of the batch that was trained on last."""
        rows, plan = Work.of_batch(inputs), getattr(self, "plan_run", None)
        groups = (Work.of_shared(group.prefix, group.tails) for group in plan.groups) if plan else ()
        return sum(groups, Work(scored=rows.scored)) if plan else rows

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= self.speed()
        super().log(logs, start_time)

    def speed(self) -> dict[str, float]:
        """The figures of the steps since the last line; every process calls it at the same line."""
        work, seconds, steps = self.meter.take()
        device = self.accelerator.device
        sums = torch.tensor(
            [float(part) for part in (work.tokens, work.pairs, work.scored)], device=device, dtype=torch.float64
        )
        total = Work(*self.accelerator.reduce(sums, "sum").tolist())
        self.bar.seconds_per_step = seconds / max(steps, 1)
        figures = {
            "speed/tokens_per_second": round(total.tokens / seconds, 1),
            "speed/memory_gb": round(peak_memory() / 1e9, 3),
        }
        if (rate := self.matmul_flops()) and self.model_weights:
            precomputed = getattr(self.args, "precompute_ref_log_probs", False)
            reference = hasattr(self, "ref_model") and not precomputed and bool(getattr(self.args, "beta", 0))
            needed = step_flops(self.model_weights, total, bool(self.args.gradient_checkpointing), reference)
            figures["speed/utilisation"] = round(needed / seconds / rate / self.accelerator.num_processes, 4)
        return figures

    def matmul_flops(self) -> float | None:
        """The card's rate in bfloat16; None without a card, where nobody asks."""
        device = self.accelerator.device
        return measured_matmul_flops(str(device), torch.bfloat16) if device.type == "cuda" else None

    @functools.cached_property
    def model_weights(self) -> Weights | None:
        trained = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        return Weights.of(self.model.config, trained)
