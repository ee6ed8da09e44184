"""Questions to a chat model, what comes of them, and the file that keeps the answers.

An answer is kept under a hash of everything that can change it, so what was paid for once is never asked again: not after
a kill, not by another stage, not when the server has moved.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from data_prep.core.files import sha256_text


@dataclass(frozen=True)
class Question:
    """Chat messages, each with `role` and `content`."""

    messages: Sequence[Mapping[str, str]]
    sample: int = 0  # which of several answers to the same messages
    temperature: float | None = None  # in place of the endpoint's


@dataclass(frozen=True)
class Answer:
    """What the model said. `text` is free of reasoning; `finish_reason` is "length" where the token limit cut it."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    model: str  # as the server names it
    key: str
    cached: bool = False  # cost nothing this time
    reasoning: str = ""


@dataclass(frozen=True)
class Failure:
    """No answer to this one question, and why. It is not kept: the next run asks again."""

    reason: str
    key: str
    empty: Answer | None = None
    """What the model ended, or its token limit cut, without a text: an answer to whoever measures the model."""


def answer_key(body: Mapping[str, Any], sample: int) -> str:
    """SHA-256 of the request's body and the sample's number, in an order of its own. The server's address is no part."""
    return sha256_text(json.dumps({"body": body, "sample": sample}, sort_keys=True))


KEPT = tuple(field.name for field in fields(Answer) if field.name != "cached")


class AnswerCache:
    """Answers in one SQLite file, each committed on its own. Use from one thread at a time.

    In WAL mode with synchronous NORMAL a commit is a write without a sync: a killed process loses nothing, since the
    system has the bytes. After a power cut the newest answers may be missing, never broken; asking those again is cheaper
    than a disk sync for each. Raises ValueError, which names the file, for whatever SQLite cannot do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            # 60 s: another process may be writing to the same file.
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT, finish_reason TEXT, "
                "prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT, reasoning TEXT)"
            )

    def get(self, key: str) -> Answer | None:
        with self._explained():
            row = self._db.execute(f"SELECT {', '.join(KEPT)} FROM answers WHERE key = ?", (key,)).fetchone()
        return row and Answer(**dict(zip(KEPT, row, strict=True)), cached=True)

    def put(self, answer: Answer) -> None:
        values = [getattr(answer, name) for name in KEPT]
        with self._explained():
            self._db.execute(f"INSERT OR IGNORE INTO answers ({', '.join(KEPT)}) VALUES ({', '.join('?' * len(KEPT))})", values)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ValueError(f"{self._path}: {error}; check that it is a file of answers on a disk with room") from None
