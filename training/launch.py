"""`accelerate launch` that hands on signals and exit codes.

    python -m training.launch --config_file recipes/accelerate/cpu.yaml -m training.sft --config recipes/demo/sft.yaml

Takes what `accelerate launch` takes. That ends with 1 whatever the stage ended with, and on SIGTERM leaves a single process
running without it, or gives several 30 seconds. This waits, and ends with the stage's own code: 2 for a mistake in the
recipe, 75 where a signal stopped it and the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from data_prep.core.recipe import EXIT_STOPPED
from training.resume.signals import EXIT_AGAIN, SIGNALS


def main() -> None:
    # What torchrun listens to itself, it gives its processes 30 seconds for.
    os.environ.setdefault("PET_SIGNALS_TO_HANDLE", "SIGINT,SIGHUP,SIGQUIT")
    for number in SIGNALS:
        signal.signal(number, hand_on)
    try:
        launch_command(on_visible_gpus(launch_command_parser().parse_args()))
    except subprocess.CalledProcessError as error:
        raise SystemExit(exit_code(error.returncode)) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_STOPPED) from None  # its processes were told by the terminal as well
    except ChildFailedError as error:
        raise SystemExit(exit_code(error.get_first_failure()[1].exitcode)) from None


def on_visible_gpus(arguments: argparse.Namespace) -> argparse.Namespace:
    """accelerate would start a process on the one GPU of the launcher file (`gpu_ids`), whichever CUDA_VISIBLE_DEVICES allows it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    file = arguments.config_file
    named = load_config_from_file(file).gpu_ids if file and Path(file).is_file() and arguments.gpu_ids is None else None
    if visible[0] and named and named not in ("all", *visible) and "," not in named:
        arguments.gpu_ids = visible[0]
    return arguments


def hand_on(number: int, frame: Any) -> None:
    for child in psutil.Process().children():
        try:
            child.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def exit_code(code: int) -> int:
    """A shell's code for that of a process. One that a signal ended before it could train had nothing to save."""
    if -code in SIGNALS:
        return EXIT_AGAIN
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    main()
