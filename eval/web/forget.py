"""What others would keep of visitors: cards in the Hub library's cache, and what is left of uploads that Gradio refused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from eval.summarizing.card_input import HUB_HOSTS
from eval.web.limits import BROKEN_S, STALE_S


@contextmanager
def forgetting_card(address: str) -> Iterator[None]:
    """What the block puts there for the card at `address` is removed, unless something of the model was there before."""
    folder = _folder(address)
    was_there = folder is None or folder.exists()
    try:
        yield
    finally:
        if folder is not None and not was_there:
            for place in (folder, folder.parent / ".locks" / folder.name):
                shutil.rmtree(place, ignore_errors=True)


def _folder(address: str) -> Path | None:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    where = urlsplit(address)
    parts = unquote(where.path).strip("/").split("/")[:2] if where.hostname in HUB_HOSTS else []
    if len(parts) != 2 or not all(parts):
        return None
    return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id="/".join(parts), repo_type="model"))


def sweep(uploads: Path) -> None:
    """Removes old files: those at the top are uploads under way, which Gradio moves into a folder of their own when they are whole."""
    now = time.time()
    for file in uploads.rglob("*"):
        oldest = BROKEN_S if file.parent == uploads else STALE_S
        try:
            if file.is_file() and now - file.stat().st_mtime > oldest:
                file.unlink()
        except FileNotFoundError:  # somebody was faster
            continue
