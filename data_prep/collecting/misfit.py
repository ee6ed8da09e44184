"""What a source's reader raises where a line or a conversation is no card with a summary."""

from __future__ import annotations


class Misfit(Exception):
    """`detail` has the figures, or what was there instead."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.detail = detail
