"""A chat-completions server on loopback that answers "re: QUESTION" and misbehaves where a test tells it to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer

from loopback import Replies

SOON = {"retry-after-ms": "5"}


class ChatServer(ThreadingHTTPServer):
    """`trouble[question]` is what happens to that question, one entry a request; then it is answered."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, answer_s: float = 0.0, reply: Callable[[dict], str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply or (lambda body: f"re: {body['messages'][-1]['content']}")
        self.answer_s = answer_s
        self.trouble: dict[str, list[Callable[[_Handler], None]]] = {}
        self.asked: list[str] = []  # last message of every request
        self.bodies: list[dict] = []
        self.keys: set[str | None] = set()
        self.times: list[float] = []
        self.lock, self.now, self.most = threading.Lock(), 0, 0  # requests in flight

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()


class _Handler(Replies):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question, server = body["messages"][-1]["content"], self.server
        with server.lock:
            server.asked.append(question)
            server.bodies.append(body)
            server.times.append(time.monotonic())
            server.keys.add(self.headers["Authorization"])
            server.now += 1
            server.most = max(server.most, server.now)
            trouble = server.trouble.get(question) or server.trouble.get("*")
            happens = trouble.pop(0) if trouble else says(server.reply(body))
        time.sleep(server.answer_s)
        with server.lock:
            server.now -= 1  # before the reply: the client may send its next request at once
        if self.path != "/v1/chat/completions":
            happens = status(404, "no such path")
        happens(self)


def completion(text, finish_reason: str = "stop", usage: tuple[int, int] | None = (100, 10), **message: str) -> bytes:
    reply = {
        "model": "tiny-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}],
        "usage": usage and {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
    }
    return json.dumps(reply).encode()


def says(*arguments, **more):
    """A completion; arguments as above."""
    return raw(completion(*arguments, **more))


def raw(content: bytes, headers: dict[str, str] | None = None):
    return lambda handler: handler.send(200, content, headers)


def status(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: str):
    content = json.dumps({"error": {"message": message, **error}}).encode()
    return lambda handler: handler.send(status, content, headers)


def cut(handler: _Handler) -> None:
    """Promises a hundred bytes, sends ten, and hangs up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def late(seconds: float, text: str = "late"):
    def happens(handler: _Handler) -> None:
        time.sleep(seconds)
        try:
            says(text)(handler)
        except OSError:  # the client has gone
            handler.close_connection = True

    return happens
