"""A headless Chromium over its debugging pipe: pages as a person uses them, with real time, sizes and key presses."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")


class Page:
    """One tab. Commands are those of the DevTools protocol, one JSON message each, ended by a zero byte."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing, self.rest, self.number, self.session = reading, writing, b"", 0, None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | (
            {"sessionId": self.session} if self.session else {}
        )
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                self.rest += os.read(self.reading, 1 << 20)
            line, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path: Path, address: str = "") -> int:
        """Loads a report and returns the milliseconds until it can be used, as the page itself counts them."""
        # By way of an empty page: a change of the part behind # alone would load nothing.
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=path.as_uri() + address)
        return int(self.wait("document.documentElement?.dataset.ready"))

    def wait(self, expression: str, seconds: float = 30) -> Any:
        end = time.monotonic() + seconds
        while not (value := self.run(expression)):
            assert time.monotonic() < end, f"{expression} never came true"
            time.sleep(0.05)
        return value

    def run(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, **code, **(text if kind == "keyDown" else {}))

    def click(self, element: str) -> None:
        """By the mouse, which browsers tell from a script's click, in the middle of what the expression `element` gives."""
        self.run(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({element}.getBoundingClientRect())")
        place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, **place)

    def picture(self, path: Path, top: int = 0, height: int = 2000) -> None:
        width = self.run("innerWidth")
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A fresh browser with one tab, closed at the end."""
    to_browser, from_browser = os.pipe(), os.pipe()
    # The browser reads commands from descriptor 3 and writes answers to 4. The shell puts ours there.
    shell = f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *QUIET, "--remote-debugging-pipe"]
    command = ["bash", "-c", shell, "bash", CHROMIUM, *flags, f"--user-data-dir={profile}", "about:blank"]
    inherited = (to_browser[0], from_browser[1])
    running = subprocess.Popen(command, pass_fds=inherited, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for descriptor in inherited:
        os.close(descriptor)
    try:
        yield Page(from_browser[0], to_browser[1])
    finally:
        running.terminate()
        running.wait(timeout=20)
        os.close(to_browser[1])
        os.close(from_browser[0])
