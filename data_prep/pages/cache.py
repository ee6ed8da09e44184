"""Pages as they were when they were asked for, in one SQLite file, so that no second run asks again.

Each page is written in a transaction of its own, in WAL mode: a process killed at any moment leaves a file that the next one
opens and goes on with. WAL needs a local disk.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROBOTS_SECONDS = 24 * 3600  # RFC 9309, 2.4: not used for longer than a day

TABLES = """
CREATE TABLE IF NOT EXISTS pages (
    url TEXT PRIMARY KEY, final_url TEXT NOT NULL, status INTEGER, content_type TEXT NOT NULL, content BLOB NOT NULL,
    sha256 TEXT NOT NULL, fetched_at TEXT NOT NULL, refused TEXT NOT NULL, rules TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS robots (origin TEXT PRIMARY KEY, fetched REAL NOT NULL, content BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Page:
    """What came of asking for `url`: its content, or in `refused` the reason why there is none ("" where there is)."""

    url: str  # as asked for
    final_url: str  # where the redirects ended, be it at a refusal
    status: int | None  # None where no server answered
    content_type: str
    content: bytes  # decoded
    sha256: str  # of the content
    fetched_at: str  # UTC, 2026-11-25T09:00:00Z
    refused: str = ""


def fetched_page(url: str, final_url: str, content_type: str, content: bytes) -> Page:
    return Page(url, final_url, 200, content_type, content, hashlib.sha256(content).hexdigest(), _now())


def refused_page(url: str, final_url: str, status: int | None, refused: str) -> Page:
    return Page(url, final_url, status, "", b"", hashlib.sha256().hexdigest(), _now(), refused)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _storable(url: str) -> str:
    """`url` with lone surrogates, which a card can hold and UTF-8 cannot, written out."""
    return url.encode("utf-8", "backslashreplace").decode("utf-8")


class PageCache:
    """Pages and refusals by the URL that was asked for; a day's robots.txt by origin. Raises ValueError on a foreign file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Autocommit: one statement, one transaction. The thread that fetches is not the one that opens.
            self._base = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} cannot be used for snapshots ({error}); move it away or name another file") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()

    def get(self, url: str, rules: str | None = None) -> Page | None:
        """The page stored for `url`. With `rules`, a refusal counts only where it was made under the same ones."""
        row = self._base.execute("SELECT * FROM pages WHERE url = ?", (_storable(url),)).fetchone()
        if row is None:
            return None
        _, final_url, status, content_type, content, sha256, fetched_at, refused, made_under = row
        if refused and rules not in (None, made_under):
            return None
        return Page(url, final_url, status, content_type, zlib.decompress(content), sha256, fetched_at, refused)

    def put(self, page: Page, rules: str = "") -> None:
        """Stores `page`, replacing what was there for its URL. `rules` names what a refusal depends on."""
        packed = zlib.compress(page.content, 3)
        urls = _storable(page.url), _storable(page.final_url)
        row = (*urls, page.status, page.content_type, packed, page.sha256, page.fetched_at, page.refused, rules)
        self._base.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def robots(self, origin: str) -> bytes | None:
        """robots.txt of `origin` (scheme://host) where it was had within the last day; b"" where the host has none."""
        after = time.time() - ROBOTS_SECONDS
        row = self._base.execute("SELECT content FROM robots WHERE origin = ? AND fetched > ?", (origin, after)).fetchone()
        return zlib.decompress(row[0]) if row else None

    def put_robots(self, origin: str, content: bytes) -> None:
        self._base.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", (origin, time.time(), zlib.compress(content)))
