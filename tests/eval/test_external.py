"""Figures of other stages merged into the scores, through the stage itself, and every way such a file can be of no use."""

import json

import pyarrow.parquet as pq
import pytest
from small_run import make_run

from data_prep.core.files import read_jsonl, write_json, write_jsonl
from data_prep.core.recipe import Recipe
from data_prep.core.records import Generation
from eval.score import ScoreConfig, main
from eval.scoring.external import read_measures

SUPPORTED = {"name": "supported", "label": "sentences supported", "group": "independent", "unit": "share", "better": "higher"}


@pytest.fixture(autouse=True)
def without_rouge(monkeypatch):
    monkeypatch.setattr(
        "eval.scoring.metrics.rouge", lambda summary, reference: dict.fromkeys(("rouge1", "rouge2", "rougeLsum"), 0.5)
    )


def write_measure(run_dir, value=lambda number: number % 2, keep=lambda number: True, **summary):
    """A checker's files for `tuned`."""
    folder = run_dir / "eval" / "measures"
    rows = list(read_jsonl(run_dir / "eval" / "generations" / "tuned.jsonl", Generation))
    write_jsonl(
        folder / "support.jsonl",
        [
            {
                "key": row.key,
                "metrics": {"supported": value(number)},
                "spans": [{"start": 0, "end": 5, "label": "not supported"}],
            }
            for number, row in enumerate(rows)
            if keep(number)
        ],
    )
    write_json(folder / "support.json", {"metrics": [SUPPORTED], "printed": True, "notes": ["a note"], "systems": {}} | summary)
    return folder


def score_run(run_dir, **block):
    main(
        Recipe(
            stage="score",
            run_dir=run_dir,
            seed=0,
            block=ScoreConfig(bootstrap_samples=1000, systems=["base", "tuned"], **block),
        )
    )
    return json.loads((run_dir / "eval" / "metrics.json").read_text())


def test_a_measure_becomes_a_metric_like_any_other_and_what_it_lacks_is_told(tmp_path):
    make_run(tmp_path)
    write_measure(tmp_path, systems={"tuned": {"supported": 0.4}}, preferences=[{"judge": "j"}])
    metrics = score_run(tmp_path, headline=["all_pass", "supported"])
    described = next(metric for metric in metrics["metrics"] if metric["name"] == "supported")
    assert described == {**SUPPORTED, "headline": True}
    assert metrics["systems"]["tuned"]["supported"] == {**metrics["systems"]["tuned"]["supported"], "mean": 0.5, "n": 12}
    assert metrics["systems"]["base"]["supported"]["mean"] is None
    assert metrics["systems"]["base"]["supported"]["n"] == 0
    passed_on = metrics["measures"]["support"]
    assert passed_on["systems"] == {"tuned": {"supported": 0.4}}
    assert passed_on["preferences"] == [{"judge": "j"}]
    assert passed_on["notes"] == [
        "a note",
        "12 of the summaries scored have no figures by support; they count for nothing in its means.",
    ]
    rows = pq.read_table(tmp_path / "eval" / "scores.parquet").to_pylist()
    spans = [json.loads(row["spans"]) for row in rows if row["system"] == "tuned"]
    assert spans[0] == [{"start": 0, "end": 5, "label": "not supported", "measure": "support"}]
    assert [row["supported"] for row in rows if row["system"] == "tuned"][:2] == [0, 1]
    assert {row["supported"] for row in rows if row["system"] == "base"} == {None}


def test_a_new_measure_is_merged_without_measuring_again(tmp_path, monkeypatch):
    make_run(tmp_path)
    score_run(tmp_path)
    write_measure(tmp_path)
    monkeypatch.setattr("eval.score.measure", lambda *given: pytest.fail("measured twice"))
    assert score_run(tmp_path)["systems"]["tuned"]["supported"]["mean"] == 0.5


def test_a_measure_whose_own_check_failed_gives_no_figures_but_its_reason(tmp_path, capsys):
    make_run(tmp_path)
    write_measure(tmp_path, printed=False, reason="it found 3 of 20 planted faults")
    metrics = score_run(tmp_path)
    assert "supported" not in metrics["systems"]["tuned"]
    assert metrics["measures"]["support"]["reason"] == "it found 3 of 20 planted faults"
    assert "supported" not in pq.read_schema(tmp_path / "eval" / "scores.parquet").names
    assert "support is left out: it found 3 of 20 planted faults" in capsys.readouterr().out


def test_a_measure_of_preferences_alone_needs_no_rows(tmp_path):
    make_run(tmp_path)
    folder = write_measure(tmp_path, metrics=[], preferences=[{"judge": "j", "win_rate": 0.5}])
    (folder / "support.jsonl").unlink()
    assert score_run(tmp_path)["measures"]["support"]["preferences"][0]["win_rate"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": [SUPPORTED | {"name": "all_pass"}]}, 'a metric "all_pass", as eval.score does'),
        ({"metrics": [SUPPORTED | {"group": "checks"}]}, 'into group "checks"'),
        ({"metrics": [{"name": "x"}]}, "is no summary of a measure .lacks 'label'"),
        ({"metrics": 3}, "is no summary of a measure"),
    ],
)
def test_a_summary_that_does_not_fit_is_refused(tmp_path, change, message):
    make_run(tmp_path)
    folder = write_measure(tmp_path, **change)
    keys = {row.key: row.system for row in read_jsonl(tmp_path / "eval" / "generations" / "tuned.jsonl", Generation)}
    with pytest.raises(ValueError, match=message):
        read_measures(folder, keys)


def test_rows_of_other_summaries_or_none_at_all_are_refused_with_the_next_move(tmp_path):
    make_run(tmp_path)
    folder = write_measure(tmp_path)
    with pytest.raises(ValueError, match=r"holds 12 summaries and none of those scored here.*run eval.support again"):
        read_measures(folder, {"another": "tuned"})
    write_measure(tmp_path, value=lambda number: "high")
    with pytest.raises(ValueError, match="jsonl:1 has supported 'high', expected a number or null"):
        read_measures(folder, {"another": "tuned"})
    write_measure(tmp_path, value=lambda number: float("nan"))
    with pytest.raises(ValueError, match="jsonl:1 has supported nan"):
        read_measures(folder, {"another": "tuned"})
    (folder / "support.json").unlink()
    with pytest.raises(ValueError, match=r"has no support.json beside it"):
        read_measures(folder, {"another": "tuned"})
    write_measure(tmp_path)
    (folder / "support.jsonl").unlink()
    with pytest.raises(ValueError, match=r"support.jsonl is missing beside support.json"):
        read_measures(folder, {"another": "tuned"})


def test_figures_of_a_system_that_was_run_anew_are_refused(tmp_path):
    make_run(tmp_path)
    folder = write_measure(tmp_path, systems={"tuned": {}, "base": {}})
    rows = list(read_jsonl(tmp_path / "eval" / "generations" / "tuned.jsonl", Generation))
    keys = {row.key: "base" if at % 2 else "tuned" for at, row in enumerate(rows)}
    assert read_measures(folder, keys)
    anew = {f"anew {key}" if system == "tuned" else key: system for key, system in keys.items()}
    with pytest.raises(ValueError, match=r"figures of tuned of other summaries.*run eval.support again"):
        read_measures(folder, anew)
