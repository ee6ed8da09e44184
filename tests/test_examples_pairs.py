"""SFT rows and preference pairs from a small invented world, through the real stages."""

import json
import re

import pyarrow.parquet as pq
import pytest
from commands import run_command

from data_prep.checks import check_summary
from data_prep.pairs import Judged, PairsConfig, pair_up
from data_prep.prompts import source_text
from data_prep.schema import Candidate, Generation, HeldOut, read_jsonl, write_jsonl
from data_prep.synthetic import raw_cards


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("examples") / "run"
    for stage in ("collect", "split", "research", "write"):
        arguments = ("--run_dir", str(run_dir), "--collect.cards", "24", "--split.heldout", "0.3", "--split.validation", "0.2")
        done = run_command("-m", f"data_prep.{stage}", "--config", "recipes/demo/data.yaml", *arguments)
        assert done.returncode == 0, done.stderr
    return run_dir


def build(run_dir, *overrides):
    return run_command("-m", "data_prep.examples", "--config", "recipes/demo/data.yaml", "--run_dir", str(run_dir), *overrides)


def test_rows_come_out_whole_with_provenance_and_rejects_have_a_reason(run_dir, tokenizer):
    candidates = list(read_jsonl(run_dir / "data" / "candidates.jsonl", Candidate))
    bad = candidates[0]
    write_jsonl(
        run_dir / "data" / "candidates.jsonl",
        [Candidate(bad.id, bad.card_id, "Sure! It is great.", "attached"), *candidates[1:]],
    )
    done = build(run_dir)
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
    assert [row["id"] for row in rejected] == [bad.id]
    assert "length" in rejected[0]["reason"]
    assert "truth" not in (data / "sft" / "train.parquet").read_bytes().decode("latin-1")


def test_the_budget_is_kept_and_what_was_cut_is_recorded(run_dir):
    done = build(run_dir, "--examples.max_prompt_tokens", "300")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(run_dir / "data" / "sft" / "train.parquet", columns=["provenance"]).to_pylist()
    for row in rows:
        provenance = json.loads(row["provenance"])
        assert provenance["prompt_tokens"] <= 300
        assert provenance["omitted"]


def test_a_budget_below_the_frame_sets_every_card_aside(run_dir):
    done = build(run_dir, "--examples.max_prompt_tokens", "60")
    assert done.returncode == 0, done.stderr
    assert "the prompt does not fit" in done.stdout


def test_a_tokenizer_that_is_not_there_is_a_persons_mistake(run_dir):
    done = build(run_dir, "--examples.tokenizer", "no/such-model")
    assert done.returncode == 2
    assert 'examples.tokenizer is "no/such-model"' in done.stderr


def judged(card, text, finish="stop", sample=0):
    generation = Generation(f"key{sample}", card.id, "sft", text, finish, 1, 1, sample)
    return Judged(generation, check_summary(text, card.source))


@pytest.fixture(scope="module")
def card():
    raw = next(raw_cards(4, 1))
    source = source_text(raw.model_id, raw.content, raw.notes)
    return HeldOut("card", [{"role": "user", "content": "p"}], source, raw.summaries[0], "family"), raw


def test_a_pair_sets_a_passing_summary_against_a_failing_sample_and_says_why(card):
    held_out, raw = card
    wrong = re.sub(r"(the card reports|a score of) \d\d\.\d", r"\1 11.1", raw.summaries[1], count=1)
    assert wrong != raw.summaries[1]
    pairs, reason = pair_up(
        held_out, [judged(held_out, wrong, sample=0), judged(held_out, raw.summaries[1], sample=1)], PairsConfig()
    )
    assert reason == ""
    (pair,) = pairs
    assert pair.rejected[0]["content"] == wrong.strip()
    assert pair.chosen[0]["content"] == raw.summaries[1].strip()
    assert pair.provenance["chosen"] == "own sample"
    assert pair.provenance["failed"] == ["numbers"]
    assert "11.1" in pair.reason


def test_without_a_passing_sample_the_reference_is_chosen_and_the_least_faulty_sample_comes_first(card):
    held_out, raw = card
    bad = judged(held_out, "Sure! Great.", sample=0)
    short = judged(held_out, raw.summaries[1][:900], sample=1)
    pairs, _ = pair_up(held_out, [bad, short], PairsConfig(per_card=1))
    assert pairs[0].chosen[0]["content"] == held_out.reference.strip()
    assert pairs[0].rejected[0]["content"] == short.sample.text.strip()


def test_cards_without_a_pair_say_why(card):
    held_out, raw = card
    good = judged(held_out, raw.summaries[1])
    bad = judged(held_out, "Sure! Great.")
    assert "every sample passes" in pair_up(held_out, [good], PairsConfig())[1]
    assert "own samples only" in pair_up(held_out, [bad], PairsConfig(chosen="own"))[1]
    assert "no sample of this card" in pair_up(held_out, [], PairsConfig())[1]


def test_an_unfinished_sample_is_not_chosen(card):
    held_out, raw = card
    pairs, _ = pair_up(held_out, [judged(held_out, raw.summaries[1], finish="length")], PairsConfig())
    assert pairs[0].reason == "not finished within the token limit"


def test_pairs_refuses_samples_of_other_cards(run_dir):
    assert build(run_dir).returncode == 0
    sample = Generation("k", "f" * 16, "sft", "text", "stop", 1, 1)
    write_jsonl(run_dir / "data" / "samples.jsonl", [sample])
    done = run_command("-m", "data_prep.pairs", "--config", "recipes/demo/data.yaml", "--run_dir", str(run_dir))
    assert done.returncode == 2
    assert "no card ffffffffffffffff at its place" in done.stderr
