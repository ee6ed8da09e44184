"""recipes/run.sh with a stand-in for Python, which writes down each command and leaves what merging would leave."""

import os
import shutil
import signal
import subprocess
import time
from itertools import pairwise

import pytest
from commands import ROOT

STAND_IN = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
[[ -z ${HANGS_AT:-} || "$*" != *"$HANGS_AT"* ]] || exec sleep 50
[[ -z ${FAILS_AT:-} || "$*" != *"$FAILS_AT"* ]] || exit "${WITH:-1}"
while [[ $# -gt 0 ]]; do
  case $1 in --run_dir) run=$2 ;; --merge.adapter) made=$2 ;; esac
  shift
done
case ${made:-} in sft) made=$run/sft-merged ;; aligned) made=$run/model ;; *) exit 0 ;; esac
mkdir -p "$made"
[[ -e $made/weights ]] || echo "made of $(cat "$run/sft-merged/weights" 2> /dev/null)" > "$made/weights"
"""
BEFORE, AFTER = 7, 8  # stages that come before and after alignment


@pytest.fixture
def run(tmp_path):
    """Runs the demo's chain; the result has `.calls`, the commands without what every one has."""
    python, folder = tmp_path / "python", tmp_path / "run"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    shutil.copytree(ROOT / "recipes" / "demo", tmp_path / "recipes", ignore=shutil.ignore_patterns("base"))
    (tmp_path / "recipes" / "grpo.yaml").write_text("run_dir: runs/demo\n")

    def start(given=("--run_dir", str(folder)), **settings):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "recipes/run.sh", str(tmp_path / "recipes"), *given],
            cwd=ROOT,
            env={**os.environ, "PYTHON": str(python), "CALLS": str(calls), **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )
        done.calls = calls.read_text().splitlines() if calls.exists() else []
        return done

    start.folder = folder
    return start


def stages(calls):
    """Of each command its last module and, if it has one, its stage."""
    words = [call.split() for call in calls]
    modules = [[after for before, after in pairwise(one) if before == "-m"][-1] for one in words]
    told = [one[one.index("--stage") + 1] if "--stage" in one else module for one, module in zip(words, modules, strict=True)]
    return [name.removeprefix("data_prep.").removeprefix("training.").removeprefix("eval.") for name in told]


@pytest.mark.parametrize(
    ("align", "expected"),
    [
        ("apo", "sample repair revise pairs align merge"),
        ("dpo", "sample repair revise pairs align merge"),
        ("rft", "sample best sft merge"),
        ("grpo", "grpo merge"),
    ],
)
@pytest.mark.parametrize("rounds", [1, 2])
def test_each_way_of_alignment_has_its_stages_and_steps_are_counted(run, align, expected, rounds):
    done = run(ALIGN=align, ROUNDS=str(rounds))
    assert done.returncode == 0, done.stderr
    told = stages(done.calls)
    assert told[BEFORE:-AFTER] == expected.split() * rounds
    trained = [call for call in done.calls if f"/{align}.yaml" in call]
    assert len(trained) == rounds
    assert [f"[{number}/{len(told)}]" in done.stdout for number in range(1, len(told) + 1)] == [True] * len(told)
    assert len(told) == BEFORE + AFTER + rounds * len(expected.split())


def test_a_single_round_makes_no_folders_of_rounds(run):
    assert run().returncode == 0
    assert sorted(path.name for path in run.folder.iterdir()) == ["model", "sft-merged"]


def test_each_round_begins_with_the_model_of_the_one_before_and_the_last_is_the_runs_model(run):
    done = run(ROUNDS="3")
    assert done.returncode == 0, done.stderr
    assert (run.folder / "model" / "weights").read_text() == "made of made of made of made of \n"
    assert (run.folder / "model").readlink().as_posix() == "round-3/model"
    for number, newest in enumerate(["sft-merged", "round-1/model", "round-2/model"], 1):
        folder = run.folder / f"round-{number}"
        assert (folder / "sft-merged").readlink().as_posix() == f"../{newest}"
        assert (folder / "data" / "sampling.jsonl").readlink().as_posix() == "../../data/sampling.jsonl"
        mine = [call for call in done.calls if f"--run_dir {folder}" in call]
        assert stages(mine) == "sample repair revise pairs align merge".split()
    assert all(f"--run_dir {run.folder} " in f"{call} " for call in done.calls[-AFTER:])
    first = (run.folder / "model" / "weights").read_bytes()
    assert run(ROUNDS="3").returncode == 0
    assert (run.folder / "model" / "weights").read_bytes() == first


def test_a_chain_that_ends_in_a_round_leaves_the_runs_model_and_goes_on(run):
    assert run().returncode == 0
    done = run(
        ROUNDS="2", FAILS_AT=f"training.align --config {run.folder.parent}/recipes/apo.yaml --run_dir {run.folder}/round-2"
    )
    assert done.returncode == 1
    assert not (run.folder / "model").is_symlink()
    assert run(ROUNDS="2").returncode == 0
    assert (run.folder / "model").resolve() == run.folder / "round-2" / "model"
    assert (run.folder / "model.single" / "weights").read_text() == "made of made of \n"


def test_what_a_single_round_sampled_is_there_for_the_first_of_several(run):
    assert run().returncode == 0
    (run.folder / "data").mkdir()
    (run.folder / "data" / "samples.jsonl.part").write_text("a batch\n")
    assert run(ROUNDS="2").returncode == 0
    assert (run.folder / "round-1" / "data" / "samples.jsonl.part").read_text() == "a batch\n"
    assert not (run.folder / "round-2" / "data" / "samples.jsonl.part").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ALIGN": "ppo"}, "ALIGN=ppo has no recipe"),
        ({"ROUNDS": "0"}, 'ROUNDS is "0", expected a number from 1 to 99'),
        ({"ROUNDS": "two"}, 'ROUNDS is "two", expected'),
    ],
)
def test_a_way_or_a_number_that_is_none_is_refused_before_anything_runs(run, settings, said):
    done = run(**settings)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.calls == []


def test_the_recipe_says_where_the_rounds_are_if_the_command_does_not(run):
    path, place = run.folder.parent / "recipes" / "data.yaml", run.folder.parent / "of_recipe"
    path.write_text(path.read_text().replace("run_dir: runs/demo", f'run_dir: "{place}"  # here'))
    done = run(given=(), ROUNDS="2")
    assert done.returncode == 0, done.stderr
    assert (place / "round-2" / "sft-merged").is_symlink()
    assert sum(f"--run_dir {place}/round-2" in call for call in done.calls) == 6


def test_another_recipe_of_the_data_brings_its_folder_to_every_stage(run, tmp_path):
    recipes = tmp_path / "recipes"
    (recipes / "data_more.yaml").write_text((recipes / "data.yaml").read_text().replace("runs/demo", str(tmp_path / "more")))
    done = run((), DATA="data_more")
    assert done.returncode == 0, done.stderr
    assert all(f"--run_dir {tmp_path / 'more'}" in call for call in done.calls)
    told = dict(zip(stages(done.calls), done.calls, strict=True))
    assert "recipes/data_more.yaml" in told["collect"]
    assert "recipes/sft.yaml" in told["sft"]
    assert "accelerate/cpu.yaml" in told["sft"]  # as the recipe says, whatever its folder
    done = run((), DATA="none")
    assert done.returncode == 2
    assert "DATA=none has no recipe" in done.stderr


@pytest.mark.parametrize(("code", "ends"), [("1", 0), ("2", 2), ("75", 75)])
def test_a_gate_that_says_no_ends_well_and_one_without_a_verdict_does_not(run, code, ends):
    assert run(FAILS_AT="eval.gate", WITH=code).returncode == ends


@pytest.mark.parametrize("sent", [signal.SIGUSR1, signal.SIGTERM])
def test_a_chain_that_is_stopped_in_a_stage_with_nothing_to_save_asks_to_be_run_again(tmp_path, run, sent):
    calls = tmp_path / "calls"
    chain = subprocess.Popen(
        ["bash", "recipes/run.sh", str(tmp_path / "recipes"), "--run_dir", str(run.folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHON": str(tmp_path / "python"), "CALLS": str(calls), "HANGS_AT": "data_prep.research"},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not (calls.exists() and "research" in calls.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)  # the stand-in becomes `sleep`
    chain.send_signal(sent)
    assert chain.wait(timeout=30) == 75
    assert "write" not in calls.read_text()


def test_each_training_stage_has_the_launcher_of_its_own_recipe(run, tmp_path):
    (tmp_path / "recipes" / "apo.yaml").write_text("run_dir: runs/demo\n")
    calls = run().calls
    told = dict(zip(stages(calls), calls, strict=True))
    assert "accelerate/cpu.yaml" in told["sft"]
    assert "accelerate/one_gpu.yaml" in told["align"]


def test_keys_of_merging_reach_it(run):
    merges = [
        call for call in run(given=("--run_dir", str(run.folder), "--merge.tolerance", "1")).calls if "training.merge" in call
    ]
    assert len(merges) == 2
    assert all("--merge.tolerance 1" in call for call in merges)
