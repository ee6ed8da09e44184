"""Any executor, any number of tasks, killed at any moment: the same bytes."""

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from itertools import repeat

import pytest
from commands import ROOT, SUPPORT, run_command

from data_prep.collecting.executor import ExecutorConfig, run_shards
from data_prep.collecting.rows import interleaved
from data_prep.core.recipe import load

FILES = ("cards.jsonl", "attached.jsonl", "rejected.jsonl")
PROSE = "Corvane listens to bridges at night and reports which of their bolts came loose before anybody hears them rattle. "


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """A folder with plain cards, an empty one, short ones and exact duplicates under one model id."""
    folder = tmp_path_factory.mktemp("cards")
    for number in range(400):
        text = f"---\nlicense: mit\n---\n# Corvane {number % 380}\n\n{PROSE * (1 + number % 30)}\n\nhttps://corvane.example/{number % 380}\n"
        place = folder / f"{number:03d}" / "vexa" / f"corvane-{number % 380}" / "README.md"
        place.parent.mkdir(parents=True)
        place.write_text("" if number == 7 else "short" if number in (11, 391) else text)
    return folder


def arguments(cards, run, *more):
    source = ("--collect.source", "folder", "--collect.path", str(cards), "--run_dir", str(run))
    return ("-m", "data_prep.collect", *source, *more)


def content(run):
    return {name: (run / "data" / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(cards, tmp_path_factory):
    """What a run in one process writes, and its seconds."""
    run, started = tmp_path_factory.mktemp("inline"), time.monotonic()
    done = run_command(*arguments(cards, run))
    seconds = time.monotonic() - started
    assert "380 cards" not in done.stdout
    assert "same model id and text as another card" in done.stdout
    return content(run), seconds


@pytest.fixture(scope="module")
def expected(undisturbed):
    return undisturbed[0]


def by(executor, tasks, *more):
    return ("--collect.executor", executor, "--collect.tasks", str(tasks), *more)


@pytest.mark.parametrize("how", [by("inline", 7), by("local", 5, "--collect.workers", "2")])
def test_files_are_the_same_for_any_executor_and_number_of_tasks(how, cards, expected, tmp_path):
    done = run_command(*arguments(cards, tmp_path, *how))
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == expected
    assert not (tmp_path / "data" / "collect.work").exists()
    assert "done already" in run_command(*arguments(cards, tmp_path)).stdout  # how it was run is no part of the result


@pytest.mark.parametrize(
    ("how", "longest"), [(by("inline", 1), 1.0), (by("inline", 4), 1.0), (by("local", 4, "--collect.workers", "2"), 3.0)]
)
def test_killed_at_any_moment_the_rerun_ends_with_the_same_files(how, longest, cards, undisturbed, tmp_path):
    """First at some moment before an undisturbed run would end on this machine, then at one within `longest` of its length."""
    expected, whole = undisturbed
    moments, killed, groups = random.Random(longest), [], []
    try:
        for share in (moments.uniform(0.3, 0.8), moments.uniform(0.3, longest)):
            stage = subprocess.Popen(
                [sys.executable, *arguments(cards, tmp_path, *how)], cwd=ROOT, start_new_session=True, stdout=-3, stderr=-3
            )
            time.sleep(share * whole)
            os.kill(stage.pid, signal.SIGKILL)  # its workers live on for a while, and write
            killed.append(stage.wait())
            groups.append(stage.pid)
        done = run_command(*arguments(cards, tmp_path, *how))
    finally:
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    assert -signal.SIGKILL in killed
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == expected


def test_a_changed_recipe_or_input_never_meets_old_shards(cards, tmp_path, monkeypatch):
    from data_prep.collect import CollectConfig, main

    folder = tmp_path / "cards"
    shutil.copytree(cards / "000", folder)
    (folder / "other.md").write_text(PROSE * 3)

    def run(*more):
        given = arguments(folder, tmp_path / "run", *by("inline", 2), *more)[2:]
        main(load("collect", CollectConfig, given))

    with monkeypatch.context() as patch:
        patch.setattr("data_prep.collect.interleaved", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    [work] = (tmp_path / "run" / "data" / "collect.work").iterdir()
    assert sorted(shard.name for shard in work.iterdir()) == ["00000-of-00002.jsonl", "00001-of-00002.jsonl"]
    (work / "00000-of-00002.jsonl").write_text("old\n")
    run("--collect.min_body_words", "30")
    (folder / "other.md").write_text(PROSE * 4)
    run()
    (folder / "other.md").write_text(PROSE * 3)
    with pytest.raises(ValueError, match="Expecting value"):  # the same again takes finished shards as they are
        run()


def words(rank, tasks):
    """Work to hand over by name."""
    return map(str, range(rank, 10, tasks))


def test_finished_shards_are_kept_and_a_failed_task_is_told(tmp_path):
    (tmp_path / "00001-of-00003.jsonl").write_text("kept\n")
    shards = run_shards(ExecutorConfig(tasks=3), words, tmp_path)
    assert [shard.read_text().split() for shard in shards] == [["0", "3", "6", "9"], ["kept"], ["2", "5", "8"]]
    with pytest.raises(ZeroDivisionError):
        run_shards(ExecutorConfig(tasks=2), lambda rank, tasks: map(lambda _: str(1 // rank), repeat(1, 5)), tmp_path)
    assert not (tmp_path / "00000-of-00002.jsonl").exists()


def test_shards_that_do_not_belong_together_are_refused(cards, tmp_path):
    first, second = tmp_path / "0", tmp_path / "1"
    line = '{{"index": {}, "origin": "x", "card_id": "", "card": "", "attached": "", "rejected": null}}\n'
    first.write_text(line.format(0) + line.format(2))
    second.write_text(line.format(1))
    assert [row.index for row in interleaved([first, second])] == [0, 1, 2]
    with pytest.raises(ValueError, match="holds input 1 where 0 belongs"):
        list(interleaved([second, first]))
    second.write_text("".join(map(line.format, (1, 3, 5))))
    with pytest.raises(ValueError, match="more inputs than the other shards"):
        list(interleaved([first, second]))


def test_a_script_without_a_guard_does_not_start_itself_again(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from pathlib import Path\nfrom data_prep.collecting.executor import ExecutorConfig, run_shards\nfrom test_executor import words\n"
        f"open({str(tmp_path / 'starts')!r}, 'a').write('x')\n"
        f"run_shards(ExecutorConfig(executor='local', tasks=3, workers=2), words, Path({str(tmp_path / 'shards')!r}))\n"
    )
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "data_prep"), str(SUPPORT)))
    done = subprocess.run([sys.executable, script], env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "starts").read_text() == "x"
    assert len(list((tmp_path / "shards").glob("*.jsonl"))) == 3


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins for Slurm's commands: sbatch keeps the script and gives a number, squeue knows what the file `queue` says."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {
        "sbatch": f'cat "${{@: -1}}" > {tmp_path}/script-$(ls {tmp_path} | grep -c script); echo Submitted batch job 41',
        "squeue": f"cat {tmp_path}/queue",
        "srun": 'while [ "$1" != launch_pickled_pipeline ]; do shift; done; exec "$@"',
        "scontrol": "echo node-1",
    }.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(stat.S_IRWXU)
    (tmp_path / "queue").write_text("41 waiting\n")
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_slurm_gets_an_array_job_and_the_same_command_merges_afterwards(slurm, cards, expected):
    run = slurm / "run"
    how = (*by("slurm", 2), "--collect.slurm_partition", "short", "--collect.slurm_time", "00:10:00", "--collect.workers", "2")
    command = arguments(cards, run, *how)
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert "Slurm job 41 submitted, 2 tasks" in done.stdout
    assert "run the same command again when the job has ended" in done.stdout
    script = (slurm / "script-0").read_text()
    for line in ("partition=short", "time=00:10:00", "array=0-1%2"):
        assert f"#SBATCH --{line}\n" in script
    assert f"source {sys.prefix}/bin/activate" in script
    assert "--qos" not in script

    submitted = len(list(slurm.glob("script-*")))
    assert "nothing submitted" in run_command(*command).stdout  # the job is still in the queue
    assert len(list(slurm.glob("script-*"))) == submitted

    for rank in ("0", "1"):
        task = {**os.environ, "SLURM_ARRAY_TASK_ID": rank, "SLURM_NODELIST": "node-1", "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(["bash", slurm / "script-0"], env=task, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    merged = run_command(*command)
    assert merged.returncode == 0, merged.stderr
    assert content(run) == expected


def test_slurm_without_partition_or_environment_says_what_to_do(slurm, cards):
    (slurm / "queue").write_text("")
    for more, message in (
        ((), "needs collect.slurm_partition"),
        (("--collect.slurm_partition", "short", "--collect.slurm_venv", str(slurm)), "name a virtual environment"),
    ):
        done = run_command(*arguments(cards, slurm / "run", *by("slurm", 2), *more))
        assert done.returncode == 2
        assert message in done.stderr


@pytest.mark.slow
def test_ray_gives_the_same_files(cards, expected, tmp_path):
    done = run_command(*arguments(cards, tmp_path, *by("ray", 4, "--collect.workers", "2")), RAY_ADDRESS="")
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == expected


def test_the_inline_executor_needs_no_datatrove(cards, tmp_path):
    code = "import sys; from data_prep.collect import *; main(load('collect', CollectConfig, sys.argv[3:])); sys.exit('datatrove' in sys.modules)"
    code = f"from data_prep.core.recipe import load; {code}"
    assert run_command("-c", code, *arguments(cards, tmp_path, *by("inline", 2))).returncode == 0
