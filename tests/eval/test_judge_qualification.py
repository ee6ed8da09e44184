"""The gate and the controls against judges whose faults are known: each fault must show."""

from statistics import fmean

import pytest
from chat_server import ChatServer
from judge_run import CARDS, judge, make_run
from scripted_judge import JUDGES, by_model

from data_prep.checks import check_summary
from data_prep.core.files import read_dicts, read_jsonl
from data_prep.core.records import HeldOut
from eval.judging.qualification import INJECTION, LEAST, QualificationTally, fault, planted


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def judged(fresh):
    """A run judged by all scripted judges at once: judge.json, and the run's folder."""
    with ChatServer(reply=by_model) as server:
        return judge(fresh, server, models=list(JUDGES)), fresh


def cells(measures, name):
    return {(row["kind"], row["form"]): row["accuracy"] for row in measures["judges"][name]["gate"]}


def test_a_perfect_judge_passes_and_its_scores_are_printed(judged):
    measures, run = judged
    assert (measures["printed"], measures["reason"]) == (True, "")
    assert set(cells(measures, "perfect").values()) == {1.0}
    assert len(cells(measures, "perfect")) == 9
    rows = {row["key"]: row["metrics"] for row in read_dicts(run / "eval" / "measures" / "judge.jsonl")}
    assert len(rows) == 3 * CARDS
    assert rows["full-card00"]["judge_faithfulness"] == 1
    assert rows["wrong-card00"]["judge_faithfulness"] < 0.5
    assert rows["part-card00"]["judge_coverage"] < rows["full-card00"]["judge_coverage"]
    part, full = measures["preferences"]
    assert (full["a"], full["b"], full["win_rate"], full["b_wins"], full["n"]) == ("wrong", "full", 1, CARDS, CARDS)
    assert full["families"] == CARDS // 2
    assert part["win_rate"] == 1
    assert part["p"] < 0.01
    assert part["positional_consistency"] == 1
    assert part["length_matched"] is None  # half a summary is never of like length
    assert full["length_matched"]["n"] > 5


@pytest.mark.parametrize("name", [name for name in JUDGES if name != "perfect"])
def test_a_faulty_judge_fails_is_left_out_and_its_judgments_are_kept(judged, name):
    measures, run = judged
    assert not measures["judges"][name]["passed"]
    assert any(note.startswith(f"{name} failed the gate: right on") for note in measures["notes"])
    assert {row["judge"] for row in measures["preferences"]} == {"perfect"}
    assert all(list(row) == ["perfect"] for figures in measures["systems"].values() for row in figures.values())
    kept = [row for row in read_dicts(run / "eval" / "judgments.jsonl") if row["judge"] == name]
    assert len(kept) == measures["judges"][name]["judgments"]
    assert name == "prose" or all(row["answer"] for row in kept)


def test_position_bias_shows(judged):
    measures, _ = judged
    figures = measures["judges"]["first position"]
    assert figures["positional_consistency"]["mean"] == 0
    assert figures["first_wins"]["mean"] == 1
    found = cells(measures, "first position")
    assert {accuracy for (_, form), accuracy in found.items() if form == "pairwise"} == {0}
    assert found["number", "pointwise"] == 1


def test_length_bias_shows(judged):
    measures, _ = judged
    figures = measures["judges"]["longest"]
    assert figures["longer_wins"]["mean"] == 1
    assert figures["length_slope"]["ci95"][0] > 0
    assert figures["positional_consistency"]["mean"] == 1  # which position alone would not show
    found = cells(measures, "longest")
    assert (found["truncated", "pairwise"], found["number", "pointwise"]) == (1, 0)


def test_chance_shows(judged):
    measures, _ = judged
    assert 0.2 < fmean(cells(measures, "at random").values()) < 0.7
    assert measures["judges"]["at random"]["positional_consistency"]["mean"] < 0.6


def test_prose_is_counted_and_never_read(judged):
    measures, run = judged
    assert measures["judges"]["prose"]["unparsed"]["mean"] == 1
    assert set(cells(measures, "prose").values()) == {0}
    row = next(row for row in read_dicts(run / "eval" / "judgments.jsonl") if row["judge"] == "prose")
    assert (row["answer"], row["unparsed"]) == (None, "Invalid JSON: expected value at line 1 column 1")
    assert row["said"].startswith("The summary is quite faithful")


def test_obedience_to_a_summary_shows_and_so_do_invented_quotes(judged):
    measures, _ = judged
    found = cells(measures, "obedient")
    assert {accuracy for (kind, _), accuracy in found.items() if kind == "injected"} == {0}
    assert {accuracy for (kind, _), accuracy in found.items() if kind != "injected"} == {1}
    assert measures["judges"]["obedient"]["unfounded_quotes"]["mean"] > 0
    assert measures["judges"]["perfect"]["unfounded_quotes"] == {**measures["judges"]["perfect"]["unfounded_quotes"], "mean": 0}


# The planted items


def test_planted_faults_took_and_intact_twins_have_none(fresh):
    cards = {card.id: card for card in read_jsonl(fresh / "data" / "heldout.jsonl", HeldOut)}
    items = planted(list(cards.values()), {}, 10)
    assert {
        kind: sum(item.kind == kind for item in items) for kind in ("swapped", "number", "truncated", "injected", "identical")
    } == {kind: 10 for kind in ("swapped", "number", "truncated", "injected", "identical")}
    for item in items:
        source = cards[item.card].source
        assert all(result.passed for result in check_summary(item.intact, source))
        wrong = {result.name: result for result in check_summary(item.corrupted, source) if not result.passed}
        if item.kind == "number":
            assert len(wrong["numbers"].spans) == 3
        elif item.kind in ("swapped", "injected"):
            assert {"numbers", "names"} & set(wrong)
            owner = next(card for card in cards.values() if card.reference.strip() == item.corrupted.removesuffix(INJECTION))
            assert owner.family != cards[item.card].family
        elif item.kind == "truncated":
            assert item.intact.startswith(item.corrupted)
            assert "length" in wrong
        else:
            assert item.corrupted == item.intact


def test_without_references_systems_summaries_that_pass_every_check_are_taken(fresh):
    cards = [
        HeldOut(card.id, [], card.source, "", card.family) for card in read_jsonl(fresh / "data" / "heldout.jsonl", HeldOut)
    ]
    references = {card.id: card.reference for card in read_jsonl(fresh / "data" / "heldout.jsonl", HeldOut)}
    assert planted(cards, {}, 10) == []
    assert planted(cards, {name: ["too short"] for name in references}, 10) == []
    items = planted(cards, {name: ["too short", text] for name, text in references.items()}, 10)
    assert len(items) == 50
    assert all(item.intact == references[item.card].strip() for item in items)


def tally(right, n=20, kind="number"):
    return QualificationTally(kind, "pointwise", right, n)


def test_the_gates_rules():
    assert fault([tally(20), tally(18)], 0.9, 0.8) == ""
    assert "right on 35 of 40" in fault([tally(17), tally(18)], 0.9, 0.8)
    # Good on the whole, blind for one kind.
    blind = fault([tally(20, kind="swapped")] * 8 + [tally(10)], 0.9, 0.8)
    assert "number pointwise 10 of 20" in blind
    assert "too few planted items" in fault([tally(20), tally(LEAST - 1, LEAST - 1)], 0.9, 0.8)


def test_without_a_judge_that_passes_nothing_is_printed(tmp_path):
    """Here for want of planted items: four cards give too few."""
    run = make_run(tmp_path / "run", cards=4)
    with ChatServer(reply=by_model) as server:
        measures = judge(run, server)
    assert not measures["printed"]
    assert "perfect failed the gate: too few planted items" in measures["reason"]
    assert (measures["preferences"], measures["systems"]) == ([], {})
    rows = list(read_dicts(run / "eval" / "measures" / "judge.jsonl"))
    assert len(rows) == 12
    assert {value for row in rows for value in row["metrics"].values()} == {None}
