"""A chat-completions server on loopback that streams its answers as server-sent events, and lists its models."""

from __future__ import annotations

import json
import re
import sys

import chat_server
from chat_server import ChatServer


class StreamingServer(ChatServer):
    """Answers `reply(body)`, a few letters at a time; `trouble` as in ChatServer. `limit` is what vLLM tells of a model."""

    def __init__(self, reply, limit: int | None = None, usage: bool = True, broken: bool = False) -> None:
        super().__init__(reply=reply)
        self.RequestHandlerClass = _Streaming
        self.limit, self.usage, self.broken = limit, usage, broken

    def handle_error(self, request, client_address) -> None:
        """A client that leaves, as those do that are killed, is no error of the server's to print among what the command says."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Streaming(chat_server._Handler):
    server: StreamingServer

    def do_GET(self) -> None:
        more = {"max_model_len": self.server.limit} if self.server.limit else {}
        models = {"object": "list", "data": [{"id": "scribe", "object": "model", "created": 0, "owned_by": "me", **more}]}
        self.send(200 if self.path == "/v1/models" else 404, json.dumps(models).encode())

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        """A whole completion leaves as a stream of its pieces."""
        if status != 200 or b'"choices"' not in content:
            super().send(status, content, headers)
            return
        whole = json.loads(content)
        [choice] = whole["choices"]
        message = {key: value for key, value in choice["message"].items() if key != "role"}
        pieces = [{name: piece} for name, text in message.items() for piece in re.findall(r"(?s).{1,7}", text)]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for piece in pieces:
            self.event(choices=[{"index": 0, "delta": piece, "finish_reason": None}])
        if self.server.broken:
            return
        self.event(choices=[{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}])
        if self.server.usage:
            self.event(choices=[], usage=whole["usage"])
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, **values) -> None:
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "scribe", **values}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()
