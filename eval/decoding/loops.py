"""Loops ended while a local model writes, and told of in a finished text. What a loop is: `data_prep/chat/loops.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from data_prep.chat.loops import loop_end

EVERY = 16  # tokens between two looks at a line that has not ended


def finished(text: str, cut: bool) -> tuple[str, str]:
    """The text that is kept and its finish reason: "stop", "length" where the token limit `cut` it, "loop" where what was cut, or
    ended by us, ends in a loop."""
    end = loop_end(text) if cut else None
    if end is not None:
        return text[:end].rstrip(), "loop"
    return text, "length" if cut else "stop"


class LoopStop:
    """A stopping criterion of transformers: ends each row of a batch where its text ends in a loop.

    `decode` makes text of a row's new tokens; `begun` is what each row goes on from. `kept` has, after generation, how many new
    tokens a row has that was ended; what follows them is padding.
    """

    def __init__(self, decode: Callable[[Any], str], ends: Sequence[int], prompt_length: int, begun: Sequence[str]) -> None:
        self._decode, self._prompt, self._begun = decode, prompt_length, begun
        self._ends, self._over = ends, set[int]()
        self.kept: dict[int, int] = {}
        self._with_newline: dict[int, bool] = {}  # tokens by whether they end a line

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        made = input_ids.shape[1] - self._prompt
        due = made % EVERY == 0
        for row, token in enumerate(input_ids[:, -1].tolist()):
            if token in self._ends:
                self._over.add(row)
            elif row not in self._over and (due or self._ends_line(token)):
                text = self._begun[row] + self._decode(input_ids[row, self._prompt :])
                if loop_end(text) is not None:
                    self.kept[row] = made
                    self._over.add(row)
        return torch.tensor([row in self.kept for row in range(input_ids.shape[0])], device=input_ids.device)

    def _ends_line(self, token: int) -> bool:
        if token not in self._with_newline:
            self._with_newline[token] = "\n" in self._decode([token])
        return self._with_newline[token]
