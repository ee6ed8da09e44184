"""A tiny random SmolLM3 with the demo's tokenizer: real code paths in seconds, nothing downloaded."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from commands import BASE

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(autouse=True, scope="session")
def only_loopback():
    """No test may reach another machine; one that tries fails here, whatever library it uses."""
    patch, connect, look_up = pytest.MonkeyPatch(), socket.socket.connect, socket.getaddrinfo

    def is_near(host):
        try:
            return ip_address(host or "127.0.0.1").is_loopback
        except ValueError:
            return host == "localhost"

    def connect_near(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_near(address[0]):
            raise AssertionError(f"a test reaches for {address}")
        return connect(self, address)

    def look_up_near(host, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if not (is_near(name) or re.fullmatch(r"[0-9a-fx.:%]+", name)):  # an address in any spelling asks nobody
            raise socket.gaierror(f"a test looks up {name}")
        return look_up(host, *arguments, **options)

    patch.setattr(socket.socket, "connect", connect_near)
    patch.setattr(socket, "getaddrinfo", look_up_near)
    yield
    patch.undo()


def restored() -> Iterator[None]:
    """Puts back what the stages set for their whole process: environment, folder, torch's threads, accelerate's precision.

    A test that calls a stage here would hand them on to the next one, and to each process that it starts.
    """
    environment, folder = dict(os.environ), Path.cwd()
    threads = torch_threads()
    yield
    os.chdir(folder)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    if threads and threads != torch_threads():
        sys.modules["torch"].set_num_threads(threads)
    if (state := sys.modules.get("accelerate.state")) is not None:
        state.AcceleratorState._reset_state(reset_partial_state=True)


def torch_threads() -> int | None:
    """None where no test has needed torch so far; it is not imported for this."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


@pytest.fixture(autouse=True, scope="module")
def restored_after_a_file():
    yield from restored()


@pytest.fixture(autouse=True)
def restored_after_a_test(restored_after_a_file):
    yield from restored()


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
