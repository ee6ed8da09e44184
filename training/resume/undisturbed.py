"""What makes a run that was stopped and goes on the same as one that was never disturbed.

Here is what Trainer leaves undone when it goes on from a checkpoint. Two other parts lie elsewhere: which checkpoint a run goes
on from, and that it is of the same recipe and data (`open_output` in `checkpoints.py`); and, where references or pairs of one card
lie side by side, the order of the rows, by seed and epoch alone (`SamePromptSampler` in `training/shared_prefix/trainers.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback


class TrainedAlready(Exception):
    """The checkpoint holds the last step."""


class KeepsPlace(TrainerCallback):
    """What Trainer leaves undone when it goes on from a checkpoint, so that its curves are those of one undisturbed run.

    It takes one step more where the checkpoint had taken the last (max_steps within an epoch); forgets an evaluation that was
    due at the checkpoint and did not come to an end; lets evaluations draw from the random numbers that training goes on
    with; and TRL counts tokens from 0.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.evaluate = trainer, trainer.evaluate
        trainer.evaluate = self.evaluate_aside

    def evaluate_aside(self, *args: Any, **kwargs: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            return self.evaluate(*args, **kwargs)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        counts = [entry["num_tokens"] for entry in state.log_history if "num_tokens" in entry and "loss" in entry]
        if counts:
            self.trainer._total_train_tokens = int(counts[-1])
        evaluated = any("eval_runtime" in entry and entry["step"] == state.global_step for entry in state.log_history)
        if state.global_step > 0 and _evaluation_due(args, state) and not evaluated:
            self.trainer.evaluate()
        if state.global_step >= state.max_steps:
            raise TrainedAlready


def _evaluation_due(args: Any, state: Any) -> bool:
    """As Trainer's DefaultFlowCallback decides it."""
    if args.eval_strategy == "epoch":
        return state.epoch == int(state.epoch) and state.epoch >= args.eval_delay
    return args.eval_strategy == "steps" and state.global_step % state.eval_steps == 0 and state.global_step >= args.eval_delay
