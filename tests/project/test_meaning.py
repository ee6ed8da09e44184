"""Wherever a figure that rests on the checks is shown stands the sentence that says what it is not."""

import json
import re

import pytest
from commands import ROOT
from documents import markdown_files
from report_run import make_scored_run, report
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from data_prep.checks import check_summary
from data_prep.checks.meaning import MEANINGS, MEASURED, NO_FLAG, meanings
from eval.scoring.metrics import METRICS

SHOWN = ("all_pass", "fact_recall")  # declared in the invented run, beside one that rests on no check


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Folder and metrics of a run with a report."""
    run_dir = tmp_path_factory.mktemp("meaning") / "run"
    metrics = make_scored_run(run_dir)
    report(run_dir)
    return run_dir / "eval", metrics


def lines():
    return [f"{MEANINGS[name].name}: {MEANINGS[name].sentence}" for name in SHOWN]


def flat(text):
    """As read: without line breaks, addresses of links and code marks."""
    return " ".join(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).replace("`", "").split())


def test_each_metric_of_the_checks_has_one_sentence_and_is_called_as_it_says():
    labels = {metric.name: metric.label for metric in METRICS}
    assert {name for name in MEANINGS if name in labels} == set(MEANINGS) - {"grounded"}
    for name, meaning in MEANINGS.items():
        assert labels.get(name, meaning.name) == meaning.name
        assert re.fullmatch(r"Share [^.]+(?:\.md[^.]*)?\.", meaning.sentence), meaning.sentence
        assert len(meaning.name) <= 40
    assert NO_FLAG[2:] in MEANINGS["all_pass"].sentence
    path = MEASURED.split()[-1]
    assert "What a flag means, and what no flag does not." in (ROOT / path).read_text(encoding="utf-8")


def test_only_declared_metrics_that_rest_on_checks_are_explained(scored):
    assert list(meanings(scored[1]["metrics"])) == lines()


def test_the_printed_table_ends_with_them(scored, capsys):
    from eval.score import print_results

    print_results({**scored[1], "missing": {}, "odd": {}})
    said = " ".join(capsys.readouterr().out.split())
    assert said.index("system") < min(said.index(line) for line in lines())


def test_so_do_tables_to_paste_and_the_comparison_of_two_runs(scored, capsys):
    from eval.compare import markdown, print_result

    folder, metrics = scored
    text = (folder / "results.md").read_text(encoding="utf-8")
    assert all(f"- {line}\n" in text for line in lines())
    compared = {key: metrics[key] for key in ("cards", "families", "metrics", "comparisons", "claims")}
    compared |= {"not_shown": [], "left_out": [], "differ_most": [], "a": {"run": "one"}, "b": {"run": "two"}}
    print_result(compared)
    said = " ".join(capsys.readouterr().out.split())
    assert all(line in said and f"- {line}\n" in markdown(compared) for line in lines())


def test_the_page_has_them_below_the_table_of_checks_and_on_the_heads(scored):
    tree = HTMLParser((scored[0] / "report.html").read_text(encoding="utf-8"))
    assert [item.text() for item in tree.css("#results ul.note li")] == lines()
    titles = {head.text().removesuffix(" %"): head.attributes.get("title") for head in tree.css("#results tbody th")}
    for metric in scored[1]["metrics"]:
        assert titles[metric["label"]] == (MEANINGS[metric["name"]].sentence if metric["name"] in MEANINGS else None)
    for place in ("#differences .label a", "#slices figcaption b"):
        assert {one.attributes.get("title") for one in tree.css(place)} >= {MEANINGS[name].sentence for name in SHOWN}
    assert json.loads(tree.css_first("script#data").text())["index"]["no_flag"] == NO_FLAG
    assert NO_FLAG in tree.css_first("#cards").text()


def test_results_for_the_hub_carry_them(scored):
    import yaml

    index = yaml.safe_load((scored[0] / "model-index.yaml").read_text(encoding="utf-8"))
    found = {one["type"]: one["args"].get("meaning") for one in index["model-index"][0]["results"][0]["metrics"]}
    entries = yaml.safe_load((scored[0] / "eval_results" / "aligned.yaml").read_text(encoding="utf-8"))
    notes = {entry["dataset"]["task_id"]: entry["notes"] for entry in entries}
    for name in SHOWN:
        assert found[name] == MEANINGS[name].sentence
        assert notes[name].endswith(MEANINGS[name].sentence)
    assert found["supported"] is None


def test_the_model_card_says_it_beside_its_first_figures_and_below_its_tables(scored):
    from training.release.results import headline_figures, results

    folder, metrics = scored
    assert headline_figures(metrics, "aligned").endswith(NO_FLAG)
    assert all(line in results(folder.parent, metrics, "aligned", {}) for line in lines())


def test_the_card_of_a_data_set_says_it():
    from data_prep.publishing.dataset_card import limits

    assert NO_FLAG in limits(None)


@pytest.mark.parametrize("text", ["# A\n\nIt has 7 layers.", "# Brindle\n\n- Its licence is MIT."])
def test_the_verdict_of_one_page_ends_with_it(text):
    from eval.decoding.sampling import GREEDY
    from eval.summarizing.verdict import Attempt, verdict
    from eval.summarizing.writers import Written

    said = verdict(Attempt(Written(text, "", "stop", 1, 1, 0, 0), GREEDY, 0, check_summary(text, "Model: a/Brindle")))
    assert said.plain.endswith(NO_FLAG)


def test_every_document_with_such_a_table_says_them():
    tables = 0
    for path in markdown_files():
        text = path.read_text(encoding="utf-8")
        heads = [cell.strip() for row in re.findall(r"^\|(.+)\|\n\|[ :-]*-", text, re.MULTILINE) for cell in row.split("|")]
        for meaning in MEANINGS.values():
            if meaning.name in heads:
                tables += 1
                assert f"{meaning.name}: {meaning.sentence}" in flat(text), f"{path} shows {meaning.name}"
        for old in ("passes every check", "key facts recalled", "numbers found in source", "links found in source"):
            assert path.name == "CHANGELOG.md" or old not in text, f"{path} says {old}"
    assert tables >= 16
    assert NO_FLAG in flat((ROOT / "recipes" / "LOG.md").read_text(encoding="utf-8"))


def test_the_printed_table_of_notes_ends_with_it(capsys):
    from eval.notes import HEADLINE, print_figures
    from eval.notes_task.metrics import NOTES_METRICS
    from eval.scoring.aggregate import described

    figure = {"mean": 0.5, "ci95": [0.4, 0.6], "n": 4}
    systems = {"lead": {metric.name: figure for metric in NOTES_METRICS}}
    found = {"pages": 4, "families": 2, "metrics": described(NOTES_METRICS, HEADLINE), "systems": systems, "comparisons": []}
    print_figures(found)
    assert MEANINGS["grounded"].sentence in " ".join(capsys.readouterr().out.split())
