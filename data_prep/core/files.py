"""Files of records: JSON and JSONL, and folders, written whole or not at all, stable ids, and joins of files in step."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from data_prep.core.records import TRAINED_ON, Attached, CardNotes, Correction, Generation, HeldOut, Note, Rejected

Record = TypeVar("Record")
Item = TypeVar("Item")


def stable_id(*parts: str) -> str:
    """First 16 hex digits of the SHA-256 of the parts, separated so that ("ab", "c") and ("a", "bc") differ."""
    return sha256_text("\x1f".join(parts))[:16]


def sha256_text(text: str) -> str:
    # Cards hold lone surrogates now and then; the hash must not be what stops on them.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_file(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[Any]:
    """A handle on `path.tmp`, renamed to `path` when the block ends well, so that nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    # backslashreplace turns a lone surrogate (YAML can spell one) into the JSON escape that means it.
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    with open(temporary, mode, encoding=encoding, errors=errors) as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends well; a failure leaves what was there. Of a link to a
    folder, it takes the place of the link."""
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    follow_umask(temporary)
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def follow_umask(folder: Path) -> None:
    """Gives the folder's weights the mode that any other new file has. safetensors writes them for their owner alone, and no
    colleague and no server could read them. Another mode, or another's file, is somebody's choice and stays."""
    umask = os.umask(0o077)  # only setting it tells it; what another thread makes meanwhile is too private, never too open
    os.umask(umask)
    for path in folder.glob("*.safetensors"):
        with suppress(PermissionError):
            if stat.S_IMODE(path.stat().st_mode) == 0o600:
                path.chmod(0o666 & ~umask)


def to_json(record: Any) -> str:
    value = dataclasses.asdict(record) if dataclasses.is_dataclass(record) and not isinstance(record, type) else record
    return json.dumps(value, ensure_ascii=False, sort_keys=False)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as handle:
        handle.write(text)


def write_changed(path: Path, text: str) -> None:
    """Leaves a file that has the text already as it is, with its time."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def write_jsonl(path: Path, records: Iterable[Any]) -> int:
    """Writes one record a line, streaming; returns how many."""
    count = 0
    with replacing(path) as handle:
        for record in records:
            handle.write(to_json(record) + "\n")
            count += 1
    return count


def read_dicts(path: Path) -> Iterator[dict[str, Any]]:
    """One dict a line. Raises ValueError that names file and line where a line is no JSON object."""
    with open(path, encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number} is not JSON ({error.msg}); delete the line or make the file again") from None
            if not isinstance(value, dict):
                raise ValueError(f"{path}:{number} holds {type(value).__name__}, expected a JSON object")
            yield value


def read_jsonl(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Streams records of `kind`. Raises ValueError where a line lacks a field or has one too many."""
    if not path.exists():
        raise ValueError(f"{path} is missing; run the stage that writes it first (recipes/run.sh shows their order)")
    for number, row in enumerate(read_dicts(path), 1):
        try:
            yield _build(kind, row)
        except TypeError as error:
            raise ValueError(f"{path}:{number} does not fit {kind.__name__}: {error}") from None


def _build(kind: type[Record], row: dict[str, Any]) -> Record:
    if kind in (Attached, CardNotes) and "notes" in row:
        row = {**row, "notes": [Note(**note) for note in row["notes"]]}
    return kind(**row)


def read_split(path: Path) -> dict[str, Any]:
    """`split.json`: `splits` and `families` by card id, and `common_sources`, whose notes serve training cards only."""
    if not path.exists():
        raise ValueError(f"{path} is missing; run data_prep.split first")
    return {"common_sources": [], **json.loads(path.read_text(encoding="utf-8"))}


def trained_split(card: HeldOut, splits: Mapping[str, str]) -> str:
    """The split of a card that samples were drawn of. Raises ValueError where it is not, or no longer, one that is trained on."""
    if (split := splits.get(card.id, "none")) not in TRAINED_ON:
        raise ValueError(
            f"sampling.jsonl has card {card.id}, whose split is {split} in split.json: that was made again; run data_prep.examples too"
        )
    return split


def set_aside(path: Path, stage: str, rows: Iterable[Rejected]) -> int:
    """Replaces `stage`'s rows in the shared `rejected.jsonl`, leaving the other stages' rows; returns how many."""
    others = (row for row in read_dicts(path) if row["stage"] != stage) if path.exists() else ()
    count = 0
    with replacing(path) as handle:
        for other in others:
            handle.write(to_json(other) + "\n")
        for row in rows:
            handle.write(to_json(row) + "\n")
            count += 1
    return count


def in_step(ids: Iterable[str], rows: Iterable[Record], key: Callable[[Record], str]) -> Iterator[tuple[str, list[Record]]]:
    """For each id its rows, where `rows` follow the order of `ids`: a join that holds one id's rows at a time.

    Raises ValueError where a row is left that no id claimed: the two files are not of one run.
    """
    stream = iter(rows)
    waiting = next(stream, None)
    for current in ids:
        found = []
        while waiting is not None and key(waiting) == current:
            found.append(waiting)
            waiting = next(stream, None)
        yield current, found
    if waiting is not None:
        raise ValueError(f"no card {key(waiting)} at its place in cards.jsonl; run the stages from collect on again")


def merge_join(
    items: Iterable[Item], rows: Iterable[Record], name_of: Callable[[Item], str], key: Callable[[Record], str]
) -> Iterator[tuple[Item, list[Record]]]:
    """`in_step` for the items themselves, which are read once: each with its rows."""
    current: list[Item] = []

    def names() -> Iterator[str]:
        for item in items:
            current[:] = [item]
            yield name_of(item)

    return ((current[0], found) for _, found in in_step(names(), rows, key))


def first_by(items: Iterable[Item], key: Callable[[Item], str]) -> list[Item]:
    """The items in their order, without those whose key one before them has."""
    found: dict[str, Item] = {}
    for item in items:
        found.setdefault(key(item), item)
    return list(found.values())


def samples_of(cards: Sequence[HeldOut], path: Path) -> Iterator[tuple[HeldOut, list[Generation]]]:
    """Each card with its samples of `path`, in the order of the cards and of the samples' numbers. Batches of like length
    left them in another order, so all are held. Raises ValueError where a sample is of no such card."""
    place = {card.id: index for index, card in enumerate(cards)}
    samples = list(read_jsonl(path, Generation))
    if strange := next((sample.id for sample in samples if sample.id not in place), None):
        raise ValueError(
            f"{path} has samples of card {strange}, which sampling.jsonl lacks; run eval.generate --stage sample again"
        )
    samples.sort(key=lambda sample: (place[sample.id], sample.sample))
    return merge_join(cards, samples, lambda card: card.id, lambda sample: sample.id)


def corrections_of(path: Path, cards: Iterable[HeldOut], stage: str) -> tuple[dict[str, list[Correction]], list[Rejected]]:
    """By card; and what `stage` sets aside, since its card is none of these."""
    found: dict[str, list[Correction]] = defaultdict(list)
    for row in read_jsonl(path, Correction):
        found[row.card_id].append(row)
    gone = sorted(found.keys() - {card.id for card in cards})
    return found, [
        Rejected(stage, card, "its corrected pages are of a card that sampling.jsonl does not have") for card in gone
    ]


def git_blob(content: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
