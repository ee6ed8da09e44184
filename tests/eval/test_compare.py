"""Two finished runs through the real command: known differences come back, unlike runs are refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import run_here

from data_prep.core.files import write_json
from data_prep.core.manifest import Manifest
from data_prep.core.records import HeldOut
from eval.compare import main, options
from eval.runs.scored import score_inputs
from eval.scoring.aggregate import prompts_hash

CARDS, FAMILIES = 60, 20
METRICS = [
    {
        "name": "all_pass",
        "label": "pages without a flag",
        "group": "checks",
        "unit": "share",
        "better": "higher",
        "headline": True,
    },
    {"name": "fact_recall", "label": "facts", "group": "checks", "unit": "share", "better": "higher", "headline": True},
    {"name": "words", "label": "words", "group": "checks", "unit": "words", "better": None, "headline": False},
]


def score_rows(system, passing=0.5, recall=0.8, samples=1, decoding="greedy", cards=CARDS):
    """The first `passing` of the cards pass; recall differs from card to card around `recall`, and from sample to sample."""
    offset = np.random.default_rng(int(1000 * recall)).normal(0, 0.02, cards)
    for card in range(cards):
        for sample in range(samples):
            yield {
                "id": f"card{card:02}",
                "system": system,
                "family": f"family{card % FAMILIES}",
                "decoding": decoding,
                "sample": sample,
                "all_pass": float(card < passing * cards),
                "fact_recall": recall + offset[card] + 0.01 * (sample - (samples - 1) / 2),
                "words": 300.0 + card,
            }


def finished_run(folder, rows, *, recipes=None, code="c", **changes):
    """What eval.score leaves of a run; `recipes`: of eval.generate by system. `changes` to metrics.json, None drops a key."""
    rows = list(rows)
    content = {
        "metrics": METRICS,
        "systems": {row["system"]: {} for row in rows},
        "decoding": "greedy",
        "prompts": "a" * 64,
        "bootstrap": {"samples": 1000, "seed": 1, "resampled": "families"},
    } | changes
    write_json(folder / "eval" / "metrics.json", {key: value for key, value in content.items() if value is not None})
    pq.write_table(pa.Table.from_pylist(rows), folder / "eval" / "scores.parquet")
    for system, recipe in (recipes or {}).items():
        write_json(folder / "eval" / "generations" / f"{system}.manifest.json", {"recipe": recipe})
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "heldout.jsonl").write_text(json.dumps(sorted({row["id"] for row in rows})))
    outputs = [folder / "eval" / name for name in ("scores.parquet", "metrics.json")]
    Manifest(folder / "eval" / "score.manifest.json", "score", {"code": code}, score_inputs(folder), outputs).write()
    return folder


def compare(*arguments):
    return run_here("eval.compare", *(str(argument) for argument in arguments))


def compare_here(*arguments):
    """The same without a new process, which takes a second to import."""
    main(options([str(argument) for argument in arguments]))


def refused(a, b, *arguments):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - each test holds the message against its own words
        compare_here(a, b, *arguments)
    assert "\n" not in str(caught.value)
    assert not list((b / "eval").glob("compare-*"))
    return str(caught.value)


def test_a_known_difference_comes_back(tmp_path):
    a = finished_run(tmp_path / "first", [*score_rows("sft"), *score_rows("base", 0.1)])
    b = finished_run(tmp_path / "second", [*score_rows("sft", 0.8, 0.75), *score_rows("aligned")])
    finished = compare(a, b)
    assert (finished.returncode, finished.stderr) == (0, "")
    found = json.loads((b / "eval" / "compare-first.json").read_text())
    rows = {row["metric"]: row for row in found["comparisons"]}
    assert {(row["a"], row["b"]) for row in rows.values()} == {("first/sft", "second/sft")}  # the one name that both have
    gain = rows["all_pass"]
    assert (gain["difference"], gain["n"], gain["families"]) == (0.3, CARDS, FAMILIES)
    assert 0.1 < gain["ci95"][0] < 0.3 < gain["ci95"][1] < 0.5
    # 18 cards got better, none worse; McNemar's takes them as 18 strangers.
    assert gain["mcnemar_p"] == pytest.approx(2 / 2**18, abs=1e-6)
    assert gain["p"] <= gain["p_holm"] <= 0.05
    assert gain["detectable"] == pytest.approx(0.15, abs=0.1)
    fall = rows["fact_recall"]
    assert fall["difference"] == pytest.approx(-0.05, abs=0.01)
    assert "mcnemar_p" not in fall
    assert "p_holm" not in rows["words"]
    assert [sentence.split(" by ")[0] for sentence in found["claims"]] == [
        'second/sft is above first/sft in "pages without a flag"',
        'second/sft is below first/sft in "facts"',
    ]
    assert "second/sft above first/sft as a whole is not shown" in found["not_shown"][-1]
    assert "+30.0 [" in finished.stdout
    assert "compare-first.json, tables to paste" in finished.stdout


def test_cards_that_differ_most_are_listed_with_both_values(tmp_path):
    a = finished_run(tmp_path / "first", score_rows("sft", 0.5))
    b = finished_run(tmp_path / "second", reversed(list(score_rows("sft", 0.6))))  # paired by card, not by place
    compare_here(a, b)
    (pair,) = json.loads((b / "eval" / "compare-first.json").read_text())["differ_most"]
    assert [card["id"] for card in pair["cards"]] == [f"card{number}" for number in range(30, 36)]  # the others are alike
    assert pair["cards"][0]["values"]["all_pass"] == [0.0, 1.0]
    text = (b / "eval" / "compare-first.md").read_text()
    assert re.search(r"^\| card30 \| 0\.0 → 100\.0 \| ([\d.]+) → \1 \|$", text, re.MULTILINE)
    assert "| second/sft − first/sft | pages without a flag | +10.0 [" in text


def test_samples_are_averaged_and_greedy_rows_stay_out(tmp_path):
    recipe = {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 900}
    many = [*score_rows("sft", samples=3, decoding="sampled"), *score_rows("sft", recall=0.1)]
    a = finished_run(tmp_path / "first", many, decoding="sampled", recipes={"sft": recipe})
    one = score_rows("sft", recall=0.9, decoding="sampled")
    b = finished_run(tmp_path / "second", one, decoding="sampled", recipes={"sft": recipe})
    compare_here(a, b)
    rows = json.loads((b / "eval" / "compare-first.json").read_text())["comparisons"]
    assert next(row for row in rows if row["metric"] == "fact_recall")["difference"] == pytest.approx(0.1, abs=0.01)


def test_two_systems_of_one_run_and_another_place_for_the_result(tmp_path):
    run = finished_run(tmp_path / "run", [*score_rows("sft"), *score_rows("aligned", 0.9)])
    output = tmp_path / "results" / "sft_to_aligned.json"
    compare_here(run, run, "--systems", "sft,aligned", "--output", output)
    rows = json.loads(output.read_text())["comparisons"]
    assert {(row["a"], row["b"]) for row in rows} == {("sft", "aligned")}
    first = output.read_bytes()
    compare_here(run, run, "--systems", "sft,aligned", "--output", output)
    assert output.read_bytes() == first
    assert output.with_suffix(".md").exists()
    assert "is given twice; name two of its systems" in refused(run, run)
    assert "sft against itself" in refused(run, run, "--systems", "sft,sft")
    assert "expected a name that ends in .json" in refused(run, run, "--systems", "sft,aligned", "--output", tmp_path / "x.md")


def test_a_metric_of_one_run_alone_is_left_out_and_said(tmp_path, capsys):
    a = finished_run(tmp_path / "first", score_rows("sft"), metrics=METRICS[:2])
    more = [*METRICS[:2], METRICS[2] | {"headline": True}]
    b = finished_run(tmp_path / "second", score_rows("sft", 0.8), metrics=more)
    compare_here(a, b)
    assert 'left out: "words" is not in first.' in capsys.readouterr().out
    assert "left out" in (b / "eval" / "compare-first.md").read_text()
    # A headline metric that could not be compared forbids a claim on the whole, and counts in the correction.
    said = [" ".join(json.loads((b / "eval" / "compare-first.json").read_text())["claims"])]
    b = finished_run(tmp_path / "third", score_rows("sft", 0.8), metrics=METRICS[:2])
    compare_here(a, b)
    said.append(" ".join(json.loads((b / "eval" / "compare-first.json").read_text())["claims"]))
    assert ["as a whole" in one for one in said] == [False, True]


@pytest.mark.parametrize("changed", ["prompt", "source", "reference"])
def test_what_a_summary_is_held_against_is_part_of_what_two_runs_share(changed):
    card = HeldOut("card", [{"role": "user", "content": "p"}], "source", "reference", "f")
    other = replace(card, **{changed: [] if changed == "prompt" else "another"})
    assert prompts_hash({"card": card}) == prompts_hash({"card": replace(card)}) != prompts_hash({"card": other})


def test_other_cards_or_prompts_are_refused(tmp_path):
    a = finished_run(tmp_path / "first", score_rows("sft"))
    fewer = finished_run(tmp_path / "fewer", score_rows("sft", cards=58))
    for pair in ((a, fewer), (fewer, a)):
        assert f"{a} has 2 cards that {fewer} has not (card58, card59)" in refused(*pair)
    other = finished_run(tmp_path / "other", score_rows("sft"), prompts="b" * 64)
    assert "hold the same cards with other prompts, sources or references (prompts aaaaaaaaaaaa and bbbbbbbbbbbb)" in refused(
        a, other
    )
    moved = [row | {"family": "elsewhere"} if row["id"] == "card07" else row for row in score_rows("sft")]
    message = refused(a, finished_run(tmp_path / "moved", moved))
    assert "card card07 is of family family7 in" in message
    assert "(1 card in all)" in message
    one = finished_run(tmp_path / "one", score_rows("sft", cards=59))
    assert f"{a} has 1 card that {one} has not (card59)" in refused(a, one)


def test_another_decoding_is_refused(tmp_path):
    recipe = {"temperature": 0.0, "max_new_tokens": 900, "dtype": "float32"}
    a = finished_run(tmp_path / "first", score_rows("sft"), recipes={"sft": recipe})
    longer = finished_run(tmp_path / "longer", score_rows("sft"), recipes={"sft": recipe | {"max_new_tokens": 1200}})
    message = refused(a, longer)
    assert "first/sft was made with max_new_tokens 900 and longer/sft with max_new_tokens 1200" in message
    assert "--generate.max_new_tokens 900" in message
    sampled = finished_run(tmp_path / "sampled", score_rows("sft", decoding="sampled"), decoding="sampled")
    assert "first/sft is greedy and sampled/sft is sampled" in refused(a, sampled)
    held = finished_run(
        tmp_path / "held", score_rows("sft"), recipes={"sft": recipe | {"system": {"model": "x", "grounded": True}}}
    )
    assert "held/sft was made with grounded true and first/sft was not" in refused(held, a)
    assert "first/sft was made with grounded false and held/sft was not" in refused(a, held)
    # What the model ran on is no decoding, and a temperature that greedy texts never saw neither.
    beside = recipe | {"dtype": "bfloat16", "temperature": 0.6}
    compare_here(a, finished_run(tmp_path / "beside", score_rows("sft"), recipes={"sft": beside}))


def test_a_baseline_without_samples_is_compared_with_what_it_has(tmp_path):
    runs = []
    for name in ("first", "second"):
        rows = [*score_rows("lead"), *score_rows("sft", decoding="sampled")]
        recipe = {"system": {"model": "baseline:lead"}, "max_new_tokens": len(runs)}  # says nothing of who writes no tokens
        runs.append(finished_run(tmp_path / name, rows, decoding="sampled", recipes={"lead": recipe}))
    compare_here(*runs, "--systems", "lead,sft")
    compare_here(*runs, "--systems", "lead,lead")
    rows = json.loads((runs[1] / "eval" / "compare-first.json").read_text())["comparisons"]
    assert {(row["difference"], row["n"]) for row in rows} == {(0.0, CARDS)}


def test_scores_by_two_versions_of_the_checks_are_refused(tmp_path):
    runs = [finished_run(tmp_path / name, score_rows("sft"), code=name) for name in ("first", "second")]
    assert "were scored by different versions of the checks; run eval.score for both" in refused(*runs)


@pytest.mark.parametrize("key", ["prompts", "decoding"])
def test_scores_of_an_older_version_are_refused(tmp_path, key):
    a = finished_run(tmp_path / "first", score_rows("sft"))
    message = refused(a, finished_run(tmp_path / "old", score_rows("sft"), **{key: None}))
    assert f"metrics.json says nothing of {key}, so an older eval.score wrote it; run eval.score with" in message
    assert message.endswith("old again")


def test_what_is_not_there_is_named_with_the_next_move(tmp_path):
    a = finished_run(tmp_path / "first", score_rows("sft"))
    b = finished_run(tmp_path / "second", score_rows("aligned"))
    assert "no system has one name in both runs (sft; aligned); name one of each, as in --systems sft,aligned" in refused(a, b)
    assert 'has no system "alinged". Did you mean "aligned"?' in refused(a, b, "--systems", "sft,alinged")
    assert "expected a system of RUN_A, a comma, and a system of RUN_B" in refused(a, b, "--systems", "sft")
    assert "metrics.json is missing; run eval.score with --run_dir" in refused(tmp_path / "nowhere", b)
    (a / "eval" / "scores.parquet").unlink()
    assert "scores.parquet is missing; run eval.score" in refused(a, b)


@pytest.mark.parametrize(
    ("change", "content", "message"),
    [
        (
            "eval/scores.parquet",
            "no parquet",
            "scores.parquet is not what eval.score wrote; run eval.score again, with --run_dir",
        ),
        ("eval/metrics.json", "[]", "metrics.json holds list, expected an object; run eval.score with --run_dir"),
        ("data/heldout.jsonl", "", "heldout.jsonl changed after it was scored; run eval.score again, with --run_dir"),
        ("eval/generations/sft.jsonl", "", "generations changed after it was scored; run eval.score again, with --run_dir"),
    ],
)
def test_what_was_damaged_or_changed_after_scoring_is_refused(tmp_path, change, content, message):
    a, b = (finished_run(tmp_path / name, score_rows("sft")) for name in ("first", "second"))
    (a / change).parent.mkdir(exist_ok=True)
    (a / change).write_text(content)
    assert message in refused(a, b)


def test_a_refusal_is_one_line_and_help_says_what_is_compared(tmp_path):
    finished = compare(tmp_path, tmp_path)
    assert (finished.returncode, len(finished.stderr.splitlines())) == (2, 1)
    finished = compare("--help")
    assert finished.returncode == 0
    assert "RUN_B minus RUN_A" in finished.stdout
