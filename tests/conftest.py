"""A tiny random SmolLM3 with the demo's tokenizer: real code paths in seconds, nothing downloaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import BASE

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a random SmolLM3 of 32 dimensions and the demo's tokenizer."""
    import torch
    from transformers import AutoTokenizer

    from training.tiny_base import build_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    build_model(tokenizer, hidden=64, layers=4).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
