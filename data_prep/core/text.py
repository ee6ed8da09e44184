"""Words for counts and errors, in messages and reports."""

from __future__ import annotations


def plural(count: int, noun: str, several: str = "") -> str:
    """As "1 card", "2 cards", "1,000 cards"; `several` where an s does not make the plural."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def first_line(error: Exception, limit: int | None = None) -> str:
    """What went wrong, in at most `limit` characters; the kind of error where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:limit]
