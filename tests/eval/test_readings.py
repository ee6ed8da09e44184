"""Readers' counts of pages become shares with intervals; systems are compared within a sitting, by card."""

import json

import pytest
from commands import ROOT, run_here


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def page(card, system, *counts, sitting=1):
    readings = [dict(zip(("right", "wrong", "not_there", "sitting"), (*one, sitting), strict=True)) for one in counts]
    return {"card_id": card, "system": system, "readings": readings}


@pytest.fixture
def rows():
    made = []
    for number in range(12):
        made += [page(f"c{number}", "sft", (5, 4, 1), (5, 5, 0)), page(f"c{number}", "tuned", (8, 1, 1), (9, 1, 0))]
    return made


def test_both_readers_count_together_and_the_difference_is_paired(tmp_path, rows):
    rows += [page("alone", "sft", (0, 9, 0)), page("c0", "tuned", (0, 9, 0), sitting=2)]
    done = run_here("eval.readings", write(tmp_path / "r.jsonl", rows), "--sitting", "1")
    assert done.returncode == 0, done.stderr
    assert "12 cards: mean" in done.stdout  # not the one that only sft was read for
    assert "50.0" in done.stdout
    assert "85.0" in done.stdout
    assert "tuned − sft, statements right: +35.0 [" in done.stdout
    assert "tuned − sft, right a page: +3.5" in done.stdout
    assert "tuned − sft, wrong or not there a page: −3.5" in done.stdout


def test_families_are_what_intervals_resample(tmp_path, rows):
    (tmp_path / "split.json").write_text(json.dumps({"splits": {}, "families": {f"c{number}": "one" for number in range(12)}}))
    done = run_here("eval.readings", write(tmp_path / "r.jsonl", rows), "--split", str(tmp_path / "split.json"))
    assert done.returncode == 0, done.stderr
    assert "no interval" in done.stdout


def test_lines_of_another_form_and_a_sitting_without_cards_are_refused(tmp_path, rows):
    done = run_here("eval.readings", write(tmp_path / "r.jsonl", rows), "--sitting", "7")
    assert done.returncode == 2
    assert "has no card that was read" in done.stderr
    done = run_here("eval.readings", write(tmp_path / "r.jsonl", [{"card_id": "a", "system": "b", "readings": [{"right": 1}]}]))
    assert done.returncode == 2
    assert "a line lacks 'wrong'" in done.stderr


def test_the_readings_that_ship_are_of_held_out_cards():
    rows = [
        json.loads(line) for line in (ROOT / "recipes/smollm2-135m/readings.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    splits = json.loads((ROOT / "recipes/references/split.json").read_text(encoding="utf-8"))["splits"]
    assert {splits[row["card_id"]] for row in rows} == {"heldout"}
    development = (ROOT / "recipes/smollm2-135m/readings_development.jsonl").read_text(encoding="utf-8").splitlines()
    assert not {json.loads(line)["card_id"] for line in development} & splits.keys()
    assert all(row["page"] for row in rows)
    assert {row["system"] for row in rows if not row["readings"]} == {"sft_grounded", "beside_grounded"}  # to be read


def test_sittings_are_never_pooled_and_readers_of_two_lines_are_joined(tmp_path, rows):
    done = run_here("eval.readings", write(tmp_path / "r.jsonl", [*rows, page("c0", "sft", (1, 1, 0), sitting=2)]))
    assert done.returncode == 2
    assert "holds the sittings 1, 2, and readers differ; add --sitting N" in done.stderr
    apart = [{**row, "readings": [one]} for row in rows for one in row["readings"]]
    together, lines = (run_here("eval.readings", write(tmp_path / "r.jsonl", made)).stdout for made in (rows, apart))
    assert lines == together


def test_a_share_on_which_all_cards_agree_has_an_interval(tmp_path):
    rows = [page(f"c{number}", "sft", (5, 0, 0)) for number in range(5)]
    assert "[100.0" not in run_here("eval.readings", write(tmp_path / "r.jsonl", rows)).stdout


def test_an_empty_page_counts_as_one_that_says_nothing(tmp_path):
    lines = [page(f"c{card}", "a", (4, 4, 0)) for card in range(6)]
    lines += [page(f"c{card}", "b", (4, 4, 0) if card < 2 else (0, 0, 0)) for card in range(6)]
    ran = run_here("eval.readings", write(tmp_path / "readings.jsonl", lines))
    assert "6 cards" in ran.stdout
    assert "b − a, right a page: −2.7" in ran.stdout
    assert "n=2" in next(line for line in ran.stdout.splitlines() if "b − a, statements right" in line)
