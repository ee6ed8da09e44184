"""Cards of the Hub that a visitor named do not stay in the Hub library's cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from eval.summarizing.card_input import HUB_HOSTS


@contextmanager
def forgetting_card(address: str) -> Iterator[None]:
    """What the block puts there for the card at `address` is removed, unless something of the model was there before."""
    folder = _folder(address)
    was_there = folder is None or folder.exists()
    try:
        yield
    finally:
        if folder is not None and not was_there:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(address: str) -> Path | None:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    where = urlsplit(address)
    parts = where.path.strip("/").split("/")[:2] if where.hostname in HUB_HOSTS else []
    if len(parts) != 2 or not all(parts):
        return None
    return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id="/".join(parts), repo_type="model"))
