"""Where a training stage goes on: its output folder, its checkpoints, and what another recipe left there."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from data_prep.core import lock
from data_prep.core.files import write_json
from data_prep.core.manifest import Manifest, hashes

# One of each must be there. The later names are what FSDP writes: one file, or a folder with parts of every process.
PARTS = (
    ("trainer_state.json",),
    ("adapter_model.safetensors", "pytorch_model_fsdp.bin", "pytorch_model_fsdp_0"),
    ("optimizer.pt", "optimizer.bin", "optimizer_0"),
    ("scheduler.pt",),
    ("rng_state.pth", "rng_state_0.pth"),
)
STARTED = "started.manifest.json"


def alone(manifest: Manifest) -> AbstractContextManager[None]:
    """Holds the stage's output for this run; of several processes the main one holds it for all."""
    from accelerate import PartialState

    return lock.alone(manifest.path.parent, "give another run_dir") if PartialState().is_main_process else nullcontext()


def starts_over(fresh: bool) -> bool:
    """Whether --fresh counts. Slurm runs a job that went back into the queue with the same command line: what its first
    run moved aside is gone, what lies there now is that run's own work. Slurm then sets SLURM_RESTART_COUNT."""
    return fresh and int(os.environ.get("SLURM_RESTART_COUNT") or 0) == 0


def open_output(manifest: Manifest, fresh: bool = False) -> str | None:
    """The checkpoint to go on from, the same in all processes, or None. What another recipe or other data left in the
    folder is moved aside: going on from its checkpoint would end at once, with its weights, and look like the new
    recipe's result. With `fresh` (see `starts_over`) the recipe's own work is moved aside too."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([_open(manifest, fresh) if PartialState().is_main_process else None])[0]


def _open(manifest: Manifest, fresh: bool) -> str | None:
    output = manifest.path.parent
    task = {"recipe": manifest.recipe, "inputs": hashes(manifest.inputs)}
    if output.is_dir() and not any(output.iterdir()):
        output.rmdir()  # as Trainer makes it when it is built
    same = {name: begun(manifest).get(name) for name in task} == task
    if output.exists() and (not same or starts_over(fresh)):
        why = "is started over" if same else "was made by another recipe or from other data"
        aside = _move_aside(output, output.with_name(f"{output.name}.before"))
        print(f"{manifest.stage}: {output} {why}; it is now {aside}")
    if not output.exists():
        write_json(manifest.path.with_name(STARTED), task | {"run_id": secrets.token_hex(8)})
    return last_whole_checkpoint(output)


def begun(manifest: Manifest) -> dict[str, Any]:
    """Recipe and inputs of what was begun in the output folder, and `run_id`, another for each beginning; {} where nothing was."""
    started = manifest.path.with_name(STARTED)
    found: dict[str, Any] = json.loads(started.read_text(encoding="utf-8")) if started.exists() else {}
    return found


def last_whole_checkpoint(output: Path) -> str | None:
    """The newest checkpoint that nothing is missing from. A broken one, of a run killed while it saved, is moved out of
    the folder: in it, Trainer would count it among those to keep, and delete a whole one for it."""
    for checkpoint in checkpoints_newest_first(output):
        fault = fault_of(checkpoint)
        if not fault:
            return str(checkpoint)
        aside = _move_aside(checkpoint, output.with_name(f"{output.name}.{checkpoint.name}.broken"))
        print(f"{checkpoint} is passed over: {fault}; it is now {aside}")
    return None


def last_whole(output: Path) -> Path | None:
    return next((checkpoint for checkpoint in checkpoints_newest_first(output) if not fault_of(checkpoint)), None)


def checkpoints_newest_first(output: Path) -> list[Path]:
    """Whole or not."""
    found = [path for path in output.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def _move_aside(path: Path, place: Path) -> Path:
    aside = next(free for n in itertools.count(1) if not (free := place.with_name(f"{place.name}-{n}")).exists())
    os.replace(path, aside)
    return aside


def fault_of(checkpoint: Path) -> str:
    """What keeps a checkpoint from being gone on from, in words, or "". Reads every file; unpickles none."""
    for names in PARTS:
        if not any((checkpoint / name).exists() for name in names):
            return f"{names[0]} is missing"
    for path in sorted(checkpoint.rglob("*")):
        if path.is_dir():
            # Written last, when the parts of all processes are on the disk.
            if path.name in ("pytorch_model_fsdp_0", "optimizer_0") and not (path / ".metadata").exists():
                return f"{path.name} is incomplete"
        elif not _is_whole(path):
            return f"{path.name} is cut short or damaged"
    return ""


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".json":
            return bool(json.loads(path.read_text(encoding="utf-8")))
        if path.suffix == ".safetensors":
            return path.stat().st_size == _size_by_header(path)
        if path.suffix in (".pt", ".pth", ".bin"):
            with zipfile.ZipFile(path) as parts:  # what torch.save writes, each part with a checksum
                return parts.testzip() is None
    except (ValueError, EOFError, zipfile.BadZipFile):
        return False
    return True


def _size_by_header(path: Path) -> int:
    """Bytes that a safetensors file has by its own header: safetensors reads the header alone until a tensor is asked for."""
    with open(path, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > path.stat().st_size:
            return -1
        tensors = json.loads(handle.read(length))
    return (
        8 + length + max((tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"), default=0)
    )
