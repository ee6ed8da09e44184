"""Tokens for the page and, of a model that is asked to think first, tokens for thoughts, each with a limit of its own.

A thought that has no end within its limit ends the text, which then has no page and the finish reason "thought". No end is put into
its mouth: what follows a thought that was broken off is no page that the model would write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.prompts.student import THINK_TAGS

OPEN, CLOSE = THINK_TAGS


@dataclass(frozen=True)
class Budget:
    """Tokens. Where `thoughts` is 0 nobody is asked to think, and all that is said counts as the page."""

    page: int
    thoughts: int = 0

    @property
    def total(self) -> int:
        return self.page + self.thoughts

    def kept(self, ids: Sequence[int], text: Callable[[int], str], begun: str = "") -> list[int]:
        """Of the new tokens `ids`, behind what stands already (`begun`), those within both limits; `text` is what a token adds."""
        if not self.thoughts:
            return list(ids)
        tally = Tally(self, begun)
        return list(ids[: next((at + 1 for at, token in enumerate(ids) if tally.is_full_with(text(token))), len(ids))])


def ended(reason: str, said: str) -> str:
    """The finish reason of a text by a model that was asked to think: "thought" where it does nothing else, but for a loop."""
    is_open = said.lstrip().startswith(OPEN) and CLOSE not in said
    return "thought" if is_open and reason != "loop" else reason


class Tally:
    """What one text has used of its budget, as it grows."""

    def __init__(self, budget: Budget, begun: str) -> None:
        self._budget, self._head, self._tokens, self._closed = budget, begun, 0, False

    def is_full_with(self, added: str) -> bool:
        """Whether the token that adds these characters is the last one within its limit."""
        self._tokens += 1
        if self._closed or not self._budget.thoughts or not self._thinks_with(added):
            return self._tokens >= self._budget.page
        if CLOSE in self._head:
            self._closed, self._tokens = True, 0
            return False
        return self._tokens >= self._budget.thoughts

    def give_back(self, tokens: int) -> None:
        """So many of the page's are not to count."""
        self._tokens -= tokens

    def _thinks_with(self, added: str) -> bool:
        self._head += added
        begun = self._head.lstrip()[: len(OPEN)]
        return OPEN.startswith(begun)


class BudgetStop:
    """A stopping criterion of transformers: ends each row of a batch that has used up its thoughts or its page."""

    def __init__(self, budget: Budget, text: Callable[[int], str], prompt_length: int, begun: Sequence[str]) -> None:
        self._text, self._seen, self._full = text, prompt_length, [False] * len(begun)
        self._tallies = [Tally(budget, each) for each in begun]

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        for row, ids in enumerate(input_ids[:, self._seen :].tolist()):
            for token in ids:
                self._full[row] = self._full[row] or self._tallies[row].is_full_with(self._text(token))
        self._seen = input_ids.shape[1]
        return torch.tensor(self._full, device=input_ids.device)
