"""What every answer of the page says to browsers, and what no request may exceed.

Rendered Markdown has no picture and no script; the policy holds even where something should slip through: a browser then loads
nothing from anywhere else. Gradio's own scripts need `unsafe-inline` and `unsafe-eval`.
"""

from __future__ import annotations

import json
from typing import Any

from eval.web.limits import BODY_BYTES, UPLOAD_BYTES

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
TOO_LARGE = f"This is too large: a file may hold {UPLOAD_BYTES // 1_000_000} MB. Cut it, or paste the card's text."


class Guard:
    """ASGI middleware, outside of Gradio's routes."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sends(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        if _length(scope) > BODY_BYTES:
            await _refuse(sends)
            return
        await self._app(scope, _counted(receive), sends)


def _length(scope: dict[str, Any]) -> int:
    stated = dict(scope["headers"]).get(b"content-length", b"0")
    return int(stated) if stated.isdigit() else 0


def _counted(receive: Any) -> Any:
    """`receive`, which ends the connection where a body without a stated length grows too long."""
    taken = 0

    async def receives() -> dict[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > BODY_BYTES else message

    return receives


async def _refuse(send: Any) -> None:
    body = json.dumps({"detail": TOO_LARGE, "error": TOO_LARGE}).encode()
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
