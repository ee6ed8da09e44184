"""lighteval runs our held-out cards as its own task and comes to our figures; ability before and after is compared by sample."""

import json
import os
import runpy
import subprocess
import sys
import types
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest
import yaml
from commands import BASE, ROOT, SUPPORT, run_command, run_here
from lighteval_files import details

from data_prep.core.files import write_jsonl
from data_prep.core.records import Generation, HeldOut, Note
from data_prep.prompts.student import build_prompt, render, source_text
from eval.ability import AbilityTask, check_openings, compared, read_samples
from eval.ability_tasks.needle import DEPTHS, SENTENCE, is_found, plant
from eval.scoring.metrics import measure

CARD = "# Quillan-7B\n\nA language model with 7.2B parameters, under apache-2.0. Context length 32,768 tokens. MMLU is 61.4.\n"
PLAIN = "This line says nothing of note about the model and is here for its length alone. " * 20
DENSE = "жѳѯ" * 150  # a token a byte: fewer characters than PLAIN, many more tokens


def held_out(tokenizer, name, text):
    note = Note("https://papers.example/quillan", "It has 32 layers.")
    prompt = build_prompt(f"quill/{name}", text, [note], tokenizer, 4000)
    assert not prompt.omitted
    return HeldOut(name, prompt.messages, source_text(f"quill/{name}", text, [note]), f"# {name}\n\nIt has 7.2B.", f"of {name}")


@pytest.fixture
def run_dir(tmp_path, tokenizer):
    rows = [held_out(tokenizer, "plain", f"{CARD}\n{PLAIN}"), held_out(tokenizer, "dense", f"{CARD}\n{DENSE}")]
    write_jsonl(tmp_path / "data" / "heldout.jsonl", rows)
    return tmp_path


def recipe_of(run_dir, tasks, **more):
    model = {"dtype": "float32", "batch_size": 2}
    block = {"systems": {"base": str(BASE), "tuned": str(BASE)}, "model": model, "tasks": tasks} | more
    path = run_dir / "eval.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(run_dir), "ability": block}, sort_keys=False))
    return str(path)


# --- the planted sentence


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_needle_stands_once_inside_the_document_and_the_question_last(tokenizer, depth):
    turn = held_out(tokenizer, "plain", CARD).prompt[1]["content"]
    needle = plant("plain", turn, depth)
    assert needle == plant("plain", turn, depth)
    lines = needle.text.split("\n")
    sentence = SENTENCE.format(code=needle.code)
    assert lines.count(sentence) == needle.text.count(needle.code) == 1
    assert [line for line in lines if line != sentence][:-1] == turn.split("\n")[:-1]
    assert 0 < lines.index(sentence) < lines.index("</research>")
    assert lines[-1].startswith("What is the archive code")


def test_depths_go_from_the_first_line_to_the_last_with_codes_of_their_own(tokenizer):
    turn = held_out(tokenizer, "plain", CARD).prompt[1]["content"]
    needles = [plant("plain", turn, depth) for depth in DEPTHS]
    places = [
        needle.text.split("\n").index(SENTENCE.format(code=needle.code)) / turn.count("\n", 0, turn.index("</research>"))
        for needle in needles
    ]
    assert places == pytest.approx([depth / 100 for depth in DEPTHS], abs=0.12)
    assert len({needle.code for needle in needles}) == len(DEPTHS)
    with pytest.raises(ValueError, match="prompt of another form"):
        plant("plain", "Summarise this.", 50)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("1234567", True),
        ("The archive code is **1234567**.", True),
        ("1234567 or 7654321", False),
        ("12345678", False),
        ("", False),
    ],
)
def test_an_answer_with_several_codes_is_none(answer, found):
    assert is_found(answer, "1234567") is found


# --- the task file, without lighteval


@pytest.fixture
def task_file(run_dir, monkeypatch):
    """The task file's names, run with stand-ins for lighteval's classes, which are records."""

    @dataclass
    class Record:
        def __init__(self, **fields):
            self.__dict__.update(fields)

    names = {
        "metrics.metrics_sample": {"SampleLevelComputation": object},
        "metrics.utils.metric_utils": {"SampleLevelMetric": Record, "SampleLevelMetricGrouping": Record},
        "models.model_output": {"ModelResponse": Record},
        "tasks.lighteval_task": {"LightevalTaskConfig": Record},
        "tasks.requests": {"Doc": Record, "SamplingMethod": types.SimpleNamespace(GENERATIVE="generative")},
    }
    for name, members in names.items():
        module = types.ModuleType(f"lighteval.{name}")
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("CARD_SUMMARY_RUN", str(run_dir))
    return types.SimpleNamespace(**runpy.run_path(str(ROOT / "eval" / "ability_tasks" / "lighteval_task.py")))


def rows_of(run_dir):
    return [json.loads(line) for line in (run_dir / "data" / "heldout.jsonl").read_text().splitlines()]


def test_tasks_load_the_held_out_rows_and_stop_at_no_line(run_dir, task_file):
    by_name = {task.name: task for task in task_file.TASKS_TABLE}
    assert set(by_name) == {"card_summary", *(f"card_needle:{depth}" for depth in DEPTHS)}
    for task in by_name.values():
        (rows,) = os.listdir(task.hf_repo)
        assert rows == "test.jsonl"
        assert os.path.samefile(os.path.join(task.hf_repo, rows), run_dir / "data" / "heldout.jsonl")
        assert (task.stop_sequence, task.evaluation_splits) == ([], ["test"])
    assert by_name["card_summary"].generation_size == 1200


def test_a_change_of_the_rows_is_a_change_of_the_folder(run_dir, task_file):
    before = task_file.rows_folder(run_dir)
    assert task_file.rows_folder(run_dir) == before
    write_jsonl(run_dir / "data" / "heldout.jsonl", rows_of(run_dir)[:1])
    assert task_file.rows_folder(run_dir) != before
    with pytest.raises(ValueError, match="CARD_SUMMARY_RUN"):
        task_file.rows_folder(run_dir / "elsewhere")


def test_the_prompt_is_ours_and_the_measures_are_those_of_score(run_dir, task_file):
    row = rows_of(run_dir)[0]
    doc = task_file.summary_prompt(row, "card_summary")
    assert doc.query == row["prompt"][1]["content"]
    good = "# Quillan-7B\n\n- 7.2B parameters, apache-2.0\n- MMLU 71.4\n- [report](https://papers.example/quillan)"
    for text in (good, "No figure stands here."):
        found = task_file.Measures().compute(doc, types.SimpleNamespace(text=[f"\n{text}\n"]))
        ours = measure(Generation("", "", "", text, "stop", 0, 0), row["source"], row["reference"])["metrics"]
        assert found == {
            name: value for name, value in ours.items() if value is not None and name not in ("finished", "looped")
        }
        assert (ours["names_grounded"] is None) == (text != good)
    changed = row | {"prompt": [{"role": "system", "content": "Be brief."}, row["prompt"][1]]}
    with pytest.raises(ValueError, match="another system turn"):
        task_file.summary_prompt(changed, "card_summary")


# --- before and after


TASK = AbilityTask(task="t|0", metric="found", margin=0.1)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1.0] * 80 + [0.0] * 20, [1.0] * 80 + [0.0] * 20, "held"),
        ([1.0] * 80 + [0.0] * 20, [1.0] * 60 + [0.0] * 40, "fell"),
        ([1.0] * 4 + [0.0] * 4, [1.0] * 4 + [0.0] * 4, "unclear"),  # eight samples that agree prove nothing yet
        ([1.0] * 80 + [0.0] * 20, [1.0] * 75 + [0.0] * 10 + [1.0] * 15, "held"),
        ([1.0, 0.0] * 50, [0.0, 1.0] * 46 + [0.0] * 8, "unclear"),
    ],
)
def test_a_fall_beyond_the_margin_shows_and_agreement_of_a_few_is_no_proof(tmp_path, before, after, verdict):
    details(tmp_path / "before", before)
    details(tmp_path / "after", after)
    first, second = read_samples(tmp_path / "before", TASK), read_samples(tmp_path / "after", TASK)
    told = compared(*second.minus(first, seed=1), TASK.margin)
    assert told["difference"] == pytest.approx((sum(after) - sum(before)) / len(after))
    assert told["verdict"] == verdict


def test_a_metric_that_is_no_share_is_refused(tmp_path):
    details(tmp_path, [1.0])
    for metric in ("label", "none"):
        with pytest.raises(ValueError, match=f'as "{metric}"'):
            read_samples(tmp_path, TASK.model_copy(update={"metric": metric}))


def test_a_prompt_without_its_beginning_is_refused(tmp_path, tokenizer):
    messages = [{"role": "system", "content": TASK.system_prompt}, {"role": "user", "content": "Who wrote this model card?"}]
    tokens = tokenizer(render(messages, tokenizer), add_special_tokens=False)["input_ids"]
    query = messages[1]["content"]
    details(tmp_path, [1.0], tokens=[0, 0, *tokens], query=query, padding=2)
    check_openings(tmp_path, str(BASE), TASK)
    for wrong in (tokens[1:], tokenizer("Who?")["input_ids"]):
        details(tmp_path, [1.0], tokens=wrong, query=query)
        with pytest.raises(ValueError, match=r"1 of 1 prompts of t\|0 reached the model without"):
            check_openings(tmp_path, str(BASE), TASK)


# A program that does as lighteval does with its command line: writes files whose names carry the time.
STAND_IN = """#!{python}
import json, os, sys, pathlib, yaml
open({calls!r}, "a").write(" ".join(sys.argv[1:4]) + "\\n")
given = yaml.safe_load(open(sys.argv[2]))["model_parameters"]
assert pathlib.Path(given["model_name"], "config.json").exists() and given["generation_parameters"]["max_new_tokens"] > 10**5
if {fails}:
    sys.exit("RuntimeError: no memory")
sys.path.insert(0, {tests!r})
from lighteval_files import details
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(given["model_name"])
turns = [dict(role="system", content=given["system_prompt"]), dict(role="user", content="Who?")]
tokens = tokenizer.apply_chat_template(turns, tokenize=True, add_generation_prompt=True)["input_ids"]
folder = pathlib.Path("out/details/model/2026")
details(folder, [1.0, 0.0], tokens=list(tokens))
(folder / "details_t|0.parquet").rename(folder / "details_t|0_2026.parquet")
results = pathlib.Path("out/results/model/results_2026.json")
results.parent.mkdir(parents=True)
results.write_text(json.dumps(dict(results=dict([("t|0", dict(found=0.5, found_stderr=0.5)), ("all", dict(found=0.5))]))))
"""


def stand_in(folder, fails):
    program, calls = folder / "lighteval", folder / "calls"
    program.write_text(STAND_IN.format(python=sys.executable, tests=str(SUPPORT), calls=str(calls), fails=fails))
    program.chmod(0o755)
    return program, calls


def test_each_system_and_task_runs_once_and_a_failure_is_told_with_its_last_line(run_dir):
    program, calls = stand_in(run_dir, fails=True)
    recipe = recipe_of(run_dir, {"needle": {"task": "t|0", "metric": "found", "margin": 0.1}}, lighteval=str(program))
    failed = run_here("eval.ability", "--config", recipe)
    assert failed.returncode == 2
    assert "lighteval ended with 1 on t|0: RuntimeError: no memory" in failed.stderr
    stand_in(run_dir, fails=False)
    calls.unlink()
    for _ in range(2):
        done = run_here("eval.ability", "--config", recipe)
        assert done.returncode == 0, done.stderr
    assert calls.read_text().splitlines() == ["accelerate model.yaml t|0"] * 2  # once for each system
    told = json.loads((run_dir / "eval" / "ability.json").read_text())
    assert told["before"] == "base"
    assert told["tasks"]["needle"]["differences"]["tuned"]["verdict"] == "unclear"
    assert told["tasks"]["needle"]["parts"]["tuned"] == {"t|0": {"mean": 0.5, "stderr": 0.5}}
    assert "unclear" in done.stdout
    assert sorted(path.name for path in (run_dir / "eval" / "ability" / "base" / "needle").iterdir()) == [
        "details_t|0.parquet",
        "log.txt",
        "model.yaml",
        "results.json",
    ]


# --- the real lighteval

FOLLOW = """
from pathlib import Path
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.tasks.ifeval.main import ifeval_metrics, ifeval_prompt

TASKS_TABLE = [
    LightevalTaskConfig(
        name="follow", prompt_function=ifeval_prompt, hf_repo=str(Path(__file__).parent / "follow"), hf_subset="default",
        hf_avail_splits=["train"], evaluation_splits=["train"], metrics=[ifeval_metrics], generation_size=32,
    )
]
"""
INSTRUCTIONS = [
    {
        "prompt": "Name a colour, without a comma.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{"num_words": None}],
    },
    {"prompt": "Write a title.", "instruction_id_list": ["detectable_format:title"], "kwargs": [{"num_words": None}]},
]


@pytest.fixture(scope="module")
def installed():
    """lighteval in its own environment, made as a person makes it; kept for the next time."""
    done = subprocess.run(
        ["recipes/ability/install.sh"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable},
        timeout=900,
    )
    if "No matching distribution" in done.stderr or "Could not find a version" in done.stderr:
        pytest.skip("pip reaches no packages, so lighteval cannot be installed")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_lighteval_comes_to_our_figures_and_cuts_no_prompt(run_dir, tokenizer):
    (run_dir / "follow.py").write_text(FOLLOW)
    write_jsonl(run_dir / "follow" / "train.jsonl", INSTRUCTIONS)
    tasks = {
        "summary": {"task": "card_summary|0", "metric": "fact_recall", "margin": 0.5},
        "needle": {"task": "card_needle|0", "metric": "found", "margin": 0.5},
        # IFEval's own prompt and scoring; its data are on the Hub, which no test reaches.
        "follow": {
            "task": "follow|0",
            "metric": "prompt_level_strict_acc",
            "margin": 0.5,
            "custom_tasks": str(run_dir / "follow.py"),
        },
    }
    rows = {row["id"]: row for row in rows_of(run_dir)}
    tasks["summary"]["system_prompt"] = rows["plain"]["prompt"][0]["content"]
    recipe = recipe_of(run_dir, tasks, systems={"base": str(BASE)})
    done = run_command("-m", "eval.ability", "--config", recipe, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr

    folder = run_dir / "eval" / "ability" / "base"
    found = pq.read_table(folder / "summary" / "details_card_summary|0.parquet").to_pylist()
    assert {row["doc"]["specific"]["id"] for row in found} == set(rows)
    ours = []
    for row in found:
        card, response = rows[row["doc"]["specific"]["id"]], row["model_response"]
        prompt = tokenizer(render(card["prompt"], tokenizer), add_special_tokens=False)["input_ids"]
        assert response["input_tokens"][response["padded_tokens_count"] :] == prompt
        text = Generation("", "", "", response["text"][0].strip(), "stop", 0, 0)
        metrics = measure(text, card["source"], card["reference"])["metrics"]
        assert row["metric"] == {name: metrics[name] for name in row["metric"]}
        ours.append(metrics["fact_recall"])
    results = json.loads((folder / "summary" / "results.json").read_text())["results"]["card_summary|0"]
    told = json.loads((run_dir / "eval" / "ability.json").read_text())["tasks"]
    assert results["fact_recall"] == told["summary"]["systems"]["base"]["mean"] == pytest.approx(sum(ours) / 2)
    assert told["needle"]["systems"]["base"]["n"] == 2 * len(DEPTHS)
    assert told["follow"]["systems"]["base"]["n"] == 2
    assert not (BASE / "cache").exists()
    assert not [path for path in BASE.rglob("*.parquet")]
