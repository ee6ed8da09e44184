"""Export: a longer context that changes nothing but config.json, and llama.cpp's programs called as they expect."""

import json
import math
import os
import re
import shutil
import stat
import subprocess

import pytest
from commands import ROOT

from data_prep.core.recipe import load, read_yaml
from eval.gate import GateConfig
from eval.generate import GenerateConfig
from eval.generation.local_model import check_lengths, open_model
from eval.generation.requests import PromptPrefix
from eval.score import ScoreConfig
from training.export import ExportConfig, main
from training.exporting import gguf, yarn
from training.exporting.gguf import Tools, check_convertible, convert
from training.exporting.yarn import lengthen

EXPORT = ROOT / "recipes" / "export"
# What the Hub's config.json of SmolLM3-3B says of positions, in the form before transformers 5.
HUB_FORM = {"rope_theta": 5000000.0, "rope_scaling": None, "max_position_embeddings": 65536}


def export(tmp_path, **keys):
    arguments = [text for key, value in keys.items() for text in (f"--export.{key}", str(value))]
    main(load("export", ExportConfig, ["--run_dir", str(tmp_path / "run"), *arguments]))
    return tmp_path / "run"


def edit_config(folder, drop=(), **changes):
    path = folder / "config.json"
    values = {key: value for key, value in json.loads(path.read_text()).items() if key not in drop}
    path.write_text(json.dumps(values | changes))


@pytest.fixture
def short(tiny_model, tmp_path):
    """A SmolLM3 that was trained on 64 tokens."""
    folder = tmp_path / "short"
    shutil.copytree(tiny_model, folder)
    edit_config(folder, max_position_embeddings=64)
    return folder


# A longer context


def load_model(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def test_the_long_model_is_yarn_as_transformers_computes_it(short, tmp_path):
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    run = export(tmp_path, model=short, yarn_factor=2.0)
    plain, long = load_model(short), load_model(run / "short-long")
    theta = plain.config.rope_parameters["rope_theta"]
    expected = {"rope_type": "yarn", "rope_theta": theta, "factor": 2.0, "original_max_position_embeddings": 64}
    assert long.config.rope_parameters == expected
    assert long.config.max_position_embeddings == 128
    inverse, scaling = ROPE_INIT_FUNCTIONS["yarn"](long.config, "cpu")
    rotary = long.model.rotary_emb
    assert torch.equal(rotary.inv_freq, inverse)
    assert rotary.attention_scaling == scaling == pytest.approx(0.1 * math.log(2) + 1)
    cosine, _ = rotary(torch.zeros(1, 1, 4), torch.arange(128)[None])
    assert cosine.max() == pytest.approx(scaling)  # at position 0
    assert [layer.self_attn.use_rope for layer in long.model.layers] == [1, 1, 1, 0]
    beyond = torch.randint(5, 1000, (1, 120), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = long(beyond).logits
        assert torch.isfinite(logits).all()
        assert not torch.allclose(logits, plain(beyond).logits)
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, long.state_dict()[name])


def test_smollm3s_own_positions_keep_fast_rotations_and_halve_slow_ones(short, tmp_path):
    import torch
    from transformers.models.smollm3.modeling_smollm3 import SmolLM3RotaryEmbedding

    edit_config(short, drop=["rope_parameters"], **HUB_FORM, hidden_size=2048, num_attention_heads=16)
    (tmp_path / "long").mkdir()
    config = lengthen(short, tmp_path / "long", 2.0)
    assert config.rope_parameters["rope_theta"] == 5e6
    assert config.max_position_embeddings == 131072
    inverse = SmolLM3RotaryEmbedding(config).inv_freq
    plain = 1 / 5e6 ** (torch.arange(0, 128, 2) / 128)
    # 32 turns and more within 65,536 tokens stay as they are, less than one is stretched; the paper's beta 32 and 1.
    turns = 65536 * plain / (2 * math.pi)
    assert torch.allclose(inverse[turns > 34], plain[turns > 34])
    assert torch.allclose(inverse[turns < 0.8], plain[turns < 0.8] / 2)
    assert (turns > 34).sum() > 10
    assert (turns < 0.8).sum() > 10


def test_a_scaling_pasted_into_a_config_of_transformers_5_would_lose_the_base_of_the_rotation(short, tmp_path):
    """Why there is a stage for it: the snippet of the base model's card, put into a config that we write."""
    from transformers import AutoConfig

    edit_config(short, rope_parameters={"rope_type": "default", "rope_theta": 5e6})
    (tmp_path / "long").mkdir()
    assert lengthen(short, tmp_path / "long", 2.0).rope_parameters["rope_theta"] == 5e6
    edit_config(short, rope_scaling={"factor": 2.0, "original_max_position_embeddings": 64, "type": "yarn"})
    assert AutoConfig.from_pretrained(short).rope_parameters["rope_theta"] == 2e6


def test_generation_takes_a_longer_prompt_with_it_and_refuses_it_without(short, tmp_path):
    run = export(tmp_path, model=short, yarn_factor=2.0)
    openings = [PromptPrefix("card", [], "Alpha beta 1 2 3. " * 8)]
    long = open_model(str(run / "short-long"), None)
    assert 64 < len(long.tokenizer(openings[0].text)["input_ids"]) < 120
    assert long.tokenizer.model_max_length >= 128
    check_lengths(long, openings, "generate", 4, None)
    with pytest.raises(ValueError, match=r"takes 64 in all; lower generate.max_new_tokens"):
        check_lengths(open_model(str(short), None), openings, "generate", 4, None)
    with pytest.raises(ValueError, match="takes 128 in all"):
        check_lengths(long, openings, "generate", 100, None)


def test_a_tokenizers_shorter_limit_is_raised_and_a_longer_one_left(short, tmp_path):
    for number, (limit, expected) in enumerate([(64, 128), (500, 500)]):
        path = short / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))
        (folder := tmp_path / f"long{number}").mkdir()
        lengthen(short, folder, 2.0)
        assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == expected
        assert json.loads(path.read_text())["model_max_length"] == limit  # the model itself stays as it is


def test_weights_are_linked_and_copied_where_the_file_system_has_no_links(short, tmp_path, monkeypatch):
    run = export(tmp_path, model=short, yarn_factor=2.0)
    weights = run / "short-long" / "model.safetensors"
    assert os.path.samefile(weights, short / "model.safetensors")

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(yarn.os, "link", refuse)
    run = export(tmp_path, model=short, yarn_factor=3.0)
    assert not os.path.samefile(weights, short / "model.safetensors")
    assert weights.read_bytes() == (short / "model.safetensors").read_bytes()


def test_a_long_model_is_not_lengthened_again(short, tmp_path):
    run = export(tmp_path, model=short, yarn_factor=2.0)
    before = (run / "short-long" / "config.json").read_bytes()
    with pytest.raises(ValueError, match=r"rotary positions of type yarn, expected default; name the model before"):
        export(tmp_path, model=run / "short-long", yarn_factor=2.0)
    assert (run / "short-long" / "config.json").read_bytes() == before
    assert [path.name for path in run.iterdir()] == ["short-long"]


def test_what_is_done_is_not_done_again(short, tmp_path, capsys):
    export(tmp_path, model=short, yarn_factor=2.0)
    assert "short-long takes 128 tokens" in capsys.readouterr().out
    export(tmp_path, model=short, yarn_factor=2.0)
    assert "export long: done already" in capsys.readouterr().out
    export(tmp_path, model=short, yarn_factor=4.0)
    assert "short-long takes 256 tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "export names nothing to make"),
        ({"yarn_factor": 2.0, "model": "no/such"}, r"no/such in export.model holds no config.json"),
        ({"yarn_factor": 1.0}, '"export.yarn_factor" is 1.0'),
        ({"gguf": "[Q4_KM]"}, '"export.gguf.0" is .Q4_KM. .*Q4_K_M'),
    ],
)
def test_mistakes_are_said_in_one_line(keys, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(tmp_path, **keys)


# GGUF, with stand-ins for llama.cpp's two programs

CONVERTER = """\
import json, os, sys
model, *options = sys.argv[1:]
assert options[::2] == ["--outtype", "--outfile"], options
assert os.environ["PYTHONDONTWRITEBYTECODE"]
open(options[3], "w").write(f"{options[1]} of {os.path.basename(model)}")
"""
QUANTISER = """\
#!/usr/bin/env bash
[[ $# -eq 3 ]] || exit 9
printf '%s, %s' "$3" "$(cat "$1")" > "$2"
"""


@pytest.fixture
def llama_cpp(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return stand_in(tmp_path / "llama", CONVERTER)


def stand_in(folder, converter):
    (folder / "build" / "bin").mkdir(parents=True)
    (folder / "conversion").mkdir()
    (folder / "conversion" / "llama.py").write_text("one")
    (folder / "convert_hf_to_gguf.py").write_text(converter)
    quantise = folder / "build" / "bin" / "llama-quantize"
    quantise.write_text(QUANTISER)
    quantise.chmod(quantise.stat().st_mode | stat.S_IXUSR)
    return folder


def files(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix == ".gguf"}


def test_each_type_becomes_a_file_by_way_of_bfloat16(short, llama_cpp, tmp_path, capsys):
    run = export(tmp_path, model=short, gguf="[Q8_0, Q4_K_M]", llama_cpp=llama_cpp)
    made = {"short-Q8_0.gguf": "Q8_0, bf16 of short", "short-Q4_K_M.gguf": "Q4_K_M, bf16 of short"}
    assert files(run / "gguf") == made
    result = json.loads((run / "gguf" / "export.manifest.json").read_text())
    assert result["result"]["bytes"] == {"Q8_0": 19, "Q4_K_M": 21}
    capsys.readouterr()
    export(tmp_path, model=short, gguf="[Q8_0, Q4_K_M]", llama_cpp=llama_cpp)
    assert "export gguf: done already" in capsys.readouterr().out
    (llama_cpp / "conversion" / "llama.py").write_text("two")
    export(tmp_path, model=short, gguf="[BF16]", llama_cpp=llama_cpp)
    assert files(run / "gguf") == {"short-BF16.gguf": "bf16 of short"}


def test_a_new_llama_cpp_makes_the_files_again(short, llama_cpp, tmp_path, capsys):
    export(tmp_path, model=short, gguf="[Q8_0]", llama_cpp=llama_cpp)
    (llama_cpp / "conversion" / "llama.py").write_text("two")
    capsys.readouterr()
    export(tmp_path, model=short, gguf="[Q8_0]", llama_cpp=llama_cpp)
    assert "done already" not in capsys.readouterr().out


def test_the_long_model_is_what_is_converted_where_both_are_asked_for(short, llama_cpp, tmp_path):
    run = export(tmp_path, model=short, yarn_factor=2.0, gguf="[Q8_0]", llama_cpp=llama_cpp)
    assert files(run / "gguf") == {"short-long-Q8_0.gguf": "Q8_0, bf16 of short-long"}


@pytest.mark.parametrize(
    ("converter", "message"),
    [
        ("from sentencepiece_is_not_here import x", r"python\S* ended with 1 and no short-BF16.gguf: ModuleNotFoundError"),
        (
            "raise ModuleNotFoundError(\"No module named 'sentencepiece'\")",
            r"needs the package sentencepiece; recipes/export/install",
        ),
        (
            'raise NotImplementedError("BPE pre-tokenizer was not recognized - update get_vocab_base_pre()")',
            "does not know how this model's tokenizer splits text",
        ),
        ("pass", "ended with 0 and no short-BF16.gguf: it said nothing"),
    ],
)
def test_what_the_converter_says_is_told_and_what_was_there_stays(converter, message, short, llama_cpp, tmp_path):
    run = export(tmp_path, model=short, gguf="[Q8_0]", llama_cpp=llama_cpp)
    with pytest.raises(ValueError, match=message):
        export(tmp_path, model=short, gguf="[Q6_K]", llama_cpp=stand_in(tmp_path / "broken", converter))
    assert list(files(run / "gguf")) == ["short-Q8_0.gguf"]
    assert [path.name for path in run.iterdir()] == ["gguf"]


def test_a_folder_that_is_not_llama_cpp_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"convert_hf_to_gguf.py is missing; run recipes/export/install.sh"):
        Tools.of(tmp_path)


def test_a_model_whose_layers_llama_cpp_would_misread_is_refused(short, llama_cpp, tmp_path):
    check_convertible(short)
    edit_config(short, no_rope_layers=[1, 0, 1, 0])
    with pytest.raises(ValueError, match="other layers than every fourth"):
        export(tmp_path, model=short, gguf="[Q8_0]", llama_cpp=llama_cpp)
    edit_config(short, drop=["no_rope_layers"], model_type="llama")
    check_convertible(short)


def test_the_converter_is_run_by_this_python(short, llama_cpp, tmp_path, monkeypatch):
    """It reads tokenizer and config through transformers: another version may not know what this one wrote."""
    monkeypatch.setattr(gguf.sys, "executable", "/no/such/python")
    with pytest.raises(FileNotFoundError, match="/no/such/python"):
        convert(Tools.of(llama_cpp), short, tmp_path / "x.gguf")


# Recipes and what the pages say of them


def test_the_recipes_parse_strictly_and_name_the_same_files():
    gguf = load("export", ExportConfig, ["--config", str(EXPORT / "gguf.yaml")]).block
    long = load("export", ExportConfig, ["--config", str(ROOT / "recipes" / "smollm3-3b" / "long_cards.yaml")]).block
    assert long.yarn_factor == 2.0
    path = EXPORT / "eval_gguf.yaml"
    systems = load("generate", GenerateConfig, ["--config", str(path)]).block.systems
    asked = load("score", ScoreConfig, ["--config", str(path)]).block
    gate = load("gate", GateConfig, ["--config", str(path)]).block
    assert asked.systems == list(systems)
    assert [gate.base, gate.tuned] in asked.comparisons
    assert set(gate.margin) == {*asked.headline, *gate.guards}
    quantised = {name: system for name, system in systems.items() if system.endpoint}
    assert list(quantised) == [f"gguf-{kind.lower()}" for kind in gguf.gguf]
    page = (EXPORT / "README.md").read_text(encoding="utf-8")
    for name, system in quantised.items():
        port = re.search(r":(\d+)/v1", system.endpoint.base_url)[1]
        served = re.search(rf"^ *\S*llama-server .*--alias {name} .*$", page, re.MULTILINE)[0]
        kind = name.removeprefix("gguf-").upper()
        assert f"--port {port} " in served + " "
        assert f"model-{kind}.gguf" in served
        assert system.endpoint.model == name
        each = int(re.search(r"-c (\d+)", served)[1]) // int(re.search(r"-np (\d+)", served)[1])
        room = read_yaml(ROOT / "recipes/smollm3-3b/data.yaml")["examples"]["max_prompt_tokens"]
        assert each >= room + load("generate", GenerateConfig, ["--config", str(path)]).block.max_new_tokens
        assert int(re.search(r"-np (\d+)", served)[1]) == system.endpoint.concurrency


def test_installing_stops_where_the_pinned_version_is_there(tmp_path):
    shutil.copytree(EXPORT, tmp_path / "recipes" / "export")
    pins = tmp_path / "recipes" / "export" / "llama-cpp.txt"
    assert re.search(r"^llama-cpp-python==[\d.]+ --hash=sha256:[0-9a-f]{64}$", pins.read_text(), re.MULTILINE)
    (tmp_path / ".llama-cpp").mkdir()
    shutil.copy(pins, tmp_path / ".llama-cpp" / "installed")
    done = subprocess.run(
        ["bash", tmp_path / "recipes/export/install.sh"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert (done.returncode, done.stdout) == (0, ".llama-cpp is there already\n")


# --- one small adapter ------------------------------------------------------------------------------------------------


def test_a_runs_adapter_is_exported_in_half_of_its_bytes(tmp_path, tiny_model):
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sft = tmp_path / "run" / "sft"
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(r=4, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    model.save_pretrained(sft)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(sft)
    with pytest.raises(ValueError, match=r"needs export\.adapter_base"):
        export(tmp_path, adapters="[sft]")
    with pytest.raises(ValueError, match="gone holds no adapter"):
        export(tmp_path, adapters="[sft, gone]", adapter_base="org/base")
    out = export(tmp_path, adapters="[sft]", adapter_base="org/base") / "adapter"
    weights = out / "adapter_model.safetensors"
    assert weights.stat().st_size < 0.6 * (sft / weights.name).stat().st_size
    assert stat.S_IMODE(weights.stat().st_mode) == stat.S_IMODE((out / "adapter_config.json").stat().st_mode)
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/base"
    ids = torch.arange(5, 25)[None]
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), out)
    assert torch.allclose(again(ids).logits, model(ids).logits, atol=0.05)
    assert (sft / weights.name).exists()
