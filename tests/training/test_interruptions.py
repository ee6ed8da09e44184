"""Signals, a full disk and losses that are no numbers, in real runs."""

import argparse
import errno
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from commands import ROOT, SUPPORT, run_command
from safetensors.torch import load_file
from training_runs import at, fill_at, make_run, poison

from training.launch import exit_code, on_visible_gpus
from training.resume.checkpoints import checkpoints_newest_first, fault_of
from training.resume.disk import checkpoint_bytes, is_full_disk
from training.resume.signals import EXIT_AGAIN, SIGNALS

TWO_PROCESSES = "--config_file recipes/accelerate/ddp.yaml --num_processes 2 --main_process_port 0".split()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model):
    run = make_run(tmp_path_factory.mktemp("undisturbed") / "run", tiny_model)
    ended = run.train()
    assert ended.code == 0, ended.output[-2000:]
    return run.result()


@pytest.mark.parametrize(
    ("micro_batch", "number", "step"),
    [
        pytest.param(6, signal.SIGTERM, 3, id="within an epoch"),
        pytest.param(10, signal.SIGUSR1, 5, id="at its end"),
        pytest.param(20, signal.SIGTERM, 10, id="at the end of all", marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_leaves_and_the_same_command_goes_on(undisturbed, tmp_path, tiny_model, micro_batch, number, step):
    run = make_run(tmp_path / "run", tiny_model)
    ended = run.train(first=at(micro_batch, "training_step", number))
    assert ended.code == EXIT_AGAIN == 75
    assert f"stopped by a signal after step {step}, which is saved" in ended.output
    assert "eval_loss" not in ended.output.partition(f"'epoch': '{step / 5:g}'")[2]
    assert checkpoints_newest_first(run.output)[0].name == f"checkpoint-{step}"
    ended = run.train()
    assert ended.code == 0, ended.output[-2000:]
    assert run.result() == undisturbed


def start(arguments, log, **environment):
    """A launch as a person starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "training.launch", *arguments],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip


def until(path, words, process):
    deadline = time.monotonic() + 240
    while words not in path.read_text():
        assert process.poll() is None, path.read_text()[-2000:]
        assert time.monotonic() < deadline, path.read_text()[-2000:]
        time.sleep(0.02)


def test_the_launcher_ends_as_its_stage_does():
    assert [exit_code(code) for code in (0, 2, 75, -signal.SIGKILL, -signal.SIGSEGV)] == [0, 2, 75, 137, 139]
    assert [exit_code(-number) for number in SIGNALS] == [75, 75]


@pytest.mark.slow
def test_the_launcher_hands_on_a_signal_and_the_stages_exit_code(tmp_path, tiny_model):
    run, log = make_run(tmp_path / "run", tiny_model), tmp_path / "log.txt"
    launch = ["--config_file", "recipes/accelerate/cpu.yaml", "-m", "training.sft", "--config", str(run.recipe("sft"))]
    # Many short epochs: there is time to send a signal.
    with open(log, "w") as handle:
        process = start([*launch, "--num_train_epochs", "200", "--save_steps", "500"], handle)
    until(log, "'loss'", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 75
    assert "goes on from there" in log.read_text()
    assert "Traceback" not in log.read_text()
    [checkpoint] = checkpoints_newest_first(run.output)
    assert fault_of(checkpoint) == ""


@pytest.mark.slow
def test_the_launcher_ends_with_2_for_a_mistake():
    done = run_command("-m", "training.launch", "--cpu", "-m", "training.sft", "--run_dir", "nowhere", "--learning_rat", "1")
    assert done.returncode == 2
    assert "learning_rate" in done.stderr
    assert "Traceback" not in done.stderr


def start_two(run, log):
    with open(log, "w") as handle:
        return start(
            [*TWO_PROCESSES, "-m", "training.sft", "--config", str(run.recipe("sft")), "--num_train_epochs", "20"], handle
        )


@pytest.fixture(scope="module")
def undisturbed_two(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("undisturbed_two")
    run, log = make_run(folder / "run", tiny_model), folder / "log.txt"
    assert start_two(run, log).wait(300) == 0, log.read_text()[-2000:]
    return run.result()


@pytest.mark.slow
@pytest.mark.parametrize("to", ["launcher", "one process"])
def test_two_processes_stop_together_and_go_on_with_the_same_losses(undisturbed_two, tmp_path, tiny_model, to):
    psutil = pytest.importorskip("psutil")
    run, log = make_run(tmp_path / "run", tiny_model), tmp_path / "log.txt"
    process = start_two(run, log)
    until(log, "'loss'", process)
    target = process if to == "launcher" else psutil.Process(process.pid).children()[1]
    target.send_signal(signal.SIGTERM)
    assert process.wait(120) == 75, log.read_text()[-2000:]
    newest = checkpoints_newest_first(run.output)[0]
    assert fault_of(newest) == ""
    assert {path.name for path in newest.glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    assert start_two(run, log).wait(300) == 0, log.read_text()[-2000:]
    assert run.result() == undisturbed_two


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_of_two_processes_ends_both(tmp_path, tiny_model):
    run, log = make_run(tmp_path / "run", tiny_model), tmp_path / "log.txt"
    (tmp_path / "poisoned.py").write_text(
        "import runpy, training_runs\n"
        "training_runs.poison('loss')()\n"
        "if __name__ == '__main__':\n"
        "    runpy.run_module('training.sft', run_name='__main__')\n"
    )
    with open(log, "w") as handle:
        process = start(
            [*TWO_PROCESSES, "-m", "poisoned", "--config", str(run.recipe("sft")), "--save_steps", "1"],
            handle,
            PYTHONPATH=os.pathsep.join([str(tmp_path), str(SUPPORT)]),
        )
    assert process.wait(240) == 2, log.read_text()[-2000:]
    [rows] = re.findall(r"the loss is nan in step \d+, rows: ([^.]*)\. ", log.read_text())
    assert "row-7" in rows.split(", ")
    assert len(rows.split(", ")) == 2
    for checkpoint in checkpoints_newest_first(run.output):
        assert all(weight.isfinite().all() for weight in load_file(checkpoint / "adapter_model.safetensors").values())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, taken down afterwards; where this may not mount one the test is passed over."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    yield place
    subprocess.run(["umount", place], check=True)


# Room for nothing, a part of the adapter, of the optimizer, and for all but the last small files.
@pytest.mark.parametrize("leave", [393_216, *(pytest.param(some, marks=pytest.mark.slow) for some in (0, 32_768, 524_288))])
def test_a_full_disk_is_told_in_one_line_and_the_last_checkpoint_kept(undisturbed, tiny_model, small_disk, leave):
    run = make_run(small_disk / "run", tiny_model)
    ended = run.train(first=fill_at(2, "_save_checkpoint", small_disk, leave))
    assert ended.code == 2, ended.output[-3000:]
    [line] = [line for line in ended.output.splitlines() if line.startswith("training.sft: ")]
    assert "is full" in line
    assert "MB free, a checkpoint takes" in line
    assert line.endswith(f"then the same command goes on from {run.output / 'checkpoint-2'}")
    assert [path.name for path in checkpoints_newest_first(run.output)] == ["checkpoint-2"]
    (small_disk / "other").unlink()
    assert run.train().code == 0
    assert run.result() == undisturbed


def test_a_disk_too_small_for_the_checkpoints_to_come_is_refused_before_the_first_step(tiny_model, small_disk):
    run = make_run(small_disk / "run", tiny_model)
    ended = run.train("--lora_r", "64")
    assert ended.code == 2, ended.output[-3000:]
    assert "3 more checkpoints of" in ended.output
    assert "save_total_limit (2)" in ended.output
    assert "'loss'" not in ended.output


def test_a_checkpoint_is_as_large_as_the_newest(tmp_path):
    for step, size in ((2, 10), (4, 300)):  # adapters that grow: a run that went on with another rank
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "adapter").write_bytes(b"x" * size)
    assert checkpoint_bytes(SimpleNamespace(args=SimpleNamespace(output_dir=tmp_path))) == 300


def test_errors_of_a_full_disk_are_told_from_others(tmp_path):
    assert is_full_disk(OSError(errno.ENOSPC, "No space left on device"))
    assert is_full_disk(OSError(errno.EDQUOT, "Disk quota exceeded"))
    # What torch.save and safetensors said on a full disk.
    assert is_full_disk(RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 56640 vs 56532"))
    assert is_full_disk(RuntimeError("basic_ios::clear: iostream error"))
    assert is_full_disk(RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"))
    assert is_full_disk(Exception("Error while serializing: I/O error: No space left on device (os error 28)"))
    in_saving = RuntimeError("while saving")
    in_saving.__context__ = OSError(errno.ENOSPC, "")
    assert is_full_disk(in_saving)
    assert not is_full_disk(OSError(errno.EACCES, "Permission denied"))
    assert not is_full_disk(RuntimeError("CUDA out of memory"))
    cut = tmp_path / "cut.pt"
    torch.save(torch.ones(100), cut)
    os.truncate(cut, 200)
    with pytest.raises(RuntimeError) as caught:
        torch.load(cut, weights_only=True)
    assert not is_full_disk(caught.value)


@pytest.mark.parametrize(("stage", "folder"), [("sft", "sft"), ("align", "aligned")])
def test_a_loss_that_is_no_number_names_its_row_and_is_in_no_checkpoint(tmp_path, tiny_model, stage, folder):
    run = make_run(tmp_path / "run", tiny_model)
    ended = run.train("--shared_prefix", "false", "--save_steps", "1", stage=stage, first=poison("loss"))
    assert ended.code == 2, ended.output[-2000:]
    [line] = [line for line in ended.output.splitlines() if line.startswith(f"training.{stage}: ")]
    step = int(re.search(r"the loss is nan in step (\d+), rows: row-7\. ", line)[1])
    assert step > 1  # else this shows nothing about checkpoints: take another seed
    assert line.endswith(f"goes on from {run.folder / folder / f'checkpoint-{step - 1}'}")
    assert checkpoints_newest_first(run.folder / folder)[0].name == f"checkpoint-{step - 1}"
    if stage == "sft":
        assert run.train("--shared_prefix", "false", "--save_steps", "1").code == 0
        assert run.result()["steps"] == 10


def test_a_gradient_that_is_no_number_names_the_rows_of_its_step(tmp_path, tiny_model):
    run = make_run(tmp_path / "run", tiny_model)
    ended = run.train("--save_steps", "1", first=poison("gradient"))
    assert ended.code == 2, ended.output[-2000:]
    step, rows = re.search(r"the gradients are not finite in step (\d+), rows: ([^.]*)\. ", ended.output).groups()
    assert "row-7" in rows.split(", ")
    assert len(rows.split(", ")) == 4
    assert checkpoints_newest_first(run.output)[0].name == f"checkpoint-{int(step) - 1}"


def test_weights_that_are_no_numbers_are_in_no_checkpoint(tmp_path, tiny_model):
    run = make_run(tmp_path / "run", tiny_model)
    ended = run.train("--save_steps", "1", "--warmup_steps", "0", "--learning_rate", "1e39")
    assert ended.code == 2, ended.output[-2000:]
    assert "the weights are not finite after the step in step 1" in ended.output
    assert checkpoints_newest_first(run.output) == []


@pytest.mark.parametrize(
    ("file", "visible", "given", "taken"),
    [
        ("one_gpu", "3", None, "3"),
        ("one_gpu", "2,5", None, "2"),
        ("one_gpu", "1,0", None, None),  # the file's GPU is among them
        ("one_gpu", "3", "7", "7"),
        ("one_gpu", "", None, None),
        ("ddp", "3,4", None, None),
    ],
)
def test_a_single_process_runs_on_a_gpu_that_the_environment_allows(file, visible, given, taken, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    arguments = argparse.Namespace(config_file=str(ROOT / "recipes" / "accelerate" / f"{file}.yaml"), gpu_ids=given)
    assert on_visible_gpus(arguments).gpu_ids == taken
