"""Model cards and datasets from the Hugging Face Hub, each at the commit that the Hub names when it is asked.

A card costs one request to the API and two for the file at `resolve/<commit>/README.md`; no HTML page is read. The token
comes from the environment alone (`HF_TOKEN` or `hf auth login`), the address of another Hub from `HF_ENDPOINT`. Cards are kept
in the Hub library's cache, so a run that was stopped asks for the rest only. Where the Hub says how long to wait, we wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelInfo, hf_hub_url, try_to_load_from_cache
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

from data_prep.collecting.config import SourceConfig
from data_prep.collecting.hub_wait import BUSY, patiently, unreachable
from data_prep.collecting.references import Reference
from data_prep.core.records import RawCard, Rejected

README = "README.md"
MOST_COMMITS = 500  # of one model, newest first, among which the card of a reference is looked for
MAX_BYTES = 2_000_000  # a README beyond this is a log
# Keys that select among the two million models of the Hub, as authors do; `limit` alone does not.
SELECTING = ("task", "library", "min_downloads", "min_likes", "modified_after", "sort")


def fits(wanted: SourceConfig, model: ModelInfo) -> bool:
    """A model that does not is not an input, so it is not set aside either."""
    return (
        (model.downloads or 0) >= (wanted.min_downloads or 0)
        and (model.likes or 0) >= (wanted.min_likes or 0)
        and day_of(model) >= (wanted.modified_after or "")
    )


def may_follow(wanted: SourceConfig, model: ModelInfo) -> bool:
    """False where `model`, and so all after it in the order asked for, are below the bound."""
    if wanted.sort == "downloads":
        return (model.downloads or 0) >= (wanted.min_downloads or 0)
    if wanted.sort == "likes":
        return (model.likes or 0) >= (wanted.min_likes or 0)
    return wanted.sort != "last_modified" or day_of(model) >= (wanted.modified_after or "")


def day_of(model: ModelInfo) -> str:
    return model.last_modified.date().isoformat() if model.last_modified else ""


class HubCards:
    """Raises ValueError where the Hub cannot be reached or asks to wait too long: nothing is known about the models to come."""

    def __init__(self, api: HfApi | None = None):
        self.api = api or HfApi()

    def names(self, wanted: SourceConfig) -> Iterator[str]:
        """The named models, then those that fit, each author's in turn. Raises ValueError where nothing narrows them."""
        selects = wanted.authors or any(getattr(wanted, key) is not None for key in SELECTING)
        if not wanted.ids and not selects:
            raise ValueError(
                "collect.source hub needs collect.ids, collect.authors or another key that selects models; "
                "add for example --collect.ids '[owner/name]'"
            )
        authors: list[str | None] = [*wanted.authors] or [None]
        return chain(wanted.ids, *(self._listed(wanted, author) for author in authors if selects))

    def _listed(self, wanted: SourceConfig, author: str | None) -> Iterator[str]:
        every = not (wanted.min_downloads or wanted.min_likes or wanted.modified_after)
        try:
            models = self.api.list_models(
                author=author,
                pipeline_tag=wanted.task,
                filter=wanted.library,
                sort=wanted.sort,
                limit=wanted.limit if every else None,
                expand=["downloads", "likes", "lastModified"],
            )
            yield from (model.id for model in takewhile(partial(may_follow, wanted), models) if fits(wanted, model))
        except (HTTPError, OfflineModeIsEnabled) as error:
            raise unreachable(self.api, error) from None

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


def _rejected(model_id: str, reason: str, detail: str = "") -> Rejected:
    return Rejected("collect", model_id, reason, detail)
