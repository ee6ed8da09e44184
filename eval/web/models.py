"""The models that whoever starts the page offers: each is opened when it is first asked for, and kept.

Visitors see labels and send one back; no path, address or key is shown to them or taken from them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from eval.summarizing.shipped_model import CAVEAT, MOST_PROMPT_TOKENS, TITLE, shipped_model
from eval.summarizing.writers import LocalWriter, ServedWriter, Writer

EMBEDDED = "embedded"
_SERVED = re.compile(r"(?P<name>[^@\s]+)@(?P<url>https?://\S+)")


@dataclass(frozen=True)
class Choice:
    """A model on offer. `place`: folder or Hub id, "" of the embedded one; of a served one its name, at `url`."""

    label: str
    place: str = ""
    url: str = ""
    caveat: str = ""

    @property
    def max_prompt_tokens(self) -> int | None:
        """What the model was trained on; None where it says itself what it takes."""
        return None if self.place else MOST_PROMPT_TOKENS

    @property
    def is_grounded(self) -> bool:
        """A server's tokens are out of reach."""
        return not self.url


def choices_of(named: Sequence[str]) -> list[Choice]:
    """Of `--models`. Raises ValueError where two of them would look the same to a visitor."""
    choices = [_choice(one) for one in named or [EMBEDDED]]
    labels = [choice.label for choice in choices]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f'--models names two that visitors would see as "{label}"; rename a folder, or leave one out')
    return choices


def _choice(named: str) -> Choice:
    if named == EMBEDDED:
        return Choice(TITLE, caveat=CAVEAT)
    if served := _SERVED.fullmatch(named):
        return Choice(served["name"], served["name"], served["url"])
    if "://" in named:
        raise ValueError(f"--models {named[:80]} names no model; a server is NAME@http://HOST:PORT/v1")
    return Choice(PurePath(named).name if named.startswith(("/", ".", "~")) else named, named)


@dataclass
class Models:
    """`tokenizer` counts tokens for servers."""

    choices: Sequence[Choice]
    tokenizer: str = ""
    device: str = "auto"
    dtype: str = "auto"
    _opened: dict[str, Writer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # of opening
    _turn: threading.Lock = field(default_factory=threading.Lock)  # of writing in this process

    def choice(self, label: str) -> Choice:
        """Raises ValueError for a label that is not on offer, whoever sent it."""
        for choice in self.choices:
            if choice.label == label:
                return choice
        raise ValueError(
            f'the model "{label[:80]}" is not on offer; choose one of {", ".join(one.label for one in self.choices)}'
        )

    def writer(self, choice: Choice) -> Writer:
        """Raises ValueError and NoNetwork as the writers do."""
        with self._lock:
            if choice.label not in self._opened:
                self._opened[choice.label] = self._open(choice)
            return self._opened[choice.label]

    def turn(self, choice: Choice) -> AbstractContextManager[object]:
        """Models in this process write one after the other, whatever the queue lets through; a server has a queue of its own."""
        return nullcontext() if choice.url else self._turn

    def _open(self, choice: Choice) -> Writer:
        if choice.url:
            return ServedWriter(choice.place, choice.url, self.tokenizer or choice.place)
        if choice.place:
            return LocalWriter(choice.place, self.dtype, self.device)
        base, adapter = shipped_model()
        return LocalWriter(str(base), self.dtype, self.device, adapter)


def told(model: dict[str, Any], choice: Choice) -> dict[str, Any]:
    """What a visitor may know of the model that wrote: its label and hashes, not where it lies or answers."""
    return {**{key: value for key, value in model.items() if key != "endpoint"}, "name": choice.label}
