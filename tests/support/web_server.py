"""The web page on loopback, with a writer of fixed text and a folder of its own for uploads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from stub_writer import StubWriter, stub_models

from eval.web import page


@dataclass(frozen=True)
class Running:
    """`address` ends in a slash."""

    address: str
    writer: StubWriter
    page: object
    uploads: Path


@contextmanager
def running(text: str, uploads: Path, pause_s: float = 0.0) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch, closing(socket.socket()) as free:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        models, writer = stub_models(text, pause_s)
        made = page.build(models, page.PageOptions())
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        address = page.serve(made, page.Served(port=port), wait=False)
        try:
            yield Running(address, writer, made, uploads)
        finally:
            made.close(verbose=False)
