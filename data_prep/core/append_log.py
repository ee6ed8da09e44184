"""Files that only grow, line by line, so that a killed run goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of `path`, none where there is no such file; what a kill left of a last one is passed over."""
    if path.exists():
        with open(path, "rb") as handle:
            yield from (line for line in handle if line.endswith(b"\n"))


def cut(path: Path, size: int) -> None:
    """Leaves the first `size` bytes, on the disk when this returns."""
    with open(path, "r+b") as handle:
        handle.truncate(size)
        os.fsync(handle.fileno())


@contextmanager
def open_log(path: Path) -> Iterator[Callable[..., None]]:
    """Gives the function that appends lines, on the disk when it returns; its own are the line ends alone. What a kill left of
    a last line is cut off first: the next one would join it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # As elsewhere: a lone surrogate becomes the JSON escape that means it.
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as handle:
        handle.truncate(sum(map(len, whole_lines(path))))

        def append(*lines: str) -> None:
            handle.writelines(f"{line}\n" for line in lines)
            handle.flush()
            os.fsync(handle.fileno())

        yield append
