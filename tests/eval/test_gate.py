"""The gate through its command: what passes, what does not and why, and what leaves it without a verdict."""

import json

import pytest
import yaml
from commands import run_here

from data_prep.core.files import write_json
from data_prep.core.manifest import Manifest
from eval.gate import GateConfig, decide

METRICS = [
    {"name": "all_pass", "label": "pages without a flag", "unit": "share", "better": "higher", "headline": True},
    {"name": "unsupported", "label": "unsupported sentences", "unit": "share", "better": "lower", "headline": True},
    {"name": "length_pass", "label": "passes length", "unit": "share", "better": "higher", "headline": False},
    {"name": "words", "label": "words", "unit": "words", "better": None, "headline": False},
]


def row(metric, difference, low, high, a="base", b="tuned"):
    return {
        "a": a,
        "b": b,
        "metric": metric,
        "difference": difference,
        "ci95": [low, high],
        "n": 100,
        "families": 32,
        "p_holm": 0.01,
    }


GAIN, LOWER = row("all_pass", 0.05, 0.01, 0.09), row("unsupported", -0.03, -0.05, -0.01)
LENGTH = row("length_pass", 0.0, -0.008, 0.008)


def metrics(*comparisons, **more):
    found = {"metrics": METRICS, "systems": {"base": {}, "tuned": {}}, "missing": {"base": 0, "tuned": 0}, "decoding": "greedy"}
    return found | {"comparisons": list(comparisons)} | more


def verdict(*comparisons, **block):
    return decide(GateConfig(**({"tuned": "tuned", "base": "base"} | block)), metrics(*comparisons))


def finished_run(folder, content):
    """A run as eval.generate and eval.score leave it, with the model that the summaries are of."""
    model, summaries = folder / "model", folder / "eval" / "generations"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    summaries.mkdir(parents=True)
    written = summaries / "tuned.jsonl"
    written.write_text('{"id": "card"}\n')
    heldout = folder / "data" / "heldout.jsonl"
    heldout.parent.mkdir()
    heldout.write_text('{"id": "card"}\n')
    Manifest(summaries / "tuned.manifest.json", "generate tuned", {}, [heldout, model], [written]).write()
    scored = folder / "eval" / "metrics.json"
    write_json(scored, content)
    Manifest(folder / "eval" / "score.manifest.json", "score", {}, [heldout, summaries], [scored]).write()
    recipe = folder / "eval.yaml"
    recipe.write_text(yaml.safe_dump({"run_dir": str(folder), "gate": {"tuned": "tuned", "base": "base"}}))
    return folder


def gate(folder, *overrides):
    return run_here("eval.gate", "--config", str(folder / "eval.yaml"), *overrides)


def test_a_tuned_model_that_wins_passes(tmp_path):
    folder = finished_run(tmp_path / "run", metrics(GAIN, LOWER, LENGTH))
    finished = gate(folder, "--gate.guards", "[length_pass]")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "passed, tuned beats base in 2 metrics and holds 1 more" in finished.stdout
    first = (folder / "eval" / "gate.json").read_bytes()
    found = json.loads(first)
    assert (found["passed"], found["reasons"], found["tuned"], found["base"]) == (True, [], "tuned", "base")
    assert found["metrics"]["length_pass"] == {
        "must": "hold", "margin": 0.01, "passed": True, "difference": 0.0, "ci95": [-0.008, 0.008],
        "p": None, "p_holm": 0.01, "detectable": None, "n": 100, "families": 32,
    }  # fmt: skip
    record = json.loads((folder / "eval" / "generations" / "tuned.manifest.json").read_text())
    assert found["model_sha256"] == record["inputs"]["model"]
    scored = json.loads((folder / "eval" / "score.manifest.json").read_text())
    assert found["metrics_json_sha256"] == scored["outputs"]["metrics.json"]
    gate(folder, "--gate.guards", "[length_pass]")
    assert (folder / "eval" / "gate.json").read_bytes() == first


def test_one_that_does_not_is_refused_with_every_reason(tmp_path):
    weak = row("all_pass", 0.02, -0.01, 0.05) | {"detectable": 0.0405}
    folder = finished_run(tmp_path / "run", metrics(weak, row("unsupported", 0.03, 0.01, 0.05), missing={"tuned": 3}))
    finished = gate(folder)
    assert finished.returncode == 1
    assert finished.stdout.splitlines()[:3] == [
        "gate: tuned lacks 3 summaries, which may be the hard ones: run eval.generate and eval.score again",
        'gate: tuned does not beat base in "pages without a flag": +2.0 points [−1.0, +5.0] leaves 0 possible; '
        "100 cards find 4.0 points four times in five",
        'gate: tuned does not beat base in "unsupported sentences": +3.0 points [+1.0, +5.0], it is worse',
    ]
    found = json.loads((folder / "eval" / "gate.json").read_text())
    assert (found["passed"], len(found["reasons"])) == (False, 3)


def test_an_interval_that_touches_zero_wins_nothing():
    assert not verdict(row("all_pass", 0.02, 0.0, 0.05), LOWER)["passed"]
    assert verdict(GAIN, LOWER)["passed"]


def test_what_is_not_claimed_wins_nothing():
    found = verdict(GAIN | {"p_holm": 0.06, "p": 0.03}, LOWER)
    assert found["reasons"] == [
        'tuned does not beat base in "pages without a flag": +5.0 points [+1.0, +9.0]; '
        "p is 0.060 after correction, and at most 0.05 is needed"
    ]
    assert "there is no p" in verdict(GAIN | {"p_holm": None}, LOWER)["reasons"][0]
    alone = {key: value for key, value in row("length_pass", 0.05, 0.01, 0.09).items() if key != "p_holm"}
    block = {"metrics": ["length_pass"], "margin": {}}
    assert verdict(GAIN, LOWER, alone | {"p": 0.05}, **block)["passed"]
    assert "; p is 0.051, and" in verdict(GAIN, LOWER, alone | {"p": 0.051}, **block)["reasons"][0]


def test_what_need_not_be_won_must_be_held():
    # The other headline metric turns into a guard. Lower is better there, so the margin lies above 0.
    assert verdict(GAIN, row("unsupported", 0.0, -0.03, 0.009), metrics=["all_pass"])["passed"]
    wide = verdict(GAIN, row("unsupported", 0.0, -0.009, 0.03), metrics=["all_pass"])
    assert wide["reasons"] == [
        'tuned is not shown to stay within the margin of 1.0 points in "unsupported sentences": 0.0 points [−0.9, +3.0] '
        "allows a loss of 3.0 points; score more held-out cards or accept it in gate.margin"
    ]
    lost = verdict(GAIN, row("unsupported", 0.04, 0.02, 0.06), metrics=["all_pass"])
    assert lost["reasons"][0].startswith('tuned falls behind base by more than the margin of 1.0 points in "unsupported')


def test_a_stated_margin_is_what_may_be_lost():
    fall = row("length_pass", -0.02, -0.04, -0.001)
    assert not verdict(GAIN, LOWER, fall, guards=["length_pass"])["passed"]
    assert verdict(GAIN, LOWER, fall, guards=["length_pass"], margin={"length_pass": 0.04})["passed"]


def test_a_comparison_the_other_way_round_is_turned():
    turned = row("all_pass", -0.05, -0.09, -0.01, a="tuned", b="base")
    found = verdict(turned, LOWER)
    assert found["passed"]
    assert (found["metrics"]["all_pass"]["difference"], found["metrics"]["all_pass"]["ci95"]) == (0.05, [0.01, 0.09])


def test_a_metric_without_interval_is_not_won():
    found = verdict(GAIN | {"ci95": None, "note": "one family: nothing to resample, so no interval"}, LOWER)
    assert 'no interval against base in "pages without a flag" (one family' in found["reasons"][0]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"tuned": "tunde"}, 'gate names "tunde", which was not scored. Did you mean "tuned"?'),
        ({"base": "tuned"}, "gate.tuned and gate.base are both tuned; name two systems"),
        ({"metrics": ["all_pas"]}, 'gate.metrics names "all_pas", which is no metric. Did you mean "all_pass"?'),
        ({"guards": ["words"]}, 'gate.guards names "words", of which neither more nor less is better; leave it out'),
        ({"margin": {"all_pass": 0.1}}, 'gate.margin names "all_pass", which is not to be held but won'),
        ({"metrics": ["all_pass", "all_pass"]}, 'gate.metrics names "all_pass" twice; name it once'),
        ({"guards": ["length_pass"]}, r"in no length_pass; add \[base, tuned\] to score.comparisons and run eval.score again"),
    ],
)
def test_mistakes_are_named_with_the_next_move(block, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        verdict(GAIN, LOWER, **block)


@pytest.mark.parametrize("margin", [".inf", "1e9", "1", ".nan", "-0.1"])
def test_a_margin_that_holds_nothing_is_refused(tmp_path, margin):
    folder = finished_run(tmp_path / "run", metrics(GAIN, LOWER, LENGTH))
    finished = gate(folder, "--gate.guards", "[length_pass]", "--gate.margin", f"{{length_pass: {margin}}}")
    assert finished.returncode == 2
    assert f"gate.margin.length_pass is {float(margin.strip('.'))}, and a margin is at least 0 and below 1" in finished.stderr
    assert "give the loss that you would accept" in finished.stderr
    assert not (folder / "eval" / "gate.json").exists()


def test_one_is_one(tmp_path):
    finished = gate(finished_run(tmp_path / "run", metrics(GAIN, LOWER, missing={"tuned": 1})), "--gate.metrics", "[all_pass]")
    assert "tuned lacks 1 summary," in finished.stdout
    assert "tuned against base: 1 reason, " in finished.stdout


def test_a_measure_that_failed_its_own_check_is_named():
    held_back = metrics(GAIN, LOWER, measures={"judge": {"printed": False, "reason": "missed planted faults"}})
    with pytest.raises(ValueError, match="Held back, as their own check failed: the measures of judge"):
        decide(GateConfig(tuned="tuned", base="base", guards=["preferred"]), held_back)


def test_scores_of_an_older_version_leave_no_verdict(tmp_path):
    old = metrics(GAIN, LOWER)
    del old["decoding"]
    finished = gate(finished_run(tmp_path / "run", old))
    assert finished.returncode == 2
    assert "metrics.json says nothing of decoding, so an older eval.score wrote it; run eval.score with" in finished.stderr
    assert not (tmp_path / "run" / "eval" / "gate.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("eval/metrics.json", "is not what eval.score wrote; run eval.score again"),
        ("data/heldout.jsonl", "heldout.jsonl changed after it was scored; run eval.score again"),
        ("eval/measures/judge.jsonl", "measures changed after it was scored; run eval.score again"),
        ("eval/generations/base.jsonl", "changed after it was scored; run eval.score again"),
        ("eval/generations/tuned.jsonl", "is not what tuned.manifest.json says eval.generate wrote"),
    ],
)
def test_scores_of_other_summaries_leave_no_verdict(tmp_path, change, message):
    folder = finished_run(tmp_path / "run", metrics(GAIN, LOWER))
    path = folder / change
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    finished = gate(folder)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert not (folder / "eval" / "gate.json").exists()


@pytest.mark.parametrize(("content", "message"), [("[]", "metrics.json holds list"), ("{", "metrics.json is not JSON")])
def test_a_damaged_metrics_file_is_named_with_the_next_move(tmp_path, content, message):
    folder = finished_run(tmp_path / "run", metrics(GAIN, LOWER))
    (folder / "eval" / "metrics.json").write_text(content)
    finished = gate(folder)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "run eval.score with --run_dir" in finished.stderr


def test_a_quantised_copy_has_nothing_to_win_and_all_to_hold():
    held = row("all_pass", -0.01, -0.02, 0.0), row("unsupported", 0.0, -0.01, 0.01)
    assert not verdict(*held)["passed"]
    found = verdict(*held, metrics=[], margin={"all_pass": 0.03})
    assert (found["passed"], {figures["must"] for figures in found["metrics"].values()}) == (True, {"hold"})
    [reason] = verdict(*held, metrics=[], margin={"all_pass": 0.01})["reasons"]
    assert "is not shown to stay within the margin of 1.0 points" in reason


def test_a_gate_without_anything_to_win_says_what_is_held(tmp_path):
    folder = finished_run(tmp_path / "run", metrics(row("all_pass", 0.0, 0.0, 0.0), row("unsupported", 0.0, 0.0, 0.0)))
    finished = gate(folder, "--gate.metrics", "[]")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "gate: passed, tuned holds 2 metrics of base, " in finished.stdout
