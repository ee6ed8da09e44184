"""One process at a time at a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(output: Path, instead: str = "write to another place") -> Iterator[None]:
    """Holds `output` for this run; the system lets go of it when the process ends, however it ends. Raises ValueError
    where another run holds it; `instead` is what else to do."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output.with_name(f".{output.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is writing {output}; wait for it to end, or {instead}") from None
    try:
        yield
    finally:
        lock.release()
