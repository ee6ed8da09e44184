"""A run that is killed, wherever, and started again ends as one that nobody disturbed."""

import json
import os
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from training_runs import at, make_run

from data_prep.core.manifest import Manifest, content_hash
from eval.reporting.training_log import trainings
from training.resume.checkpoints import alone, checkpoints_newest_first, fault_of, last_whole_checkpoint, open_output


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model):
    """A whole SFT run, and what it says of itself."""
    run = make_run(tmp_path_factory.mktemp("undisturbed") / "run", tiny_model)
    ended = run.train()
    assert ended.code == 0, ended.output[-2000:]
    return run, run.result()


def test_an_undisturbed_run_logs_every_step(undisturbed):
    _, result = undisturbed
    assert [entry["step"] for entry in result["history"] if "loss" in entry] == list(range(1, 11))
    assert {entry["step"] for entry in result["history"] if "eval_loss" in entry} == {5, 10}


def test_others_may_read_the_weights_of_the_run_and_of_its_checkpoints(undisturbed):
    output = undisturbed[0].output
    weights = list(output.rglob("*.safetensors"))
    assert {path.parent.name for path in weights} == {"sft", "checkpoint-8", "checkpoint-10"}
    assert {path.stat().st_mode for path in weights} == {(output / "adapter_config.json").stat().st_mode}


def test_killed_at_several_steps_it_ends_with_the_same_losses(undisturbed, tmp_path, tiny_model):
    """In turn: before anything is saved, in the middle of a checkpoint, within an epoch, after the last step. The page of curves
    has each step once, up to the last one that was logged."""
    run = make_run(tmp_path / "run", tiny_model)
    kills = (at(3, "training_step"), at(1, "_save_rng_state"), at(4, "_save_rng_state"), at(1, "_finalize_training"))
    for kill, step in zip(kills, (1, 2, 8, 10), strict=True):
        assert run.train(first=kill).code == -9
        assert drawn_steps(run) == {"train": list(range(1, step + 1))} | (
            {"validation": [5, 10][: step // 5]} if step > 4 else {}
        )
    assert [path.name for path in run.folder.glob("sft.checkpoint-*")] == [
        "sft.checkpoint-2.broken-1",
        "sft.checkpoint-8.broken-1",
    ]
    ended = run.train()
    assert ended.code == 0, ended.output[-2000:]
    assert run.result() == undisturbed[1]
    assert drawn_steps(run) == {"train": list(range(1, 11)), "validation": [5, 10]}


def drawn_steps(run):
    loss = trainings(run.folder)[0].curves[0]
    return {name: [step for step, _ in points] for name, points in loss.series.items()}


def test_all_steps_taken_and_killed_before_the_end_no_step_is_added(tmp_path, tiny_model):
    """max_steps within an epoch: Trainer alone takes a step more each time it goes on from the last checkpoint."""
    run = make_run(tmp_path / "run", tiny_model)
    few = ("--max_steps", "3", "--eval_strategy", "no")
    assert run.train(*few, first=at(1, "_finalize_training")).code == -9
    assert [path.name for path in checkpoints_newest_first(run.output)] == ["checkpoint-3", "checkpoint-2"]
    assert run.train(*few).code == 0
    assert run.result()["steps"] == 3
    assert [path.name for path in checkpoints_newest_first(run.output)] == ["checkpoint-3", "checkpoint-2"]


def cut(path, share=0.5):
    os.truncate(path, int(path.stat().st_size * share))


def flip(path):
    """One byte of the data is another one; the file keeps its length."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


BREAKS = {
    "adapter cut": lambda folder: cut(folder / "adapter_model.safetensors"),
    "adapter a byte short": lambda folder: os.truncate(
        folder / "adapter_model.safetensors", (folder / "adapter_model.safetensors").stat().st_size - 1
    ),
    "adapter's header cut": lambda folder: os.truncate(folder / "adapter_model.safetensors", 20),
    "adapter empty": lambda folder: os.truncate(folder / "adapter_model.safetensors", 0),
    "adapter gone": lambda folder: (folder / "adapter_model.safetensors").unlink(),
    "optimizer cut": lambda folder: cut(folder / "optimizer.pt"),
    "optimizer damaged": lambda folder: flip(folder / "optimizer.pt"),
    "optimizer gone": lambda folder: (folder / "optimizer.pt").unlink(),
    "scheduler cut": lambda folder: cut(folder / "scheduler.pt"),
    "random state cut": lambda folder: cut(folder / "rng_state.pth"),
    "random state gone": lambda folder: (folder / "rng_state.pth").unlink(),
    "state cut": lambda folder: cut(folder / "trainer_state.json"),
    "state empty": lambda folder: os.truncate(folder / "trainer_state.json", 0),
    "state gone": lambda folder: (folder / "trainer_state.json").unlink(),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_truncated_checkpoint_is_passed_over_with_a_word(undisturbed, tmp_path, capsys, name):
    output = tmp_path / "sft"
    shutil.copytree(undisturbed[0].output, output)
    before = content_hash(output)
    BREAKS[name](output / "checkpoint-10")
    assert last_whole_checkpoint(output) == str(output / "checkpoint-8")
    said = capsys.readouterr().out
    assert "checkpoint-10 is passed over: " in said
    assert "missing" in said or "cut short or damaged" in said
    assert (tmp_path / "sft.checkpoint-10.broken-1").is_dir()
    assert [path.name for path in checkpoints_newest_first(output)] == ["checkpoint-8"]
    assert content_hash(output) == before


def test_going_on_from_the_checkpoint_before_a_truncated_one_gives_the_same_losses(undisturbed, tmp_path, tiny_model):
    run = make_run(tmp_path / "run", tiny_model)
    shutil.copytree(undisturbed[0].output, run.output)
    (run.output / "sft.manifest.json").unlink()
    cut(run.output / "checkpoint-10" / "optimizer.pt")
    ended = run.train()
    assert ended.code == 0, ended.output[-2000:]
    assert "optimizer.pt is cut short or damaged" in ended.output
    assert run.result() == undisturbed[1]


def checkpoint_of_fsdp(folder, sharded):
    """File names as accelerate writes them under FSDP, on two processes."""
    folder.mkdir(parents=True)
    if sharded:
        for name in ("pytorch_model_fsdp_0", "optimizer_0"):
            (folder / name).mkdir()
            for part in ("__0_0.distcp", "__1_0.distcp", ".metadata"):
                (folder / name / part).write_bytes(b"part")
    else:
        save_file({"a": torch.ones(8)}, folder / "adapter_model.safetensors")
        for name in ("pytorch_model_fsdp.bin", "optimizer.bin"):
            torch.save({"a": torch.ones(8)}, folder / name)
    for name in ("scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"):
        torch.save({"a": 1}, folder / name)
    (folder / "trainer_state.json").write_text('{"global_step": 4}')
    return folder


@pytest.mark.parametrize("sharded", [False, True])
def test_checkpoints_of_several_processes_and_of_fsdp_are_whole_or_not(tmp_path, sharded):
    folder = checkpoint_of_fsdp(tmp_path / "checkpoint-4", sharded)
    assert fault_of(folder) == ""
    if sharded:
        (folder / "optimizer_0" / ".metadata").unlink()
        assert fault_of(folder) == "optimizer_0 is incomplete"
    else:
        cut(folder / "optimizer.bin")
        assert fault_of(folder) == "optimizer.bin is cut short or damaged"
    shutil.rmtree(folder)
    folder = checkpoint_of_fsdp(folder, sharded)
    cut(folder / "rng_state_1.pth")
    assert fault_of(folder) == "rng_state_1.pth is cut short or damaged"


def test_no_checkpoint_is_unpickled_to_look_at_it(tmp_path):
    folder = checkpoint_of_fsdp(tmp_path / "checkpoint-4", sharded=False)
    with zipfile.ZipFile(folder / "scheduler.pt", "w") as parts:
        parts.writestr("archive/data.pkl", b"cos\nabort\n(tR.")  # would end this process
    assert fault_of(folder) == ""


def test_what_another_recipe_left_is_moved_aside_and_not_gone_on_from(tmp_path, capsys):
    def opened(rate):
        return open_output(Manifest(tmp_path / "sft" / "sft.manifest.json", "sft", {"learning_rate": rate}, [], []))

    assert opened(1e-3) is None
    (tmp_path / "sft" / "adapter_model.safetensors").write_text("first")
    assert opened(1e-3) is None
    assert (tmp_path / "sft" / "adapter_model.safetensors").exists()
    assert opened(2e-3) is None
    assert not (tmp_path / "sft" / "adapter_model.safetensors").exists()
    assert (tmp_path / "sft.before-1" / "adapter_model.safetensors").read_text() == "first"
    assert json.loads((tmp_path / "sft" / "started.manifest.json").read_text())["recipe"] == {"learning_rate": 2e-3}
    assert "it is now" in capsys.readouterr().out
    opened(1e-3)
    assert (tmp_path / "sft.before-2").exists()


def test_a_recipe_that_is_refused_leaves_what_is_there_alone(undisturbed, tmp_path, tiny_model):
    run = make_run(tmp_path / "run", tiny_model)
    shutil.copytree(undisturbed[0].output, run.output)
    for changes in (("--lora_target_modules", "[nowhere]"), ("--shared_prefix_attention", "fast"), ("--max_steps", "0")):
        ended = run.train(*changes)
        assert ended.code == 2, ended.output[-2000:]
    assert list(run.folder.glob("sft.before-*")) == []
    assert "done already" in run.train().output


def test_a_second_run_in_the_same_folder_is_refused(tmp_path, tiny_model):
    run = make_run(tmp_path / "run", tiny_model)
    with alone(Manifest(run.output / "sft.manifest.json", "sft", {}, [], [])):
        ended = run.train()
    assert ended.code == 2
    assert f"another process is writing {run.output}; wait for it to end" in ended.output
    assert not (run.output / "started.manifest.json").exists()


def test_fresh_moves_the_recipes_own_work_aside_but_not_in_a_job_that_slurm_queued_again(undisturbed, tmp_path, tiny_model):
    run = make_run(tmp_path / "run", tiny_model)
    shutil.copytree(undisturbed[0].output, run.output)
    assert "done already" in run.train("--fresh", "true", SLURM_RESTART_COUNT="1").output
    assert run.train("--fresh", "true", first=at(6, "training_step"), SLURM_RESTART_COUNT="0").code == -9
    assert (run.folder / "sft.before-1" / "sft.manifest.json").exists()
    assert [path.name for path in checkpoints_newest_first(run.output)] == ["checkpoint-2"]
    ended = run.train("--fresh", "true", SLURM_RESTART_COUNT="1")
    assert ended.code == 0, ended.output[-2000:]
    assert not (run.folder / "sft.before-2").exists()
    assert run.result() == undisturbed[1]


@pytest.mark.slow
def test_alignment_killed_at_several_steps_ends_with_the_same_losses(tmp_path, tiny_model):
    whole, killed = make_run(tmp_path / "whole", tiny_model), make_run(tmp_path / "killed", tiny_model)
    assert whole.train(stage="align").code == 0
    for kill in (at(3, "training_step"), at(2, "_save_rng_state"), at(9, "training_step"), at(1, "_finalize_training")):
        assert killed.train(stage="align", first=kill).code == -9
    ended = killed.train(stage="align")
    assert ended.code == 0, ended.output[-2000:]
    assert killed.result("align") == whole.result("align")
