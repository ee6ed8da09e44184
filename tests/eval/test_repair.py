"""Repairs: a failing sample is kept up to its first fault, in whole tokens, and the model goes on from there."""

import json
import re

import pytest
from commands import run_here

from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.records import Generation, HeldOut
from data_prep.prompts.student import build_prompt, render, source_text
from data_prep.synthetic.world import raw_cards
from eval.generation.repair import beginnings, cut_before, first_fault


@pytest.fixture(scope="module")
def cards(tokenizer):
    made = []
    for number, raw in enumerate(raw_cards(8, 3)):
        prompt = build_prompt(raw.model_id, raw.content, raw.notes, tokenizer, 1200)
        source = source_text(raw.model_id, raw.content, raw.notes)
        made.append((HeldOut(f"card{number}", prompt.messages, source, raw.summaries[0], "f"), raw.summaries[1]))
    return made


def wrong(text):
    changed = re.sub(r"(the card reports|a score of) \d\d\.\d", r"\1 11.1", text, count=1)
    assert changed != text
    return changed


def test_the_first_fault_is_where_a_failed_check_points_and_a_good_text_has_none(cards):
    held_out, good = cards[0]
    assert first_fault(good, held_out.source) is None
    assert wrong(good)[first_fault(wrong(good), held_out.source) :].startswith("11.1")
    assert first_fault(good[:300], held_out.source) is None  # too short: no place is to blame


def test_what_is_kept_ends_before_the_fault_and_has_the_tokens_of_the_whole(cards, tokenizer):
    for held_out, good in cards:
        prompt, text = render(held_out.prompt, tokenizer), wrong(good)
        start = first_fault(text, held_out.source)
        begun = cut_before(start, prompt, text, tokenizer)
        assert text.startswith(begun)
        assert start - 40 <= len(begun) <= start
        kept, whole = (tokenizer(prompt + part, add_special_tokens=False)["input_ids"] for part in (begun, text))
        assert whole[: len(kept)] == kept


def test_only_finished_samples_with_a_faulty_place_are_begun_again(cards, tokenizer):
    held_out, good = cards[0]
    samples = [
        Generation(f"k{number}", held_out.id, "sft", text, finish, 1, 1, number)
        for number, (text, finish) in enumerate(
            [(good, "stop"), (wrong(good), "stop"), (wrong(good), "length"), (good[:300], "stop")]
        )
    ]
    found = list(beginnings([(held_out, samples)], {held_out.id: render(held_out.prompt, tokenizer)}, tokenizer))
    assert [sample.key for _, sample, _ in found] == ["k1"]


def test_the_stage_goes_on_from_there_and_remembers_the_sample(tmp_path, cards, tiny_model):
    data = tmp_path / "data"
    write_jsonl(data / "sampling.jsonl", [held_out for held_out, _ in cards])
    samples = [Generation(f"k{held_out.id}", held_out.id, "sft", wrong(good), "stop", 1, 1) for held_out, good in cards]
    write_jsonl(data / "samples.jsonl", samples)
    options = {
        "systems": json.dumps({"sft": str(tiny_model)}), "batch_size": "2", "max_new_tokens": "8", "samples": "2", "temperature": "0.9",
        "dtype": "float32",
    }  # fmt: skip
    arguments = [part for key, value in options.items() for part in (f"--repair.{key}", value)]
    done = run_here("eval.generate", "--stage", "repair", "--run_dir", str(tmp_path), *arguments)
    assert done.returncode == 0, done.stderr
    rows = list(read_jsonl(data / "repairs.jsonl", Generation))
    assert len(rows) == 6
    assert len({row.key for row in rows}) == 6
    for row in rows:
        sample = next(sample for sample in samples if sample.key == row.repairs)
        held_out = next(held_out for held_out, _ in cards if held_out.id == row.id)
        kept = first_fault(sample.text, held_out.source) - 40
        assert row.text[:kept] == sample.text[:kept]
        assert row.text != sample.text
    done = run_here("eval.generate", "--stage", "repair", "--run_dir", str(tmp_path), *arguments)
    assert "done already" in done.stdout
