"""Samples of a prompt that is read once: each says what transformers' own sampling says for it alone with its random numbers."""

from dataclasses import replace

import pytest
import torch
from commands import BASE
from transformers import AutoModelForCausalLM, DiffLlamaConfig, MistralConfig, Qwen3Config, SmolLM3Config, StableLmConfig

from data_prep.prompts.student import build_prompt, render, source_text
from data_prep.synthetic.world import raw_cards
from eval import sampling_benchmark
from eval.decoding import kv_cache, shared_prefill, shared_prompt
from eval.decoding.sampling import Decoding, Draws, TopP
from eval.decoding.shared_prefill import read_once
from eval.decoding.shared_prompt import NAME, OwnLayer
from eval.generation import transformers_backend
from eval.generation.local_model import open_model, summary
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix

NEW = 40


@pytest.fixture(scope="module")
def base():
    return open_model(str(BASE), None)


@pytest.fixture(scope="module")
def weights():
    """In float64, in which rows beside a row do not change it by rounding."""
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float64).eval()


def sampled(count):
    return [Decoding("sampled", sample, 4.0, 0.95) for sample in range(count)]


def asks_of(base, grounded=False, samples=3):
    """Of three cards, and of two failing samples of the last one that begin alike."""
    openings = []
    for number, raw in enumerate(raw_cards(6, 3)):
        messages = build_prompt(raw.model_id, raw.content, raw.notes, base.tokenizer, 1200).messages
        source = source_text(raw.model_id, raw.content, raw.notes) if grounded else ""
        openings.append(PromptPrefix(f"card{number}", messages, render(messages, base.tokenizer), source=source))
    begun = f"## {raw.model_id.partition('/')[2]}\n\n"
    openings += [replace(openings[-1], begun=begun, repairs=key) for key in "kl"]
    return [GenerationRequest(opening, way, "", 7) for opening in openings for way in sampled(samples)]


def rows_of(base, weights, asks, monkeypatch, together):
    monkeypatch.setattr(transformers_backend, "load_weights", lambda *_: weights)
    batches = [Batch(asks)] if together else [Batch([ask]) for ask in asks]
    return [row for rows in transformers_backend.summaries(base, batches, "x", NEW, "float64", "cpu") for row in rows]


def alone(base, weights, ask):
    """The row by transformers' sampling, with its own cache."""
    ids = base.tokenizer(ask.opening.text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    torch.manual_seed(ask.seed)
    how = {"do_sample": True, "temperature": ask.decoding.temperature, "top_p": ask.decoding.top_p, "top_k": 0}
    made = weights.generate(ids, max_new_tokens=NEW, eos_token_id=list(base.end_ids), pad_token_id=4, **how)
    return summary(base, ask, "x", made[0, ids.shape[1] :].tolist(), ids.shape[1])


def test_samples_side_by_side_say_what_each_says_alone_and_a_prompt_is_read_once(base, weights, monkeypatch):
    asks, read = asks_of(base), []
    monkeypatch.setattr(shared_prompt, "WORTH", 0)
    ones = torch.ones(1, 3, dtype=torch.long)
    read_once(weights, ones, ones, [0, 0])  # whether it can is tried once, before reads are counted
    hook = weights.register_forward_pre_hook(lambda _, __, how: read.append(tuple(how["input_ids"].shape)), with_kwargs=True)
    rows = rows_of(base, weights, asks, monkeypatch, together=True)
    hook.remove()
    longest = max(row.prompt_tokens for row in rows)
    assert len({row.prompt_tokens for row in rows}) == 4
    assert len({row.text for row in rows}) > len(asks) / 2
    assert read[0] == (4, longest - 1)  # openings, the one of two samples once
    assert set(read[1:]) == {(len(asks), 1)}
    assert rows == [alone(base, weights, ask) for ask in asks]


def test_grounded_samples_do_not_depend_on_the_rows_beside_them(base, weights, monkeypatch):
    asks = asks_of(base, grounded=True, samples=2)
    together = rows_of(base, weights, asks, monkeypatch, together=True)
    assert together == rows_of(base, weights, asks[::-1], monkeypatch, together=False)[::-1]
    assert sum(sum(row.interventions.values()) for row in together) > 0


SIZES = {"vocab_size": 90, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "eos_token_id": None, "bos_token_id": None, "pad_token_id": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "way"),
    [
        (MistralConfig(**SIZES, sliding_window=None), "shared"),
        (MistralConfig(**SIZES, sliding_window=None), "handed"),
        (MistralConfig(**SIZES, sliding_window=None), "on a GPU"),
        (MistralConfig(**SIZES, sliding_window=None), "small"),
        (MistralConfig(**SIZES, sliding_window=6), "cannot"),
        (SmolLM3Config(**SIZES), "shared"),
        (Qwen3Config(**SIZES, head_dim=8), "shared"),
        (DiffLlamaConfig(**SIZES), "cannot"),  # calls attention twice, with other values than it stores
        (StableLmConfig(**SIZES), "cannot"),  # hands nothing on
    ],
)
def test_what_was_read_once_is_gone_on_from_as_if_each_row_had_read_it(config, way, monkeypatch):
    if way != "small":
        monkeypatch.setattr(shared_prompt, "WORTH", 0)
    if way in ("handed", "on a GPU"):
        monkeypatch.setattr(shared_prefill, "can_share", lambda *_: False)
    if way == "on a GPU":
        monkeypatch.setattr(shared_prefill, "cpu_options", lambda _: {})
    monkeypatch.setattr(kv_cache, "GROWTH", 3)
    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    ids, mask = torch.randint(1, 90, (3, 12)), torch.ones(3, 12, dtype=torch.long)
    mask[1, :5] = 0
    rows = [0, 0, 1, 1, 1, 2, 0]
    how = {"max_new_tokens": 20, "do_sample": False, "logits_processor": [Numbered()]}
    plain = model.generate(ids[rows], attention_mask=mask[rows], **how)
    assert len({tuple(row) for row in plain[:, 12:].tolist()}) == len(rows)
    with torch.inference_mode():
        for _ in range(2):
            read = read_once(model, ids, mask, rows)
            assert isinstance(read["past_key_values"].layers[0], OwnLayer) is (way == "shared")
            assert torch.equal(model.generate(**read, **how), plain)
        assert torch.equal(model.generate(ids[rows], attention_mask=mask[rows], **how), plain)  # others' caches are as ever
    assert model.config._attn_implementation == (NAME if way == "shared" else "sdpa")


class Numbered:
    """A logits processor under which rows go apart."""

    def __call__(self, input_ids, scores):
        return scores + torch.randn(scores.shape, generator=torch.Generator().manual_seed(input_ids.shape[1]))


def test_a_row_draws_as_torch_does_with_its_seed_whatever_stands_beside_it():
    scores = torch.randn(6, 3, 50)
    draws, other = Draws([3, 4, 5]), Draws([9, 4])
    drawn = [draws.ranked(step).argmax(dim=-1).tolist() for step in scores]
    assert [other.ranked(step[:2]).argmax(dim=-1)[1].item() for step in scores] == [row[1] for row in drawn]
    for at, seed in enumerate((3, 4, 5)):
        torch.manual_seed(seed)
        assert [torch.multinomial(step[at].softmax(-1), 1).item() for step in scores] == [row[at] for row in drawn]


def test_the_benchmark_measures_the_batches_of_both_ways(monkeypatch, capsys):
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    monkeypatch.setattr(sampling_benchmark, "SIZES", sampling_benchmark.SIZES | small | {"vocab_size": 90})
    options = {
        "cards": 3,
        "samples": 3,
        "batch_size": 6,
        "prompt_tokens": 9,
        "new_tokens": 2,
        "threads": torch.get_num_threads(),
    }
    sampling_benchmark.main(sampling_benchmark.SamplingBenchmarkConfig(**options))
    apart, together, ratio = capsys.readouterr().out.splitlines()
    assert "apart: 3 batches, prompts" in apart
    assert "side by side: 2 batches, prompts" in together
    assert float(ratio.split()[-1]) > 0


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 8.0])  # the first needs more than the likeliest tokens that are tried
@pytest.mark.parametrize("tokens", [10, 3_000])
@pytest.mark.parametrize("top_p", [0.3, 0.95])
def test_top_p_keeps_what_transformers_keeps(sharpness: float, tokens: int, top_p: float):
    from transformers import TopPLogitsWarper

    scores = torch.randn(6, tokens, generator=torch.Generator().manual_seed(4)) * sharpness
    kept = TopP(top_p)(None, scores)
    assert torch.equal(kept, TopPLogitsWarper(top_p)(None, scores))
    assert kept.isfinite().any(dim=-1).all()
