"""How a reader sees a summary come: in a terminal the growing text, dimmed, and then the page; in a pipe the Markdown itself."""

from __future__ import annotations

import sys
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from data_prep.chat.replies import split_thinking
from data_prep.prompts.untrusted import UNSEEN

SPARE_LINES = 2  # of the terminal, left for what stands around the growing text
LONGEST_TAG = len("</think>")


def printable(text: str) -> str:
    """Without characters that a terminal takes for commands: cards and pages are written by strangers."""
    return UNSEEN.sub("", text)


def say(text: str) -> None:
    """A line for the person, beside the summary."""
    print(printable(text), file=sys.stderr, flush=True)


def said_line(line: Text) -> None:
    """The same in colours."""
    seams = sorted({edge for span in line.spans for edge in (span.start, span.end)})
    parts = [(printable(part.plain), str(part.spans[0].style) if part.spans else "") for part in line.divide(seams)]
    Console(stderr=not sys.stdout.isatty(), soft_wrap=True, highlight=False).print(Text.assemble(*parts))


class Screen:
    """`show` takes all that was said so far, `finish` the summary that stays. This one says nothing: for what is written when all is
    done, as JSON or into a file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, said: str) -> None:
        pass

    def finish(self, text: str) -> None:
        pass


class Pipe(Screen):
    """The summary alone, as it comes. Thoughts, and what may be the beginning of a tag, are held back."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._written = out, ""

    def show(self, said: str) -> None:
        text = split_thinking(said)[0]
        tag = text.rfind("<", max(0, len(text) - LONGEST_TAG))
        self._write(text[:tag] if tag >= 0 else text)

    def finish(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        if text.startswith(self._written):
            self._out.write(text[len(self._written) :])
            self._out.flush()
            self._written = text


class Whole(Screen):
    """Nothing until the end: where several are tried, or a page may be cut, only what stays is to be seen in a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def finish(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


class Terminal(Screen):
    """The last lines of the growing text, dimmed, replaced at the end by the rendered page."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=8, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, said: str) -> None:
        lines = Text(printable(said), style="dim").wrap(self._console, self._console.width)
        self._live.update(Text("\n").join(lines[-max(1, self._console.height - SPARE_LINES) :]))

    def finish(self, text: str) -> None:
        self._live.stop()
        self._console.print(Markdown(printable(text)))
