"""The whole path through the real entry points, small: 36 cards, two steps of training, 24 tokens of text."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from commands import ROOT, run_command
from wandb_records import records

pytestmark = pytest.mark.slow
SMALL = {
    "data.yaml": {
        "collect": {"source": "synthetic", "cards": 36},
        "split": {"validation": 0.2, "heldout": 0.3},
        # 24 tokens pass no check
        "pairs": {"chosen": "own_or_reference", "max_length_gap": 1.0, "max_faults": 10, "shares": {"own": 1.0}},
        "best": {"min_grade": 0.0, "references": "all"},
    },
    "sft.yaml": {
        "max_steps": 4,
        "save_steps": 2,
        "per_device_train_batch_size": 2,
        "eval_strategy": "epoch",
        "logging_steps": 1,
    },
    "apo.yaml": {
        "max_steps": 2,
        "save_steps": 1,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "logging_steps": 1,
    },
    "rft.yaml": {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 1, "logging_steps": 1},
    "merge.yaml": {"merge": {"prompts": 2, "greedy_tokens": 8}},
    "eval.yaml": {
        "sample": {"cards": 12, "samples": 1, "max_new_tokens": 24, "batch_size": 4},
        "repair": {
            "systems": {"sft": "{run_dir}/sft-merged"},
            "max_new_tokens": 8,
            "batch_size": 4,
            "dtype": "float32",
            "device": "cpu",
        },
        "generate": {"cards": None, "max_new_tokens": 24, "batch_size": 4},
        "probe": {"max_new_tokens": 24},
    },
}


ENVIRONMENT = {"PYTHON": sys.executable, "LAUNCH": "recipes/accelerate/cpu.yaml"}


def small_recipes(folder):
    """The demo's recipes with small numbers: what is tested is what ships."""
    folder.mkdir()
    for name, changes in SMALL.items():
        recipe = yaml.safe_load((ROOT / "recipes" / "demo" / name).read_text())
        for key, value in changes.items():
            recipe[key] = {**recipe[key], **value} if isinstance(value, dict) else value
        (folder / name).write_text(yaml.safe_dump(recipe))
    return folder


def run_path(recipes, run_dir, **environment):
    return subprocess.run(
        ["bash", "recipes/run.sh", str(recipes), "--run_dir", str(run_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT, **environment},
        timeout=900,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    recipes, run_dir = small_recipes(folder / "recipes"), folder / "run"
    done = run_path(recipes, run_dir)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return recipes, run_dir, done.stdout


def test_every_stage_shows_its_command_and_the_path_ends_with_table_and_report(finished):
    _, run_dir, output = finished
    for module in "collect split research write examples revise pairs".split():
        assert f"-m data_prep.{module} --config" in output
    assert "training.launch --config_file recipes/accelerate/cpu.yaml -m training.sft" in output
    assert str(run_dir / "eval" / "report.html") in output.replace("\n", "")
    for name in (
        "data/cards.jsonl data/attached.jsonl data/split.json data/notes.jsonl data/candidates.jsonl data/rejected.jsonl data/samples.jsonl "
        "data/sft/train.parquet data/pairs/train.parquet data/heldout.jsonl sft/adapter_model.safetensors sft-merged/model.safetensors "
        "aligned/adapter_model.safetensors model/model.safetensors eval/generations/aligned.jsonl eval/scores.parquet eval/metrics.json eval/report.html"
    ).split():
        assert (run_dir / name).exists(), name


def test_metrics_have_mean_interval_and_n_for_every_system(finished):
    metrics = json.loads((finished[1] / "eval" / "metrics.json").read_text())
    assert list(metrics["systems"]) == ["lead", "front_matter", "base", "sft", "aligned"]
    for measured in metrics["systems"].values():
        assert set(measured["all_pass"]) >= {"mean", "ci95", "n"}
    assert {"a", "b", "metric", "difference", "ci95", "p", "n"} <= set(metrics["comparisons"][0])


def test_training_stages_leave_recipe_versions_and_data_hashes(finished):
    for folder, stage in (("sft", "sft"), ("aligned", "align")):
        written = json.loads((finished[1] / folder / f"{stage}.manifest.json").read_text())
        assert written["versions"]["trl"]
        assert len(written["inputs"]["train.parquet"]) == 64
        resolved = json.loads((finished[1] / folder / f"{stage}_recipe.json").read_text())
        assert resolved["trainer"]["max_length"] is None


def test_only_the_summary_is_trained_on(finished):
    _, _, output = finished
    line = next(line for line in output.splitlines() if "trained on:" in line)
    assert "trained on: '## " in line
    assert line.endswith("<|im_end|>\\n'")


def test_alignment_starts_at_margin_zero_and_loss_one(finished):
    line = next(line for line in finished[2].splitlines() if "before the first step" in line)
    assert "loss 1.000000, margin 0.00e+00" in line


def test_no_held_out_card_reaches_training(finished):
    import pyarrow.parquet as pq

    data = finished[1] / "data"
    held_out = {json.loads(line)["id"] for line in (data / "heldout.jsonl").open()}
    families = {json.loads(line)["family"] for line in (data / "heldout.jsonl").open()}
    assert held_out
    for name in ("sft/train", "sft/validation", "pairs/train", "pairs/validation"):
        for row in pq.read_table(data / f"{name}.parquet", columns=["provenance"]).to_pylist():
            provenance = json.loads(row["provenance"])
            assert provenance["card_id"] not in held_out
            assert provenance["family"] not in families


def test_run_again_does_nothing_and_says_so(finished):
    recipes, run_dir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()}
    done = run_path(recipes, run_dir)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("done already") >= 18
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()} == before


def test_two_rounds_end_where_one_does_and_sample_nothing_twice(finished, tmp_path):
    recipes, run_dir = finished[0], tmp_path / "run"
    shutil.copytree(finished[1], run_dir)
    done = run_path(recipes, run_dir, ALIGN="rft", ROUNDS="2")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "12 of 12 summaries by sft are there already" in done.stdout
    assert (run_dir / "model").resolve() == run_dir / "round-2" / "model"
    sampled = [(run_dir / place / "data" / "samples.jsonl").read_bytes() for place in ("", "round-1", "round-2")]
    assert sampled[0] == sampled[1] != sampled[2]
    models = [(run_dir / place / "model.safetensors").read_bytes() for place in ("sft-merged", "round-1/model", "model")]
    assert len(set(models)) == 3
    assert "aligned" in json.loads((run_dir / "eval" / "metrics.json").read_text())["systems"]
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()}
    assert run_path(recipes, run_dir, ALIGN="rft", ROUNDS="2").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()} == before


def test_merging_refuses_what_it_cannot_reproduce(finished, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(finished[1] / "sft", run_dir / "sft")
    done = run_command("-m", "training.merge", "--run_dir", str(run_dir), "--merge.adapter", "sft", "--merge.tolerance", "0")
    assert done.returncode == 2
    assert "merged logits differ by" in done.stderr
    assert not (run_dir / "sft-merged").exists()
    done = run_command("-m", "training.merge", "--run_dir", str(run_dir), "--merge.adapter", "aligned")
    assert done.returncode == 2
    assert "run training.align first" in done.stderr


def start_path(recipes, run_dir, half_done):
    """The chain in a process group of its own, running until `half_done` is there."""
    process = subprocess.Popen(
        ["bash", "recipes/run.sh", str(recipes), "--run_dir", str(run_dir)],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (run_dir / half_done).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


HALF_DONE = {
    "training.sft": "sft/checkpoint-2/optimizer.pt",
    "eval.generate --stage sample": "data/samples.jsonl.part",
    "training.align": "aligned/checkpoint-1/optimizer.pt",
    "eval.generate": "eval/generations/base.jsonl.part",
}


def test_killed_in_one_stage_after_another_and_run_again_it_gives_the_same_metrics(finished, tmp_path):
    """kill -9 as soon as a stage has left something half done, then the same command again, into the next such stage."""
    recipes, reference, _ = finished
    run_dir = tmp_path / "run"
    for stage, half_done in HALF_DONE.items():
        process = start_path(recipes, run_dir, half_done)
        assert (run_dir / half_done).exists(), f"{stage} left nothing half done"
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    done = run_path(recipes, run_dir)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("sft/sft.manifest.json", "aligned/align.manifest.json"):
        whole, killed = (json.loads((folder / name).read_text())["outputs"] for folder in (reference, run_dir))
        assert killed == whole, name
    assert (run_dir / "data" / "samples.jsonl").read_bytes() == (reference / "data" / "samples.jsonl").read_bytes()
    assert (run_dir / "eval" / "metrics.json").read_bytes() == (reference / "eval" / "metrics.json").read_bytes()


@pytest.mark.parametrize(
    ("half_done", "code"), [("sft/started.manifest.json", 75), ("data/cards.jsonl", 143)], ids=["training", "a data stage"]
)
def test_a_chain_that_is_told_to_stop_stops_at_once_with_its_stages_code(finished, tmp_path, half_done, code):
    """The signal goes to the chain's own process, as `kill` or a container's end sends it."""
    process = start_path(finished[0], tmp_path / "run", half_done)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (code, 75)  # 75 too where the data stage was over that very moment
    time.sleep(1)
    left = [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or [])]
    assert left == []


def test_the_path_form_of_the_launch_works_too(finished):
    recipes, run_dir, _ = finished
    done = run_command(
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "training/sft.py",
        "--config",
        str(recipes / "sft.yaml"),
        "--run_dir",
        str(run_dir),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "sft: done already" in done.stdout


def test_wandb_offline_has_alignment_in_the_runs_own_group(finished, tmp_path):
    """SFT, and a stage that goes on under its id: test_tracking.py."""
    recipes, reference, _ = finished
    run_dir = tmp_path / "my-run"
    shutil.copytree(reference / "data", run_dir / "data")
    shutil.copytree(reference / "sft-merged", run_dir / "sft-merged")
    arguments = ("--config", str(recipes / "apo.yaml"), "--run_dir", str(run_dir), "--report_to", "wandb")
    done = run_command("-m", "training.align", *arguments, WANDB_MODE="offline", WANDB_SILENT="true")
    assert done.returncode == 0, done.stderr[-2000:]
    begun = [record.run for record in records(run_dir) if record.HasField("run")]
    assert {(one.run_group, one.job_type, one.display_name) for one in begun} == {("my-run", "align", "my-run-align")}
    assert "train/loss" in {item.key or "/".join(item.nested_key) for one in records(run_dir) for item in one.history.item}
