"""The model that writes where nobody names one: its adapter is small and plain, fits its base, and makes a page of a real card."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from commands import ROOT

from eval.summarizing import shipped_model
from eval.summarizing.shipped_model import ADAPTER, CAVEAT, merged


def test_the_adapter_is_small_safetensors_alone_for_the_base_that_is_made():
    assert {path.name for path in ADAPTER.iterdir()} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert sum(path.stat().st_size for path in ADAPTER.iterdir()) <= 30_000_000
    config = json.loads((ADAPTER / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["peft_type"] == "LORA"
    assert not re.search(r'"[./~]', json.dumps(config))  # no folder of who trained it


def test_a_copy_without_the_adapter_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_model, "ADAPTER", tmp_path)
    with pytest.raises(ValueError, match="no adapter ships with this copy of the project; name a model with --model"):
        shipped_model.shipped_model()


def test_the_adapter_is_added_to_the_weights_exactly(tiny_model, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(r=2, target_modules="all-linear"))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    tuned.save_pretrained(tmp_path)
    base, ids = AutoModelForCausalLM.from_pretrained(tiny_model), torch.arange(5, 40)[None]
    plain = base(ids).logits
    whole = merged(base, tmp_path)
    assert not any("lora" in name for name, _ in whole.named_parameters())
    assert torch.allclose(whole(ids).logits, tuned(ids).logits, atol=1e-5)
    assert not torch.allclose(whole(ids).logits, plain, atol=1e-2)


def test_an_adapter_of_another_model_is_refused(tiny_model):
    from transformers import AutoModelForCausalLM

    with pytest.raises(ValueError, match="does not fit its base"):
        merged(AutoModelForCausalLM.from_pretrained(tiny_model), ADAPTER)


@pytest.mark.slow
def test_its_own_card_becomes_a_page(tmp_path):
    command = [
        sys.executable,
        "-m",
        "eval.summarize",
        str(ADAPTER / "README.md"),
        "--model-id",
        "Card-Summarizer-135M",
        "--json",
        "--max-new-tokens",
        "300",
    ]
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment | pip_settings())
    if "pip cannot fetch" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["model_id"] == "Card-Summarizer-135M"
    assert made["summary"].startswith("#")
    assert made["finish_reason"] in ("stop", "length")
    assert not next(check for check in made["checks"] if check["name"] == "links")["spans"]
    assert CAVEAT in done.stderr
    assert "converting" in done.stderr


def pip_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
