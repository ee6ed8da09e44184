"""SFT rows from a small invented world, through the real stages."""

import json
import re
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from chat_templates import SMOLLM2, with_template
from commands import BASE, run_here

from data_prep.checks import check_summary
from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.manifest import manifest_of
from data_prep.core.records import Candidate, HeldOut
from data_prep.prompts.student import count_tokens


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("examples") / "run"
    for stage in ("collect", "split", "research", "write"):
        arguments = ("--run_dir", str(run_dir), "--collect.cards", "24", "--split.heldout", "0.3", "--split.validation", "0.2")
        done = run_here(f"data_prep.{stage}", "--config", "recipes/demo/data.yaml", *arguments)
        assert done.returncode == 0, done.stderr
    return run_dir


def build(run_dir, *overrides):
    return run_here("data_prep.examples", "--config", "recipes/demo/data.yaml", "--run_dir", str(run_dir), *overrides)


def test_rows_come_out_whole_with_provenance_and_rejects_have_a_reason(run_dir, tokenizer):
    candidates = list(read_jsonl(run_dir / "data" / "candidates.jsonl", Candidate))
    bad = candidates[0]
    write_jsonl(
        run_dir / "data" / "candidates.jsonl",
        [Candidate(bad.id, bad.card_id, "Sure! It is great.", "attached"), *candidates[1:]],
    )
    done = build(run_dir, "--examples.attached", "check")
    assert done.returncode == 0, done.stderr
    data = run_dir / "data"
    splits = json.loads((data / "split.json").read_text())["splits"]
    rows = pq.read_table(data / "sft" / "train.parquet").to_pylist()
    assert rows
    for row in rows:
        provenance = json.loads(row["provenance"])
        assert splits[provenance["card_id"]] == "train"
        assert row["chat_template_kwargs"] == {"enable_thinking": False}
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        assert row["completion"][0]["content"].startswith("## ")
        assert provenance["omitted"] == {}
        assert provenance["prompt_tokens"] < 1200
    held_out = list(read_jsonl(data / "heldout.jsonl", HeldOut))
    assert {splits[card.id] for card in held_out} == {"heldout"}
    assert {splits[card.id] for card in read_jsonl(data / "sampling.jsonl", HeldOut)} == {"train", "validation"}
    rejected = [json.loads(line) for line in (data / "rejected.jsonl").open() if '"examples"' in line]
    failing = [row for row in rejected if row["reason"].startswith("fails")]
    assert [row["id"] for row in failing] == [bad.id]
    assert "length" in failing[0]["reason"]
    # Every candidate is a row, a held-out card's reference, or set aside.
    validation = pq.read_table(data / "sft" / "validation.parquet").num_rows
    assert len(rows) + validation + len(held_out) + len(rejected) == len(candidates)
    result = manifest_of(data, "examples")["result"]
    assert (result["train_rows"], result["validation_rows"], result["heldout_references"]) == (
        len(rows),
        validation,
        len(held_out),
    )
    assert all(name.isidentifier() for counts in (result, result["tokens"]) for name in counts)
    assert {row["reason"] for row in rejected if row not in failing} == {"passes, but the card has better ones enough"}
    assert re.search(r"tokens prompt: n \d+, min \d+, median", done.stdout)
    assert "truth" not in (data / "sft" / "train.parquet").read_bytes().decode("latin-1")


def tables(run_dir):
    return [
        row
        for split in ("train", "validation")
        for row in pq.read_table(run_dir / "data" / "sft" / f"{split}.parquet").to_pylist()
    ]


def test_rows_appear_in_think_mode_too_and_those_without_stay_as_they_were(run_dir, tokenizer):
    def built(*overrides):
        done = build(run_dir, *overrides)
        assert done.returncode == 0, done.stderr
        rows = tables(run_dir)
        return done.stdout, *(
            [row for row in rows if row["chat_template_kwargs"] == {"enable_thinking": on}] for on in (False, True)
        )

    told, plain, none = built()
    assert none == []
    assert "think" not in told + json.dumps(manifest_of(run_dir / "data", "examples")["result"])
    cards = (run_dir / "data" / "sampling.jsonl").read_bytes()
    told, same, all_of_them = built("--examples.think", "1")
    assert same == plain
    assert (run_dir / "data" / "sampling.jsonl").read_bytes() == cards  # pairs and GRPO sample without thoughts
    assert f"{len(plain)} think rows" in told
    assert len({row["id"] for row in [*plain, *all_of_them]}) == 2 * len(plain)
    for row, one in zip(plain, all_of_them, strict=True):
        [turn], [said] = one["completion"], row["completion"]
        thought, _, page = turn["content"].partition("\n</think>\n")
        assert page == said["content"]
        assert thought.startswith("<think>\n")
        assert 10 < count_tokens(thought.removeprefix("<think>\n"), tokenizer) <= 150
        assert one["prompt"][0]["content"] == row["prompt"][0]["content"].replace("/no_think", "/think")
        assert one["prompt"][1] == row["prompt"][1]
    _, _, more = built("--examples.think", "0.7")
    _, same, half = built("--examples.think", "0.4", "--examples.plan_tokens", "40")
    assert same == plain
    assert 0.2 < len(half) / len(plain) < 0.8
    assert {row["id"] for row in half} < {row["id"] for row in more} < {row["id"] for row in all_of_them}
    thoughts = [row["completion"][0]["content"].partition("\n</think>")[0].removeprefix("<think>\n") for row in half]
    assert max(count_tokens(thought, tokenizer) for thought in thoughts) <= 40


def test_think_rows_need_a_template_with_the_switch(run_dir, tmp_path):
    with_template(SMOLLM2).save_pretrained(tmp_path / "plain")
    done = build(run_dir, "--examples.think", "1", "--examples.tokenizer", str(tmp_path / "plain"))
    assert done.returncode == 2
    assert "has no think mode" in done.stderr
    assert "leave out think" in done.stderr


def test_the_budget_is_kept_and_what_was_cut_is_recorded(run_dir):
    done = build(run_dir, "--examples.max_prompt_tokens", "300")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(run_dir / "data" / "sft" / "train.parquet", columns=["provenance"]).to_pylist()
    for row in rows:
        provenance = json.loads(row["provenance"])
        assert provenance["prompt_tokens"] <= 300
        assert provenance["omitted"]


def test_a_summary_that_states_what_the_budget_cut_is_no_reference(run_dir, tokenizer):
    assert build(run_dir).returncode == 0
    whole = pq.read_table(run_dir / "data" / "sft" / "train.parquet").num_rows
    done = build(run_dir, "--examples.max_prompt_tokens", "400", "--examples.attached", "check")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(run_dir / "data" / "sft" / "train.parquet").to_pylist()
    assert len(rows) < whole
    assert "fails" in done.stdout
    for row in rows:
        prompt, model_id = row["prompt"][1]["content"], json.loads(row["provenance"])["model_id"]
        results = check_summary(row["completion"][0]["content"], f"{prompt}\n\nModel: {model_id}")
        assert [result.reason for result in results if result.name in ("numbers", "links") and not result.passed] == []
    aside = [json.loads(line) for line in (run_dir / "data" / "rejected.jsonl").open()]
    without = [row for row in aside if row["reason"].startswith("no summary of the card")]
    held_out = len((run_dir / "data" / "heldout.jsonl").read_text().splitlines())
    sampling = len((run_dir / "data" / "sampling.jsonl").read_text().splitlines())
    assert held_out + sampling + len(without) == 24


def test_a_summary_that_came_with_its_card_is_used_whatever_a_check_says(run_dir, tmp_path):
    """Of a held-out card too; findings stand beside it. What the budget cut it does not teach."""
    data = tmp_path / "run" / "data"
    shutil.copytree(run_dir / "data", data)
    splits = json.loads((data / "split.json").read_text())["splits"]
    candidates = list(read_jsonl(data / "candidates.jsonl", Candidate))
    disliked = [replace(candidate, text="## Name\n\nA model of 987M parameters.") for candidate in candidates]
    write_jsonl(data / "candidates.jsonl", disliked)
    assert build(data.parent).returncode == 0
    findings = [json.loads(line) for line in (data / "findings.jsonl").open()]
    assert {row["card_id"] for row in findings} == set(splits)
    assert all("length" in row["failed"] and "987M" in row["detail"] for row in findings)
    held_out = [card for card in splits if splits[card] == "heldout"]
    assert len(list(read_jsonl(data / "heldout.jsonl", HeldOut))) == len(held_out)
    # The other side: a strict build sets all of them aside.
    assert build(data.parent, "--examples.attached", "check").returncode == 0
    assert not (data / "heldout.jsonl").read_text()
    # A number that the card has and the cut prompt has not.
    write_jsonl(data / "candidates.jsonl", candidates)
    done = build(data.parent, "--examples.max_prompt_tokens", "400")
    aside = [json.loads(line) for line in (data / "rejected.jsonl").open() if "budget cut" in line]
    assert aside, done.stdout
    assert not {row["id"] for row in aside} & {row.id for row in candidates if splits[row.card_id] == "heldout"}
    assert len(list(read_jsonl(data / "heldout.jsonl", HeldOut))) == len(held_out)


def test_rows_that_were_set_aside_are_made_again_when_they_are_lost(run_dir):
    assert build(run_dir).returncode == 0
    path = run_dir / "data" / "rejected.jsonl"
    before = path.read_text()
    assert "done already" in build(run_dir).stdout
    path.write_text("")
    assert "done already" not in build(run_dir).stdout
    assert [line for line in before.splitlines() if '"examples"' in line] == path.read_text().splitlines()


def test_another_template_in_the_tokenizers_folder_is_another_recipe(run_dir, tmp_path):
    folder = shutil.copytree(BASE, tmp_path / "base")
    assert build(run_dir, "--examples.tokenizer", str(folder)).returncode == 0
    assert "done already" in build(run_dir, "--examples.tokenizer", str(folder)).stdout
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "{# another #}")
    assert "done already" not in build(run_dir, "--examples.tokenizer", str(folder)).stdout


def test_one_text_of_two_writers_is_one_row(run_dir):
    path = run_dir / "data" / "candidates.jsonl"
    rows = list(read_jsonl(path, Candidate))
    copies = [again for row in rows for again in (row, replace(row, id=f"{row.id}x", writer="another"))]
    write_jsonl(path, [*copies[:1], *copies])  # two servers whose answers are cached under one name give one row twice
    assert build(run_dir, "--examples.references", "2").returncode == 0
    texts = [
        row["prompt"][-1]["content"] + row["completion"][0]["content"]
        for row in pq.read_table(run_dir / "data" / "sft" / "train.parquet").to_pylist()
    ]
    assert len(set(texts)) == len(texts) > 0
    aside = [json.loads(one)["reason"] for one in (run_dir / "data" / "rejected.jsonl").open()]
    assert "the text of another candidate of the card" in aside


def test_a_budget_below_the_frame_sets_every_card_aside(run_dir):
    done = build(run_dir, "--examples.max_prompt_tokens", "60")
    assert done.returncode == 0, done.stderr
    assert "the prompt does not fit" in done.stdout


def test_a_tokenizer_that_is_not_there_is_a_persons_mistake(run_dir):
    done = build(run_dir, "--examples.tokenizer", "no/such-model")
    assert done.returncode == 2
    assert 'examples.tokenizer is "no/such-model"' in done.stderr


def test_computed_numbers_stay_out_of_training_rows_unless_the_recipe_or_the_card_brings_them(monkeypatch):
    from data_prep import examples
    from data_prep.checks import CheckResult
    from data_prep.checks.result import Derived
    from data_prep.core.records import ATTACHED

    def checked(operation):
        facts = [CheckResult(name, True, 1.0, "") for name in ("facts", "repetition", "length")]
        found = (Derived(0, 3, f"6.5 ({operation})", operation, "somewhere"),)
        return lambda text, source: [*facts, CheckResult("numbers", True, 1.0, "", derived=found)]

    def used(writer="a teacher", operation="difference", split="train", **options):
        monkeypatch.setattr("data_prep.candidates.checked.check_summary", checked(operation))
        monkeypatch.setattr(examples, "source_of", lambda material, prompt: "")
        candidate = Candidate("1", "card", "6.5", writer)
        material = examples.Material(None, [], [candidate], split, "a family")
        block = examples.ExamplesConfig(tokenizer="x", **options)
        accepted, refused, _ = examples.split_accepted(material, None, block)
        assert len(accepted) + len(refused) == 1
        return bool(accepted), [(row.reason, row.detail) for row in refused]

    assert used() == (False, [(examples.RECKONS, "6.5 (difference)")])
    assert used(split="validation")[0] is False
    assert used(derived_numbers="keep") == (True, [])
    assert used(operation="count") == (True, [])
    assert used(writer=ATTACHED) == (True, [])
    assert used(split="heldout") == (True, [])
    assert used(check=False) == (True, [])
