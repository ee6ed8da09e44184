"""What ends a training run before its time: a signal, a full disk, a loss that is no number. None costs the work done.

`train` runs a trainer under all three. A signal (Slurm's warning) saves at the end of the step and leaves with EXIT_AGAIN.
The other two are ValueErrors that name what is at fault; the last whole checkpoint stays.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback

from training.resume.disk import check_space, explain_full_disk
from training.resume.non_finite import StopOnNonFinite
from training.resume.signals import EXIT_AGAIN, SIGNALS
from training.resume.undisturbed import KeepsPlace, TrainedAlready


def train(trainer: Any, checkpoint: str | None) -> None:
    """Trains from `checkpoint` (of `open_output`) or from the start; instead of `trainer.train`, in every process.

    Raises ValueError where the disk is or would be full, and where loss, gradients or weights are not finite.
    Raises SystemExit(EXIT_AGAIN) after a signal of SIGNALS, when the checkpoint is written: the same command goes on.
    """
    check_space(trainer)
    stop = StopOnSignal(trainer)
    for callback in (stop, StopOnNonFinite(trainer), KeepsPlace(trainer)):
        trainer.add_callback(callback)
    with stop.listening(), explain_full_disk(trainer):
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except TrainedAlready:
            trainer.is_in_train = False
            trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
        stopped = stop.agreed()
    if stopped:
        step = trainer.state.global_step
        if trainer.is_world_process_zero():
            print(
                f"stopped by a signal after step {step}, which is saved; the same command, without --fresh, goes on from there"
            )
        trainer.accelerator.end_training()
        raise SystemExit(EXIT_AGAIN)


class StopOnSignal(TrainerCallback):
    """Saves and stops at the end of the step in which any process was signalled.

    An evaluation due then is left out: the time that Slurm gives is for the checkpoint.
    """

    def __init__(self, trainer: Any) -> None:
        self.accelerator = trainer.accelerator
        self.caught = self.stopping = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        def catch(number: int, frame: Any) -> None:
            self.caught = True

        before = {number: signal.signal(number, catch) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def agreed(self) -> bool:
        """Whether any process was signalled; all processes call this at the same point."""
        if self.accelerator.num_processes == 1:
            return self.caught
        return self.accelerator.reduce(torch.tensor(float(self.caught), device=self.accelerator.device), "sum").item() > 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.agreed():
            self.stopping = True
            # What is not logged now never is: a resumed run counts its mean loss from the checkpoint on.
            control.should_log = control.should_save = control.should_training_stop = True
            control.should_evaluate = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.stopping:
            control.should_save = control.should_evaluate = False
