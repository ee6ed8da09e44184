"""A web of one loopback server that stands for every host, serves pages and attacks, and remembers what it was asked.

A path names a behaviour: /page, /to?URL redirects, /bomb inflates, /drip never ends. Names resolve to the server itself, except
those listed in `names`; addresses in digits resolve as the system has it, so that the gate meets them as they are.
"""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
import time
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from data_prep.pages.transport import PublicOnlyBackend, system_addresses

NOBODY = ("127.0.0.1", 1)  # nothing listens there
PAGE = b"<html><body><p>Brindle reads long letters.</p></body></html>"


@cache
def bomb(kind: str) -> bytes:
    """20 MB of zeros in a few kilobytes."""
    packed = zlib.compress(b"\0" * 20_000_000) if kind == "deflate" else gzip.compress(b"\0" * 20_000_000)
    return gzip.compress(packed) if kind == "gzip, gzip" else packed


@dataclass
class Asked:
    time: float
    host: str
    path: str
    headers: dict[str, str]


@dataclass
class Web:
    port: int
    asked: list[Asked] = field(default_factory=list)
    sent: Counter = field(default_factory=Counter)  # bytes of body that left, by path
    names: dict[str, list] = field(
        default_factory=dict
    )  # name -> answers of the resolver, one after the other, the last for good
    robots: dict[str, dict] = field(default_factory=dict)  # host -> arguments of `answer`; 404 where there is none
    resolved: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: Counter = field(default_factory=Counter)
    most_at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # by host, and of all together

    @property
    def gate(self) -> PublicOnlyBackend:
        return PublicOnlyBackend(self.resolve, {("127.0.0.1", self.port), NOBODY})

    @property
    def pages(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path != "/robots.txt"]

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        self.resolved[host] += 1
        if in_digits(host):
            return await system_addresses(host, port)
        if host in self.names:
            answers = self.names[host]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, OSError):
                raise answer
            return answer
        return [("127.0.0.1", self.port)]


def in_digits(host: str) -> bool:
    try:
        return ":" in host or bool(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return bool(socket.inet_aton(host))  # decimal, octal, hex and short forms
    except OSError:
        return False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def web(self) -> Web:
        return self.server.web

    def do_GET(self):
        host = self.headers["Host"]
        self.web.asked.append(
            Asked(time.monotonic(), host, self.path, {key.lower(): value for key, value in self.headers.items()})
        )
        with self.web.lock:
            for name in (host, "all"):
                self.web.at_once[name] += 1
                self.web.most_at_once[name] = max(self.web.most_at_once[name], self.web.at_once[name])
        try:
            self.act(host)
        except OSError:
            self.close_connection = True  # the other side has hung up, as it should
        finally:
            with self.web.lock:
                self.web.at_once.subtract((host, "all"))

    def act(self, host):
        path, _, query = self.path.partition("?")
        times = sum(asked.path == self.path for asked in self.web.asked)
        if path == "/robots.txt":
            self.answer(**{"content_type": "text/plain", **self.web.robots.get(host, {"status": 404, "body": b""})})
        elif path == "/to":
            self.answer(302, b"", Location=query, Set_Cookie="who=me")
        elif path == "/loop":
            self.answer(302, b"", Location="/loop")
        elif path == "/status":
            self.answer(int(query))
        elif path == "/type":
            self.answer(200, PAGE, query)
        elif path == "/bomb":
            self.answer(200, bomb(query.replace("%20", " ")), Content_Encoding=query.replace("%20", " "))
        elif path == "/torn":
            self.answer(200, b"\x1f\x8b\x08 torn", Content_Encoding="gzip")
        elif path == "/big":
            self.answer(200, b"x" * int(query))
        elif path == "/slow":
            time.sleep(float(query.partition("&")[0]))
            self.answer()
        elif path == "/busy":  # says when to come back, then serves
            self.answer(*((429, b"") if times == 1 else (200, PAGE)), Retry_After=query)
        elif path == "/drip":
            self.drip(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n")
        elif path == "/drip-head":
            self.drip(b"HTTP/1.1 200 OK\r\nX: ")
        elif path == "/noise":
            self.wfile.write(b"\x00\xff\xfenothing like HTTP\r\n\r\n")
            self.close_connection = True
        elif path == "/short":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\nhalf")
            self.close_connection = True
        elif path == "/hang-up":
            self.answer(Connection="close")
            self.close_connection = True
        else:
            self.answer(Set_Cookie="who=me")

    def drip(self, head):
        self.close_connection = True
        self.wfile.write(head)
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def answer(self, status=200, body=PAGE, content_type="text/html; charset=utf-8", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        for start in range(0, len(body), 65536):
            self.wfile.write(body[start : start + 65536])
            self.web.sent[self.path] += len(body[start : start + 65536])

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is what most of these tests are about


def serve(context=None) -> tuple[Server, Web]:
    """A started server; with an SSL context it speaks TLS. Shut it down with server.shutdown()."""
    server = Server(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.web = Web(server.server_port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server, server.web
