"""Runs a stage's work in shards: in this process, in several on this machine, as a Slurm array or on a Ray cluster.

The work is a function from (rank, tasks) to lines. Each task writes its lines to a file of its own, under a name that it gets
when it is complete: that file, not a marker, says that the task is done. A killed task is redone whole, finished shards are
kept. Local, Slurm and Ray are datatrove's executors, used for nothing else; the inline one needs no datatrove.

datatrove hands work over as `executor.pik`, a pickle in the run's own folder. Only datatrove's launcher opens it, in the job that
this module submits; nothing here reads a pickle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import Field

from data_prep.core.files import replacing, write_json
from data_prep.core.recipe import Block

Work = Callable[[int, int], Iterable[str]]
# loguru prints the value of each variable in a traceback, a token among them, unless told not to before its import; Ray reports home.
QUIET = {"LOGURU_DIAGNOSE": "NO", "RAY_USAGE_STATS_ENABLED": "0"}


class ExecutorConfig(Block):
    executor: Literal["inline", "local", "slurm", "ray"] = "inline"
    """inline: in this process. local: in `workers` processes. slurm: as an array job, then run the command again. ray: on the
    cluster of RAY_ADDRESS, or one started here. All give the same files."""
    tasks: int = Field(1, ge=1, le=500)
    """Into how many tasks the inputs are dealt; what a stopped run loses is the tasks at work. Each reads the whole table of a
    parquet source, so more tasks than workers cost time there."""
    workers: int = Field(1, ge=1)
    """How many tasks run at the same time, for all but inline. The Hub counts the requests of all of them together."""
    slurm_partition: str | None = None
    """Partition of the array job; slurm needs it."""
    slurm_time: str = "04:00:00"
    """Time limit of one task."""
    slurm_venv: str | None = None
    """Virtual environment on the nodes; null takes the one this command runs in."""


def run_shards(config: ExecutorConfig, work: Work, folder: Path) -> list[Path] | None:
    """The shards of `work` in the order of the ranks, made where they are missing; None where they are left to a Slurm job.

    `folder` stands for the work: give another where anything that `work` depends on is another. `work` and all it holds must
    be importable by name. Raises ValueError where the executor cannot run, and what `work` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = [shard_path(folder, rank, config.tasks) for rank in range(config.tasks)]
    if missing(shards):
        _RUN[config.executor](config, Task(work, folder.resolve()))
    if not (left := missing(shards)):
        return shards
    if config.executor == "slurm":
        print(f"  {len(left)} of {len(shards)} shards are not there yet: run the same command again when the job has ended")
        return None
    raise ValueError(
        f"{len(left)} of {len(shards)} tasks failed; see {folder / 'logs'}, then run again: finished ones are kept"
    )


def missing(shards: Iterable[Path]) -> list[Path]:
    return [shard for shard in shards if not shard.exists()]


class Task:
    """Writes the shard of a rank, where it is not there yet; called as datatrove calls a step."""

    def __init__(self, work: Work, folder: Path):
        self.work, self.folder = work, folder

    def __repr__(self) -> str:  # datatrove logs it, and `work` may hold a hundred thousand names
        return f"shards of {self.folder}"

    def __call__(self, data: Any, rank: int, tasks: int) -> None:
        """`data` is what an earlier step would give."""
        shard = shard_path(self.folder, rank, tasks)
        if shard.exists():
            return
        # A task that outlives a killed run may still write: each writes a file of its own.
        own = shard.with_name(f"{shard.stem}.{uuid.uuid4().hex}")
        with replacing(own) as handle:
            for line in self.work(rank, tasks):
                handle.write(line + "\n")
        os.replace(own, shard)


def shard_path(folder: Path, rank: int, tasks: int) -> Path:
    return folder / f"{rank:05d}-of-{tasks:05d}.jsonl"


def _run_inline(config: ExecutorConfig, task: Task) -> None:
    for rank in range(config.tasks):
        task(None, rank, config.tasks)


# --- datatrove's executors --------------------------------------------------------------------------------------------


def _datatrove() -> ModuleType:
    os.environ.update(QUIET)
    try:
        import datatrove.executor
    except ImportError:
        raise ValueError(
            "collect.executor needs datatrove; install it with pip install -e '.[scale]', or take inline"
        ) from None
    return datatrove.executor


def _settings(config: ExecutorConfig, task: Task) -> dict[str, Any]:
    """What all three take. Which tasks are complete is told by their files, not by datatrove's marks."""
    return {"tasks": config.tasks, "workers": config.workers, "logging_dir": str(task.folder), "skip_completed": False}


def _run_local(config: ExecutorConfig, task: Task) -> None:
    executor = _datatrove().LocalPipelineExecutor
    with _main_unseen():
        executor([task], **_settings(config, task)).run()


@contextmanager
def _main_unseen() -> Iterator[None]:
    """Hides the caller's main module from the processes started meanwhile.

    They would import it again, and one without a guard would start the work anew in each of them, without end. The work is
    found by its own modules' names; nothing of main is needed.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run_ray(config: ExecutorConfig, task: Task) -> None:
    datatrove = _datatrove()
    try:
        import ray
    except ImportError:
        raise ValueError("collect.executor ray needs ray; install it with pip install -e '.[scale]'") from None
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ray.init(runtime_env={"env_vars": {**QUIET, "PYTHONPATH": path}}, log_to_driver=False)
    try:
        datatrove.RayPipelineExecutor([task], **_settings(config, task), mem_per_cpu_gb=1).run()
    finally:
        ray.shutdown()


def _run_slurm(config: ExecutorConfig, task: Task) -> None:
    """Submits the array job, unless the one submitted before is still there."""
    note = task.folder / "submitted.json"
    if note.exists() and _is_queued(job := json.loads(note.read_text())["job"]):
        print(f"  Slurm job {job} is waiting or at work; nothing submitted")
        return
    if not config.slurm_partition:
        raise ValueError("collect.executor slurm needs collect.slurm_partition; `sinfo` lists the partitions")
    activate = Path(config.slurm_venv or sys.prefix) / "bin" / "activate"
    if not activate.exists():
        raise ValueError(
            f"collect.slurm_venv: there is no {activate}; name a virtual environment in which this project is installed"
        )
    executor = _datatrove().SlurmPipelineExecutor(
        [task],
        **_settings(config, task),
        time=config.slurm_time,
        partition=config.slurm_partition,
        venv_path=str(activate),
        job_name="card-rows",
        qos="",  # datatrove's own default is a name that not every cluster has
    )
    try:
        executor.run()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise ValueError(f"sbatch did not take the job ({error}); run this where Slurm's commands are installed") from None
    write_json(note, {"job": executor.job_id})
    print(f"  Slurm job {executor.job_id} submitted, {config.tasks} tasks; logs in {task.folder}")


def _is_queued(job: str) -> bool:
    """Whether Slurm still holds the job; it forgets those that ended, and says so with an error."""
    try:
        found = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True)
    except FileNotFoundError:
        return False
    return found.returncode == 0 and bool(found.stdout.strip())


_RUN = {"inline": _run_inline, "local": _run_local, "slurm": _run_slurm, "ray": _run_ray}
