"""Scores of a small run through the real command, and every way a run can be incomplete."""

import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions

import grimp
import pyarrow.parquet as pq
import pytest
from small_run import ROOT, UNKNOWN_NUMBER, generation, make_run, run_stage

from data_prep.checks import CHECKS
from data_prep.core.files import read_dicts, read_jsonl, to_json, write_jsonl
from data_prep.core.recipe import Recipe, load
from data_prep.core.records import Generation
from eval import score as stage
from eval.score import ScoreConfig, main
from eval.scoring import metrics as measuring
from eval.scoring.aggregate import default_pairs
from eval.scoring.cache import ScoreStore
from eval.scoring.metrics import CODE, PARSERS, code_files


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run scored once by the command; no test changes it."""
    run_dir = tmp_path_factory.mktemp("run")
    make_run(run_dir)
    finished = run_stage("eval.score", run_dir, "--score.systems", "[lead, base, tuned]", "--score.bootstrap_samples", "2000")
    assert finished.returncode == 0, finished.stderr
    return run_dir, finished.stdout, json.loads((run_dir / "eval" / "metrics.json").read_text())


def test_stored_scores_are_void_where_any_room_that_measures_changes():
    """Each file that the measures import, however far, inside functions too, and each package."""
    graph = grimp.build_graph("data_prep", "eval", include_external_packages=True)
    starts = {"eval.scoring.metrics", "eval.probing.metrics"}
    modules = starts.union(*map(graph.find_upstream_modules, starts)) - sys.stdlib_module_names
    own = {module for module in modules if module.split(".")[0] in ("data_prep", "eval")}
    assert "data_prep.cards.language" in own
    hashed = {
        str(file.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__") for file in code_files(*CODE)
    }
    assert own <= hashed
    distributions = packages_distributions()
    packages = {distributions[module][0] for module in modules - own}
    prompts = {"transformers", "Jinja2"}  # `student.py` renders prompts with them; no measure does
    assert {re.sub("_", "-", package) for package in packages - prompts} <= set(PARSERS)


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
    assert tuned["rouge1"]["mean"] == tuned["rougeLsum"]["mean"] == 1
    assert base["rouge2"]["mean"] < 1
    assert metrics["systems"]["lead"]["coverage"]["mean"] > 0.95
    assert metrics["systems"]["lead"]["density"]["mean"] > 2 * tuned["density"]["mean"] > 0
    assert 0 < tuned["coverage"]["mean"] < 0.9


def test_differences_are_b_minus_a_and_paired(run):
    _, _, metrics = run
    rows = {(row["a"], row["b"], row["metric"]): row for row in metrics["comparisons"]}
    assert {key[:2] for key in rows} == {("lead", "base"), ("base", "tuned"), ("lead", "tuned")}
    gain = rows["base", "tuned", "all_pass"]
    assert (gain["difference"], gain["n"], gain["families"]) == (1, 12, 4)
    assert gain["p"] == 2 / 2**4  # four families, all the same way
    assert gain["p_holm"] >= gain["p"]
    assert "p_holm" not in rows["base", "tuned", "coverage"]
    # All twelve cards go one way; only the exact test knows cards, the other knows families.
    assert gain["mcnemar_p"] == pytest.approx(2 / 2**12, abs=1e-6)
    assert rows["base", "tuned", "numbers_grounded"]["detectable"] > 0
    words = rows["base", "tuned", "words"]
    expected = metrics["systems"]["tuned"]["words"]["mean"] - metrics["systems"]["base"]["words"]["mean"]
    assert words["difference"] == pytest.approx(expected, abs=1e-5)


def test_filter_metrics_and_independent_ones_stand_apart(run):
    _, _, metrics = run
    groups = {metric["name"]: metric["group"] for metric in metrics["metrics"]}
    assert all(groups[f"{check}_pass"] == "checks" for check in CHECKS)
    assert {name for name, group in groups.items() if group == "independent"} == {
        *("finished", "looped", "coverage", "rouge1", "rouge2", "rougeLsum")
    }


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


@pytest.fixture
def without_rouge(monkeypatch):
    """For tests of what is done with the figures: ROUGE takes three quarters of the time."""
    monkeypatch.setattr(
        "eval.scoring.metrics.rouge", lambda summary, reference: dict.fromkeys(("rouge1", "rouge2", "rougeLsum"), 0.5)
    )


def score_run(run_dir, **block):
    main(Recipe(stage="score", run_dir=run_dir, seed=0, block=ScoreConfig(bootstrap_samples=1000, **block)))
    return json.loads((run_dir / "eval" / "metrics.json").read_text())


def system_file(run_dir, name):
    return run_dir / "eval" / "generations" / f"{name}.jsonl"


def test_missing_summaries_stop_the_stage_unless_allowed(tmp_path, capsys, without_rouge):
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
    assert "base lacks 1 summary;" in capsys.readouterr().out


def test_a_system_that_repeats_another_differs_by_nothing(tmp_path, without_rouge):
    make_run(tmp_path)
    copies = [generation(row.id, "twin", row.text) for row in read_jsonl(system_file(tmp_path, "base"), Generation)]
    write_jsonl(system_file(tmp_path, "twin"), copies)
    metrics = score_run(tmp_path, comparisons=[["base", "twin"]])
    assert {row["difference"] for row in metrics["comparisons"]} == {0}
    assert {row["p"] for row in metrics["comparisons"]} == {1}
    assert all(row["ci95"][0] <= 0 <= row["ci95"][1] for row in metrics["comparisons"])


def test_samples_of_a_card_are_averaged_before_cards(tmp_path, without_rouge):
    cards = make_run(tmp_path)
    # One card answered twice, once well: it counts a half, once. The others are broken off.
    rows = [generation(card.id, "base", "Short.", sample) for card in cards for sample in (0, 1)]
    rows[1] = generation(cards[0].id, "base", cards[0].reference, 1)
    write_jsonl(system_file(tmp_path, "base"), rows)
    metrics = score_run(tmp_path, systems=["base"])
    assert metrics["systems"]["base"]["length_pass"]["mean"] == pytest.approx(0.5 / 12, abs=1e-6)
    assert metrics["systems"]["base"]["length_pass"]["n"] == 12
    # Means of the two samples: 0 and 1/12.
    assert metrics["systems"]["base"]["length_pass"]["seed_sd"] == pytest.approx(1 / 12 / math.sqrt(2), abs=1e-6)


def sampled(run_dir, name, texts_of):
    """Adds three sampled summaries a card to the greedy one; `texts_of`: (number of the card, card) -> three texts."""
    rows = list(read_jsonl(system_file(run_dir, name), Generation))
    cards = list(read_dicts(run_dir / "data" / "heldout.jsonl"))
    for number, card in enumerate(cards):
        for seed, text in enumerate(texts_of(number, card)):
            row = dataclasses.replace(
                generation(card["id"], name, text, seed), decoding="sampled", key=f"{name}{card['id']}s{seed}"
            )
            rows.append(row)
    write_jsonl(system_file(run_dir, name), rows)


def test_the_headline_rests_on_samples_where_there_are_any_and_greedy_stands_beside(tmp_path, without_rouge):
    make_run(tmp_path)
    for name in ("base", "tuned"):
        sampled(tmp_path, name, lambda number, card: [card["reference"], card["reference"], "Short."])
    metrics = score_run(tmp_path, systems=["base", "tuned"])
    assert metrics["decoding"] == "sampled"
    tuned = metrics["systems"]["tuned"]["all_pass"]
    assert tuned["mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert tuned["n"] == 12
    assert tuned["seed_sd"] == pytest.approx(math.sqrt(1 / 3), abs=1e-6)
    assert metrics["greedy"]["tuned"]["all_pass"]["mean"] == 1
    assert metrics["greedy"]["base"]["all_pass"]["mean"] == 0
    assert "seed_sd" not in metrics["greedy"]["tuned"]["all_pass"]
    assert {row["difference"] for row in metrics["comparisons"]} == {0}  # both sampled the same
    greedy = score_run(tmp_path, systems=["base", "tuned"], decoding="greedy")
    assert greedy["decoding"] == "greedy"
    assert greedy["greedy"] is None
    assert greedy["systems"]["tuned"]["all_pass"]["mean"] == 1


def test_systems_decoded_in_two_ways_are_not_compared_but_a_baseline_stands_for_both(tmp_path, without_rouge):
    make_run(tmp_path)
    sampled(tmp_path, "tuned", lambda number, card: [card["reference"]] * 3)
    with pytest.raises(ValueError, match=r"base has no sampled summaries.*--score.decoding greedy"):
        score_run(tmp_path, systems=["base", "tuned"])
    rows = [
        dataclasses.replace(row, prompt_tokens=0, completion_tokens=0)
        for row in read_jsonl(system_file(tmp_path, "lead"), Generation)
    ]
    write_jsonl(system_file(tmp_path, "lead"), rows)
    metrics = score_run(tmp_path, systems=["lead", "tuned"])
    assert metrics["systems"]["lead"]["all_pass"] == metrics["greedy"]["lead"]["all_pass"]
    assert metrics["systems"]["lead"]["all_pass"]["n"] == 12


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"systems": ["tunde"]}, 'no summaries by "tunde".*Did you mean "tuned"'),
        ({"systems": ["base", "lead"], "comparisons": [["base", "tuned"]]}, "which score.systems leaves out; add it there"),
        ({"headline": ["all_passed"]}, 'which is no metric. Did you mean "all_pass"'),
        ({"comparisons": [["base", "base"]]}, 'score.comparisons sets "base" against itself; name two systems'),
        ({"comparisons": [["lead", "base"]] * 2}, r'score.comparisons names "\[lead, base\]" twice; name it once'),
        ({"systems": ["base", "lead", "base"]}, 'score.systems names "base" twice; name it once'),
        ({"headline": ["all_pass", "all_pass"]}, 'score.headline names "all_pass" twice; name it once'),
        ({"headline": ["rouge3"]}, 'which is no metric. Did you mean "rouge'),
    ],
)
def test_wrong_names_in_the_recipe_are_refused(tmp_path, block, message):
    make_run(tmp_path)
    with pytest.raises(ValueError, match=message):
        score_run(tmp_path, **block)


def test_more_than_four_headline_metrics_are_refused():
    names = "[all_pass, fact_recall, numbers_grounded, links_grounded, finished]"
    with pytest.raises(ValueError, match=r'"score.headline" is .*at most 4 items'):
        load("score", ScoreConfig, ["--run_dir", "x", "--score.headline", names])


def test_summaries_that_do_not_belong_are_refused_with_file_and_line(tmp_path):
    cards = make_run(tmp_path)
    path = system_file(tmp_path, "base")
    good = [dataclasses.asdict(row) for row in read_jsonl(path, Generation)]
    plain = dataclasses.asdict(generation(cards[0].id, "base", "x"))
    for extra, message in (
        (plain | {"id": "f" * 16}, "jsonl:13 summarises card f+, which is not held out"),
        (plain | {"system": "tuned"}, 'jsonl:13 holds a summary by "tuned"; one file holds one system'),
        (plain, "jsonl:13 holds card .* twice; delete one of the lines"),
        (plain | {"text": None}, "jsonl:13 has text None, expected str"),
        (plain | {"decoding": "beam"}, 'jsonl:13 has decoding "beam", expected greedy or sampled'),
        (plain | {"score": 1}, "jsonl:13 does not fit Generation.*score"),
        ({"id": cards[0].id}, "jsonl:13 does not fit Generation.*missing"),
    ):
        write_jsonl(path, [*good, extra])
        with pytest.raises(ValueError, match=message):
            score_run(tmp_path)
    path.write_bytes(path.read_bytes() + b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"base.jsonl:\d+ or below is not UTF-8"):
        score_run(tmp_path)


def test_texts_that_are_no_summaries_are_scored_told_and_cost_no_minutes(tmp_path, capsys):
    make_run(tmp_path)
    rows = list(read_jsonl(system_file(tmp_path, "base"), Generation))
    words = "The model has 3B parameters. [a](http://x.example) <b> \n\n- "
    texts = ["", " \n ", words * (1_000_000 // len(words)), "\x00\x01\ud800binary" * 50]
    write_jsonl(
        system_file(tmp_path, "base"),
        [dataclasses.replace(row, text=text) for row, text in zip(rows, texts, strict=False)] + rows[4:],
    )
    start = time.perf_counter()
    metrics = score_run(tmp_path, systems=["base"])
    assert time.perf_counter() - start < 20
    assert metrics["odd"] == {"base": {"empty": 2, "too_long": 1, "with_control_characters": 1}}
    assert metrics["systems"]["base"]["all_pass"]["n"] == 12
    scored = pq.read_table(tmp_path / "eval" / "scores.parquet").to_pylist()
    assert [row["all_pass"] for row in scored[:4]] == [0, 0, 0, 0]
    assert "2 empty" in capsys.readouterr().out


def test_a_killed_scoring_goes_on_and_ends_with_the_same_bytes(run, tmp_path):
    make_run(tmp_path)
    arguments = ("--score.systems", "[lead, base, tuned]", "--score.bootstrap_samples", "2000")
    store = tmp_path / "eval" / "scores.part.jsonl"
    command = [sys.executable, "-m", "eval.score", "--run_dir", str(tmp_path), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (store.exists() and store.read_bytes().count(b"\n") >= 3) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    kept = store.read_bytes()
    assert kept.count(b"\n") >= 3
    store.write_bytes(kept + b'{"key": "torn')
    finished = run_stage("eval.score", tmp_path, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert store.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    for name in ("metrics.json", "scores.parquet"):
        assert (tmp_path / "eval" / name).read_bytes() == (run[0] / "eval" / name).read_bytes()


def test_nothing_is_measured_twice_until_the_code_changes(tmp_path, monkeypatch, without_rouge):
    make_run(tmp_path)
    count = []
    original = stage.measure
    monkeypatch.setattr(stage, "measure", lambda *given: count.append(1) or original(*given))
    score_run(tmp_path, systems=["base"])
    assert len(count) == 12
    score_run(tmp_path, systems=["base", "tuned"])  # another recipe: only what is new
    assert len(count) == 24
    monkeypatch.setattr(stage, "code_version", lambda *more: "a changed check")
    score_run(tmp_path, systems=["base", "tuned"])
    assert len(count) == 48
    assert len((tmp_path / "eval" / "scores.part.jsonl").read_text().splitlines()) == 24  # the old lines are gone


def test_the_store_skips_lines_that_nobody_can_read(tmp_path):
    path = tmp_path / "store.jsonl"
    store = ScoreStore(path, "1")
    assert store.measured(["a"], lambda: {"x": 1.5}) == {"x": 1.5}
    store.close()
    path.write_text("no json\n[1]\n" + path.read_text() + '{"key": ')
    again = ScoreStore(path, "1")
    assert again.measured(["a"], lambda: pytest.fail("measured twice")) == {"x": 1.5}
    assert again.measured(["b"], lambda: 2) == 2
    again.close()
    assert ScoreStore(path, "1").measured(["b"], lambda: pytest.fail("measured twice")) == 2


def test_claims_are_those_that_the_intervals_allow(run):
    _, printed, metrics = run
    assert any(sentence.startswith("tuned is above base in") for sentence in metrics["claims"]) or metrics["claims"] == []
    assert all(sentence.split()[0] in printed for sentence in metrics["claims"])
    assert metrics["prompts"] == metrics["prompts"].lower()
    assert len(metrics["prompts"]) == 64


def test_another_prompt_gives_another_hash(tmp_path, run, without_rouge):
    make_run(tmp_path)
    path = tmp_path / "data" / "heldout.jsonl"
    path.write_text(path.read_text().replace("Summarise.", "Summarise it.", 1))
    assert score_run(tmp_path, systems=["base"])["prompts"] != run[2]["prompts"]


def test_nothing_to_score_is_one_line_and_exit_code_2(tmp_path):
    finished = run_stage("eval.score", tmp_path)
    assert finished.returncode == 2
    assert "heldout.jsonl is missing; run the stage that writes it" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_one_file_is_scored_without_a_run(tmp_path):
    source, summary = "# Nemo-3B\n\nNemo-3B has 3B parameters.\n\nModel: a/Nemo-3B", "## Nemo-3B\n\nIt has 4B parameters."
    (tmp_path / "in.jsonl").write_text(to_json({"id": "one", "summary": summary, "source": source}) + "\n")
    arguments = ["--score.input", str(tmp_path / "in.jsonl"), "--score.output", str(tmp_path / "out.jsonl")]
    command = [sys.executable, "-m", "eval.score", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--score.input", "x.jsonl"], "--score.output is missing"),
        (["--score.input", "x", "--score.output", "y", "--run_dir", "z"], "--run_dir does not go with --score.input"),
    ],
)
def test_half_of_what_a_file_needs_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        stage.score_file(arguments)


def test_default_comparisons_are_neighbours_then_the_first():
    assert default_pairs(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("a", "c")]
    assert default_pairs(["a"]) == []


def test_code_in_rooms_within_rooms_counts_as_code_that_measures(monkeypatch, tmp_path):
    room = tmp_path / CODE[0] / "inner"
    room.mkdir(parents=True)
    monkeypatch.setattr(measuring, "ROOT", tmp_path)
    found = set()
    for text in ("1", "2"):
        (room / "rule.py").write_text(text)
        found.add(measuring.code_version())
    assert len(found) == 2
