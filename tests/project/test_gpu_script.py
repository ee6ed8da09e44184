"""recipes/benchmark/gpu.sh: what is done is passed over, what fails or runs out of time stops nothing else."""

import json
import os
import subprocess
import sys
import time

import pytest
from commands import ROOT

# In place of Python: writes down what it is asked for and leaves what the next part looks for. FAILS and HANGS name modules.
STAND_IN = """#!/usr/bin/env bash
[[ $1 != -c ]] || exit "${NO_GPU:-0}"
[[ $1 == -m ]] || exit 0
echo "$2" >> "$CALLS"
[[ $2 != "${HANGS:-}" ]] || exec sleep 60
[[ $2 != "${FAILS:-}" ]] || { echo "$2: broken"; exit 1; }
run_dir=$(sed -n 's/.*--run_dir \\([^ ]*\\).*/\\1/p' <<< "$*")
[[ $2 != data_prep.examples ]] || { mkdir -p "$run_dir/data" && touch "$run_dir/data/examples.manifest.json"; }
"""
ALL = ["exact", "steps", "data", "seeds"]
SEED = "training.sft training.merge eval.generate data_prep.revise data_prep.pairs training.align training.merge eval.generate eval.score".split()
DATA = [f"data_prep.{stage}" for stage in "collect split research write examples".split()]


@pytest.fixture
def script(tmp_path):
    """Runs the script with a stand-in; `.calls()` are the modules that it asked for since the last time."""
    stand_in, calls = tmp_path / "python", tmp_path / "calls"
    stand_in.write_text(STAND_IN, encoding="utf-8")
    stand_in.chmod(0o755)

    def run(*arguments, **environment):
        settings = {"PYTHON": str(stand_in), "CALLS": str(calls), "SMALL": "1", "SEEDS": "1", **environment}
        return subprocess.run(
            ["bash", "recipes/benchmark/gpu.sh", str(tmp_path / "out"), *arguments],
            cwd=ROOT,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def made():
        found = calls.read_text(encoding="utf-8").split() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return found

    run.calls = made
    run.states = lambda: {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["state"] for path in (tmp_path / "out" / "parts").iterdir()
    }
    return run


def test_a_part_that_fails_stops_no_other_and_alone_is_run_again(script):
    done = script(FAILS="training.benchmark")
    assert done.returncode == 1
    assert "training.benchmark: broken" in done.stdout
    assert script.states() == {"exact": "done", "steps": "failed", "data": "done", "seeds": "done"}
    assert script.calls() == ["pytest", "training.benchmark", *DATA, *SEED]
    assert script().returncode == 0
    assert script.calls() == ["training.benchmark"]
    again = script()
    assert again.returncode == 0
    assert again.stdout.count("done already") == 4
    assert script.calls() == []


def test_a_part_that_time_stops_goes_on_the_next_time(script):
    start = time.monotonic()
    done = script(HANGS="training.align", LIMIT="8", PARTS="data seeds steps")
    assert done.returncode == 75
    assert time.monotonic() - start < 30
    assert script.states() == {"data": "done", "seeds": "stopped", "steps": "stopped"}
    assert script.calls()[-1] == "training.align"
    assert script(PARTS="seeds").returncode == 0
    assert script.calls() == SEED


def test_a_seed_that_fails_is_said_with_the_end_of_its_log(script):
    done = script(FAILS="data_prep.pairs", SEEDS="1 2")
    assert done.returncode == 1
    assert "data_prep.pairs: broken" in done.stdout
    assert script.states()["seeds"] == "failed"


def test_without_cards_and_base_the_last_parts_are_passed_over_with_a_reason(script, tmp_path):
    done = script(SMALL="")
    assert done.returncode == 0, done.stderr
    assert "data: passed over (BASE is" in done.stdout
    assert script.states() == {"exact": "done", "steps": "done", "data": "passed over", "seeds": "passed over"}
    (tmp_path / "config.json").touch()
    assert "data: passed over (CARDS names no" in script(SMALL="", BASE=str(tmp_path)).stdout
    script.calls()
    given = script(SMALL="", BASE=str(tmp_path), CARDS="a.parquet, b/")
    assert given.returncode == 0
    assert script.calls() == [*DATA, *SEED]


def test_a_list_says_what_is_left_and_runs_nothing(script):
    before = script("--list")
    assert before.stdout.splitlines() == [
        "exact: not begun", "steps: not begun", "data: not begun", "seeds: not begun; no rows yet; the part data makes them"
    ]  # fmt: skip
    assert script.calls() == []
    script(PARTS="exact")
    assert script("--list").stdout.startswith("exact: done\nsteps: not begun\n")


def test_a_machine_without_a_gpu_is_told_what_it_can_do(script):
    done = script(SMALL="", NO_GPU="1")
    assert done.returncode == 2
    assert "sees no CUDA device; SMALL=1 tries" in done.stderr
    assert script.calls() == []


def test_mistakes_and_help(script):
    for arguments, settings, said in [
        (["--verbose"], {}, "is not an option"),
        (["another"], {}, "is a second folder"),
        ([], {"PARTS": "stepps"}, "there are exact, steps, data and seeds"),
        ([], {"LIMIT": "ten"}, "it takes whole seconds"),
    ]:
        done = script(*arguments, **settings)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    shown = script("--help").stdout
    assert shown.startswith("What a GPU that is at hand for minutes")
    assert "set -uo" not in shown
    assert all(f"  {part} " in shown for part in ALL)


@pytest.mark.slow
def test_small_the_whole_script_ends_with_files_for_each_part(tmp_path):
    environment = {**os.environ, "SMALL": "1", "SEEDS": "1 2", "PYTHON": sys.executable, "LIMIT": "1500"}
    command = ["bash", "recipes/benchmark/gpu.sh", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1600)
    logs = "\n".join(path.read_text(encoding="utf-8")[-1000:] for path in tmp_path.glob("*.log"))
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}{logs}"
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert {part["part"]: part["state"] for part in summary["parts"]} == dict.fromkeys(ALL, "done")
    assert all((tmp_path / part["result"]).exists() for part in summary["parts"])
    assert {"torch", "transformers", "trl", "peft"} <= set(summary["versions"])
    seeds = json.loads((tmp_path / "seeds.json").read_text(encoding="utf-8"))
    assert seeds["seeds"] == ["seed-1", "seed-2"]
    assert {system: len(metrics["fact_recall"]) for system, metrics in seeds["systems"].items()} == {"sft": 2, "aligned": 2}
