"""Grounded decoding as a system of an evaluation and as the command's default: kept apart, counted, told, refused where it cannot be."""

# ruff: noqa: F401, F811  fixtures of other files

import json

import pytest
from commands import BASE
from scripted_model import ScriptedModel
from test_generate import cards, generate, in_store, output
from test_summarize import CARD, RAW, card, locally, notes, own_cache, served, server, told

from data_prep.core.files import read_jsonl
from data_prep.core.records import Generation
from eval import generate as generating
from eval.decoding.grounded import KINDS
from eval.decoding.sampling import GREEDY
from eval.generation import transformers_backend
from eval.generation.systems import System
from eval.notes_task.generate import check_notes_system
from eval.summarizing import writers
from eval.summarizing.verdict import Attempt, verdict
from eval.summarizing.writers import Written


def test_a_grounded_system_is_one_of_its_own(tmp_path, cards, tiny_model, capsys):
    place = str(tiny_model)
    rows = generate(tmp_path, cards, {"tiny": {"model": place, "grounded": True}, "free": place}, samples=1)
    free = list(read_jsonl(output(tmp_path, system="free"), Generation))
    assert not {row.key for row in rows} & {row.key for row in free}
    assert all(set(row.interventions) == set(KINDS) for row in rows)
    assert all(row.interventions == {} for row in free)
    made = json.loads(output(tmp_path).with_suffix(".manifest.json").read_text())["result"]
    assert made["interventions"] == {kind: sum(row.interventions[kind] for row in rows) for kind in KINDS}
    assert "changed by grounding" in capsys.readouterr().out
    # The same name without it: nothing of what is stored is taken for it.
    again = generate(tmp_path, cards, {"tiny": place}, samples=1)
    assert [(row.key, row.text) for row in again] == [(row.key, row.text) for row in free]
    assert len(in_store(tmp_path)) == 3 * len(rows)  # of "free" too
    # Another source under the same prompt is another text.
    moved = [type(card)(card.id, card.prompt, card.source + " It has 7 heads.", card.reference, "f") for card in cards]
    assert not {row.key for row in generate(tmp_path, moved, {"tiny": {"model": place, "grounded": True}}, samples=1)} & {
        row.key for row in rows
    }


def test_under_other_rules_a_finished_system_is_made_again(tmp_path, cards, tiny_model, monkeypatch):
    grounded = {"tiny": {"model": str(tiny_model), "grounded": True}}
    first = generate(tmp_path, cards, grounded, samples=1)
    monkeypatch.setattr(generating, "GROUNDED_VERSION", 99)
    assert not {row.key for row in generate(tmp_path, cards, grounded, samples=1)} & {row.key for row in first}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"model": "x", "backend": "vllm"}, "is written for backend transformers, this one is vllm, whose logits processors"),
        (
            {"backend": "endpoint", "endpoint": {"model": "m", "base_url": "http://x/v1"}},
            "this one is endpoint, where a server",
        ),
        ({"model": "baseline:lead"}, "baseline:lead decodes nothing"),
    ],
)
def test_where_it_cannot_be_it_is_refused(block, words):
    with pytest.raises(ValueError, match=words):
        System(**block, grounded=True)


def test_notes_are_decoded_freely():
    with pytest.raises(ValueError, match="tuned is grounded, which summaries alone can be"):
        check_notes_system("tuned", System(model="x", grounded=True))
    with pytest.raises(ValueError, match="tuned thinks, which summaries alone are asked to"):
        check_notes_system("tuned", System(model="x", think=True))


SHORT = ("--max-new-tokens", 30, "--json")


def test_the_command_is_grounded_unless_it_is_told_to_be_free(card, notes, monkeypatch, capsys):
    texts = ["## A page about something else\n\n- It has 98765 layers.\n"]

    def scripted(model, dtype):
        return ScriptedModel(BASE, model.tokenizer, texts)

    monkeypatch.setattr(transformers_backend, "load_weights", scripted)
    grounded = told(locally(card, notes, *SHORT), capsys)
    made = json.loads(grounded.out)
    assert made["grounded"]
    assert made["interventions"]["heading"] == 1
    assert RAW.model_id.partition("/")[2] in made["summary"].splitlines()[0]
    assert "; grounding changed " in grounded.err
    assert "1 heading" in grounded.err
    free = told(locally(card, notes, *SHORT, "--free"), capsys)
    made = json.loads(free.out)
    assert (made["grounded"], made["interventions"]) == (False, {})
    assert "98765" in made["summary"]
    assert "grounding" not in free.err


def test_with_a_server_nothing_is_said_of_it(card, notes, server, capsys):
    done = told(served(server, card, "--model-id", RAW.model_id, "--research-file", notes, "--json"), capsys)
    assert done.code == 0, done.err
    assert json.loads(done.out)["grounded"] is False
    assert "grounding" not in done.err


def test_the_verdict_counts_what_was_changed():
    written = Written("x", "", "stop", 1, 1, 0, 0, {"link": 0, "number": 2, "heading": 1, "repeat": 0})
    assert "; grounding changed 3 tokens (2 number, 1 heading)" in verdict(Attempt(written, GREEDY, 0, [])).plain
    silent = Written("x", "", "stop", 1, 1, 0, 0, dict.fromkeys(KINDS, 0))
    assert "grounding" not in verdict(Attempt(silent, GREEDY, 0, [])).plain
