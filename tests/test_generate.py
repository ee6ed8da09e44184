"""Generation: frozen batches, a seed each, and a store that a kill cannot spoil."""

import json
import re

import pytest
from commands import run_command

from data_prep.checks import check_summary
from data_prep.prompts import build_prompt, source_text
from data_prep.schema import Generation, HeldOut, read_jsonl, write_jsonl
from data_prep.synthetic import raw_cards
from eval.baselines import extractive, front_matter, lead
from eval.generate import GenerateConfig, Opening, plan, whole_batches


@pytest.fixture(scope="module")
def cards(tokenizer):
    made = []
    for index, raw in enumerate(raw_cards(6, 5)):
        prompt = build_prompt(raw.model_id, raw.content, raw.notes, tokenizer, 1200)
        made.append(
            HeldOut(f"card{index}", prompt.messages, source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0], "f")
        )
    return made


def generate(tmp_path, cards, model, *overrides):
    write_jsonl(tmp_path / "data" / "sampling.jsonl", cards)
    arguments = ["--run_dir", str(tmp_path), "--sample.systems", json.dumps({"tiny": str(model)}), "--sample.batch_size", "2"]
    arguments += [
        "--sample.max_new_tokens",
        "12",
        "--sample.temperature",
        "0.9",
        "--sample.samples",
        "2",
        "--sample.dtype",
        "float32",
    ]
    return run_command("-m", "eval.generate", "--stage", "sample", *arguments, *overrides)


def test_samples_are_seeded_kept_through_a_kill_and_counted(tmp_path, cards, tiny_model):
    done = generate(tmp_path / "a", cards, tiny_model)
    assert done.returncode == 0, done.stderr
    rows = list(read_jsonl(tmp_path / "a" / "data" / "samples.jsonl", Generation))
    assert len(rows) == 10
    assert len({row.key for row in rows}) == 10
    assert {row.sample for row in rows} == {0, 1}
    assert all(row.completion_tokens <= 12 for row in rows)
    assert any(row.finish_reason == "length" for row in rows)
    # A killed run: two batches whole, the third broken in the middle of a line.
    lines = (tmp_path / "a" / "data" / "samples.jsonl").read_bytes().splitlines(keepends=True)
    part = tmp_path / "b" / "data" / "samples.jsonl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    done = generate(tmp_path / "b", cards, tiny_model)
    assert "3 of 6 batches of tiny are there already" in done.stdout
    assert (tmp_path / "b" / "data" / "samples.jsonl").read_bytes() == b"".join(lines)
    # Another seed is another text.
    assert generate(tmp_path / "c", cards, tiny_model, "--seed", "5").returncode == 0
    assert [row.text for row in read_jsonl(tmp_path / "c" / "data" / "samples.jsonl", Generation)] != [row.text for row in rows]


def openings(cards):
    return [Opening(card.id, card.prompt[1]["content"]) for card in cards]


def test_batches_are_frozen_by_content_not_by_file_order(cards):
    block = GenerateConfig(batch_size=2, samples=2)
    first, again = (list(plan(openings(order), block, 0)) for order in (cards, cards[::-1]))
    assert first == again
    assert [len(batch.openings) for batch in first] == [2, 2, 1, 2, 2, 1]
    assert len({batch.seed for batch in first}) == 6


def test_rows_of_another_model_are_not_taken_for_finished(tmp_path, cards):
    batches = list(plan(openings(cards), GenerateConfig(batch_size=2), 0))
    store = tmp_path / "x.part"
    rows = [Generation("other", opening.card_id, "x", "t", "stop", 1, 1) for opening in batches[0].openings]
    write_jsonl(store, rows)
    assert whole_batches(store, batches, {"weights": "a"}) == 0
    assert store.read_bytes() == b""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--sample.temperature", "0"], "sample.samples is 2 at temperature 0"),
        (["--sample.systems", '{"a": "no/such-model"}'], 'cannot load the model "no/such-model"'),
        (["--sample.systems", '{"a": "baseline:best"}'], '"baseline:best" is no baseline; known: baseline:lead'),
        (["--stage", "simple"], '--stage is "simple"'),
    ],
)
def test_mistakes_are_named(tmp_path, cards, tiny_model, overrides, words):
    done = generate(tmp_path, cards, tiny_model, *overrides)
    if overrides[0] == "--stage":
        done = run_command("-m", "eval.generate", *overrides)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_baselines_say_only_what_the_card_says(cards):
    text = lead(cards[0])
    assert "license:" not in text
    assert text.splitlines()[0] in cards[0].source
    assert len(text.split()) <= 400
    listed = front_matter(cards[0])
    assert "- **license**: " in listed
    assert "](https://" in listed
    sentences = extractive(cards[0])
    assert sentences.startswith(f"## {name_of(cards[0])}\n")
    assert all(
        result.passed for result in check_summary(sentences, cards[0].source) if result.name in ("links", "numbers", "names")
    )
    assert re.findall(r'<source url="([^"]+)">', cards[0].source)[0] in sentences


def name_of(card):
    return re.search(r"^Model: .*/(.*)$", card.source, re.MULTILINE)[1]
