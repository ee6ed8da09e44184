"""Merging on a tiny base: the real SFT stage trains two steps, then every way in which a merge can go wrong."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT, TEMPLATE_KWARGS, run_command

from data_prep.core.files import write_json
from data_prep.core.manifest import content_hash
from data_prep.core.recipe import Recipe
from data_prep.prompts.student import build_completion, build_prompt
from training import merge as merging
from training import sft
from training.merge import MergeConfig
from training.merging.adapter import read_adapter
from training.merging.parity import without_grouped_attention
from training.setup.config import RawRecipe

# Enough for an adapter that says something else than its base. At ten times the rate its two steps are so wild that the last
# bit of a gradient, hence the processor, makes merged logits differ by 0.001 or by 0.3.
RATE = 0.005
# Of logits with a deviation of 0.16: merged as it should be the quantised model's differ by 0.001 at most, merged into the
# plain base by 0.05.
TOLERANCE = 0.006
STOPS = {"bos_token_id": None, "do_sample": True, "eos_token_id": [7], "pad_token_id": 4, "temperature": 0.6, "top_p": 0.95}


@pytest.fixture(scope="module")
def base(tiny_model, tmp_path_factory):
    """The tiny model in bfloat16, as bases are published, with a generation config of its own."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("merge") / "base"
    shutil.copytree(tiny_model, folder)
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(folder)
    write_json(folder / "generation_config.json", STOPS)
    return folder


def write_rows(data, tokenizer):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for n in range(8):
        prompt = build_prompt(f"osk/Brindle-{n // 2}", f"Brindle {n // 2} has {n // 2}.5B parameters.", [], tokenizer, 1000)
        completion = build_completion(f"## Brindle {n}\n\n- It has {n // 2}.5B parameters.", tokenizer)
        row = {"id": str(n), "prompt": prompt.messages, "completion": completion, "chat_template_kwargs": TEMPLATE_KWARGS}
        rows.append(row)
    data.mkdir(parents=True)
    for name in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(rows), data / f"{name}.parquet")


def train(run_dir, base, tokenizer, **options):
    write_rows(run_dir / "data" / "sft", tokenizer)
    recipe = {
        "run_dir": str(run_dir), "model_name_or_path": str(base), "dtype": "bfloat16", "use_cpu": True, "lora_r": 4,
        "lora_dropout": 0.0, "max_length": None, "learning_rate": RATE, "max_steps": 2, "per_device_train_batch_size": 2,
        "eval_strategy": "no", "save_steps": 2, "gradient_checkpointing": False, "seed": 1,
    }  # fmt: skip
    sft.main(RawRecipe(recipe | options, "the test"))
    return run_dir


@pytest.fixture(scope="module")
def trained(base, tokenizer, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"), base, tokenizer)


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may spoil, the base within it."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def merge(run_dir, **options):
    block = MergeConfig(**{"adapter": "sft", "greedy_tokens": 12, "prompts": 2, "device": "cpu"} | options)
    merging.main(Recipe(stage="merge", run_dir=run_dir, seed=0, block=block))
    return run_dir / merging.OUTPUTS[block.adapter]


def tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_float32_merge_says_the_same_to_one_part_in_a_hundred_thousand(run, capsys):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = merge(run, dtype="float32", tolerance=1e-4)
    adapter = read_adapter(run, "sft")
    plain = AutoModelForCausalLM.from_pretrained(adapter.base, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(folder)("Brindle 7B has 7.1B parameters.", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        untouched = plain(ids).logits
        expected = PeftModel.from_pretrained(plain, str(run / "sft")).eval()(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits
    assert (merged - expected).abs().max() < 1e-5
    assert (untouched - expected).abs().max() > 0.1, "the adapter does nothing, so the test would see nothing"
    assert "2 prompts: logits within" in capsys.readouterr().out


def test_the_answers_are_given_without_grouped_heads_and_are_the_same():
    """In float32 a GPU has no memory-efficient attention for grouped heads."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa").eval()
    asked, sdpa = [], torch.nn.functional.scaled_dot_product_attention
    ids = torch.randint(5, 100, (1, 40))
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.nn.functional,
            "scaled_dot_product_attention",
            lambda *args, **options: asked.append((args[0].size(1), args[1].size(1), options)) or sdpa(*args, **options),
        )
        grouped = model(ids).logits
        assert any(query != key for query, key, _ in asked)
        asked.clear()
        ungrouped = without_grouped_attention(model)(ids).logits
    assert len(asked) == model.config.num_hidden_layers
    assert all(query == key and not options.get("enable_gqa") and options["is_causal"] for query, key, options in asked)
    assert torch.allclose(grouped, ungrouped, atol=1e-5)


def test_a_gpu_that_is_too_small_is_told_so(run, monkeypatch):
    import torch

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 34 GiB\nand more")

    monkeypatch.setattr(merging, "observe", full)
    with pytest.raises(ValueError, match=r"the GPU is too small .*Tried to allocate 34 GiB\); add --merge.device cpu"):
        merge(run)


def test_bfloat16_weights_are_rounded_once(run):
    exact, rounded = tensors(merge(run, dtype="float32")), tensors(merge(run, dtype="bfloat16"))
    assert all((exact[name].bfloat16() == rounded[name]).all() for name in exact)
    assert {str(tensor.dtype) for tensor in rounded.values()} == {"torch.bfloat16"}


def test_report_counts_what_it_compared(run):
    report = json.loads((merge(run) / "merge.parity.json").read_text())
    together, first = report["together"], report["prompts"][0]
    assert [row["generated"] for row in report["prompts"]] == [12, 12]
    assert [row["positions"] for row in report["prompts"]] == [min(row["tokens"], 64) + 12 for row in report["prompts"]]
    assert 0 < together["mean"] < together["max"] < first["logit_std"]
    assert 0.5 < together["equal_tokens"] <= 1


def test_another_model_is_seen_and_where_it_parts(base, tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    from training.merging.parity import Observed, compare, observe

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    observed = observe(model, tokenizer, ["Summarise."], 8)
    same = compare(model, observed)["prompts"][0]
    assert (same["max"], same["equal_tokens"], same["first_difference"]) == (0, 1, None)
    logits = observed[0].logits.clone()
    logits[-4, 11] = 99  # of the token before the last three of eight, and of the one that follows them all
    other = compare(model, [Observed(observed[0].ids, logits, 8)])["prompts"][0]
    assert (other["equal_tokens"], other["first_difference"]) == (7 / 8, 5)


def test_prompts_are_the_runs_own_and_different(run, tokenizer):
    from training.merging.parity import real_prompts

    prompts = real_prompts(run, tokenizer, 3)
    assert [f"Brindle-{n}" in prompts[n] for n in range(3)] == [True] * 3
    assert prompts[0].endswith("<think>\n\n</think>\n")
    assert len(real_prompts(run, tokenizer, 99)) == 4
    (run / "data" / "sft" / "validation.parquet").unlink()
    assert real_prompts(run, tokenizer, 1) == prompts[:1]
    shutil.rmtree(run / "data")
    assert "12 models" in real_prompts(run, tokenizer, 3)[0]


def test_output_is_whole_and_says_nothing_of_this_machine(run, base):
    folder = merge(run)
    config = json.loads((folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is True
    assert config["dtype"] == "bfloat16"
    assert "lm_head.weight" not in tensors(folder)
    assert "quantization_config" not in config
    generation = json.loads((folder / "generation_config.json").read_text())
    assert {name: generation[name] for name in ("do_sample", "temperature", "top_p")} == {
        "do_sample": True, "temperature": 0.6, "top_p": 0.95,
    }  # fmt: skip
    # The base's stops and what the adapter learned to end with.
    assert generation["eos_token_id"] == [4, 7]
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (run / "sft" / name).read_bytes()
    for file in folder.glob("*.json"):
        assert str(base.parent) not in file.read_text()
        assert str(run) not in file.read_text()


def test_large_models_come_in_shards(run, monkeypatch):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(merging, "SHARD", "150KB")
    folder = merge(run)
    assert len(list(folder.glob("model-0*.safetensors"))) > 1
    AutoModelForCausalLM.from_pretrained(folder)


def test_run_again_is_done_and_another_recipe_is_not(run, capsys):
    folder = merge(run)
    before = content_hash(folder)
    capsys.readouterr()
    merge(run)
    assert "done already" in capsys.readouterr().out
    (folder / "model.safetensors").write_bytes(b"")
    merge(run)
    assert content_hash(folder) == before


def test_refused_by_tolerance_leaves_what_was_there(run):
    with pytest.raises(
        ValueError, match=r"merged logits differ by .*, allowed merge\.tolerance 0\.0 .*set merge\.dtype: float32"
    ):
        merge(run, tolerance=0.0)
    assert not list(run.glob("sft-merged*"))
    before = content_hash(merge(run))
    with pytest.raises(ValueError, match="merged logits differ"):
        merge(run, tolerance=0.0)
    assert content_hash(run / "sft-merged") == before


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    write_json(path, value)


def test_adapter_of_another_base_is_refused_by_name(run):
    edit(run / "sft" / "adapter_config.json", lambda config: config.update(base_model_name_or_path="someone/Else-3B"))
    with pytest.raises(ValueError, match=r'an adapter of "someone/Else-3B", but its recipe trained one of ".*base"'):
        merge(run)


def test_base_that_changed_is_refused_by_hash(run, base, tmp_path):
    moved = tmp_path / "other" / "base"
    shutil.copytree(base, moved)
    for name in ("adapter_config.json", "sft_recipe.json"):
        path = run / "sft" / name
        path.write_text(path.read_text().replace(str(base), str(moved)))
    merge(run)  # the same base in another place is the same base
    edit(moved / "config.json", lambda config: config.update(rms_norm_eps=1e-5))
    with pytest.raises(
        ValueError, match=r"was trained on .* with content [0-9a-f]{12}, which now has content [0-9a-f]{12}; restore"
    ):
        merge(run)
    shutil.rmtree(moved)
    with pytest.raises(ValueError, match="which now has content unknown"):
        merge(run)


def test_hub_base_is_loaded_at_the_commit_that_training_recorded(run, base, tmp_path, monkeypatch):
    """A cache in which main has moved on since."""
    from safetensors.torch import save_file

    expected = tensors(merge(run))
    trained, later = "a" * 40, "b" * 40
    cache = tmp_path / "cache" / "models--org--tiny"
    shutil.copytree(base, cache / "snapshots" / trained)
    shutil.copytree(base, cache / "snapshots" / later)
    weights = {name: tensor * 2 for name, tensor in tensors(base).items()}
    save_file(weights, cache / "snapshots" / later / "model.safetensors", metadata={"format": "pt"})
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(later)
    edit(run / "sft" / "adapter_config.json", lambda config: config.update(base_model_name_or_path="org/tiny"))
    edit(run / "sft" / "sft_recipe.json", lambda recipe: recipe["model"].update(model_name_or_path="org/tiny"))
    edit(run / "sft" / "sft.manifest.json", lambda manifest: manifest["inputs"].pop("base"))
    edit(run / "sft" / "sft.manifest.json", lambda manifest: manifest["result"].update(base_commit=trained))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache.parent))
    merged = tensors(merge(run))
    assert all((merged[name] == expected[name]).all() for name in expected)
    shutil.rmtree(cache)
    with pytest.raises(ValueError, match='the adapter\'s base "org/tiny" cannot be loaded'):
        merge(run, prompts=1)


def test_aligned_adapter_needs_the_sft_model_it_was_trained_on(run):
    """As alignment leaves it: base is sft-merged, by whatever path the run had then."""
    merged = merge(run)
    aligned = run / "aligned"
    shutil.copytree(run / "sft", aligned)
    os.rename(aligned / "sft_recipe.json", aligned / "align_recipe.json")
    os.rename(aligned / "sft.manifest.json", aligned / "align.manifest.json")
    then = "runs/then/sft-merged"
    edit(aligned / "adapter_config.json", lambda config: config.update(base_model_name_or_path=then))
    edit(aligned / "align_recipe.json", lambda recipe: recipe["model"].update(model_name_or_path=then))
    edit(aligned / "align.manifest.json", lambda manifest: manifest.update(inputs={"sft-merged": content_hash(merged)}))
    # The same adapter twice over makes a wild model, so the tolerance is wide.
    assert (merge(run, adapter="aligned", tolerance=5.0) / "model.safetensors").exists()
    merge(run, dtype="float32")
    with pytest.raises(ValueError, match=r"sft-merged\" with content .* run training\.align again"):
        merge(run, adapter="aligned")


def test_what_is_trained_on_own_best_samples_starts_from_the_sft_model_and_is_merged_as_aligned(run, tokenizer):
    recipe = {
        "run_dir": str(run), "rejection_sampling": True, "use_cpu": True, "bf16": False, "lora_r": 4, "max_steps": 1, "learning_rate": RATE,
        "per_device_train_batch_size": 2, "eval_strategy": "no", "gradient_checkpointing": False,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"sft-merged has no model; run training\.merge --merge\.adapter sft first"):
        sft.main(RawRecipe(recipe, "the test"))
    before, written = merge(run), (run / "sft" / "adapter_model.safetensors").read_bytes()
    write_rows(run / "data" / "best", tokenizer)
    shutil.rmtree(run / "data" / "sft")
    sft.main(RawRecipe(recipe, "the test"))
    after = merge(run, adapter="aligned")
    assert (run / "sft" / "adapter_model.safetensors").read_bytes() == written
    inputs = json.loads((run / "aligned" / "align.manifest.json").read_text())["inputs"]
    assert inputs["sft-merged"] == content_hash(before)
    old = tensors(before)
    assert any(not tensor.equal(old[name]) for name, tensor in tensors(after).items())


def test_adapter_weights_of_another_run_are_refused(run):
    with open(run / "sft" / "adapter_model.safetensors", "ab") as handle:
        handle.write(b"\0")
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors is not what training\.sft wrote"):
        merge(run)


@pytest.mark.parametrize("name", ["sft.manifest.json", "sft_recipe.json"])
def test_half_finished_training_is_refused(run, name):
    (run / "sft" / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing, so training did not finish"):
        merge(run)


@pytest.mark.parametrize(
    ("layers", "hidden", "said"), [(4, 32, "does not fit its base .*size mismatch"), (2, 64, "is in one and not in the other")]
)
def test_adapter_of_another_shape_is_a_word_and_no_traceback(run, tokenizer, tmp_path, layers, hidden, said):
    """A base whose content was not recorded, as that of an older run: the tensors still have to fit."""
    from training.tiny_base import build_model

    other = tmp_path / "base"
    build_model(tokenizer, hidden=hidden, layers=layers).save_pretrained(other)
    for name in ("adapter_config.json", "sft_recipe.json"):
        path = run / "sft" / name
        edit(path, lambda value: value.get("model", {}).update(model_name_or_path=str(other)))
    edit(run / "sft" / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(other)))
    edit(run / "sft" / "sft.manifest.json", lambda manifest: manifest["inputs"].update(base=content_hash(other)))
    with pytest.raises(ValueError, match=said):
        merge(run)


@pytest.fixture(scope="module")
def quantised(base, tokenizer, tmp_path_factory):
    return train(tmp_path_factory.mktemp("quantised"), base, tokenizer, load_in_4bit=True)


def test_quantised_base_is_dequantised_and_only_then_merged(quantised, base):
    """Against a merge done by hand: the 4-bit base's own values, the adapter added, rounded once."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    folder = merge(quantised, tolerance=TOLERANCE)
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_quant_type="nf4")
    values = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, quantization_config=config).dequantize()
    adapter = load_file(quantised / "sft" / "adapter_model.safetensors")
    scale = json.loads((quantised / "sft" / "adapter_config.json").read_text())["lora_alpha"] / 4
    merged, name = tensors(folder), "model.layers.1.mlp.up_proj"
    delta = (
        adapter[f"base_model.model.{name}.lora_B.weight"].float() @ adapter[f"base_model.model.{name}.lora_A.weight"].float()
    )
    by_hand = (values.get_submodule(name).weight.float() + scale * delta).bfloat16()
    assert (merged[f"{name}.weight"] == by_hand).float().mean() > 0.999
    original = tensors(base)[f"{name}.weight"]
    assert (original.float() + scale * delta - by_hand.float()).abs().max() > 10 * torch.finfo(
        torch.bfloat16
    ).eps * original.std()
    written = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in written
    assert {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}
    assert set(merged) == set(tensors(base))


def test_merging_a_quantised_adapter_into_the_plain_base_would_be_seen(quantised, monkeypatch):
    """The mistake that the parity check is for: the adapter made up for what quantising had changed."""
    plain = merging.load_base
    merge(quantised, dtype="float32", tolerance=TOLERANCE)
    shutil.rmtree(quantised / "sft-merged")

    def forgetful(adapter, device):
        return plain(dataclasses.replace(adapter, model=adapter.model | {"load_in_4bit": False}), device)

    calls = iter([plain, forgetful])
    monkeypatch.setattr(merging, "load_base", lambda *arguments: next(calls)(*arguments))
    monkeypatch.setattr("transformers.PreTrainedModel.dequantize", lambda self: self)
    with pytest.raises(ValueError, match="merged logits differ"):
        merge(quantised, dtype="float32", tolerance=TOLERANCE)


def test_stopped_before_the_rename_the_rerun_is_the_same(run, monkeypatch):
    whole = content_hash(merge(run))
    shutil.rmtree(run / "sft-merged")
    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "replace", lambda here, there: sys.exit("killed") if there.name == "sft-merged" else real(here, there)
        )
        with pytest.raises(SystemExit):
            merge(run)
    assert not (run / "sft-merged").exists()
    (run / "sft-merged.tmp" / "stale.json").write_text("{}")
    assert content_hash(merge(run)) == whole
    assert not list(run.glob("*.tmp"))


@pytest.mark.slow
def test_killed_between_writing_and_renaming_the_rerun_is_the_same(run, tmp_path):
    whole = content_hash(merge(run))
    shutil.rmtree(run / "sft-merged")
    arguments = ["--run_dir", str(run), "--merge.adapter", "sft", "--merge.greedy_tokens", "12", "--merge.prompts", "2"]
    arguments += ["--merge.device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "training.merge", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (run / "sft-merged.tmp" / "model.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (run / "sft-merged").exists()
    (run / "sft-merged.tmp" / "stale.json").write_text("{}")
    done = run_command("-m", "training.merge", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    assert content_hash(run / "sft-merged") == whole
    assert not list(run.glob("*.tmp"))
