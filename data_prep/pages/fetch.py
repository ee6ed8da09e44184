"""Pages that cards link to: fetched safely, politely and once.

`fetch_all` is what a stage calls. Every page comes back as a Page, had or refused with a reason; what is final is kept in
the snapshots and never asked for again. The rules on addresses are in addresses.py, the network in transport.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal
from weakref import WeakValueDictionary

import httpx2
from pydantic import Field

from data_prep.core.files import stable_id
from data_prep.core.loop_thread import loop_thread
from data_prep.core.recipe import Block
from data_prep.core.retry_after import retry_after
from data_prep.pages.addresses import Refused, check
from data_prep.pages.cache import Page, PageCache, fetched_page, refused_page
from data_prep.pages.politeness import LONGEST_RETRY_AFTER, ROBOTS_BYTES, TOKEN, Lane, robots_rules, turn
from data_prep.pages.transport import HttpResponse, PageClient, PublicOnlyBackend

DEFAULT_HOSTS = """
huggingface.co hf.co arxiv.org export.arxiv.org github.com raw.githubusercontent.com aclanthology.org openreview.net *.github.io
ai.google.dev ai.meta.com allenai.org blog.eleuther.ai cohere.com deepmind.google developer.nvidia.com mistral.ai openai.com
qwen.ai research.google research.nvidia.com stability.ai www.anthropic.com www.databricks.com www.together.ai
""".split()
TYPES = frozenset(
    "text/html application/xhtml+xml text/plain text/markdown text/x-markdown application/json application/pdf "
    "application/xml text/xml".split()
)
BUSY = (429, 503)  # may say when to come back
PASSING = (408, 425, 429)  # these and 5xx say nothing about the page


class FetchConfig(Block):
    mode: Literal["allowlist", "open", "off"] = "allowlist"
    """Which hosts are asked: those of `allow`, any public one, or none (pages of earlier runs are still used)."""
    allow: list[Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)+$")]] = DEFAULT_HOSTS
    """Host names; *.github.io stands for every name below github.io."""
    per_host_per_second: float = Field(1.0, gt=0)
    """Requests a second to one host. arXiv gets one in three seconds at most; a Crawl-delay is kept to, up to 30 s."""
    total_seconds: float = Field(30, gt=0)
    """From a name's look-up to the last byte; waiting for a host's turn does not count, each redirect counts anew."""
    max_bytes: int = Field(10_000_000, gt=0)
    """Largest page, after decompression; beyond it the page is refused, not cut."""
    max_redirects: int = Field(5, ge=0)
    """Redirects followed, each checked like a first address."""
    contact: str = Field("", pattern=r"^[ -'*-~]*$")
    """Mail address or web page, told to every host in the user agent; ASCII without brackets."""
    concurrency: int = Field(8, ge=1)
    """Pages under way or waiting to be read, each up to max_bytes in memory. One host has one connection at a time."""
    robots: bool = True
    """Whether robots.txt is read and kept to; a host whose robots.txt fails (5xx, no answer) is not asked."""
    mirror: str | None = Field(None, pattern=r"^https?://[^/?#@]+(/[^?#]*)?$")
    """Address of your own copy, asked in place of every host: MIRROR/https/host/path?query. The only address that may be
    private, since you named it. The allow-list holds, robots.txt and rates do not; redirects name original addresses."""

    @property
    def hosts(self) -> list[str] | None:
        """The allow-list, or None where any public host may be asked."""
        return self.allow if self.mode == "allowlist" else None

    @property
    def agent(self) -> str:
        return f"{TOKEN}/{version('card-summarizer')}" + (f" (+{self.contact})" if self.contact else "")

    @property
    def rules(self) -> str:
        """A name for all that a refusal depends on: with other rules the page is asked for again."""
        on = {"mode", "allow", "max_bytes", "max_redirects", "robots", "mirror"}
        return stable_id(self.model_dump_json(include=on))


class Fetcher:
    """Asks for pages, each at most once, on one event loop. `gate` is for tests: a resolver and a server that they own."""

    def __init__(self, config: FetchConfig, snapshots: PageCache, gate: PublicOnlyBackend | None = None) -> None:
        self._config, self._snapshots, self._rules = config, snapshots, config.rules
        self._line = PageClient(config.agent, config.total_seconds, config.mirror, gate or PublicOnlyBackend())
        self._lanes: dict[str, Lane] = {}
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._robots_failed: dict[str, str] = {}  # for this run only: the next may find the host well

    async def aclose(self) -> None:
        await self._line.aclose()

    async def fetch(self, url: str) -> Page:
        """The page, from the snapshots or the network. Raises nothing that a page or a server can cause.

        A page that was had once is used under any rules: the allow-list says who is asked.
        """
        async with self._alone("page", url):
            off = self._config.mode == "off"
            if stored := self._snapshots.get(url, None if off else self._rules):
                return stored
            if off:
                return refused_page(url, url, None, "fetching is off and no earlier run had the page")
            page, final = await self._follow(url)
            if final:
                self._snapshots.put(page, self._rules)
            return page

    async def _follow(self, url: str) -> tuple[Page, bool]:
        """The page where redirects from `url` end, and whether that is final."""
        target: httpx2.URL | str = url
        try:
            target = check(url, self._config.hosts)
            for _ in range(self._config.max_redirects + 1):
                answer = await self._visit(target)
                if not answer.location:
                    return self._page(url, target, answer), True
                target = self._redirected(target, answer)
            raise Refused(f"more than {self._config.max_redirects} redirects")
        except Refused as refusal:
            return refused_page(url, str(target), refusal.status, str(refusal)), refusal.final

    def _page(self, url: str, target: httpx2.URL, answer: HttpResponse) -> Page:
        if answer.status != 200:
            passing = answer.status >= 500 or answer.status in PASSING
            raise Refused(f"status {answer.status}", final=not passing, status=answer.status)
        if len(answer.content) > self._config.max_bytes:
            raise Refused(f"larger than {self._config.max_bytes} bytes", status=200)
        return fetched_page(url, str(target), answer.content_type, answer.content)

    def _redirected(self, target: httpx2.URL, answer: HttpResponse, what: str = "") -> httpx2.URL:
        try:
            return check(str(target.join(answer.location)), self._config.hosts)
        except (Refused, httpx2.InvalidURL) as error:
            said = f"{what}redirected to {ascii(answer.location)[:200]}: {error}"
            raise Refused(said, status=answer.status) from None

    async def _visit(self, url: httpx2.URL) -> HttpResponse:
        if self._config.robots and not self._config.mirror:
            await self._keep_to_robots(url)
        return await self._ask(url, self._config.max_bytes, TYPES)

    async def _ask(self, url: httpx2.URL, limit: int, types: frozenset[str] = frozenset()) -> HttpResponse:
        """One request in the host's turn, and a second where the host is busy and says for how long."""
        lane = self._lane(url)
        async with lane.lock:
            await lane.pace()
            answer = await self._line.ask(url, limit, types)
            wait = retry_after(answer.headers.get("retry-after", "")) if answer.status in BUSY else None
            if wait is None or wait > LONGEST_RETRY_AFTER:
                return answer
            await asyncio.sleep(wait)
            await lane.pace()
            return await self._line.ask(url, limit, types)

    def _lane(self, url: httpx2.URL) -> Lane:
        host = url.raw_host.decode("ascii")
        if self._config.mirror:
            return Lane(host, per_second=1e9)  # a new one each time: nothing to wait for
        return self._lanes.setdefault(turn(host), Lane(host, self._config.per_host_per_second))

    async def _keep_to_robots(self, url: httpx2.URL) -> None:
        """Raises Refused where robots.txt forbids `url`; slows the host's lane down where it asks for that."""
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        async with self._alone("robots", origin):
            rules = robots_rules(await self._robots(origin))
        if not rules.can_fetch(str(url), TOKEN):
            raise Refused(f"robots.txt of {url.host} disallows it")
        await self._lane(url).slow_down(rules.crawl_delay(TOKEN))

    async def _robots(self, origin: str) -> bytes:
        stored = self._snapshots.robots(origin)
        if stored is not None:
            return stored
        if origin in self._robots_failed:
            raise Refused(self._robots_failed[origin], final=False)
        try:
            content = await self._ask_robots(origin)
        except Refused as refusal:
            if not refusal.final:
                self._robots_failed[origin] = str(refusal)
            raise
        self._snapshots.put_robots(origin, content)
        return content

    async def _ask_robots(self, origin: str) -> bytes:
        """RFC 9309, 2.3.1: 4xx allows everything, 5xx and no answer forbid everything. 429 is taken as a 5xx."""
        target = check(f"{origin}/robots.txt", None)
        for _ in range(self._config.max_redirects + 1):
            answer = await self._ask(target, ROBOTS_BYTES)
            if answer.location:
                target = self._redirected(target, answer, "robots.txt ")
            elif answer.status == 200:
                return answer.content[:ROBOTS_BYTES]
            elif 400 <= answer.status < 500 and answer.status not in PASSING:
                return b""
            else:
                raise Refused(f"robots.txt of {target.host} answered {answer.status}, which forbids all", final=False)
        return b""  # too many redirects are as good as no file

    def _alone(self, kind: str, name: str) -> asyncio.Lock:
        """The lock of that kind and name: what is asked for twice at the same time is asked once."""
        return self._locks.setdefault((kind, name), asyncio.Lock())


def fetch_all(
    config: FetchConfig, snapshots_path: Path, urls: Iterable[str], gate: PublicOnlyBackend | None = None
) -> Iterator[Page]:
    """The page of each URL, in the order of `urls`, which is read `config.concurrency` ahead. Hosts are asked in parallel.

    Raises ValueError where the snapshots are no such file.
    """
    window: deque = deque()
    with PageCache(snapshots_path) as snapshots:
        fetcher = Fetcher(config, snapshots, gate)
        with loop_thread("fetch", fetcher.aclose) as submit:
            for url in urls:
                window.append(submit(fetcher.fetch(url)))
                if len(window) == config.concurrency:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
