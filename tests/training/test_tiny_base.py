"""The demo's base model: SmolLM3's architecture, tokens and template in small, and able to copy from its prompt."""

import json

import pytest
from commands import BASE, TEMPLATE_KWARGS, run_command


def messages(system=None):
    turns = [{"role": "user", "content": "Is /think in <code>this</code>?"}, {"role": "assistant", "content": "\nYes."}]
    return [{"role": "system", "content": system}, *turns] if system else turns


def rendered(tokenizer, system=None, prompt=False, **kwargs):
    turns = messages(system)[: -1 if prompt else None]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt, **kwargs)


def test_special_tokens_are_smollm3s(tokenizer):
    for token in (
        "<|im_start|>",
        "<|im_end|>",
        "<think>",
        "</think>",
        "<tool_call>",
        "<code>",
        "<|begin_of_text|>",
        "<|finetune_right_pad_id|>",
    ):
        assert tokenizer.convert_ids_to_tokens(tokenizer(token)["input_ids"]) == [token]
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert tokenizer.bos_token is None


def test_digits_are_single_and_text_survives(tokenizer):
    text = "Zörn-3.2B: 32,768 tokens\n\n- **x** (45%) 🙂\thttps://a.example/b  C"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    pieces = tokenizer.convert_ids_to_tokens(ids)
    assert [piece for piece in pieces if piece.isdigit()] == list("323276845")


def test_the_template_thinks_unless_told_otherwise(tokenizer):
    assert rendered(tokenizer, prompt=True).endswith("<|im_start|>assistant\n")
    assert "Today Date" in rendered(tokenizer, prompt=True)
    for off in ({"enable_thinking": False}, {"system": "Be brief. /no_think"}):
        assert rendered(tokenizer, prompt=True, **off).endswith("<|im_start|>assistant\n<think>\n\n</think>\n")
    assert rendered(tokenizer, system="/think", prompt=True, enable_thinking=False).endswith("<|im_start|>assistant\n")


def test_system_override_leaves_out_the_dated_block_and_every_flag(tokenizer):
    text = rendered(tokenizer, system="Be brief.\n/system_override /no_think", prompt=True, **TEMPLATE_KWARGS)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert "Is /think in" in text  # the user's words are nobody's flags


def test_generation_markers_wrap_header_think_block_and_answer(tokenizer):
    encoded = tokenizer.apply_chat_template(messages(), return_dict=True, return_assistant_tokens_mask=True, **TEMPLATE_KWARGS)
    marked = [token for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(marked) == "<|im_start|>assistant\n<think>\n\n</think>\nYes.<|im_end|>\n"


def test_architecture_is_smollm3_with_tied_embeddings_and_a_layer_without_positions():
    config = json.loads((BASE / "config.json").read_text())
    assert config["architectures"] == ["SmolLM3ForCausalLM"]
    assert config["tie_word_embeddings"]
    assert config["no_rope_layers"] == [1, 1, 1, 0]
    assert config["num_key_value_heads"] < config["num_attention_heads"]


def test_the_shipped_weights_copy_from_cards_never_seen(tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    from training.tiny_base import recall

    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
    assert recall(model, tokenizer, cards=20) > 0.5
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data.zero_()
    assert recall(model, tokenizer, cards=4) < 0.3


@pytest.mark.slow
def test_the_command_makes_a_model_that_loads(tmp_path):
    done = run_command("-m", "training.tiny_base", "--output", str(tmp_path / "base"), "--steps", "4", "--vocabulary", "600")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "parameters" in done.stdout
    record = json.loads((tmp_path / "base" / "training_record.json").read_text())
    assert record["settings"]["steps"] == record["result"]["steps"] == 4
    assert 0 <= record["result"]["answers_right"] < 0.5
    modes = {(tmp_path / "base" / name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1  # others may read the weights as they may read the config
