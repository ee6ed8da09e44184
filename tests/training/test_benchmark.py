"""The benchmark runs both ways on one batch and writes what it measured; speed itself is never asserted here."""

import json

import pytest
import torch
from commands import ROOT

from data_prep.core.recipe import load
from training.benchmark import BenchmarkConfig, Measured, alignment, cases, drafted, main, measure, peak_memory, sft

TINY = "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 1024}"


def recipe(folder, **changes):
    values = {
        "config": TINY,
        "pairs": "[{prompt: 60, chosen: 12, rejected: 9}]",
        "sft": "[{prompt: 60, answer: 8, references: 1}, {prompt: 60, answer: 8, references: 3}]",
        "repeats": "2",
        **changes,
    }
    overrides = [part for key, value in values.items() for part in (f"--benchmark.{key}", value)]
    return load("benchmark", BenchmarkConfig, ["--run_dir", str(folder), *overrides])


def test_every_setting_is_measured_both_ways(tmp_path, capsys):
    main(recipe(tmp_path))
    written = json.loads((tmp_path / "benchmark.json").read_text())
    names = [result["name"] for result in written["results"]]
    assert len(names) == 2 * 2 + 2 * 2
    assert len(set(names)) == len(names)
    for result in written["results"]:
        ways = ["plain"] if result["name"].startswith("SFT, 60 + 8") and "8 + 8" not in result["name"] else ["plain", "split"]
        assert list(result["seconds"]) == ways
        assert all(len(result["seconds"][way]) == 2 and result["peak"][way] > 0 for way in ways)
        assert all(result["counted"][way] > 0 for way in ways)
        assert {way: len(ratios) for way, ratios in result["ratios"].items()} == dict.fromkeys(ways[1:], 2)
    by_name = {result["name"]: result for result in written["results"]}
    kept, recomputed = by_name["adapter_off, 60 + 12 + 9"], by_name["adapter_off, 60 + 12 + 9, checkpointing"]
    assert recomputed["peak"]["plain"] < kept["peak"]["plain"]
    assert kept["peak"]["split"] < kept["peak"]["plain"]
    assert kept["tokens"] == 2 * 60 + 12 + 9
    assert written["versions"]["torch"] == torch.__version__
    assert "precomputed, 60 + 12 + 9 " in capsys.readouterr().out


def test_both_ways_take_the_same_step(tmp_path):
    block = recipe(tmp_path).block
    for subject, case in ((alignment(block, 1), next(cases(block))), (sft(block, 1), list(cases(block))[-1])):
        subject.trainer.model.double()  # in float32 the order of a processor's sums shows
        batch, losses = subject.batch(case), {}
        for way in ("plain", "split"):
            subject.step(way, case, batch)
            losses[way] = subject.loss(way, dict(batch)).item()
        assert losses["plain"] == pytest.approx(losses["split"], abs=1e-6)


def test_a_prediction_runs_nothing_and_is_the_published_count_of_operations(tmp_path, capsys):
    """A pair of SmolLM3-3B, 12,000 + 700 + 700 tokens: 842 TFLOP by TRL's way and 452 over one prompt."""
    path = str(ROOT / "recipes" / "benchmark" / "h200.yaml")
    main(load("benchmark", BenchmarkConfig, ["--config", path, "--run_dir", str(tmp_path), "--benchmark.predict_at", "400"]))
    written = json.loads((tmp_path / "benchmark.json").read_text())
    first = written["results"][0]
    assert first["name"] == "adapter_off, 12000 + 700 + 700, checkpointing"
    assert first["flops"]["plain"] == pytest.approx(842.2e12, rel=1e-3)
    assert first["flops"]["shared"] == pytest.approx(452.5e12, rel=1e-3)
    assert first["seconds"]["plain"] == [pytest.approx(842.2 / 400, rel=1e-3)]
    assert written["predicted_at_tflops"] == 400
    assert "device" not in written
    assert "12 settings predicted" in capsys.readouterr().out


def test_what_does_not_fit_is_said_and_leaves_no_ratio():
    flops, counted = {"plain": 8e12, "split": 4e12}, {"plain": 3 * 2**20, "split": 2**20}
    measured = Measured("a pair", 25400, {"plain": None, "split": [2.0]}, {"plain": None, "split": 2**20}, counted, flops, {})
    assert measured.ratios() == {}
    assert "plain does not fit" in measured.line()
    seconds, peak = {"plain": [2.0, 3.0], "split": [1.0, 1.0]}, {"plain": 4 * 2**20, "split": 2**20}
    measured = Measured("a", 100, seconds, peak, counted, flops, {"split": 0.5})
    assert measured.line().split(" | ")[1:] == [
        "plain 2.5 s, 40 tokens/s, 8 TFLOP, 4 MiB (3 counted)",
        "split 1 s, 100 tokens/s, 4 TFLOP, 1 MiB (1 counted), 50% of the matmul rate",
        "plain / split 2.50 (2.00 to 3.00), memory 0.25",
    ]


def test_a_stopped_run_goes_on_after_the_last_setting(tmp_path, monkeypatch, capsys):
    def stopped(subject, case, *rest):
        if case.reference is None:
            raise KeyboardInterrupt
        return measure(subject, case, *rest)

    few = {"checkpointing": "[false]", "repeats": "1"}
    monkeypatch.setattr("training.benchmark.measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        main(recipe(tmp_path, **few))
    draft = json.loads((tmp_path / "benchmark.json.part").read_text())
    assert len(draft["results"]) == 2
    monkeypatch.undo()
    capsys.readouterr()
    main(recipe(tmp_path, **few))
    said = capsys.readouterr().out
    assert "SFT, 60 + 8" in said
    assert "adapter_off" not in said
    results = json.loads((tmp_path / "benchmark.json").read_text())["results"]
    assert [result["seconds"] for result in results[:2]] == [result["seconds"] for result in draft["results"]]
    assert len(results) == 4
    assert not (tmp_path / "benchmark.json.part").exists()


def test_figures_of_another_recipe_are_not_gone_on_with(tmp_path):
    few = recipe(tmp_path, checkpointing="[false]", repeats="1", sft="[]", references="[precomputed]")
    main(few)
    draft = tmp_path / "benchmark.json.part"
    (tmp_path / "benchmark.json").rename(draft)
    assert drafted(draft, recipe(tmp_path, repeats="2")) == []


def test_peak_memory_is_the_allocators():
    def step():
        big = torch.ones(4_000_000)
        del big
        torch.ones(1_000_000).sum()

    assert peak_memory(step, "cpu") == pytest.approx(16e6, rel=0.01)


def test_a_gpu_that_is_not_there_is_said(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ValueError, match=r"this machine has none; use recipes/benchmark/cpu\.yaml"):
        main(recipe(tmp_path, device="cuda"))
