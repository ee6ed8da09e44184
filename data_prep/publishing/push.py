"""Sends a folder to a data set of the Hub as one commit with a tag. No message holds the token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from data_prep.core.text import first_line

SAID = {
    401: "the token is not valid; set HF_TOKEN to one that may write",
    403: "the token may not write there; set HF_TOKEN to one that may",
    409: "the tag is there already; choose another publish.tag",
}


def push(folder: Path, repo_id: str, private: bool, tag: str, api: HfApi | None = None) -> str:
    """Makes the data set's files those of `folder`, tags the commit and returns where it is.

    Raises ValueError for whatever the Hub refuses, and before anything is sent where a private data set is asked for and a
    public one is there.
    """
    api, token = api or HfApi(), checked_token(repo_id)
    with refusals_told(api, repo_id, "publish.repo_id", token, SAID, "push again"):
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        if private and not api.dataset_info(repo_id).private:
            raise ValueError(
                f"{repo_id} is public; pass --publish.private false to push there, or choose another publish.repo_id"
            )
        if tag in {known.name for known in api.list_repo_refs(repo_id, repo_type="dataset").tags}:
            raise ValueError(f"{repo_id} has a tag {tag}; choose another publish.tag")
        commit = api.upload_folder(
            repo_id=repo_id, folder_path=folder, repo_type="dataset", commit_message=f"Data set {tag}", delete_patterns="*"
        )
        api.create_tag(repo_id, tag=tag, revision=commit.oid, repo_type="dataset")
        return f"{repo_id} at {commit.oid}, tag {tag}"


def checked_token(repo_id: str) -> str:
    """Raises ValueError where there is no token, or none that a request could carry."""
    token = get_token()
    if not token:
        raise ValueError(
            f"there is no token to push to {repo_id} with; set HF_TOKEN to one that may write, or run hf auth login"
        )
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token holds characters that no token has; set HF_TOKEN anew, or run hf auth login")
    return token


@contextmanager
def refusals_told(api: HfApi, repo_id: str, key: str, token: str, said: Mapping[int, str], again: str) -> Iterator[None]:
    """Makes a ValueError of whatever the Hub refuses: `said` by the answer's status, `key` names the repository in a recipe,
    `again` is the next move where the Hub is away."""
    try:
        yield
    except HfHubHTTPError as error:
        raise ValueError(
            f"{repo_id} was not pushed: {said.get(error.response.status_code) or censored(error, token)}"
        ) from None
    except HFValidationError as error:
        raise ValueError(f"{key}: {censored(error, token)}") from None
    except (HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError, OSError) as error:
        raise ValueError(f"{api.endpoint} does not answer ({censored(error, token)}); check HF_ENDPOINT and {again}") from None


def censored(error: Exception, token: str) -> str:
    """What went wrong, short, without the token: some errors quote a header."""
    return first_line(error).replace(token, "…")[:200]
