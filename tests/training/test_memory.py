"""The estimate against what autograd keeps and what a whole step takes, and the check before weights are loaded."""

import json
import re
import sys
from dataclasses import replace

import pytest
import torch
from commands import SMOLLM3_SYSTEM, TEMPLATE_KWARGS, run_command
from datasets import Dataset, concatenate_datasets
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, SmolLM3Config, SmolLM3ForCausalLM
from trl import DPOConfig, SFTConfig

from training.preflight import memory
from training.preflight.memory import GB, Longest, Settings, check_memory, estimate, find_longest
from training.setup.config import DEFAULTS, RawRecipe, parse
from training.tiny_base import build_model

PLAIN = Settings(
    dtype=4, autocast=False, batch=1, checkpointing=False, offloading=False, shared_prefix=False,
    load_in_4bit=False, load_in_8bit=False, lora_r=8, on_gpu=False, processes=1,
)  # fmt: skip
SMOLLM3_3B = SmolLM3Config(
    hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=4,
    vocab_size=128256, tie_word_embeddings=True,
)  # fmt: skip
ON_GPU = replace(PLAIN, dtype=2, autocast=True, checkpointing=True, shared_prefix=True, lora_r=16, on_gpu=True)


def shape(layers):
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2}
    return SmolLM3Config(vocab_size=512, num_hidden_layers=layers, pad_token_id=4, eos_token_id=4, bos_token_id=None, **sizes)


def kept(layers, settings, tokens):
    """Bytes of all tensors that autograd keeps of a forward pass through the decoder, beside its parameters."""
    model = SmolLM3ForCausalLM(shape(layers)).to(torch.float32 if settings.dtype == 4 else torch.bfloat16)
    model = get_peft_model(model, LoraConfig(r=settings.lora_r, target_modules="all-linear")).train()
    parameters = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    sizes, alive = {}, []

    def pack(tensor):
        alive.append(tensor)  # or another tensor is given its address
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    mask = torch.ones(settings.batch, tokens, dtype=torch.long)
    mask[1:, -3:] = 0
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=settings.autocast):
        model.get_base_model().model(
            input_ids=mask, attention_mask=mask if settings.batch > 1 else None, use_cache=False
        )  # fmt: skip
    return sum(sizes.values())


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("dtype", "autocast"), [(4, False), (2, True), (2, False), (4, True)])
def test_a_layers_activations_are_what_autograd_keeps(batch, dtype, autocast):
    settings, longest = replace(PLAIN, dtype=dtype, autocast=autocast, batch=batch), Longest(180, (20,))
    large, small = (estimate(shape(layers), settings, longest) for layers in (4, 2))
    before = [estimate(shape(layers), replace(settings, autocast=False), longest) for layers in (4, 2)]
    copies = [now.weights + now.adapter - then.weights - then.adapter for now, then in zip((large, small), before, strict=True)]
    expected = large.activations + copies[0] - small.activations - copies[1]
    measured = kept(4, settings, 200) - kept(2, settings, 200)
    assert measured == pytest.approx(expected, rel=0.002)


def test_weights_and_adapter_are_counted_to_the_number():
    model = SmolLM3ForCausalLM(shape(2))
    assert estimate(shape(2), PLAIN, Longest(1, (1,))).weights == 4 * model.num_parameters()
    tuned = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    numbers = tuned.get_nb_trainable_parameters()[0]
    assert estimate(shape(2), PLAIN, Longest(1, (1,))).adapter == 16 * numbers
    assert estimate(shape(2), replace(PLAIN, processes=2), Longest(1, (1,))).adapter == 20 * numbers
    assert estimate(shape(2), replace(PLAIN, dtype=2, load_in_4bit=True), Longest(1, (1,))).adapter == 8 * numbers


def test_smollm3_3b_at_its_real_length():
    pair = Longest(12_000, (700, 700))
    least = estimate(SMOLLM3_3B, ON_GPU, pair)
    assert least.weights == pytest.approx(6.15 * GB, rel=0.01)
    assert estimate(SMOLLM3_3B, replace(ON_GPU, load_in_4bit=True), pair).weights == pytest.approx(2.1 * GB, rel=0.05)
    # 139,559 bytes a token and layer were measured at these widths, and 4,096 with checkpointing.
    whole = estimate(SMOLLM3_3B, replace(ON_GPU, checkpointing=False), Longest(12_000, (700,)))
    assert whole.activations == pytest.approx(12_700 * 36 * 139_559, rel=0.05)
    more = [estimate(SMOLLM3_3B, replace(ON_GPU, **change), pair).total for change in ({"shared_prefix": False}, {"batch": 2})]
    assert all(size > least.total * 1.4 for size in more)
    assert re.fullmatch(r"\d+\.\d GB \(weights 6\.2, adapter 0\.5, activations \d\.\d, logits 0\.\d\)", least.words())


def rows(words, count=1, answers=("completion",)):
    texts = [" ".join(str(1000 + 7 * word + row) for word in range(words)) for row in range(count)]
    answer = [{"role": "assistant", "content": "12 34 56 " * 10}]
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "system", "content": SMOLLM3_SYSTEM}, {"role": "user", "content": text}],
                **dict.fromkeys(answers, answer),
                "chat_template_kwargs": TEMPLATE_KWARGS,
            }
            for text in texts
        ]
    )


@pytest.fixture
def recipe(tiny_model, tmp_path):
    def parsed(kind=SFTConfig, **values):
        base = {"run_dir": "x", "output_dir": str(tmp_path), "model_name_or_path": str(tiny_model), "use_cpu": True}
        return parse(RawRecipe({**base, "dtype": "float32", **values}, "r.yaml"), kind, DEFAULTS)

    return parsed


def test_the_longest_row_is_found_and_counted_as_rendered(tokenizer):
    row = rows(80)[0]
    found = find_longest(concatenate_datasets([rows(30, count=9), rows(80), rows(10)]), tokenizer, ["completion"])
    assert found == find_longest(rows(80), tokenizer, ["completion"])
    whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"], **TEMPLATE_KWARGS)["input_ids"]
    assert found.prompt + sum(found.answers) == len(whole)


def test_a_step_that_fits_is_a_line(recipe, tokenizer, capsys):
    check_memory(recipe(), tokenizer, rows(50), "sft")
    assert re.search(r"sft: a step takes about \d+\.\d GB .* this machine has \d+\.\d GB free", capsys.readouterr().out)


ONE = {"per_device_train_batch_size": 1}
FOUR = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def test_a_base_that_is_not_there_is_a_sentence(recipe, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="cannot load the model"):
        check_memory(recipe(model_name_or_path=str(tmp_path / "none")), tokenizer, rows(5), "sft")


@pytest.mark.parametrize(
    ("kind", "values", "helping", "words"),
    [
        ("sft", {**ONE, "gradient_checkpointing": False}, 1, "set gradient_checkpointing: true: then"),
        ("sft", FOUR, 1, "set per_device_train_batch_size: 1 and gradient_accumulation_steps: 8: then"),
        ("align", {**ONE, "shared_prefix": False}, 1, "set shared_prefix: true: then"),
        ("align", ONE, 1, "set load_in_4bit: true: then"),
        ("align", {**ONE, "load_in_4bit": True}, 0, r"use a machine with at least \d+ GB free, or shorter prompts"),
        ("sft", {**FOUR, "gradient_checkpointing": False}, 2, "set gradient_checkpointing: true and per_device_train_batch_size: 1 and"),
    ],
)  # fmt: skip
def test_a_step_that_does_not_fit_is_refused_with_the_first_setting_that_helps(
    recipe, tokenizer, monkeypatch, kind, values, helping, words
):
    parsed = recipe(DPOConfig if kind == "align" else SFTConfig, dtype="bfloat16", **values)
    data = rows(2500, answers=memory.ANSWERS[kind])
    settings, longest = Settings.of(parsed), find_longest(data, tokenizer, memory.ANSWERS[kind])
    changes = dict(item for _, change in list(memory._savers(parsed, settings, longest))[:helping] for item in change.items())
    enough = estimate(SMOLLM3_3B, replace(settings, **changes), longest).total
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *args, **kwargs: SMOLLM3_3B)
    monkeypatch.setattr(memory, "free_memory", lambda parsed: enough if helping else enough - 1)
    with pytest.raises(ValueError, match=words):
        check_memory(parsed, tokenizer, data, kind)


STEP = """
import json, sys
from pathlib import Path
from transformers import AutoConfig
from trl import DPOConfig, SFTConfig
from training.benchmark import peak_memory
from training.setup.config import DEFAULTS, RawRecipe, parse
from data_prep.prompts.student import load_tokenizer
from training.setup.load import ANSWERS, Rows, read_rows
from training.preflight.memory import Settings, estimate, find_longest
from training.loop.trainers import alignment_trainer, sft_trainer

base, data, kind, values = sys.argv[1], Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
fixed = {"run_dir": "x", "output_dir": str(data.parent), "model_name_or_path": base, "use_cpu": True, "dtype": "float32"}
fixed |= {"bf16": False, "max_steps": 1, "save_strategy": "no", "per_device_train_batch_size": 1}
parsed = parse(RawRecipe({**fixed, **values}, "r"), SFTConfig if kind == "sft" else DPOConfig, DEFAULTS)
tokenizer, rows = load_tokenizer(base, "base"), read_rows(data, ["prompt", *ANSWERS[kind], "chat_template_kwargs"])
trainer = (sft_trainer if kind == "sft" else alignment_trainer)(parsed, Rows(rows, None), tokenizer)
peak = peak_memory(trainer.train, "cpu")
needed = estimate(AutoConfig.from_pretrained(base), Settings.of(parsed), find_longest(rows, tokenizer, ANSWERS[kind]))
print(needed.words(), f"measured {peak / 1e9:.2f} GB at", find_longest(rows, tokenizer, ANSWERS[kind]))
print("RATIO", (needed.total - needed.weights) / peak)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words", "values"),
    [
        ("sft", 250, {"gradient_checkpointing": False}),
        ("sft", 250, {"gradient_checkpointing": True}),
        ("sft", 250, {"gradient_checkpointing": False, "dtype": "bfloat16", "bf16": True}),
        ("align", 250, {"gradient_checkpointing": False, "shared_prefix": False}),
        ("align", 250, {"gradient_checkpointing": False, "shared_prefix": True}),
    ],
)
def test_a_whole_step_takes_what_was_estimated(tokenizer, tmp_path, kind, words, values):
    torch.manual_seed(0)
    build_model(tokenizer, hidden=256, layers=8).save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(tokenizer.name_or_path).save_pretrained(tmp_path / "base")
    rows(words, answers=memory.ANSWERS[kind]).to_parquet(str(tmp_path / "rows.parquet"))
    (tmp_path / "step.py").write_text(STEP)
    arguments = [str(tmp_path / name) for name in ("step.py", "base", "rows.parquet")]
    done = run_command(*arguments, kind, json.dumps(values), OMP_NUM_THREADS="1", PYTHONPATH=":".join(sys.path))
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)
    assert 0.6 < float(done.stdout.partition("RATIO ")[2]) < 1.6
