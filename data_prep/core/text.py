"""Words for counts, in messages and reports."""

from __future__ import annotations


def plural(count: int, noun: str, several: str = "") -> str:
    """As "1 card", "2 cards", "1,000 cards"; `several` where an s does not make the plural."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
