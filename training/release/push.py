"""Makes a model repository of the Hub what a release folder is: one commit, then a tag, or a pull request.

What is there already is compared by hash, so that a second run has nothing to do, and one that was cut in the middle goes
on: weights that arrived are not sent again. No message holds the token.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    RevisionNotFoundError,
)

from data_prep.core.files import git_blob, sha256_file
from data_prep.publishing.push import SAID, censored, checked_token, refusals_told
from training.release.space import SDK

PAUSES_S = (0, 2, 8)  # before each try
REFUSED = (400, 401, 403, 404)  # answers that another try does not change
REFUSALS = {
    404: "it is not there, or the token may not see it",
    **SAID,
    409: "something else was pushed meanwhile; run it again",
}
KEPT = (".gitattributes",)  # the Hub's own


@dataclass(frozen=True)
class Target:
    """Where a release goes. `create_pr`: as a pull request that its owner merges; the tag is for afterwards. `kind`: "model", or
    "space" for a page that the Hub runs."""

    repository: str
    tag: str
    private: bool
    create_pr: bool
    kind: str = "model"


def push(folder: Path, place: Target, api: HfApi | None = None) -> str:
    """Sends `folder` and returns what was done, as a sentence.

    Raises ValueError for whatever the Hub refuses, where a public repository is to be private, and where the tag is taken
    by other files: then nothing is sent.
    """
    api, name, token = api or HfApi(), place.repository, checked_token(place.repository)
    key, again = "publish_model names no repository of the Hub", "run it again: it goes on where it stopped"
    with refusals_told(api, name, key, token, REFUSALS, again):
        sdk = SDK if place.kind == "space" else None
        api.create_repo(name, repo_type=place.kind, private=place.private, exist_ok=True, space_sdk=sdk)
        if place.private and not api.repo_info(name, repo_type=place.kind).private:
            raise ValueError(
                f"{name} is public; pass --publish_model.private false to push there, or choose another repository"
            )
        return deliver(api, folder, place, token)


def deliver(api: HfApi, folder: Path, place: Target, token: str) -> str:
    """Tries the commit again after a cut connection: it may have arrived, so the repository is looked at before each try."""
    name, refs = place.repository, api.list_repo_refs(place.repository, repo_type=place.kind, include_pull_requests=True)
    if place.tag in {tag.name for tag in refs.tags}:
        if differs(api, folder, place, place.tag):
            raise ValueError(f"{name} has a tag {place.tag} with other files; choose another publish_model.tag")
        return f"{name} at {place.tag} holds these files already, nothing to do"
    if place.create_pr:
        for ref in refs.pull_requests or ():
            if not differs(api, folder, place, ref.ref):
                return f"{name} has a pull request with these files already ({ref.ref}), nothing to do"
    for number, pause in enumerate(PAUSES_S, 1):
        time.sleep(pause)
        try:
            return commit(api, folder, place)
        except (HTTPError, OSError) as error:
            if (isinstance(error, HfHubHTTPError) and error.response.status_code in REFUSED) or number == len(PAUSES_S):
                raise
            print(f"publish: the connection to {name} broke ({censored(error, token)}); trying again")
    raise AssertionError("the last try returns or raises")


def commit(api: HfApi, folder: Path, place: Target) -> str:
    name, changes = place.repository, differs(api, folder, place, "main")
    oid, done = api.repo_info(name, repo_type=place.kind).sha, "held the files already"
    if changes:
        made = api.create_commit(
            name, changes, repo_type=place.kind, commit_message=f"Release {place.tag}", create_pr=place.create_pr
        )
        if place.create_pr:
            return (
                f"{name}: pull request {made.pr_url}; when it is merged, run this again without create_pr to tag it {place.tag}"
            )
        oid, done = made.oid, f"{len(changes)} files changed"
    if place.create_pr:
        return f"{name} holds these files already, nothing to do"
    api.create_tag(name, repo_type=place.kind, tag=place.tag, revision=oid)
    return f"{name} at {oid}, tag {place.tag}, {done}"


def differs(api: HfApi, folder: Path, place: Target, revision: str) -> list[CommitOperationAdd | CommitOperationDelete]:
    """What a commit on `revision` has to change for it to be `folder`; made anew for each try, a commit uses them up."""
    try:
        there = {
            entry.path: entry
            for entry in api.list_repo_tree(place.repository, repo_type=place.kind, recursive=True, revision=revision)
            if isinstance(entry, RepoFile)
        }
    except RevisionNotFoundError:
        there = {}
    return list(changes(folder, there))


def changes(folder: Path, there: dict[str, RepoFile]) -> Iterator[CommitOperationAdd | CommitOperationDelete]:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for name, path in files.items():
        if name not in there or not is_same(path, there[name]):
            yield CommitOperationAdd(name, path)
    for name in there.keys() - files.keys() - set(KEPT):
        yield CommitOperationDelete(name)


def is_same(path: Path, remote: RepoFile) -> bool:
    if path.stat().st_size != remote.size:
        return False
    if remote.lfs:
        return sha256_file(path) == remote.lfs.sha256
    return git_blob(path.read_bytes()) == remote.blob_id
