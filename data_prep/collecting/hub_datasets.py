"""Tables of cards in a dataset on the Hub, at a commit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from data_prep.collecting.hub_wait import Answer, patiently, unreachable
from data_prep.core.text import first_line

DATASET_FILES = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/(?P<file>.+\.parquet)")
COMMIT = re.compile(r"[0-9a-f]{40}")


def pinned(path: str, api: HfApi | None = None) -> str:
    """`path` with its tag replaced by the commit. Raises ValueError where it names neither commit nor tag: branches move."""
    rule = "write hf://datasets/OWNER/NAME@REVISION/FILE.parquet with a commit of 40 hex digits or a tag"
    parts = DATASET_FILES.fullmatch(path)
    if parts is None or not parts["revision"]:
        raise ValueError(f'collect.path is "{path}", which names no revision; {rule}')
    if COMMIT.fullmatch(parts["revision"]):
        return path
    api = api or HfApi()
    try:
        tags = patiently(lambda: api.list_repo_refs(parts["repo"], repo_type="dataset")).tags
    except RepositoryNotFoundError:
        raise ValueError(
            f'collect.path: dataset "{parts["repo"]}" is not on the Hub, or private; check it or set HF_TOKEN'
        ) from None
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise unreachable(api, error) from None
    commit = next((tag.target_commit for tag in tags if tag.name == parts["revision"]), None)
    if commit is None:
        known = ", ".join(tag.name for tag in tags) or "none"
        raise ValueError(f'collect.path: "{parts["revision"]}" is no tag of {parts["repo"]} (tags: {known}); {rule}')
    return f"hf://datasets/{parts['repo']}@{commit}/{parts['file']}"


def dataset_files(path: str) -> Iterator[tuple[str, Any]]:
    """The files of a pinned path, in order, each with its address and a handle that fetches what is read of it."""
    files = HfFileSystem()
    found = sorted(files.glob(path))
    if not found:
        raise ValueError(f'collect.path is "{path}", where the Hub has no file; correct the path or the revision')
    for name in found:
        with files.open(name, "rb") as handle:
            yield f"hf://{name}", handle


def answered(path: str, rows: Iterable[Answer]) -> Iterator[Answer]:
    """`rows`, read from a dataset on the Hub. Raises ValueError where it is not there or the Hub stops answering."""
    try:
        yield from rows
    except FileNotFoundError as error:
        raise ValueError(f'collect.path is "{path}": {first_line(error, 200)}; correct the path or the revision') from None
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise unreachable(HfApi(), error) from None
