"""What the small servers of the tests have in common."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler


class Replies(BaseHTTPRequestHandler):
    """Answers in one call, to HEAD without a body, and says nothing on the terminal."""

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.wfile.flush()

    def log_message(self, *_) -> None:
        pass
