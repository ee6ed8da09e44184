"""Check free space before training; turn the disk-full errors of any library into one message."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.resume.checkpoints import checkpoints_newest_first, fault_of, last_whole

# How safetensors, tokenizers and torch.save (the last three) say that a disk or a quota is full.
FULL = (
    "No space left on device",
    "Disk quota exceeded",
    "PytorchStreamWriter failed",
    "unexpected pos",
    "basic_ios::clear: iostream error",
)


def checkpoint_bytes(trainer: Any) -> int:
    """What a checkpoint takes: as much as the newest, or before the first at least the adapter and, with AdamW in full
    precision, two numbers for each of its numbers."""
    saved = checkpoints_newest_first(Path(trainer.args.output_dir))
    if saved:
        return sum(path.stat().st_size for path in saved[0].rglob("*"))
    adapter = sum(weight.numel() * weight.element_size() for weight in trainer.model.parameters() if weight.requires_grad)
    full = "adamw" in trainer.args.optim and not any(bits in trainer.args.optim for bits in ("8bit", "4bit"))
    return adapter * (3 if full else 1)


def check_space(trainer: Any) -> None:
    """Raises ValueError where the checkpoints to be kept, and the one written before the oldest goes, do not fit the disk."""
    output = Path(trainer.args.output_dir)
    limit = 0 if trainer.args.save_strategy == "no" else trainer.args.save_total_limit or 1
    size = checkpoint_bytes(trainer)
    missing = max(1, limit + 1 - len(checkpoints_newest_first(output)))
    free = shutil.disk_usage(output).free
    if free < size * missing:
        raise ValueError(
            f"{_mb(free)} free where {output} lies, and {missing} more checkpoints of {_mb(size)} are to come; make room, lower "
            f"save_total_limit ({trainer.args.save_total_limit}) or move run_dir to another disk"
        )


@contextmanager
def explain_full_disk(trainer: Any) -> Iterator[None]:
    """Turns the errors of a full disk, which every library spells its own way, into one ValueError; the checkpoint that did
    not fit is removed."""
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        output = Path(trainer.args.output_dir)
        unfinished = output / f"checkpoint-{trainer.state.global_step}"
        if trainer.is_world_process_zero() and unfinished.exists() and fault_of(unfinished):
            shutil.rmtree(unfinished)
        free, size, last = shutil.disk_usage(output).free, checkpoint_bytes(trainer), last_whole(output)
        raise ValueError(
            f"the disk of {output} is full ({error}): {_mb(free)} free, a checkpoint takes {_mb(size)} or more. Make room, or lower "
            f"save_total_limit ({trainer.args.save_total_limit}); then the same command goes on from {last or 'the start'}"
        ) from error


def is_full_disk(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error) for words in FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
