"""Generation in several processes: the same bytes as in one, whatever was killed on the way."""

# ruff: noqa: F401, F811  a fixture of another file

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from commands import ROOT
from test_generate import cards

from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.records import Generation
from eval.generation.processes import Processes, process_group

LAUNCH = "-m accelerate.commands.launch --config_file recipes/accelerate/ddp.yaml --main_process_port 0 --num_processes".split()
OPTIONS = {"batch_size": "1", "max_new_tokens": "40", "dtype": "float32", "device": "cpu", "samples": "2"}


def command(run_dir, model, processes):
    launch = [*LAUNCH, str(processes)] if processes > 1 else []
    systems = json.dumps({"lead": "baseline:lead", "tiny": str(model)})
    options = [part for key, value in OPTIONS.items() for part in (f"--generate.{key}", value)]
    return [sys.executable, *launch, "-m", "eval.generate", "--run_dir", str(run_dir), "--generate.systems", systems, *options]


def start(run_dir, model, processes):
    return subprocess.Popen(
        command(run_dir, model, processes), cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(run_dir, model, processes):
    process = start(run_dir, model, processes)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    return said


def made(run_dir):
    return [path.read_bytes() for path in sorted((run_dir / "eval" / "generations").glob("*.jsonl"))]


def parts(run_dir):
    return sorted((run_dir / "eval" / "generations").glob("tiny.jsonl.part*"))


def test_a_process_alone_is_the_main_one(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    with process_group() as processes:
        assert processes == Processes(0, 1, 0)
        assert processes.is_main
        assert processes.share("x") == "x"
        processes.wait()


@pytest.mark.slow
def test_two_processes_and_one_write_the_same_bytes(tmp_path, cards, tiny_model):
    for name in ("one", "two", "killed"):
        write_jsonl(tmp_path / name / "data" / "heldout.jsonl", cards)
    finish(tmp_path / "one", tiny_model, 1)
    said = finish(tmp_path / "two", tiny_model, 2)
    assert made(tmp_path / "one") == made(tmp_path / "two")
    assert said.count("generate: 15 summaries by tiny in") == 1
    assert said.count("generate: 5 summaries by lead in") == 1
    assert [path.name for path in parts(tmp_path / "two")] == ["tiny.jsonl.part", "tiny.jsonl.part1"]
    # Both do half, none does what the other does.
    keys = [[row["key"] for line in path.open() for row in json.loads(line)] for path in parts(tmp_path / "two")]
    assert sorted(map(len, keys)) == [7, 8]
    assert len(set().union(*keys)) == 15
    assert "generate tiny: done already" in finish(tmp_path / "two", tiny_model, 1)
    # Killed in two processes, gone on with in one.
    process = start(tmp_path / "killed", tiny_model, 2)
    while process.poll() is None and not any(path.stat().st_size for path in parts(tmp_path / "killed")):
        time.sleep(0.005)
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        one.kill()
    process.communicate()
    assert not (tmp_path / "killed" / "eval" / "generations" / "tiny.jsonl").exists(), "the kill came too late"
    stored = sum(len(path.read_bytes().splitlines()) for path in parts(tmp_path / "killed"))
    assert stored > 0
    assert " of 15 summaries by tiny are there already" in finish(tmp_path / "killed", tiny_model, 1)
    assert made(tmp_path / "killed") == made(tmp_path / "one")
    assert len(list(read_jsonl(tmp_path / "killed" / "eval" / "generations" / "tiny.jsonl", Generation))) == 15


@pytest.mark.slow
def test_a_mistake_ends_all_processes(tmp_path, cards):
    write_jsonl(tmp_path / "data" / "heldout.jsonl", cards)
    process = start(tmp_path, "no/such-model", 2)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert 'eval.generate: cannot load the model "no/such-model"' in said
