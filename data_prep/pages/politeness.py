"""How often a host is asked and what its robots.txt says: turns, delays, robots rules.

arXiv asks for one request in three seconds over one connection (its API's terms of use); robots.txt is read as RFC 9309 has it.
"""

from __future__ import annotations

import asyncio

from aiolimiter import AsyncLimiter
from protego import Protego

TOKEN = "card-summarizer"  # the name that robots.txt knows us by
ARXIV, ARXIV_SECONDS = "arxiv.org", 3.0
LONGEST_CRAWL_DELAY = 30.0  # seconds
LONGEST_RETRY_AFTER = 60.0  # a host that asks for more is not asked again
ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5: at least this much is parsed


def turn(host: str) -> str:
    """The name under which hosts take turns: all of arXiv is one."""
    return ARXIV if host == ARXIV or host.endswith("." + ARXIV) else host


class Lane:
    """One host's turns: whoever holds `lock` has its only connection, `pace` waits until it may be asked again."""

    def __init__(self, host: str, per_second: float) -> None:
        seconds = max(1 / per_second, ARXIV_SECONDS if turn(host) == ARXIV else 0.0)
        self.lock = asyncio.Lock()
        self._limiter = AsyncLimiter(1, seconds)

    @property
    def seconds(self) -> float:
        """From one request to the next."""
        return self._limiter.time_period

    async def pace(self) -> None:
        await self._limiter.acquire()

    async def slow_down(self, delay: float | None) -> None:
        """Takes the host's Crawl-delay where it is the longer one; the request just made counts."""
        seconds = min(delay or 0.0, LONGEST_CRAWL_DELAY)
        if seconds > self.seconds:
            self._limiter = AsyncLimiter(1, seconds)
            await self._limiter.acquire()


def robots_rules(content: bytes) -> Protego:
    return Protego.parse(content[:ROBOTS_BYTES].decode("utf-8-sig", errors="replace"))
