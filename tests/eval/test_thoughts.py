"""A model that is asked to think first: a prompt of its own, a budget apart, thoughts that are kept, free, and never the page."""

import json

import pytest
import torch
from chat_server import ChatServer
from chat_templates import SMOLLM2, with_template
from commands import BASE
from scripted_model import ScriptedModel
from transformers import AutoTokenizer

from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.recipe import load
from data_prep.core.records import Generation, HeldOut
from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import build_prompt, fitted, render, source_text
from data_prep.synthetic.world import raw_cards
from eval.decoding.sampling import GREEDY
from eval.decoding.thoughts import Budget, BudgetStop
from eval.generate import CONFIGS, main
from eval.generation import transformers_backend
from eval.generation.local_model import open_model
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix
from eval.generation.systems import System

PLAN, PAGE = "<think>\nA: 9999 layers, https://no.example\n</think>\n", "# Lumen-3B\n\nIt has 40 layers."
END = AutoTokenizer.from_pretrained(BASE).eos_token
SOURCE = source_text("acme/Lumen-3B", "# Lumen-3B\n\nIt has 40 layers and 12 heads.", [])


@pytest.mark.parametrize(
    ("said", "budget", "kept"),
    [
        ("<think>abc</think>defgh", Budget(3, 30), "<think>abc</think>def"),
        ("<think>abc</think>de", Budget(3, 30), "<think>abc</think>de"),
        ("<think>abcdefgh</think>", Budget(30, 10), "<think>abc"),
        ("abcdefgh", Budget(3, 30), "abc"),  # it does not think, and has what a page has
        ("<thing> abc", Budget(9, 30), "<thing> a"),
        ("\n<think>abcdefgh", Budget(3, 11), "\n<think>abc"),
        ("<think>abcdefgh", Budget(3), "<think>abcdefgh"),  # nobody asked it to: the back-end's own limit holds
    ],
)
def test_thoughts_and_page_have_a_budget_each(said, budget, kept):
    """A letter a token."""
    ids = list(map(ord, said))
    assert "".join(map(chr, budget.kept(ids, chr))) == kept
    stop = BudgetStop(budget, chr, 2, [""])
    if budget.thoughts:
        stopped = [bool(stop(torch.tensor([[0, 0, *ids[: made + 1]]]), None)) for made in range(len(ids))]
        assert (stopped.index(True) + 1 if any(stopped) else len(ids)) == len(kept)


def test_a_thought_that_the_prompt_opens_is_counted_as_one():
    assert Budget(3, 4).kept([1, 2, 3, 4, 5, 6], lambda token: "a", "<think>\n") == [1, 2, 3, 4]


def written(folder, monkeypatch, texts, thoughts, grounded=True, page=60):
    model = open_model(str(folder), None)
    monkeypatch.setattr(transformers_backend, "load_weights", lambda *_: ScriptedModel(folder, model.tokenizer, texts))
    messages = [{"role": "user", "content": "hello"}]
    prompt = render(messages, model.tokenizer, thoughts > 0)
    asks = [
        GenerationRequest(PromptPrefix(f"card{at}", messages, prompt, source=SOURCE if grounded else ""), GREEDY, f"{at}" * 64)
        for at in range(len(texts))
    ]
    [rows] = transformers_backend.summaries(model, [Batch(asks)], "x", page, "float32", "cpu", thoughts)
    return rows


@pytest.mark.parametrize("grounded", [True, False])
def test_a_thought_stands_apart_and_is_free(tiny_model, monkeypatch, grounded):
    monkeypatch.setattr("eval.decoding.length_rule.LENGTH_MIN", 0)
    for row in written(tiny_model, monkeypatch, [PLAN + PAGE + END, PAGE + END], 60, grounded):
        assert (row.text, row.finish_reason) == (PAGE, "stop")
        assert not any(row.interventions.values())
        assert row.thinking in ("A: 9999 layers, https://no.example", "")


def test_a_thought_without_an_end_leaves_no_page_and_says_so(tiny_model, monkeypatch):
    endless = "<think>\n" + " ".join(f"word{number}" for number in range(99))
    rows = written(tiny_model, monkeypatch, [endless, "<think>\nA: 9" + END, PLAN + PAGE + END], 45, grounded=False)
    assert [row.finish_reason for row in rows] == ["thought", "thought", "stop"]
    assert [row.text for row in rows] == ["", "", PAGE]
    assert rows[0].completion_tokens == 45
    assert rows[0].thinking.startswith("word0 word1")


def test_a_page_has_its_own_tokens_behind_a_thought(tiny_model, monkeypatch):
    [row] = written(tiny_model, monkeypatch, [PLAN + PAGE + END], 60, grounded=False, page=5)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert row.finish_reason == "length"
    assert 0 < len(row.text) < len(PAGE)
    assert row.completion_tokens == len(tokenizer(PLAN.rstrip("\n"), add_special_tokens=False)["input_ids"]) + 5


# --- the stage --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cards(tokenizer):
    def card(number, raw):
        messages = build_prompt(raw.model_id, raw.content, raw.notes, tokenizer, 1200).messages
        return HeldOut(f"card{number}", messages, source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0], "f")

    return [card(number, raw) for number, raw in enumerate(raw_cards(6, 2))]


def generate(run_dir, cards, systems, stage="generate", **options):
    name = {"generate": "heldout", "sample": "sampling", "probe": "probes", "repair": "sampling"}[stage]
    write_jsonl(run_dir / "data" / f"{name}.jsonl", cards)
    quick = {"batch_size": 2, "max_new_tokens": 12, "max_thought_tokens": 7, "dtype": "float32", "device": "cpu", **options}
    arguments = ["--run_dir", str(run_dir), f"--{stage}.systems", json.dumps(systems)]
    arguments += [part for key, value in quick.items() for part in (f"--{stage}.{key}", str(value))]
    main(load(stage, CONFIGS[stage], arguments))
    return {name: list(read_jsonl(run_dir / "eval" / "generations" / f"{name}.jsonl", Generation)) for name in systems}


def test_both_modes_of_a_model_are_two_systems(tmp_path, cards, tiny_model, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        transformers_backend,
        "_read",
        lambda *args, read=transformers_backend._read, **more: (
            asked.append([one.text for one in args[2]]) or read(*args, **more)
        ),
    )
    systems = {"no_think": str(tiny_model), "think": {"model": str(tiny_model), "think": True}}
    rows = generate(tmp_path, cards, systems)
    plain, thinking = asked
    assert [text.removesuffix("<think>\n\n</think>\n") for text in plain] == thinking
    assert all(text.endswith("assistant\n") for text in thinking)
    assert {row.key for row in rows["no_think"]}.isdisjoint(row.key for row in rows["think"])
    # Another budget for thoughts is another text of the one and nothing to the other.
    capsys.readouterr()
    generate(tmp_path, cards, systems, max_thought_tokens=9)
    told = capsys.readouterr().out
    assert "generate no_think: done already" in told
    assert "generate think: done already" not in told
    assert len(asked) == 3


def test_a_server_is_asked_to_think_in_its_templates_words(tmp_path, cards, tokenizer):
    with ChatServer(reply=lambda body: "<think>\nA: 2B\n</think>\n## A") as server:
        endpoint = {"model": "scribe", "base_url": server.url, "retries": 0}
        system = {"backend": "endpoint", "endpoint": endpoint, "think": True}
        with pytest.raises(ValueError, match="think needs the endpoint's tokenizer"):
            generate(tmp_path, cards, {"served": system})
        rows = generate(tmp_path, cards, {"served": system | {"tokenizer": str(BASE)}})["served"]
    assert [(row.text, row.thinking) for row in rows] == [("## A", "A: 2B")] * 2
    assert {body["max_tokens"] for body in server.bodies} == {19}
    assert all(body["chat_template_kwargs"] == {"enable_thinking": True} for body in server.bodies)
    thinking = chat_format(tokenizer, think=True)
    assert {json.dumps(body["messages"]) for body in server.bodies} == {
        json.dumps(fitted(card.prompt, thinking)) for card in cards
    }


@pytest.mark.parametrize("stage", ["sample", "repair"])
def test_what_pairs_are_made_of_is_without_thoughts(tmp_path, cards, tiny_model, stage):
    with pytest.raises(ValueError, match=f"{stage}.systems: tiny is to think.*leave out think"):
        generate(tmp_path, cards, {"tiny": {"model": str(tiny_model), "think": True}}, stage)


def test_who_cannot_think_is_told(tmp_path, cards, tiny_model):
    with pytest.raises(ValueError, match="decodes nothing: leave out grounded and think"):
        System(model="baseline:lead", think=True)
    folder = tmp_path / "plain"
    ScriptedModel(tiny_model, AutoTokenizer.from_pretrained(tiny_model), []).weights.save_pretrained(folder)
    with_template(SMOLLM2).save_pretrained(folder)
    with pytest.raises(ValueError, match="has no think mode"):
        generate(tmp_path, cards, {"tiny": {"model": str(folder), "think": True}})
