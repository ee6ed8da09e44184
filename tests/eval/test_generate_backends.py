"""Models behind a server and in vLLM: the same prompts and decoding as everywhere, each answer asked for once.

vLLM is not installed where tests run: a module of its name, with its signatures, records what it is given.
"""

# ruff: noqa: F401, F811  a fixture of another file

import inspect
import json
import re
import sys
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import pytest
from chat_server import ChatServer, says, status
from commands import BASE
from test_generate import cards, generate, output

from data_prep.core.files import read_jsonl
from data_prep.core.records import Generation
from data_prep.prompts.chat_format import ChatFormat
from data_prep.prompts.student import fitted, render
from eval.generate import check_system
from eval.generation import vllm_backend
from eval.generation.processes import Processes
from eval.generation.systems import System

SAMPLED = {"samples": 2, "temperature": 0.6, "top_p": 0.95}


# --- a server ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    with ChatServer(reply=lambda body: f"## A {body['temperature']} {body['messages'][-1]['content'][:60]}") as running:
        yield running


def served(server, **more):
    endpoint = {
        "model": "scribe",
        "base_url": server.url,
        "concurrency": 2,
        "retries": 0,
        "temperature": 0.9,
        "max_tokens": 7,
        **more,
    }
    return {"served": {"backend": "endpoint", "endpoint": endpoint}}


def test_a_server_gets_the_cards_messages_and_the_stages_decoding_once(tmp_path, cards, server, capsys):
    extra = {"top_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    rows = generate(tmp_path, cards, served(server, extra_body=extra), **SAMPLED)
    assert [(row.id, row.decoding, row.sample) for row in rows[:3]] == [
        ("card0", "greedy", 0), ("card0", "sampled", 0), ("card0", "sampled", 1),
    ]  # fmt: skip
    assert len(rows) == len(server.bodies) == 15
    assert {(body["temperature"], body["top_p"], body["max_tokens"]) for body in server.bodies} == {(0, 1, 12), (0.6, 0.95, 12)}
    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in server.bodies)
    # Nothing is known of the model behind the server, so no control word of another is sent.
    plain = [fitted(card.prompt, ChatFormat()) for card in cards]
    assert {json.dumps(body["messages"]) for body in server.bodies} == set(map(json.dumps, plain))
    assert "no_think" not in json.dumps(plain)
    assert rows[0].text.startswith("## A 0.0 <model_card")
    assert (rows[0].prompt_tokens, rows[0].completion_tokens) == (100, 10)
    # A seed more and another address of the same server: only the new seed is asked for; the run's seed is nothing to it.
    with ChatServer(reply=server.reply) as moved:
        again = generate(tmp_path, cards, served(moved, extra_body=extra), seed=9, **{**SAMPLED, "samples": 3})
        assert len(moved.bodies) == 5
    assert [row for row in again if row.sample < 2] == rows
    # Without the store the answers are still paid for.
    output(tmp_path, system="served").with_name("served.jsonl.part").unlink()
    with ChatServer() as idle:
        assert generate(tmp_path, cards[:4], served(idle, extra_body=extra), **{**SAMPLED, "samples": 3}) == again[:16]
        assert idle.bodies == []


def test_a_server_whose_tokenizer_is_known_gets_prompts_in_its_form(tmp_path, cards, server):
    system = served(server)
    system["served"]["tokenizer"] = str(BASE)
    generate(tmp_path, cards, system)
    assert {json.dumps(body["messages"]) for body in server.bodies} == {json.dumps(card.prompt) for card in cards}
    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in server.bodies)
    with pytest.raises(ValueError, match="tokenizer is for an endpoint"):
        generate(tmp_path, cards, {"own": {"model": str(BASE), "tokenizer": str(BASE)}})


def test_what_a_server_does_not_answer_leaves_the_file_unfinished(tmp_path, cards, server):
    question = cards[1].prompt[-1]["content"]
    server.trouble = {
        question: [status(400, "too long for me")],
        cards[2].prompt[-1]["content"]: [says("<think>Hm.</think>## B")],
    }
    words = (
        r"1 of 5 summaries by served got no answer, first card card1, greedy 0: HTTP 400: .*too long for me.*; answers are kept"
    )
    with pytest.raises(ValueError, match=words):
        generate(tmp_path, cards, served(server))
    assert not output(tmp_path, system="served").exists()
    asked = len(server.bodies)
    rows = generate(tmp_path, cards, served(server))
    assert len(server.bodies) == asked + 1
    assert (rows[2].text, rows[2].thinking) == ("## B", "Hm.")


def test_a_page_that_the_served_model_leaves_empty_is_its_page(tmp_path, cards, server, capsys):
    server.trouble = {
        cards[1].prompt[-1]["content"]: [says("")] * 9,
        cards[2].prompt[-1]["content"]: [says("<think>Hm", finish_reason="length")] * 9,
        cards[3].prompt[-1]["content"]: [says("", finish_reason="error")] * 9,
    }
    with pytest.raises(
        ValueError, match=r"1 of 5 summaries by served got no answer, first card card3, greedy 0: empty answer \(error\)"
    ):
        generate(tmp_path, cards, served(server))
    assert "2 pages empty, first card card1, greedy 0: empty answer (stop)" in capsys.readouterr().out
    server.trouble = {}
    rows = generate(tmp_path, cards, served(server))
    assert [(row.text == "", row.finish_reason, row.thinking) for row in rows[:4]] == [
        (False, "stop", ""), (True, "stop", ""), (True, "thought", "Hm"), (False, "stop", ""),
    ]  # fmt: skip


def test_a_server_that_leaves_most_pages_empty_is_set_up_wrongly(tmp_path, cards, server):
    server.reply = lambda body: ""
    with pytest.raises(
        ValueError, match=r"5 of 5 summaries by served got no answer, first card card0, greedy 0: empty answer \(stop\)"
    ):
        generate(tmp_path, cards, served(server))


def test_a_server_that_is_not_there_is_said_to_be(tmp_path, cards):
    with ChatServer() as gone:
        pass
    with pytest.raises(ValueError, match=r"http://127.0.0.1:\d+/v1 cannot be reached; start the server or correct base_url"):
        generate(tmp_path, cards, served(gone))


# --- vLLM -------------------------------------------------------------------------------------------------------------


class SamplingParams:
    """Those of vLLM 0.22 to 0.31 that are used; it refuses others, as the struct does."""

    def __init__(
        self, n=1, temperature=1.0, top_p=1.0, top_k=0, seed=None, max_tokens=16, skip_special_tokens=True, stop_token_ids=None
    ):  # fmt: skip
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})
        assert 0 <= temperature <= 2
        assert 0 < top_p <= 1


class LLM:
    made = []

    def __init__(
        self, model: str, *, tokenizer=None, trust_remote_code=False, tensor_parallel_size=1, dtype="auto", revision=None,
        tokenizer_revision=None, seed=0, gpu_memory_utilization=0.9, **kwargs,
    ) -> None:  # fmt: skip
        self.options = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")} | kwargs
        unknown = set(kwargs) - {"enable_prefix_caching", "max_model_len", "generation_config"}  # of EngineArgs
        assert not unknown
        self.asked = []
        LLM.made.append(self)

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None, priority=None):
        assert len(prompts) == len(sampling_params)
        self.asked += zip(prompts, sampling_params, strict=True)
        return [
            SimpleNamespace(
                prompt_token_ids=prompt["prompt_token_ids"],
                outputs=[SimpleNamespace(token_ids=self.tokens(one), finish_reason=self.reason(one))],
            )
            for prompt, one in zip(prompts, sampling_params, strict=True)
        ]

    @staticmethod
    def tokens(parameters):
        return [40 + (parameters.seed or 0) % 50] * (parameters.max_tokens if parameters.seed else 3)

    @staticmethod
    def reason(parameters):
        return "length" if parameters.seed else "stop"


@pytest.fixture
def engine(monkeypatch):
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    LLM.made = []
    return LLM


def test_vllm_gets_the_tokens_that_transformers_sees_and_a_seed_a_request(
    tmp_path, cards, tiny_model, tokenizer, engine, monkeypatch
):
    monkeypatch.setattr(vllm_backend, "CHUNK", 4)
    systems = {"fast": {"model": str(tiny_model), "backend": "vllm", "max_model_len": 4000, "tensor_parallel_size": 2}}
    rows = generate(tmp_path, cards, systems, seed=3, **SAMPLED)
    (llm,) = engine.made
    assert llm.options == {
        "model": str(tiny_model), "tokenizer": None, "trust_remote_code": False, "tensor_parallel_size": 2, "dtype": "float32",
        "revision": None, "tokenizer_revision": None, "seed": 3, "gpu_memory_utilization": 0.9, "enable_prefix_caching": True,
        "generation_config": "vllm", "max_model_len": 4000,
    }  # fmt: skip
    wanted = {tuple(tokenizer(render(card.prompt, tokenizer), add_special_tokens=False)["input_ids"]) for card in cards}
    prompts = [tuple(prompt["prompt_token_ids"]) for prompt, _ in llm.asked]
    assert set(prompts) == wanted
    assert len(prompts) == 15
    assert sum(one != other for one, other in pairwise(prompts)) == 4  # one card after the other
    parameters = [one for _, one in llm.asked]
    assert {(one.n, one.top_k, one.max_tokens, one.skip_special_tokens) for one in parameters} == {(1, 0, 12, False)}
    assert len({one.seed for one in parameters}) == 11  # none where greedy
    assert {(one.temperature, one.top_p, one.seed is None) for one in parameters} == {(0, 1, True), (0.6, 0.95, False)}
    greedy, first, second = rows[:3]
    assert (greedy.finish_reason, greedy.completion_tokens) == ("stop", 4)
    assert (first.finish_reason, first.completion_tokens, first.sample, second.sample) == ("length", 12, 0, 1)
    assert greedy.prompt_tokens in {len(ids) for ids in wanted}
    # Seeds and cards more: only those are asked for, with the seeds that a run with all of them would give.
    again = generate(tmp_path, cards, systems, seed=3, **{**SAMPLED, "samples": 3})
    assert len(engine.made[1].asked) == 5
    assert [row for row in again if row.sample < 2] == rows
    assert [row.text for row in generate(tmp_path / "b", cards, systems, seed=3, **{**SAMPLED, "samples": 3})] == [
        row.text for row in again
    ]
    store = output(tmp_path, system="fast").with_name("fast.jsonl.part")
    assert len(store.read_text().splitlines()) == 6


def test_vllm_that_is_not_there_or_in_a_launch_of_many_says_what_to_do(tmp_path, cards, tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    systems = {"fast": {"model": str(tiny_model), "backend": "vllm"}}
    with pytest.raises(ValueError, match=re.escape("pip install -e '.[vllm]'")):
        generate(tmp_path, cards, systems)
    with pytest.raises(ValueError, match=r"fast is run by vLLM, which shares out its work itself; start one process"):
        check_system("generate", "fast", System(model="x", backend="vllm"), Processes(0, 2, 0))


def test_a_prompt_too_long_for_vllms_room_is_refused(tmp_path, cards, tiny_model, engine):
    systems = {"fast": {"model": str(tiny_model), "backend": "vllm", "max_model_len": 500}}
    with pytest.raises(ValueError, match=r"takes \d+ tokens and generate.max_new_tokens 12 more, but .* takes 500 in all"):
        generate(tmp_path, cards, systems)
    assert engine.made == []


def test_the_rows_of_all_back_ends_have_the_same_fields(tmp_path, cards, tiny_model, server, engine):
    systems = {**served(server), "fast": {"model": str(tiny_model), "backend": "vllm"}, "tiny": str(tiny_model)}
    generate(tmp_path, cards[:1], systems)
    for name in systems:
        (row,) = read_jsonl(output(tmp_path, system=name), Generation)
        assert (row.system, row.id, row.decoding, row.sample, len(row.key)) == (name, "card0", "greedy", 0, 64)
    assert inspect.signature(LLM.generate).parameters.keys() >= {"prompts", "sampling_params", "use_tqdm"}
