"""The benchmark runs both ways on one batch and writes what it measured; speed itself is never asserted here."""

import json

import pytest
import torch

from data_prep.recipe import load
from training.benchmark import BenchmarkConfig, Measured, alignment, main, peak_memory

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
        ways = ["plain"] if "1 x" in result["name"] else ["plain", "shared"]
        assert list(result["seconds"]) == ways
        assert all(len(result["seconds"][way]) == 2 and result["peak"][way] > 0 for way in ways)
        assert len(result["ratios"]) == (2 if len(ways) == 2 else 0)
    by_name = {result["name"]: result for result in written["results"]}
    kept, recomputed = by_name["60 + 12 + 9, adapter_off"], by_name["60 + 12 + 9, adapter_off, checkpointing"]
    assert recomputed["peak"]["plain"] < kept["peak"]["plain"]
    assert kept["peak"]["shared"] < kept["peak"]["plain"]
    assert kept["tokens"] == 2 * 60 + 12 + 9
    assert written["versions"]["torch"] == torch.__version__
    assert "60 + 12 + 9, precomputed" in capsys.readouterr().out


def test_both_ways_take_the_same_step(tmp_path):
    subject, cases = alignment(recipe(tmp_path).block, seed=1)
    case = next(cases)
    losses = {}
    for way in ("plain", "shared"):
        subject.step(way, case)
        losses[way] = subject.loss(way, case.batch).item()
    assert losses["plain"] == pytest.approx(losses["shared"], abs=1e-6)


def test_what_does_not_fit_is_said_and_leaves_no_ratio():
    measured = Measured("12000 + 700 + 700", 25400, {"plain": None, "shared": [2.0]}, {"plain": None, "shared": 2**20})
    assert measured.ratios() == []
    assert "plain does not fit" in measured.line()
    measured = Measured("a", 100, {"plain": [2.0, 3.0], "shared": [1.0, 1.0]}, {"plain": 4 * 2**20, "shared": 2**20})
    assert "plain 2.5 s, 40 tokens/s, 4 MiB | shared 1 s, 100 tokens/s, 1 MiB | ratio 2.50 (2.00 to 3.00), memory 0.25" in measured.line()  # fmt: skip


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
