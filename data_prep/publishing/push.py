"""Sends a folder to a data set of the Hub as one commit with a tag. No message holds the token."""

from __future__ import annotations

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
    api = api or HfApi()
    token = get_token()
    if token and not (token.isascii() and token.isprintable()):
        raise ValueError("the token holds characters that no token has; set HF_TOKEN anew, or run hf auth login")
    if not token:
        raise ValueError(
            f"there is no token to push to {repo_id} with; set HF_TOKEN to one that may write, or run hf auth login"
        )
    try:
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
    except HfHubHTTPError as error:
        said = SAID.get(error.response.status_code) or censored(error, token)
        raise ValueError(f"{repo_id} was not pushed: {said}") from None
    except HFValidationError as error:
        raise ValueError(f"publish.repo_id: {censored(error, token)}") from None
    except (HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError, OSError) as error:
        raise ValueError(
            f"{api.endpoint} does not answer ({censored(error, token)}); check HF_ENDPOINT and push again"
        ) from None
    return f"{repo_id} at {commit.oid}, tag {tag}"


def censored(error: Exception, token: str) -> str:
    """What went wrong, short, without the token: some errors quote a header."""
    return first_line(error).replace(token, "…")[:200]
