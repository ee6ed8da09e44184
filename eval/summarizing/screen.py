"""How a reader sees a summary come: in a pipe the Markdown itself (in a terminal: terminal.py)."""

from __future__ import annotations

import sys
from typing import Self, TextIO

from data_prep.chat.replies import split_thinking
from data_prep.prompts.untrusted import UNSEEN

LONGEST_TAG = len("</think>")


def printable(text: str) -> str:
    """Without characters that a terminal takes for commands: cards and pages are written by strangers."""
    return UNSEEN.sub("", text)


def say(text: str) -> None:
    """A line for the person, beside the summary."""
    print(printable(text), file=sys.stderr, flush=True)


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
        """Of a page that ran in a loop more was shown than stays."""
        self._write(text + "\n") if text.startswith(self._written) else self._write(self._written + "\n")

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
