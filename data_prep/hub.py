"""Model cards and datasets from the Hugging Face Hub, each at the commit that the Hub names when it is asked.

A card costs one request to the API and two for the file at `resolve/<commit>/README.md`; no HTML page is read. The token
comes from the environment alone (`HF_TOKEN` or `hf auth login`), the address of another Hub from `HF_ENDPOINT`. Cards are kept
in the Hub library's cache, so a run that was stopped asks for the rest only. Where the Hub says how long to wait, we wait.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import HfApi, HfFileSystem, ModelInfo, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers

from data_prep.card_sources import SourceConfig
from data_prep.references import Reference
from data_prep.schema import RawCard, Rejected

Answer = TypeVar("Answer")

README = "README.md"
MOST_COMMITS = 500  # of one model, newest first, among which the card of a reference is looked for
MAX_BYTES = 2_000_000  # a README beyond this is a log
BUSY = (429, 500, 502, 503, 504)  # answers that say nothing about the one model
LONGEST_WAIT = 330.0  # seconds: the Hub counts requests by windows of 300
PAUSES = (1.0, 2.0)  # seconds before the second and third try, where the Hub does not say
DATASET_FILES = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/(?P<file>.+\.parquet)")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Wanted:
    """Which models of the Hub are asked for; a model that does not fit is not an input, so it is not set aside either."""

    authors: tuple[str, ...] = ()
    task: str | None = None
    library: str | None = None
    min_downloads: int | None = None
    min_likes: int | None = None
    modified_after: str | None = None
    sort: str | None = None
    limit: int | None = None

    @classmethod
    def of(cls, config: SourceConfig) -> Wanted:
        """Raises ValueError where nothing narrows the two million models of the Hub."""
        keys = ("task", "library", "min_downloads", "min_likes", "modified_after", "sort", "limit")
        wanted = cls(tuple(config.authors), **{key: getattr(config, key) for key in keys})
        if not config.ids and wanted == cls(limit=config.limit):
            raise ValueError(
                "collect.source hub needs collect.ids, collect.authors or another key that selects models; "
                "add for example --collect.ids '[owner/name]'"
            )
        return wanted

    def fits(self, model: ModelInfo) -> bool:
        day = model.last_modified.date().isoformat() if model.last_modified else ""
        return (
            (model.downloads or 0) >= (self.min_downloads or 0)
            and (model.likes or 0) >= (self.min_likes or 0)
            and day >= (self.modified_after or "")
        )

    def may_follow(self, model: ModelInfo) -> bool:
        """False where `model`, and so all after it in the order asked for, are below the bound."""
        bound = {"downloads": self.min_downloads, "likes": self.min_likes, "last_modified": self.modified_after}.get(self.sort)
        return bound is None or self.fits(model)


class HubCards:
    """Raises ValueError where the Hub cannot be reached or asks to wait too long: nothing is known about the models to come."""

    def __init__(self, api: HfApi | None = None):
        self.api = api or HfApi()

    def names(self, wanted: Wanted, ids: Iterable[str]) -> Iterator[str]:
        """The named models, then those that fit, each author's in turn."""
        yield from ids
        for author in wanted.authors or ((None,) if wanted != Wanted(limit=wanted.limit) else ()):
            try:
                yield from (model.id for model in self._listed(wanted, author) if wanted.fits(model))
            except (HTTPError, OfflineModeIsEnabled) as error:
                raise unreachable(self.api, error) from None

    def _listed(self, wanted: Wanted, author: str | None) -> Iterator[ModelInfo]:
        every = not (wanted.min_downloads or wanted.min_likes or wanted.modified_after)
        return takewhile(
            wanted.may_follow,
            self.api.list_models(
                author=author,
                pipeline_tag=wanted.task,
                filter=wanted.library,
                sort=wanted.sort,
                limit=wanted.limit if every else None,
                expand=["downloads", "likes", "lastModified"],
            ),
        )

    def card(self, model_id: str) -> RawCard | Rejected:
        """The card of one model; Rejected where there is none to be had."""
        return self._answered(model_id, lambda: self._fetch(model_id))

    def find(self, reference: Reference) -> RawCard | Rejected:
        """The card that a reference was written from, at the newest commit that has it; Rejected where none has."""
        return self._answered(reference.model_id, lambda: self._at_blob(reference))

    def _answered(self, model_id: str, ask: Callable[[], RawCard | Rejected]) -> RawCard | Rejected:
        try:
            return patiently(ask)
        except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            raise unreachable(self.api, error) from None
        except GatedRepoError:
            return _rejected(model_id, "gated on the Hub", "accept its terms there and set HF_TOKEN")
        except RepositoryNotFoundError:
            return _rejected(model_id, "not on the Hub, or private", "check the id, or set HF_TOKEN")
        except EntryNotFoundError:
            return _rejected(model_id, "no README.md on the Hub")
        except HFValidationError as error:
            return _rejected(model_id, "not a Hub id", str(error)[:200])
        except HfHubHTTPError as error:
            if error.response.status_code in BUSY:
                raise unreachable(self.api, error) from None
            return _rejected(model_id, "the Hub refused", str(error)[:200])
        except HTTPError as error:
            raise unreachable(self.api, error) from None

    def _fetch(self, model_id: str) -> RawCard | Rejected:
        info = self.api.model_info(model_id, expand=["sha", "siblings", "baseModels"])
        if not any(file.rfilename == README for file in info.siblings or []):
            return _rejected(model_id, "no README.md on the Hub")
        kept = try_to_load_from_cache(model_id, README, revision=info.sha)
        if not isinstance(kept, str):
            url = hf_hub_url(model_id, README, revision=info.sha, endpoint=self.api.endpoint)
            size = self.api.get_hf_file_metadata(url=url).size or 0
            if size > MAX_BYTES:
                return _rejected(model_id, "README.md too large", f"{size} bytes, at most {MAX_BYTES}")
            kept = self.api.hf_hub_download(model_id, README, revision=info.sha)
        content = Path(kept).read_bytes()
        return RawCard(model_id, content, "hub", revision=info.sha, base_models=_base_models(info.base_models))

    def _at_blob(self, reference: Reference) -> RawCard | Rejected:
        name, asked = reference.model_id, 0
        for commit in islice(self.api.list_repo_commits(name), MOST_COMMITS):
            asked += 1
            files = self.api.get_paths_info(name, [README], revision=commit.commit_id)
            if any(getattr(file, "blob_id", None) == reference.git_blob for file in files):
                kept = self.api.hf_hub_download(name, README, revision=commit.commit_id)
                return reference.with_card(Path(kept).read_bytes(), "hub", commit.commit_id)
        detail = f"none of {asked} commits has README.md as {reference.git_blob}"
        return _rejected(name, "the card of the reference is not in its history", detail)


def _base_models(stated: Any) -> list[str]:
    """Ids in what the Hub calls baseModels: `{"relation": ..., "models": [{"id": ...}]}`, or a plain list."""
    models = stated.get("models") if isinstance(stated, dict) else stated
    found = (model.get("id") if isinstance(model, dict) else model for model in models or [])
    return [name for name in found if isinstance(name, str) and name]


# --- waiting ----------------------------------------------------------------------------------------------------------


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The answer to `ask`, after as long a wait as a busy Hub names. Raises what `ask` raised where that is too long."""
    for pause in (*PAUSES, None):
        try:
            return ask()
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            # Where the question about a file fails, the library says that the file is not in its cache.
            busy = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
            wait = _wait(busy, pause) if isinstance(busy, HfHubHTTPError) else None
            if pause is None or wait is None or wait > LONGEST_WAIT:
                raise
        if wait > max(PAUSES):
            print(f"collect: the Hub asks to wait {wait:.0f} s", file=sys.stderr)
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _wait(error: HfHubHTTPError, default: float | None) -> float | None:
    """Seconds that the Hub asks for, `default` where it does not say, None where waiting would not help."""
    response = error.response
    if response.status_code not in BUSY:
        return None
    limit, after = parse_ratelimit_headers(response.headers), response.headers.get("retry-after", "")
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0
    return float(after) if after.isdecimal() else default


def unreachable(api: HfApi, error: Exception) -> ValueError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ValueError(
        f"{api.endpoint} does not answer ({said[:200]}); wait or check HF_ENDPOINT and run again, cards already fetched are kept"
    )


def _rejected(model_id: str, reason: str, detail: str = "") -> Rejected:
    return Rejected("collect", model_id, reason, detail)


# --- datasets ---------------------------------------------------------------------------------------------------------


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
        said = str(error).splitlines()[0][:200]
        raise ValueError(f'collect.path is "{path}": {said}; correct the path or the revision') from None
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise unreachable(HfApi(), error) from None
