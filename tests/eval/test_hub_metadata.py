"""Figures for a model repository: what huggingface_hub reads back from both forms, and that nothing is claimed bare."""

import pytest
import yaml
from huggingface_hub import EvalResultEntry, ModelCard, ModelCardData
from huggingface_hub import parse_eval_result_entries as parse
from report_run import make_scored_run, report

from data_prep.checks.meaning import MEANINGS
from eval.reporting.hub_metadata import write_card_metadata


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("written") / "cards"
    metrics = make_scored_run(run_dir)
    report(run_dir, "--report.dataset", "somebody/held-out")
    return run_dir / "eval", metrics


def card_with(path):
    return ModelCard(f"---\n{path.read_text(encoding='utf-8')}---\n\n# A model\n")


def test_the_hub_library_reads_model_index_from_a_card(written):
    folder, metrics = written
    card = card_with(folder / "model-index.yaml")
    assert card.data.model_name == "cards-aligned"
    results = {result.metric_type: result for result in card.data.eval_results}
    assert set(results) == {"all_pass", "fact_recall", "coverage", "supported", "win_rate_over_base"}
    cell = metrics["systems"]["aligned"]["fact_recall"]
    result = results["fact_recall"]
    assert (result.metric_value, result.metric_name) == (round(100 * cell["mean"], 2), "key facts the page has")
    assert result.metric_args == {
        "unit": "percent",
        "ci95": [round(100 * end, 2) for end in cell["ci95"]],
        "n": 12,
        "families": 5,
        "decoding": "greedy",
        "selected_training_data": True,
        "meaning": MEANINGS["fact_recall"].sentence,
    }
    assert result.dataset_type == "somebody/held-out"
    # What the library writes of it is the same again.
    again = ModelCardData(model_name=card.data.model_name, eval_results=card.data.eval_results).to_dict()
    assert again["model-index"] == yaml.safe_load((folder / "model-index.yaml").read_text())["model-index"]


def test_the_hub_library_reads_the_entries(written):
    folder, metrics = written
    (path,) = (folder / "eval_results").glob("*")
    assert path.name == "aligned.yaml"
    entries = {entry.task_id: entry for entry in parse(yaml.safe_load(path.read_text()))}
    assert all(isinstance(entry, EvalResultEntry) and entry.dataset_id == "somebody/held-out" for entry in entries.values())
    assert entries["win_rate_over_base"].value == 67.0
    cell = metrics["systems"]["aligned"]["supported"]
    low, high = (round(100 * end, 2) for end in cell["ci95"])
    assert entries["supported"].notes == (
        f"claims supported, by a checker: 95% interval {low} to {high}, n 12 cards of 5 families, percent, greedy decoding"
    )
    assert "the check also selected training data. Share of" in entries["all_pass"].notes


def test_what_is_not_printed_or_not_measured_is_not_claimed(written, tmp_path):
    _, metrics = written
    systems = {**metrics["systems"], "aligned": {**metrics["systems"]["aligned"]}}
    systems["aligned"]["supported"] = {"mean": None, "ci95": None, "n": 0, "families": 0}
    judge = {**metrics["measures"]["judge"], "printed": False}
    changed = {**metrics, "systems": systems, "measures": {"judge": judge}}
    write_card_metadata(changed, "aligned", "run-aligned", "held-out", tmp_path / "index.yaml", tmp_path / "entries")
    found = {result.metric_type for result in card_with(tmp_path / "index.yaml").data.eval_results}
    assert found == {"all_pass", "fact_recall", "coverage"}


def test_another_system_replaces_the_entries_and_a_name_is_made_safe(written, tmp_path):
    _, metrics = written
    named = {**metrics, "systems": {"a/b ../c: x": metrics["systems"]["sft"]}}
    for system, content in (("sft", metrics), ("a/b ../c: x", named)):
        write_card_metadata(content, system, system, "held-out", tmp_path / "index.yaml", tmp_path / "entries")
    assert [path.name for path in (tmp_path / "entries").iterdir()] == ["a-b-c-x.yaml"]
    assert card_with(tmp_path / "index.yaml").data.model_name == "a/b ../c: x"
