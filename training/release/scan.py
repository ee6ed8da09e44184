"""Looks through a folder that is to be published for what must not leave this machine.

    pickles and archives      by ending and by their first bytes; links too
    paths of a machine        home directories, this working folder, this Python, mounts and scratch folders
    names                     of this user and this host, where they stand as part of a path or an address
    secrets                   tokens and keys by their form, and whatever the environment calls TOKEN, KEY, SECRET or PASSWORD

Text files are read line by line, of safetensors the header. A finding names file and line, never what a secret says.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".ckpt", ".zip", ".tar", ".gz", ".h5", ".so")
MAGIC = {b"PK\x03\x04": "a zip archive, as torch.save writes it", b"\x1f\x8b": "a gzip archive", b"\x7fELF": "a program"}
SECRETS = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}",
    "an API key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,})",
    "a GitLab token": r"\bglpat-[\w-]{20,}",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a Google key": r"\bAIza[\w-]{35}",
    "a Slack token": r"\bxox[abprs]-[\w-]{10,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
}
# Two parts at least: /home alone is a word of many vocabularies. A scheme or a word in front makes it part of a URL.
PATHS = re.compile(
    r"(?<![\w.:/~-])(?:/(?:home|Users|root|mnt|tmp|scratch|workspace|work|data|var|opt|srv|gpfs|lustre|nfs|fsx|content|kaggle|"
    r"Volumes|private|projects|export)/[\w.@-]+|~/[\w.@-]+|[A-Za-z]:\\+Users\\+\w+|file://)"
)
SECRET_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|(?:^|_)KEY$|API_?KEY|CREDENTIAL", re.IGNORECASE)
COMMON_NAMES = frozenset(("root", "user", "admin", "ubuntu", "nobody", "localhost"))  # say nothing about anybody
VOCABULARY = ("vocab.json", "merges.txt")  # words of a language: any of them may look like anything


@dataclass(frozen=True)
class Finding:
    place: str  # file:line, or the file alone
    what: str


def scan(folder: Path, allowed_words: Collection[str] = ()) -> list[Finding]:
    """Everything in `folder` that must not be published. `allowed_words` may stand there although they are this user's or
    this host's name: the owner of the repository."""
    literals = own_literals(allowed_words)
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.append(Finding(name, "a link"))
        elif path.is_file():
            found += _scan_file(path, name, literals)
    return found


def check(folder: Path, allowed_words: Collection[str] = ()) -> None:
    """Raises ValueError with every finding and the next move."""
    if found := scan(folder, allowed_words):
        listed = "; ".join(f"{folder / finding.place}: {finding.what}" for finding in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise ValueError(
            f"{listed}{more}; nothing was sent. Take it out of what the release is made from (the model's folder, the recipe) and "
            "run training.publish again"
        )


def own_literals(allowed_words: Collection[str] = ()) -> dict[re.Pattern[str], str]:
    """Patterns of what is this machine's own -> what they are."""
    here = {"the home directory": Path.home(), "the working folder": Path.cwd(), "this Python": Path(sys.prefix)}
    literals = {
        re.compile(rf"(?<!\w){re.escape(str(path))}(?!\w)"): f"a path of this machine, {what}"
        for what, path in here.items()
        if len(path.parts) > 2  # /root is in every vocabulary, and PATHS sees what follows it
    }
    kept = COMMON_NAMES | {word.lower() for word in allowed_words}
    for what, word in (("user", _user()), ("host", socket.gethostname())):
        if len(word) > 2 and word.lower() not in kept:
            literals[re.compile(rf"[/\\@]{re.escape(word)}\b|\b{re.escape(word)}(?=[/\\@])", re.IGNORECASE)] = (
                f"the name of this {what}"
            )
    for name, value in os.environ.items():
        if SECRET_NAMES.search(name) and len(value) >= 8 and not value.startswith("/"):
            literals[re.compile(re.escape(value))] = f"the value of {name}"
    return literals


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""


def _scan_file(path: Path, name: str, literals: dict[re.Pattern[str], str]) -> Iterator[Finding]:
    with open(path, "rb") as handle:
        start = handle.read(8)
    if path.suffix in PICKLES:
        yield Finding(name, f"a {path.suffix} file, which may hold a pickle")
    elif start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        yield Finding(name, "a pickle, by its first bytes")
    elif kind := next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None):
        yield Finding(name, kind)
    elif path.suffix == ".safetensors":
        yield from _scan_header(path, name, literals)
    else:
        yield from _scan_text(path, name, literals)


def _scan_header(path: Path, name: str, literals: dict[re.Pattern[str], str]) -> Iterator[Finding]:
    size = path.stat().st_size
    with open(path, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = handle.read(length) if length <= size - 8 else b""
    try:
        tensors = json.loads(header)
        ends = [entry["data_offsets"][1] for key, entry in tensors.items() if key != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Finding(name, "no safetensors file: its header cannot be read")
        return
    if 8 + length + max(ends, default=0) != size:
        yield Finding(name, "a safetensors file with bytes beside its tensors, or with some missing")
    for what in _findings(header.decode("utf-8", "replace"), literals):
        yield Finding(f"{name}:header", what)


def _scan_text(path: Path, name: str, literals: dict[re.Pattern[str], str]) -> Iterator[Finding]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield Finding(name, "neither text nor safetensors")
        return
    if path.name == "tokenizer.json":
        text = _without_vocabulary(text)
    secrets_alone = path.name in VOCABULARY
    for number, line in enumerate(text.split("\n"), 1):
        for what in _findings(line, literals, secrets_alone):
            yield Finding(f"{name}:{number}", what)


def _without_vocabulary(text: str) -> str:
    """The same lines, empty where they hold words of the vocabulary or merges of them, in the library's layout: one a line."""
    try:
        words = set(json.loads(text)["model"]["vocab"])
    except (ValueError, KeyError, TypeError):
        return text

    def is_word(line: str) -> bool:
        try:
            found = json.loads(re.sub(r"(: \d+)?,?$", "", line.strip()))
        except ValueError:
            return False
        return isinstance(found, str) and (found in words or words.issuperset(found.split(" ")))

    return "\n".join("" if is_word(line) else line for line in text.split("\n"))


def _findings(text: str, literals: dict[re.Pattern[str], str], secrets_alone: bool = False) -> Iterator[str]:
    for what, form in SECRETS.items():
        if re.search(form, text):
            yield what
    told = False
    for pattern, what in literals.items():
        if not (secrets_alone and not what.startswith("the value of")) and pattern.search(text):
            told = told or what.startswith("a path")
            yield what
    if not secrets_alone and not told and (match := PATHS.search(text)):
        yield f"an absolute path ({match[0]}…)"
