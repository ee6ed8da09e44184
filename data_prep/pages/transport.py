"""One GET and no more: to a public address, over verified TLS, within a time and a size.

It speaks through httpx2's transport and not its client, so there is no cookie jar, no netrc, no proxy from the environment and
no redirect that is followed unseen. The gate sits where a connection is opened: it resolves the name once, judges every
address, and connects to the address that it judged. A name that answers differently the next time gains nothing, and the
Host header and the name that TLS verifies stay those of the URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from socket import SOCK_STREAM
from typing import Any

import httpcore2
import httpx2

from data_prep.pages.addresses import Refused, not_public

Resolve = Callable[[str, int], Awaitable[list[tuple[str, int]]]]
REDIRECTS = (301, 302, 303, 307, 308)
ENCODINGS = ("", "identity", "gzip", "deflate")  # one of them: layers of gzip hide work that the size limit does not see


async def system_addresses(host: str, port: int) -> list[tuple[str, int]]:
    """Addresses and port of `host` as the system resolves it, which takes 2130706433 and 0x7f.1 for 127.0.0.1."""
    found = await asyncio.get_running_loop().getaddrinfo(host.encode("ascii"), port, type=SOCK_STREAM)
    # str and int already: only a Python without IPv6 gives an IPv6 address otherwise.
    return list(dict.fromkeys((str(socket_address[0]), int(socket_address[1])) for *_, socket_address in found))


class PublicOnlyBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to public addresses alone. `trusted` (address, port) pass unjudged: for a test's own server."""

    def __init__(self, resolve: Resolve = system_addresses, trusted: Collection[tuple[str, int]] = ()) -> None:
        self._resolve, self._trusted = resolve, trusted
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises Refused where one of the host's addresses is not public, httpcore2.ConnectError where none answers."""
        places = await self._resolve(host, port)
        for place in places:
            if place not in self._trusted and (why := not_public(place[0])):
                raise Refused(f"address {place[0]} is {why}")
        failure: Exception = httpcore2.ConnectError("no address")
        for address, number in places:
            try:
                return await self._network.connect_tcp(address, number, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure


class _GatedTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, gate: PublicOnlyBackend) -> None:
        context = httpx2.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False)
        # The transport takes no backend, its pool does. No limit on connections: each host has one at a time.
        self._pool = httpcore2.AsyncConnectionPool(context, max_connections=None, keepalive_expiry=5.0, network_backend=gate)


@dataclass(frozen=True)
class HttpResponse:
    """What a server said. `content` is decoded, and empty unless the status is 200."""

    status: int
    headers: httpx2.Headers
    content: bytes = b""

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; "" where the server names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def location(self) -> str:
        """Where a redirect leads, as the server wrote it; "" where this is none."""
        return self.headers.get("location", "") if self.status in REDIRECTS else ""


class PageClient:
    """Asks for one URL at a time, any number of them at once. `seconds` holds from the name's look-up to the last byte.

    With `mirror`, URL `https://host/path?query` is asked as `MIRROR/https/host/path?query` and no address is judged, since
    the only one ever reached is the one that the person named.
    """

    def __init__(self, agent: str, seconds: float, mirror: str | None, gate: PublicOnlyBackend) -> None:
        self._headers = {"User-Agent": agent, "Accept-Encoding": "gzip, deflate", "Accept": "*/*"}
        self._seconds, self._mirror = seconds, mirror
        self._transport = httpx2.AsyncHTTPTransport(trust_env=False) if mirror else _GatedTransport(gate)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def ask(self, url: httpx2.URL, limit: int, types: Collection[str] = ()) -> HttpResponse:
        """At most `limit` bytes and a little of `url`. Raises Refused; not final where a later try may go better.

        `types` are the content types to take, all where there are none; the body of another is not read.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._get(self._mirrored(url), limit, types)
        except TimeoutError:
            raise Refused(f"no whole answer within {self._seconds:g} s", final=False) from None
        except (httpx2.HTTPError, OSError) as error:
            said = f"{type(error).__name__} {error}".strip()
            raise Refused(f"no answer from {url.host}: {said[:200]}", final=False) from None

    async def _get(self, url: httpx2.URL, limit: int, types: Collection[str]) -> HttpResponse:
        response = await self._transport.handle_async_request(httpx2.Request("GET", url, headers=self._headers))
        answer = HttpResponse(response.status_code, response.headers)
        try:
            if answer.status != 200:
                return answer
            if types and answer.content_type not in types:
                raise Refused(f'content type "{answer.content_type[:80]}" is none that is read', status=200)
            encoding = response.headers.get("content-encoding", "").strip().lower()
            if encoding not in ENCODINGS:
                raise Refused(f'content encoding "{encoding[:80]}" is neither gzip nor deflate', status=200)
            return replace(answer, content=await _body(response, limit))
        finally:
            await response.aclose()

    def _mirrored(self, url: httpx2.URL) -> httpx2.URL:
        if self._mirror is None:
            return url
        host, path = url.raw_host.decode("ascii"), url.raw_path.decode("ascii")
        return httpx2.URL(f"{self._mirror.rstrip('/')}/{url.scheme}/{host}{path}")


async def _body(response: httpx2.Response, limit: int) -> bytes:
    """The decoded body, given up on once it is past `limit` bytes: the decoder hands over 1 MiB at most at a time."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)
