"""Small training runs, each in a process of its own that a test can kill, forked where the slow imports are done."""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import os
import random
import re
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from commands import BASE, ROOT, SMOLLM3_SYSTEM, TEMPLATE_KWARGS

WORDS = "model data trained on four billion tokens of code with open weights and a licence that allows use".split()
ODD, ODD_ROW = "\N{GREEK CAPITAL LETTER OMEGA}", 7  # a character that one row has
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "training_runs",
        "trl.trainer.sft_trainer",
        "trl.trainer.dpo_trainer",
        "training.resume.interruptions",
        "training.setup.load",
    ]
)
# Two epochs of five steps of two micro-batches; dropout, so that a lost random state shows.
SMALL = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 2,
    "save_steps": 2,
    "logging_steps": 1,
    "warmup_steps": 2,
    "lora_r": 4,
    "lora_dropout": 0.2,
    "disable_tqdm": True,
    "eval_strategy": "epoch",
}


@dataclass(frozen=True)
class Ended:
    """A run that has ended: its exit code, -9 where it was killed, and all that it printed."""

    code: int
    output: str


@dataclass(frozen=True)
class Run:
    """A run folder with rows, and recipes for both stages beside it."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "sft"

    def recipe(self, stage: str) -> Path:
        return self.folder / f"{stage}.yaml"

    def train(self, *arguments: str, stage: str = "sft", first: Callable[[], None] | None = None, **environment: str) -> Ended:
        """The stage's command, to its end. `first` runs in the process before it."""
        command = [f"training.{stage}", "--config", str(self.recipe(stage)), *arguments]
        with tempfile.NamedTemporaryFile("r") as log:
            process = PROCESSES.Process(target=_run, args=(command, log.name, first, environment))
            process.start()
            process.join(300)
            return Ended(process.exitcode, log.read())

    def result(self, stage: str = "sft") -> dict:
        """What the stage's manifest says: every log of the loss and the hash of the adapter."""
        folder = self.folder / {"sft": "sft", "align": "aligned"}[stage]
        written = json.loads((folder / f"{stage}.manifest.json").read_text())
        history = [
            {name: value for name, value in entry.items() if not re.search(r"^speed/|runtime|_per_second|step_time", name)}
            for entry in written["result"]["history"]
        ]
        return {"history": history, "outputs": written["outputs"], "steps": written["result"]["steps"]}


def _run(command: list[str], log: str, first: Callable[[], None] | None, environment: dict[str, str]) -> None:
    import torch

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(ROOT)
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **environment})
    torch.set_num_threads(1)
    if first:
        first()
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__")


def make_run(folder: Path, model: Path, rows: int = 20) -> Run:
    """Rows of invented sentences for SFT and alignment; `model` is the base of both."""
    chance = random.Random(7)

    def sentence(words: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(words))

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    prompts = [
        turn("system", SMOLLM3_SYSTEM) + turn("user", f"Card {row}{ODD * (row == ODD_ROW)}. {sentence(8)}")
        for row in range(rows + 4)
    ]
    answers = [turn("assistant", f"## {sentence(6)}") for _ in prompts]
    shared = [
        {"id": f"row-{row}", "prompt": prompt, "chat_template_kwargs": TEMPLATE_KWARGS} for row, prompt in enumerate(prompts)
    ]
    sft = [{**row, "completion": answer} for row, answer in zip(shared, answers, strict=True)]
    pairs = [
        {**row, "chosen": answer, "rejected": turn("assistant", f"## {sentence(5)}")}
        for row, answer in zip(shared, answers, strict=True)
    ]
    for name, table in (("sft", sft), ("pairs", pairs)):
        (folder / "data" / name).mkdir(parents=True)
        for part, chosen in (("train", table[:rows]), ("validation", table[rows:])):
            pq.write_table(pa.Table.from_pylist(chosen), folder / "data" / name / f"{part}.parquet")
    (folder / "sft-merged").symlink_to(model)
    for stage, shipped in (("sft", "sft.yaml"), ("align", "apo.yaml")):
        recipe = yaml.safe_load((ROOT / "recipes" / "demo" / shipped).read_text())
        base = {"model_name_or_path": str(model)} if stage == "sft" else {}
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump({**recipe, **SMALL, "run_dir": str(folder), **base}))
    return Run(folder)


def at(call: int, method: str, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Sends the process a signal as its trainer enters `method` for the `call`-th time."""
    return functools.partial(_before, call, method, functools.partial(_signal, number))


def fill_at(call: int, method: str, disk: Path, leave: int) -> Callable[[], None]:
    """Somebody else's file takes all but `leave` bytes of a disk at that time."""
    return functools.partial(_before, call, method, functools.partial(_fill, disk, leave))


def _before(call: int, method: str, act: Callable[[], None]) -> None:
    from transformers import Trainer

    original, calls = getattr(Trainer, method), itertools.count(1)

    def acted(self, *arguments, **options):
        if next(calls) == call:
            act()
        return original(self, *arguments, **options)

    setattr(Trainer, method, acted)


def _signal(number: int) -> None:
    os.kill(os.getpid(), number)


def _fill(disk: Path, leave: int) -> None:
    (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free - leave))


def hub_at(address: str) -> Callable[[], None]:
    """The run's Hub is a server on loopback; its library has read the environment before the process was forked."""
    return functools.partial(_hub_at, address)


def _hub_at(address: str) -> None:
    from huggingface_hub import constants

    constants.ENDPOINT, constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_XET = address, False, True


def poison(where: str) -> Callable[[], None]:
    """What the model makes of the odd row, or the gradient through it, is no number."""
    return functools.partial(_poison, where)


def _poison(where: str) -> None:
    import torch
    from transformers import AutoTokenizer, SmolLM3Model

    odd = AutoTokenizer.from_pretrained(BASE)(ODD)["input_ids"][-1]
    forward = SmolLM3Model.forward

    def poisoned(self, input_ids, **options):
        output = forward(self, input_ids=input_ids, **options)
        factor = torch.where((input_ids == odd).any(1)[:, None, None], float("nan"), 1.0)
        if where == "loss":
            output.last_hidden_state = output.last_hidden_state * factor
        elif output.last_hidden_state.requires_grad:
            output.last_hidden_state.register_hook(lambda gradient: gradient * factor)
        return output

    SmolLM3Model.forward = poisoned
