"""Where this machine's user keeps what can be had again: the small base, fetched pages."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """The project's folder in the user's cache, as the XDG Base Directory Specification places it; not made here."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "card-summarizer"
