"""A turn ends with each token that the model's files name: the tokenizer's, and those that generation_config.json alone knows."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from commands import BASE

from data_prep.core.records import HeldOut
from data_prep.prompts.end_tokens import before_end, end_ids
from data_prep.prompts.student import build_prompt, render, source_text
from data_prep.synthetic.world import raw_cards
from eval.decoding.pieces import Pieces
from eval.decoding.sampling import GREEDY
from eval.decoding.thoughts import Budget
from eval.generation.local_model import open_model, summary
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix
from eval.generation.transformers_backend import summaries
from eval.summarizing.writers import LocalWriter

OTHER, TURN = "<|end_of_text|>", "<|im_end|>"  # the copy's tokenizer names the first; the model says the second


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = shutil.copytree(BASE, tmp_path_factory.mktemp("ends") / "model")
    edited(made / "tokenizer_config.json", eos_token=OTHER)
    edited(made / "generation_config.json", eos_token_id=[1, 4])
    return made


def edited(path, **changes):
    path.chmod(0o644)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def card(tokenizer):
    raw = next(raw_cards(1, 1))
    messages = build_prompt(raw.model_id, raw.content, raw.notes, tokenizer, 3000).messages
    return HeldOut("a", messages, source_text(raw.model_id, raw.content, raw.notes), "", "f")


def ask(card, tokenizer):
    return GenerationRequest(PromptPrefix(card.id, card.prompt, render(card.prompt, tokenizer)), GREEDY, "0" * 64)


def test_the_tokenizers_comes_first_and_none_twice():
    tokenizer = SimpleNamespace(eos_token_id=1)
    for named, ends in (([4, 1], (1, 4)), (4, (1, 4)), (1, (1,)), (None, (1,))):
        assert end_ids(tokenizer, SimpleNamespace(eos_token_id=named)) == ends
    assert end_ids(tokenizer, None) == (1,)
    assert (before_end([7, 4, 1], (1, 4)), before_end([7, 7], (1, 4))) == (1, None)


def test_every_back_end_stops_there_and_leaves_no_end_token(folder, card):
    model = open_model(str(folder), None)
    assert (model.tokenizer.eos_token, model.end_ids) == (OTHER, (1, 4))
    [[row]] = summaries(model, [Batch([ask(card, model.tokenizer)])], "x", 200, "float32", "cpu")
    assert (row.finish_reason, row.completion_tokens < 200) == ("stop", True)
    shown = []
    written = LocalWriter(str(folder), "auto", "cpu").write(card.prompt, GREEDY, 200, 0, shown.append)
    assert (written.text, written.finish_reason, written.completion_tokens) == (row.text, "stop", row.completion_tokens)
    assert row.text
    assert TURN not in row.text + "".join(shown)
    plain = open_model(str(BASE), None)
    [[same]] = summaries(plain, [Batch([ask(card, plain.tokenizer)])], "x", 200, "float32", "cpu")
    assert same == row


def test_vllm_is_told_of_all_and_may_leave_out_the_one_it_stopped_at(folder, card):
    from eval.generation.vllm_backend import _row, _written

    model, seen = open_model(str(folder), None), []
    said = model.tokenizer("## A\nIt is.", add_special_tokens=False)["input_ids"]
    output = SimpleNamespace(prompt_token_ids=[5] * 9, outputs=[SimpleNamespace(token_ids=said, finish_reason="stop")])
    engine = SimpleNamespace(generate=lambda prompts, parameters, use_tqdm: seen.extend(parameters) or [output])
    [[row]] = _written(engine, lambda **how: how, model, [ask(card, model.tokenizer)], "x", Budget(12, 0))
    assert seen[0]["stop_token_ids"] == [1, 4]
    assert (row.text, row.finish_reason, row.completion_tokens) == ("## A\nIt is.", "stop", len(said) + 1)
    output.outputs[0].token_ids = [*said, 4]
    assert _row(model, ask(card, model.tokenizer), "x", output, Budget(12, 0), Pieces(model.tokenizer)) == row
    assert summary(model, ask(card, model.tokenizer), "x", said, 9).finish_reason == "length"


def test_training_samples_and_parity_stop_there_too(folder, card):
    from transformers import AutoModelForCausalLM

    from training.merging.parity import observe
    from training.monitoring.sample_summaries import generate

    tokenizer = open_model(str(folder), None).tokenizer
    weights = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    row = generate(weights, tokenizer, card, 200)
    assert (row.finish_reason, TURN in row.text) == ("stop", False)
    (seen,) = observe(weights, tokenizer, [render(card.prompt, tokenizer)], 200)
    assert seen.ids[-1] == 4
    assert seen.generated == row.completion_tokens
