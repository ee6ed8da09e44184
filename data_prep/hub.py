"""Model cards from the Hugging Face Hub, each at the commit that the Hub names when it is asked.

The token comes from the environment alone (`HF_TOKEN` or `hf auth login`), the address of another Hub from `HF_ENDPOINT`.
Cards are kept in the Hub library's cache, so a run that was stopped asks for the rest only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from huggingface_hub import HfApi
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

from data_prep.schema import RawCard, Rejected

README = "README.md"
MAX_BYTES = 2_000_000  # a README beyond this is a log
WAIT = (429, 500, 502, 503, 504)  # answers that say nothing about the one model


def hub_cards(
    ids: Sequence[str], authors: Sequence[str], limit: int | None, api: HfApi | None = None
) -> Iterator[RawCard | Rejected]:
    """Cards of the named models, then of each author's models; Rejected where there is none to be had.

    Raises ValueError where the Hub cannot be reached or asks to wait: then nothing is known about the models to come.
    """
    api = api or HfApi()
    for model_id in islice(_names(ids, authors, limit, api), limit):
        try:
            yield _fetch(model_id, api)
        except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            raise _unreachable(api, error) from None
        except GatedRepoError:
            yield _rejected(model_id, "gated on the Hub", "accept its terms there and set HF_TOKEN")
        except RepositoryNotFoundError:
            yield _rejected(model_id, "not on the Hub, or private", "check the id, or set HF_TOKEN")
        except EntryNotFoundError:
            yield _rejected(model_id, "no README.md on the Hub")
        except HFValidationError as error:
            yield _rejected(model_id, "not a Hub id", str(error)[:200])
        except HfHubHTTPError as error:
            if error.response.status_code in WAIT:
                raise _unreachable(api, error) from None
            yield _rejected(model_id, "the Hub refused", str(error)[:200])
        except HTTPError as error:
            raise _unreachable(api, error) from None


def _names(ids: Sequence[str], authors: Sequence[str], limit: int | None, api: HfApi) -> Iterator[str]:
    yield from ids
    for author in authors:
        try:
            yield from (model.id for model in api.list_models(author=author, limit=limit))
        except (HTTPError, OfflineModeIsEnabled) as error:
            raise _unreachable(api, error) from None


def _fetch(model_id: str, api: HfApi) -> RawCard | Rejected:
    info = api.model_info(model_id, files_metadata=True)
    readme = next((file for file in info.siblings or [] if file.rfilename == README), None)
    if readme is None:
        return _rejected(model_id, "no README.md on the Hub")
    if (readme.size or 0) > MAX_BYTES:
        return _rejected(model_id, "README.md too large", f"{readme.size} bytes, at most {MAX_BYTES}")
    file = api.hf_hub_download(model_id, README, revision=info.sha)
    return RawCard(model_id, Path(file).read_bytes(), "hub", revision=info.sha)


def _rejected(model_id: str, reason: str, detail: str = "") -> Rejected:
    return Rejected("collect", model_id, reason, detail)


def _unreachable(api: HfApi, error: Exception) -> ValueError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ValueError(
        f"{api.endpoint} does not answer ({said[:200]}); wait or check HF_ENDPOINT and run again, cards already fetched are kept"
    )
