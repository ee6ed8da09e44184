"""What was measured already, one line a text: a scoring that was killed, or that is run again with another system or another
judge's figures, measures nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.core.append_log import open_log, whole_lines
from data_prep.core.files import replacing, sha256_text


class ScoreStore:
    """`eval/scores.part.jsonl`. A line's key hashes everything its content follows from, `version` of the code included:
    after a change in a check no line is found, and all is measured anew."""

    def __init__(self, path: Path, version: str) -> None:
        self.path, self.version = path, version
        self.known: dict[str, Any] = {}
        self.used: set[str] = set()
        self.made = 0
        self._held = ExitStack()
        for line in whole_lines(path):
            try:
                row = json.loads(line)
                self.known[row["key"]] = row["value"]
            except (ValueError, KeyError, TypeError):
                continue  # a line nobody can read is measured again

    @cached_property
    def _append(self) -> Callable[..., None]:
        return self._held.enter_context(open_log(self.path))

    def measured(self, parts: list[str], make: Callable[[], Any]) -> Any:
        """The stored value for `parts`, or what `make` gives, stored. Both have passed through JSON, so both are alike."""
        key = sha256_text(json.dumps([self.version, *parts]))
        if key not in self.known:
            line = json.dumps({"key": key, "value": make()})
            self._append(line)
            self.known[key] = json.loads(line)["value"]
            self.made += 1
        self.used.add(key)
        return self.known[key]

    def close(self) -> None:
        """Leaves only the lines that this scoring used: those of an earlier version or of deleted texts are of no use."""
        self._held.close()
        if self.used != set(self.known):
            with replacing(self.path) as handle:
                for key in (key for key in self.known if key in self.used):
                    handle.write(json.dumps({"key": key, "value": self.known[key]}) + "\n")
