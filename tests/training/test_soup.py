"""Averages of models: against a mean by hand, in shards, and every difference that makes an average senseless."""

import json
import os
import shutil
import sys

import pytest
from commands import ROOT, run_here

from data_prep.core.files import write_json
from data_prep.core.manifest import content_hash
from data_prep.core.recipe import Recipe, load
from training import soup as cooking
from training.soup import SoupConfig


def make(folder, tokenizer, seed, dtype="bfloat16", **sizes):
    import torch

    from training.tiny_base import build_model

    torch.manual_seed(seed)
    model = build_model(tokenizer, **{"hidden": 32, "layers": 2} | sizes).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(tokenizer, tmp_path_factory):
    """Two runs' models, both in a folder called model."""
    folder = tmp_path_factory.mktemp("soup")
    return [make(folder / name / "model", tokenizer, seed) for seed, name in enumerate(("one", "two"))]


@pytest.fixture
def models(made, tmp_path):
    """Copies that a test may spoil."""
    return [shutil.copytree(folder, tmp_path / folder.parent.name / "model") for folder in made]


def cook(run_dir, weights, **options):
    block = SoupConfig(models={str(name): weight for name, weight in weights.items()}, **options)
    cooking.main(Recipe(stage="soup", run_dir=run_dir, seed=0, block=block))
    return run_dir / block.name


def tensors(folder):
    from safetensors.torch import load_file

    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def test_weights_are_the_mean_by_hand_rounded_once(models, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    one, two = (tensors(model) for model in models)
    mixed = tensors(cook(tmp_path, dict(zip(models, (0.9, 0.1), strict=True))))
    assert set(mixed) == set(one)
    for name in one:
        exact = 0.9 * one[name].double() + 0.1 * two[name].double()
        assert mixed[name].dtype == torch.bfloat16
        half_a_step = torch.finfo(torch.bfloat16).eps / 2 * exact.abs()
        float32 = 1e-6 * (one[name].abs() + two[name].abs()).double()
        assert ((mixed[name].double() - exact).abs() <= half_a_step + float32).all()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model-soup")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_equal_weights_of_three_and_a_model_with_itself(models, tmp_path, tokenizer):
    third = make(tmp_path / "three", tokenizer, 3, dtype="float32")
    mixed = tensors(cook(tmp_path, {models[0]: 0.3333333, models[1]: 0.3333333, third: 0.3333334}))
    parts = [tensors(folder) for folder in (*models, third)]
    for name, tensor in mixed.items():
        mean = sum(part[name].double() for part in parts) / 3
        assert (tensor.double() - mean).abs().max() < 0.01 * mean.abs().max()
    again = shutil.copytree(models[0], tmp_path / "again")
    same = tensors(cook(tmp_path, {models[0]: 0.5, again: 0.5}, name="same"))
    assert all((same[name] == parts[0][name]).all() for name in same)


def test_shards_in_and_out_change_nothing(models, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM

    whole = tensors(cook(tmp_path, dict.fromkeys(models, 0.5), name="whole"))
    model = AutoModelForCausalLM.from_pretrained(models[1])
    (models[1] / "model.safetensors").unlink()
    model.save_pretrained(models[1], max_shard_size="60KB")
    assert len(list(models[1].glob("*.safetensors"))) > 1
    monkeypatch.setattr(cooking, "SHARD", "60KB")
    folder = cook(tmp_path, dict.fromkeys(models, 0.5))
    assert len(list(folder.glob("*.safetensors"))) > 1
    sharded = tensors(folder)
    assert all((sharded[name] == whole[name]).all() for name in whole)
    loaded = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert all((loaded[name] == whole[name]).all() for name in whole)


def test_a_head_that_repeats_the_tied_embedding_is_left_out(models, tmp_path):
    from safetensors.torch import save_file

    weights = tensors(models[1])
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, models[1] / "model.safetensors", metadata={"format": "pt"})
    assert "lm_head.weight" not in tensors(cook(tmp_path, dict.fromkeys(models, 0.5)))


def test_the_first_model_gives_config_tokenizer_template_and_generation(models, tmp_path):
    write_json(models[0] / "generation_config.json", {"eos_token_id": [4, 7], "do_sample": True, "temperature": 0.6})
    (models[0] / "merge.parity.json").write_text("{}")
    # As another version writes it, and as the trainer does from the tokenizer: no difference.
    edit(models[1] / "config.json", transformers_version="4.56.0", pad_token_id=9, use_cache=False)
    folder = cook(tmp_path, dict.fromkeys(models, 0.5))
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (models[0] / name).read_bytes()
    assert not (folder / "merge.parity.json").exists()


def edit(path, **change):
    write_json(path, json.loads(path.read_text()) | change)


def spoil_vocabulary(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = [token for token in vocabulary if token.isalpha() and token.isascii()][-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    write_json(folder / "tokenizer.json", tokenizer)


def spoil_number(folder):
    from safetensors.torch import save_file

    weights = tensors(folder)
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def spoil_shape(folder):
    from safetensors.torch import save_file

    weights = tensors(folder)
    weights["model.norm.weight"] = weights["model.norm.weight"][:16].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: edit(folder / "config.json", rms_norm_eps=1e-5), "config rms_norm_eps is 1e-06 and 1e-05"),
        (spoil_vocabulary, "tokenizer id of '.*' is"),
        (spoil_shape, r"shape of model\.norm\.weight is \[32\] and \[16\]"),
        (spoil_number, r'model\.norm\.weight of ".*two/model" holds NaN'),
        (lambda folder: (folder / "model.safetensors").unlink(), "two/model\" in soup.models is no model in safetensors"),
        (
            lambda folder: edit(folder / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
            "is quantised; merge its adapter",
        ),
    ],
    ids=["config", "vocabulary", "shape", "nan", "no weights", "quantised"],
)  # fmt: skip
def test_what_cannot_be_averaged_is_refused_and_named(models, tmp_path, spoil, said):
    spoil(models[1])
    with pytest.raises(ValueError, match=said):
        cook(tmp_path, dict.fromkeys(models, 0.5))
    assert not list(tmp_path.glob("model-soup*"))


def test_another_size_is_refused(models, tmp_path, tokenizer):
    larger = make(tmp_path / "larger", tokenizer, 1, hidden=64)
    with pytest.raises(ValueError, match="config hidden_size is 32 and 64; take models that were tuned from one base"):
        cook(tmp_path, {models[0]: 0.5, larger: 0.5})


@pytest.mark.parametrize("weights", [(0.9, 0.2), (0.9, 0.05)])
def test_weights_that_do_not_sum_to_one_are_refused(models, tmp_path, weights):
    with pytest.raises(ValueError, match=rf"2 models whose weights sum to {sum(weights):g}, expected two or more and 1"):
        cook(tmp_path, dict(zip(models, weights, strict=True)))


def test_mistakes_on_the_command_line_are_one_line(models, tmp_path):
    for named, said in (("{runs/x: 1.0}", "holds 1 models"), ("{nowhere/model: 0.5, b: -0.5}", "greater than 0")):
        done = run_here("training.soup", "--run_dir", str(tmp_path), "--soup.models", named)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    with pytest.raises(ValueError, match=r'"not/here" in soup\.models is no folder, and no model of the Hub'):
        cook(tmp_path, {models[0]: 0.5, "not/here": 0.5})
    with pytest.raises(ValueError, match=r"soup\.name is model, which is one of its own models"):
        cook(models[0].parent, dict.fromkeys(models, 0.5), name="model")
    (tmp_path / "link").symlink_to(models[0].parent)
    with pytest.raises(ValueError, match=r"soup\.name is model, which is one of its own models"):
        cook(tmp_path / "link", dict.fromkeys(models, 0.5), name="model")


def test_a_folder_that_is_no_soup_is_not_replaced(models, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cards.jsonl").write_text("kept")
    with pytest.raises(ValueError, match=r"soup\.name is data, and .* is no soup of before; name another folder"):
        cook(tmp_path, dict.fromkeys(models, 0.5), name="data")
    assert (tmp_path / "data" / "cards.jsonl").read_text() == "kept"
    with pytest.raises(ValueError, match="pattern"):
        cook(tmp_path, dict.fromkeys(models, 0.5), name="..")


def test_run_again_is_done_until_a_model_changes(models, tmp_path, capsys):
    folder = cook(tmp_path, dict.fromkeys(models, 0.5))
    before = content_hash(folder)
    assert "done already" not in capsys.readouterr().out
    cook(tmp_path, dict.fromkeys(models, 0.5))
    assert "done already" in capsys.readouterr().out
    # Both folders are called model: the first one's change must be seen too.
    shutil.copyfile(models[1] / "model.safetensors", models[0] / "model.safetensors")
    cook(tmp_path, dict.fromkeys(models, 0.5))
    assert content_hash(folder) != before


def test_stopped_before_the_rename_the_rerun_is_the_same(models, tmp_path, monkeypatch):
    whole = content_hash(cook(tmp_path, dict.fromkeys(models, 0.5)))
    shutil.rmtree(tmp_path / "model-soup")
    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "replace", lambda here, there: sys.exit("killed") if there.name == "model-soup" else real(here, there)
        )
        with pytest.raises(SystemExit):
            cook(tmp_path, dict.fromkeys(models, 0.5))
    (tmp_path / "model-soup.tmp" / "stale.safetensors").write_bytes(b"")
    assert content_hash(cook(tmp_path, dict.fromkeys(models, 0.5))) == whole


def test_a_hub_id_is_taken_at_its_revision(models, tmp_path, monkeypatch):
    asked = []

    def download(repo, revision, allow_patterns):
        asked.append((repo, revision, allow_patterns))
        return str(models[1])

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    cook(tmp_path, {models[0]: 0.9, "HuggingFaceTB/SmolLM3-3B@abc": 0.1})
    assert asked == [("HuggingFaceTB/SmolLM3-3B", "abc", ["*.safetensors", "*.json", "*.jinja"])]


def test_the_recipe_that_ships_parses():
    recipe = load("soup", SoupConfig, ["--config", str(ROOT / "recipes" / "smollm3-3b" / "soup.yaml")])
    assert list(recipe.block.models.values()) == [0.9, 0.1]
