"""Scores of a small run through the real command, and every way a run can be incomplete."""

import json
import math

import pyarrow.parquet as pq
import pytest

from data_prep.checks import CHECKS
from data_prep.recipe import Recipe
from data_prep.schema import Generation, read_jsonl, write_jsonl
from eval.measure import METRICS, common_subsequence, copied_share, rouge_l
from eval.score import ScoreConfig, card_means, default_comparisons, main, read_cards, read_systems, score, with_holm
from tests.fixtures.small_run import UNKNOWN_NUMBER, generation, make_run, run_stage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run scored once by the command; no test changes it."""
    run_dir = tmp_path_factory.mktemp("run")
    make_run(run_dir)
    finished = run_stage("eval.score", run_dir, "--score.systems", "[lead, base, tuned]", "--score.bootstrap_samples", "2000")
    assert finished.returncode == 0, finished.stderr
    return run_dir, finished.stdout, json.loads((run_dir / "eval" / "metrics.json").read_text())


def test_known_faults_give_known_means(run):
    _, _, metrics = run
    assert list(metrics["systems"]) == ["lead", "base", "tuned"]
    tuned, base = metrics["systems"]["tuned"], metrics["systems"]["base"]
    assert tuned["all_pass"]["mean"] == 1
    assert base["all_pass"] == {**base["all_pass"], "mean": 0, "n": 12, "families": 4}
    # A third each: a changed score, a summary broken off, an invented address. The one broken off has no link at all.
    assert base["numbers_pass"]["mean"] == pytest.approx(8 / 12)
    assert base["length_pass"]["mean"] == pytest.approx(8 / 12)
    assert base["links_pass"]["mean"] == pytest.approx(4 / 12)
    low, high = base["numbers_pass"]["ci95"]
    assert low < 8 / 12 < high
    assert tuned["reference_similarity"]["mean"] == 1
    assert metrics["systems"]["lead"]["copied"]["mean"] == 1
    assert 0 < tuned["copied"]["mean"] < 0.5


def test_differences_are_b_minus_a_and_paired(run):
    _, _, metrics = run
    rows = {(row["a"], row["b"], row["metric"]): row for row in metrics["comparisons"]}
    assert {key[:2] for key in rows} == {("lead", "base"), ("base", "tuned"), ("lead", "tuned")}
    gain = rows["base", "tuned", "all_pass"]
    assert (gain["difference"], gain["n"], gain["families"]) == (1, 12, 4)
    assert gain["p"] == 2 / 2**4  # four families, all the same way
    assert gain["p_holm"] >= gain["p"]
    assert "p_holm" not in rows["base", "tuned", "copied"]
    words = rows["base", "tuned", "words"]
    expected = metrics["systems"]["tuned"]["words"]["mean"] - metrics["systems"]["base"]["words"]["mean"]
    assert words["difference"] == pytest.approx(expected, abs=1e-5)


def test_filter_metrics_and_independent_ones_stand_apart(run):
    _, _, metrics = run
    groups = {metric["name"]: metric["group"] for metric in metrics["metrics"]}
    assert all(groups[f"{check}_pass"] == "checks" for check in CHECKS)
    assert {name for name, group in groups.items() if group == "independent"} == {"finished", "reference_similarity", "copied"}


def test_every_summary_is_a_row_with_its_checks_and_spans(run):
    run_dir, _, metrics = run
    rows = pq.read_table(run_dir / "eval" / "scores.parquet").to_pylist()
    assert len(rows) == 36
    changed = next(row for row in rows if row["system"] == "base" and UNKNOWN_NUMBER in row["text"])
    numbers = next(check for check in json.loads(changed["checks"]) if check["name"] == "numbers")
    assert UNKNOWN_NUMBER in numbers["reason"]
    assert UNKNOWN_NUMBER in [changed["text"][span["start"] : span["end"]] for span in numbers["spans"]]
    assert (changed["numbers_pass"], changed["all_pass"]) == (0, 0)
    recalled = [row["fact_recall"] for row in rows if row["system"] == "base"]
    assert metrics["systems"]["base"]["fact_recall"]["mean"] == pytest.approx(math.fsum(recalled) / 12, abs=1e-5)


def test_the_table_shows_mean_interval_and_n(run):
    _, printed, _ = run
    assert "12 held-out cards of 4 families" in printed
    assert "66.7" in printed
    assert "n=12" in printed


def test_same_inputs_give_the_same_bytes_and_a_finished_stage_says_so(run, tmp_path):
    run_dir, _, _ = run
    make_run(tmp_path)
    arguments = ("--score.systems", "[lead, base, tuned]", "--score.bootstrap_samples", "2000")
    assert run_stage("eval.score", tmp_path, *arguments).returncode == 0
    for name in ("metrics.json", "scores.parquet"):
        assert (tmp_path / "eval" / name).read_bytes() == (run_dir / "eval" / name).read_bytes()
    again = run_stage("eval.score", tmp_path, *arguments)
    assert "score: done already" in again.stdout
    assert "n=12" in again.stdout


def score_run(run_dir, **block):
    main(Recipe(stage="score", run_dir=run_dir, seed=0, block=ScoreConfig(bootstrap_samples=1000, **block)))
    return json.loads((run_dir / "eval" / "metrics.json").read_text())


def system_file(run_dir, name):
    return run_dir / "eval" / "generations" / f"{name}.jsonl"


def test_missing_summaries_stop_the_stage_unless_allowed(tmp_path, capsys):
    make_run(tmp_path)
    rows = list(read_jsonl(system_file(tmp_path, "base"), Generation))
    write_jsonl(system_file(tmp_path, "base"), rows[1:])
    with pytest.raises(ValueError, match=r"lacks 1 of 12 summaries, first of card \w+; run eval.generate again"):
        score_run(tmp_path)
    metrics = score_run(tmp_path, allow_missing=True)
    assert metrics["missing"] == {"base": 1, "lead": 0, "tuned": 0}
    assert metrics["systems"]["base"]["all_pass"]["n"] == 11
    pair = next(row for row in metrics["comparisons"] if (row["a"], row["b"]) == ("base", "tuned"))
    assert pair["n"] == 11
    assert "base lacks 1 summaries" in capsys.readouterr().out


def test_a_system_that_repeats_another_differs_by_nothing(tmp_path):
    make_run(tmp_path)
    copies = [generation(row.id, "twin", row.text) for row in read_jsonl(system_file(tmp_path, "base"), Generation)]
    write_jsonl(system_file(tmp_path, "twin"), copies)
    metrics = score_run(tmp_path, comparisons=[["base", "twin"]])
    assert {row["difference"] for row in metrics["comparisons"]} == {0}
    assert {row["p"] for row in metrics["comparisons"]} == {1}
    assert all(row["ci95"][0] <= 0 <= row["ci95"][1] for row in metrics["comparisons"])


def test_samples_of_a_card_are_averaged_before_cards(tmp_path):
    cards = make_run(tmp_path)
    # One card answered twice, once well: it counts a half, once. The others are broken off.
    rows = [generation(card.id, "base", "Short.", sample) for card in cards for sample in (0, 1)]
    rows[1] = generation(cards[0].id, "base", cards[0].reference, 1)
    write_jsonl(system_file(tmp_path, "base"), rows)
    held = read_cards(tmp_path / "data" / "heldout.jsonl")
    systems = read_systems(tmp_path / "eval" / "generations", held, ScoreConfig(systems=["base"]))
    means = card_means(held, score(held, systems))
    assert list(means["base", "length_pass"][:2]) == [0.5, 0]
    assert len(means["base", "length_pass"]) == 12
    # "Short." is too short to have copied: the good answer alone speaks for the first card.
    assert math.isnan(means["base", "copied"][1])
    assert means["base", "copied"][0] > 0


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"systems": ["tunde"]}, 'no summaries by "tunde".*Did you mean "tuned"'),
        ({"systems": ["base", "lead"], "comparisons": [["base", "tuned"]]}, "which score.systems leaves out; add it there"),
        ({"headline": ["all_passed"]}, 'which is no metric. Did you mean "all_pass"'),
    ],
)
def test_wrong_names_in_the_recipe_are_refused(tmp_path, block, message):
    make_run(tmp_path)
    with pytest.raises(ValueError, match=message):
        score_run(tmp_path, **block)


def test_summaries_that_do_not_belong_are_refused(tmp_path):
    cards = make_run(tmp_path)
    path = system_file(tmp_path, "base")
    good = list(read_jsonl(path, Generation))
    for extra, message in (
        (generation("f" * 16, "base", "x"), "which is not held out"),
        (generation(cards[0].id, "tuned", "x"), 'holds a summary by "tuned"; one file holds one system'),
        (good[0], "twice; delete one of the lines"),
    ):
        write_jsonl(path, [*good, extra])
        with pytest.raises(ValueError, match=message):
            score_run(tmp_path)


def test_nothing_to_score_is_one_line_and_exit_code_2(tmp_path):
    finished = run_stage("eval.score", tmp_path)
    assert finished.returncode == 2
    assert "heldout.jsonl is missing; run the stage that writes it" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_default_comparisons_are_neighbours_then_the_first():
    assert default_comparisons(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("a", "c")]
    assert default_comparisons(["a"]) == []


def test_holm_corrects_within_a_pair_and_for_declared_metrics_only():
    rows = [{"a": "x", "b": b, "metric": metric, "p": 0.02} for b in "yz" for metric in ("words", "all_pass", "fact_recall")]
    corrected = with_holm(rows, ["all_pass", "fact_recall"])
    assert [row.get("p_holm") for row in corrected] == [None, 0.04, 0.04] * 2


def test_similarity_by_hand():
    assert common_subsequence("a b c d e".split(), "x b d a e".split()) == 3
    assert common_subsequence([], ["a"]) == 0
    assert rouge_l("The model has 3B parameters.", "the model, has parameters") == pytest.approx(2 * 4 / 9)
    assert rouge_l("anything", "") is None
    assert copied_share("one two three four five", "zero one two three four") == 1 / 2
    assert copied_share("one two three", "one two three") is None


def test_metric_names_are_unique():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
