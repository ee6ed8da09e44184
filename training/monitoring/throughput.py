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
from typing import TYPE_CHECKING, Any

import torch
from transformers import ProgressCallback, TrainerCallback

from training.monitoring.flops import Weights, Work, step_flops

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers import Trainer as Mixed  # what stands behind the mixin in every class that has it
else:
    Mixed = object

MATMUL = {"cuda": 8192, "cpu": 512}  # side of the square matrices: large enough for the device to reach its rate
ROUNDS, REPEATS = 5, 20


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
