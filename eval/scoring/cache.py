"""What was measured already, one line a text: a scoring that was killed, or that is run again with another system or another
judge's figures, measures nothing twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from data_prep.core.files import replacing, sha256_text


class ScoreStore:
    """`eval/scores.part.jsonl`. A line's key hashes everything its content follows from, `version` of the code included:
    after a change in a check no line is found, and all is measured anew."""

    def __init__(self, path: Path, version: str) -> None:
        self.path, self.version = path, version
        self.known: dict[str, Any] = {}
        self.used: set[str] = set()
        self.made = 0
        self._handle: TextIO | None = None
        self._read()

    def measured(self, parts: list[str], make: Callable[[], Any]) -> Any:
        """The stored value for `parts`, or what `make` gives, stored. Both have passed through JSON, so both are alike."""
        key = sha256_text(json.dumps([self.version, *parts]))
        if key not in self.known:
            line = json.dumps({"key": key, "value": make()})
            if self._handle is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._handle = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 (open as long as the store)
            self._handle.write(line + "\n")
            self._handle.flush()
            self.known[key] = json.loads(line)["value"]
            self.made += 1
        self.used.add(key)
        return self.known[key]

    def close(self) -> None:
        """Leaves only the lines that this scoring used: those of an earlier version or of deleted texts are of no use."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None
        if self.used != set(self.known):
            with replacing(self.path) as handle:
                for key in (key for key in self.known if key in self.used):
                    handle.write(json.dumps({"key": key, "value": self.known[key]}) + "\n")

    def _read(self) -> None:
        """Whole lines only; what a kill left of the last one is cut off, so that the next line does not join it."""
        if not self.path.exists():
            return
        whole = 0
        with open(self.path, "rb") as handle:
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    row = json.loads(line)
                    self.known[row["key"]] = row["value"]
                except (ValueError, KeyError, TypeError):
                    continue  # a line nobody can read is measured again
        if whole != self.path.stat().st_size:
            os.truncate(self.path, whole)
