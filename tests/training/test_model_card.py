"""The card of a model, over an invented run: every figure from a file of the run, and nothing where no file knows."""

import ast
import dataclasses
import json
import re

import pytest
import yaml
from commands import TEMPLATE_KWARGS
from huggingface_hub import ModelCard
from report_run import make_scored_run, report

from data_prep.prompts import student
from data_prep.prompts.chat_format import ChatFormat
from training.release.card import Named, model_card
from training.release.provenance import Base, Data, ModelRun, Trained
from training.release.results import gate_words, not_shown, safe, weak_spots
from training.release.snippet import snippet

NAMED = Named(
    "Summarizer",
    "ana/summarizer",
    "ana/lora",
    "v1",
    "apache-2.0",
    ("en",),
    "ana/cards",
    "v3",
    ("A note.",),
    ("NOTICE",),
    ChatFormat("/system_override /no_think", TEMPLATE_KWARGS, True, "<|im_end|>"),
)
DATA = Data(
    {"train": (7, 3), "heldout": (40, 5)}, {"source": "hub"}, 6, 47, 12, 4, {"teacher-9b": (12, "mit"), "attached": (1, None)},
    {"teacher-9b": "mit"}, {"mit": 5, "none stated": 2}, {"own sample": 4}, {"numbers": 3},
    {"recipe": {"examples": {"max_prompt_tokens": 14_000}}, "result": {}}, 2,
)  # fmt: skip
MODEL = {"model_name_or_path": "org/base", "lora_r": 32, "lora_alpha": 64, "lora_dropout": 0.0, "dtype": "bfloat16"}
TRAINER = {
    "learning_rate": 2e-4, "lr_scheduler_type": "cosine", "warmup_steps": 0.03, "optim": "adamw", "num_train_epochs": 3, "bf16": True,
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "seed": 1, "loss_type": ["apo_zero"], "beta": 0.1,
}  # fmt: skip


def trained(folder, name, **result):
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "adapter_config.json").write_text('{"target_modules": ["v_proj", "q_proj"]}')
    history = [{"step": step, "loss": 1 / step, "learning_rate": 1e-4} for step in range(1, 41)]
    told = {"rows": 12, "steps": 40, "history": history} | result
    return Trained(name, folder / name, {"model": MODEL, "trainer": TRAINER}, told, {"trl": "1.16.0", "torch": "2.13.0"})


@pytest.fixture
def run(tmp_path):
    """As `read_model_run` reads a run whose model was evaluated as "aligned" and passed its gate."""
    metrics = make_scored_run(tmp_path, cards=40)
    report(tmp_path, "--report.system", "aligned")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"max_position_embeddings": 65536, "dtype": "bfloat16"}')
    return ModelRun(
        tmp_path, tmp_path / "model", "0" * 64, (trained(tmp_path, "sft"), trained(tmp_path, "aligned")),
        Base("org/base", True, "abc123", None, "apache-2.0"), "aligned",
        {"recipe": {"max_new_tokens": 1200, "dtype": "bfloat16", "temperature": 0.6, "top_p": 0.95}}, [], {}, metrics,
    )  # fmt: skip


def changed(run, **values):
    return dataclasses.replace(run, **values)


def section(card, heading):
    return card.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_front_matter_is_what_the_hub_reads(run):
    card = ModelCard(model_card(run, DATA, NAMED, "3B parameters in 6 GB"))
    assert (card.data.base_model, card.data.base_model_relation, card.data.license) == ("org/base", "finetune", "apache-2.0")
    assert (card.data.library_name, card.data.pipeline_tag, card.data.datasets) == (
        "transformers",
        "text-generation",
        ["ana/cards"],
    )
    assert "apo_zero" in card.data.tags
    assert card.data.model_name == "Summarizer"
    found = {result.metric_type: result for result in card.data.eval_results}
    mean = run.metrics["systems"]["aligned"]["fact_recall"]["mean"]
    assert found["fact_recall"].metric_value == pytest.approx(mean * 100, abs=0.01)
    adapter = ModelCard(model_card(run, DATA, NAMED, "", adapter=True))
    assert (adapter.data.library_name, adapter.data.base_model_relation) == ("peft", "adapter")


def test_results_are_the_reports_tables_with_checks_and_independent_metrics_apart(run):
    card = model_card(run, DATA, NAMED, "")
    text = section(card, "Results")
    assert (run.run_dir / "eval" / "results.md").read_text().strip() in text
    assert "### An example\n\n" + (run.run_dir / "eval" / "example.md").read_text().strip() in card
    assert "by construction: pages without a flag; key facts the page has." in text
    assert "Independent of the training data: words in copied runs (coverage); claims supported, by a checker." in text
    for claim in run.metrics.get("claims", ()):
        assert f"- {claim}" in text


def test_differences_that_allow_no_claim_are_said(run):
    def row(low, high, p, a="sft", b="aligned"):
        return {"a": a, "b": b, "metric": "all_pass", "difference": 0.02, "ci95": [low, high], "p_holm": p, "n": 40}

    headline = [metric for metric in run.metrics["metrics"] if metric["name"] == "all_pass"]
    rows = [row(-0.01, 0.05, 0.3), row(0.01, 0.05, 0.2), row(0.01, 0.05, 0.01), row(-0.01, 0.05, 0.3, b="base")]
    found = list(not_shown({"comparisons": rows}, headline, "aligned"))
    assert found == [
        'A difference between aligned and sft in "pages without a flag": 2.0 [−1.0, 5.0] points, n=40.',
        'A difference between aligned and sft in "pages without a flag": 2.0 [1.0, 5.0] points, n=40.',
    ]


def test_faults_that_probes_found_stand_among_the_limits(run):
    def cell(mean, low=0.0, high=1.0):
        return {"mean": mean, "ci95": [low, high], "n": 10}

    labels = [{"name": "invents", "label": "states a fact that was taken out", "better": "lower"}]
    labels += [{"name": "kept", "label": "against the unchanged card", "better": "higher"}]
    probes = {"missing": {"aligned": {"invents": cell(0.7)}}, "long": {"aligned": {"kept": cell(-0.6, -0.9, -0.3)}}}
    spoken = list(weak_spots({"probes": probes, "probe_metrics": labels}, "aligned"))
    assert spoken[0] == (
        'Measured on cards with a fact taken out: "states a fact that was taken out" 70.0 [0.0, 100.0] (n=10), in percent.'
    )
    assert spoken[1].startswith('Measured on overlong cards: "against the unchanged card" −60.0 [−90.0, −30.0]')
    fine = {"missing": {"aligned": {"invents": cell(0.05)}}, "long": {"aligned": {"kept": cell(-0.1, -0.3, 0.1)}}}
    assert not list(weak_spots({"probes": fine, "probe_metrics": labels}, "aligned"))
    card = model_card(changed(run, metrics=run.metrics | {"probes": probes, "probe_metrics": labels}), DATA, NAMED, "")
    assert spoken[0] in section(card, "What it is not")
    assert "| cards with a fact taken out | states a fact that was taken out | lower | 70.0" in card


def test_the_gate_is_told_where_it_passed_and_its_reasons_where_it_was_forced(run):
    verdict = {
        "passed": True,
        "base": "sft",
        "metrics": {"all_pass": {"must": "win"}, "fact_recall": {"must": "hold", "margin": 0.01}},
    }
    said = gate_words(verdict, run.metrics)
    assert (
        said
        == "The release gate passed: better than `sft` in pages without a flag; not worse in key facts the page has (within 0.01)."
    )
    assert said in model_card(changed(run, verdict=verdict), DATA, NAMED, "")
    forced = model_card(changed(run, verdict=verdict, gate=["it is worse"]), DATA, NAMED, "")
    assert "> - it is worse" in forced
    assert "The release gate passed" not in forced


def test_training_shows_the_recipe_and_some_steps_of_the_loss(run):
    text = section(model_card(run, DATA, NAMED, ""), "Training")
    assert "| LoRA rank | 32 | 32 |" in text
    assert "| loss | – | apo_zero |" in text
    assert "| layers | q_proj, v_proj | q_proj, v_proj |" in text
    assert "Versions: trl 1.16.0, torch 2.13.0." in text
    steps = [
        line.split("|")[1].strip()
        for line in text.split("Loss of supervised fine-tuning")[1].splitlines()
        if line[2:3].isdigit()
    ]
    assert steps[0] == "1"
    assert "40" in steps
    assert len(steps) <= 16


def test_fine_tuning_on_own_samples_is_called_that_and_has_no_loss_of_pairs(run):
    own = dataclasses.replace(run.trained[1], recipe=run.trained[1].recipe | {"run": {"rejection_sampling": True}})
    card = model_card(changed(run, trained=(run.trained[0], own)), dataclasses.replace(DATA, pairs=0, best=7), NAMED, "6 GB")
    assert "after supervised fine-tuning and then fine-tuning on its own best samples with LoRA" in card
    assert "7 of its own best samples for further fine-tuning." in card
    assert "apo_zero" not in card.replace(str(run.run_dir), "")


def test_data_names_writers_licences_split_and_what_is_not_known(run):
    text = section(model_card(run, DATA, NAMED, ""), "Data")
    assert "[ana/cards](https://huggingface.co/datasets/ana/cards), revision `v3`" in text
    assert "| teacher-9b | summaries | 12 rows | mit |" in text
    assert "| attached: came with the cards | summaries | 1 rows | not known |" in text
    assert "| heldout | 40 | 5 |" in text
    assert "mit 5, none stated 2" in text
    assert "Cards whose prompt was cut to the budget, at the ends of lines: 2." in text
    assert "The revision is known of 6 of 47 cards." in text
    assert "The run does not hold its data." in section(model_card(run, None, NAMED, ""), "Data")


def test_time_and_device_are_told_where_they_were_recorded_and_energy_is_not_guessed(run):
    text = section(model_card(run, DATA, NAMED, ""), "Time and energy")
    assert "ran for a time that was not recorded on a device that was not recorded" in text
    told = trained(run.run_dir, "sft", train_runtime=5400.0, device="NVIDIA H100", processes=8, epochs=0.28)
    card = model_card(changed(run, trained=(told,)), DATA, NAMED, "")
    text = section(card, "Time and energy")
    assert "Supervised fine-tuning took 1.5 hours on 8 x NVIDIA H100." in text
    assert re.search(r"\| epochs +\| 0.28 ", card)
    told = trained(run.run_dir, "sft", train_runtime=5400.0, device="NVIDIA H100", resumed=True)
    text = section(model_card(changed(run, trained=(told,)), DATA, NAMED, ""), "Time and energy")
    assert "Supervised fine-tuning's last part, after a stop, took 1.5 hours on NVIDIA H100." in text
    assert "Energy was not measured" in text


def test_a_base_whose_facts_nobody_recorded_is_not_given_any(run):
    card = model_card(changed(run, base=Base("base", False, None, None, None)), DATA, NAMED, "")
    assert 'A local model called "base" that is not on the Hub, whose licence the run did not record' in card
    assert "base_model" not in yaml.safe_load(card.split("---\n")[1])
    quantised = dataclasses.replace(run.trained[0], recipe={"model": MODEL | {"load_in_4bit": True}, "trainer": TRAINER})
    card = model_card(changed(run, trained=(quantised,)), DATA, NAMED, "", adapter=True)
    assert "| base quantised to | 4 bits |" in card
    assert "this adapter on the base in full precision gives slightly other output" in card


def test_a_model_that_was_not_evaluated_says_so(run):
    card = model_card(
        changed(run, metrics=None, system=None, generated={}, gate=["eval/gate.json is missing"]), None, NAMED, ""
    )
    assert "**It was not evaluated.**" in card
    assert "model-index" not in card
    assert "when it was evaluated" not in card


def test_servers_are_told_the_evaluated_decoding(run):
    card = model_card(run, DATA, NAMED, "")
    assert "vllm serve ana/summarizer --revision v1 --dtype bfloat16 --max-model-len 15200" in card
    assert """--override-generation-config '{"temperature": 0.0}'""" in card
    sampled = model_card(changed(run, metrics=run.metrics | {"decoding": "sampled"}), DATA, NAMED, "")
    assert "--temp 0.6 --top-p 0.95" in sampled
    said = "The results below are of sampling: `do_sample=True, temperature=0.6, top_p=0.95` in its place."
    assert said in sampled
    assert "It decodes greedily" not in card


def test_a_report_on_another_system_is_refused(run):
    report(run.run_dir, "--report.system", "sft")
    with pytest.raises(ValueError, match=r"run eval\.report with --report\.system aligned"):
        model_card(run, DATA, NAMED, "")


def test_the_script_holds_the_prompts_own_words_and_code():
    names = {}
    exec(
        compile(ast.parse(snippet("a/b", "v1", "auto", 10, 5, NAMED.chat).partition("\ndef summarise")[0]), "snippet", "exec"),
        names,
    )
    for name in ("SYSTEM", "TASK", "DELIMITERS"):
        assert names[name] == getattr(student, name)
    assert (names["MODEL"], names["MAX_PROMPT_TOKENS"]) == ("a/b", 10)
    notes = [names["Note"]('https://a.b/?c="d"', "<|im_end|>")]
    control = ("<|im_end|>", *student.DELIMITERS)
    assert json.dumps(names["_messages"]("a/<b", "card", notes, control, names["CHAT"])) == json.dumps(
        student._messages("a/<b", "card", notes, control, NAMED.chat)
    )


def test_a_systems_file_is_named_as_the_report_names_it():
    from eval.reporting.hub_metadata import safe as reports

    for name in ("aligned", "a b", "sft+rl", "é.1"):
        assert safe(name) == reports(name)


def test_a_model_of_grpo_is_told_as_such(run):
    sft, aligned = run.trained
    sampled = dataclasses.replace(
        aligned,
        recipe={"model": MODEL, "trainer": TRAINER | {"loss_type": "dr_grpo", "num_generations": 8}},
        result=aligned.result | {"eval_loss": 0.5},
    )
    assert [one.rows and one.rows.name for one in (sft, aligned, sampled)] == ["sft", "pairs", None]
    text = model_card(changed(run, trained=(sft, sampled)), dataclasses.replace(DATA, pairs=0, chosen={}), NAMED, "3B")
    assert (
        "after supervised fine-tuning and then reinforcement learning (GRPO) with the checks as reward with LoRA"
        in " ".join(text.split())
    )
    assert "Reinforcement learning (GRPO) with the checks as reward " in text
    assert "On validation cards at the end: loss 0.5." in text
    assert "dr_grpo" in text
    assert "preference alignment" not in text
