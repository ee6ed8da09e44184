from pathlib import Path

import pytest
from trl import DPOConfig, SFTConfig

from training import align, grpo, sft
from training.setup.config import RawRecipe, parse, read_recipe

GOOD = {"run_dir": "runs/x", "model_name_or_path": "x", "output_dir": "x", "use_cpu": True, "learning_rate": 1e-4}


def test_a_recipe_becomes_trls_own_configs():
    parsed = parse(RawRecipe({**GOOD, "lora_r": 8, "warmup_steps": 0.1}, "sft.yaml"), SFTConfig, {})
    assert parsed.trainer.max_length is None
    assert parsed.trainer.learning_rate == 1e-4
    assert parsed.model.lora_r == 8
    assert parsed.run.run_dir == "runs/x"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rat": 1e-4}, ['unknown key "learning_rat" in sft.yaml', 'Did you mean "learning_rate"?']),
        ({"num_train_epochs": [1]}, ['"num_train_epochs" is [1]', "expected float"]),
        ({"learning_rate": "fast"}, ["\"learning_rate\" is 'fast'", "expected float"]),
        ({"per_device_train_batch_size": 1.5}, ['"per_device_train_batch_size" is 1.5', "expected int"]),
        ({"gradient_checkpointing": "yes"}, ["\"gradient_checkpointing\" is 'yes'", "bool"]),
        ({"lora_r": True}, ['"lora_r" is True']),
        ({"max_length": 1024}, ["max_length is 1024", "Set max_length: null"]),
        ({"trust_remote_code": True}, ["trust_remote_code is true", "leave it out"]),
        ({"gradient_accumulation_steps": 0}, ["gradient_accumulation_steps is 0", "expected 1 or more"]),
        ({"max_steps": 0}, ["max_steps is 0", "nothing would be trained"]),
        ({"num_train_epochs": 0}, ["num_train_epochs 0", "nothing would be trained"]),
        ({"hub_token": "hf_secret"}, ["hub_token is set in sft.yaml", "set HF_TOKEN"]),
    ],
)
def test_mistakes_are_refused(changes, words):
    with pytest.raises(ValueError, match=r".") as caught:
        parse(RawRecipe({**GOOD, **changes}, "sft.yaml"), SFTConfig, {})
    for word in words:
        assert word in str(caught.value)


def test_alignment_takes_dpos_names_and_sft_does_not():
    parsed = parse(RawRecipe({**GOOD, "beta": 0.1, "loss_type": "apo_zero"}, "apo.yaml"), DPOConfig, {})
    assert parsed.trainer.loss_type == ["apo_zero"]
    assert parsed.trainer.beta == 0.1
    with pytest.raises(ValueError, match='unknown key "beta"'):
        parse(RawRecipe({**GOOD, "beta": 0.1}, "sft.yaml"), SFTConfig, {})


def test_overrides_are_typed_and_identity_leaves_out_the_place(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text("run_dir: runs/x\nlearning_rate: 2e-4\neval_strategy: no\n")
    raw = read_recipe(
        ["--config", str(path), "--max_steps", "3", "--learning_rate", "1e-3", "--run_dir", "runs/y", "--report_to", "wandb"]
    )
    assert raw.values == {
        "run_dir": "runs/y",
        "learning_rate": 1e-3,
        "max_steps": 3,
        "report_to": "wandb",
        "eval_strategy": "no",
    }
    assert raw.identity() == {"eval_strategy": "no", "learning_rate": 1e-3, "max_steps": 3}


def test_a_mistake_is_looked_for_where_it_was_made(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text("run_dir: runs/x\noutput_dir: x\nuse_cpu: true\n")
    with pytest.raises(ValueError, match="\"learning_rate\" is 'fast' in the command line"):
        parse(read_recipe(["--config", str(path), "--learning_rate", "fast"]), SFTConfig, {})
    path.write_text("run_dir: runs/x\nlearning_rate: fast\n")
    with pytest.raises(ValueError, match=r"\"learning_rate\" is 'fast' in .*sft\.yaml"):
        parse(read_recipe(["--config", str(path)]), SFTConfig, {})


def test_a_recipe_without_run_dir_is_refused():
    with pytest.raises(ValueError, match="names no run_dir"):
        _ = RawRecipe({}, "sft.yaml").run_dir


@pytest.mark.parametrize("module", [align, grpo, sft])
@pytest.mark.parametrize("name", ["model_name_or_path", "output_dir", "resume_from_checkpoint"])
def test_what_a_stage_settles_itself_is_refused_where_it_is_named(tmp_path, module, name):
    """Merging would look for the base, and a killed run for its checkpoints, in the run's own folders."""
    raw = read_recipe(["--run_dir", str(tmp_path), f"--{name}", "elsewhere", "--rejection_sampling", "true"])
    with pytest.raises(ValueError, match=f"{name} is 'elsewhere' in the command line: this stage settles it"):
        module.main(raw)


def test_sft_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="names no model_name_or_path"):
        sft.main(RawRecipe({"run_dir": str(tmp_path), "use_cpu": True, "bf16": False}, "sft.yaml"))


def test_a_run_dir_of_digits_is_a_name():
    assert read_recipe(["--run_dir", "20261130"]).run_dir == Path("20261130")
