"""How a reader sees a summary come in a terminal: the growing text, dimmed, and then the page."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from data_prep.chat.replies import split_thinking
from eval.summarizing.screen import Screen, printable

SPARE_LINES = 2  # of the terminal, left for what stands around the growing text
THINKING = "thinking ..."


def said_line(line: Text) -> None:
    """The same in colours."""
    seams = sorted({edge for span in line.spans for edge in (span.start, span.end)})
    parts = [(printable(part.plain), str(part.spans[0].style) if part.spans else "") for part in line.divide(seams)]
    Console(stderr=not sys.stdout.isatty(), soft_wrap=True, highlight=False).print(Text.assemble(*parts))


class Terminal(Screen):
    """The last lines of the growing text, dimmed, replaced at the end by the rendered page. Thoughts only where they are asked for."""

    def __init__(self, console: Console, thoughts: bool = False) -> None:
        self._console, self._thoughts = console, thoughts
        self._live = Live(console=console, transient=True, refresh_per_second=8, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, said: str) -> None:
        if not self._thoughts:
            said = split_thinking(said)[0] or THINKING
        lines = Text(printable(said), style="dim").wrap(self._console, self._console.width)
        self._live.update(Text("\n").join(lines[-max(1, self._console.height - SPARE_LINES) :]))

    def finish(self, text: str) -> None:
        self._live.stop()
        self._console.print(Markdown(printable(text)))
