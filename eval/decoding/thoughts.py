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
        tally, kept = Tally(self, begun), list[int]()
        for token in ids:
            if tally.is_full:
                break
            tally.add(text(token))
            kept.append(token)
        return kept


def ended(reason: str, said: str) -> str:
    """The finish reason of a text by a model that was asked to think: "thought" where it does nothing else, but for a loop."""
    is_open = said.lstrip().startswith(OPEN) and CLOSE not in said
    return "thought" if is_open and reason != "loop" else reason


class Tally:
    """What one text, behind what stands already (`begun`), has used of its budget."""

    def __init__(self, budget: Budget, begun: str) -> None:
        self._budget, self._head, self._tokens = budget, begun, 0
        self._thinks = budget.thoughts > 0  # or may yet: nothing but the beginning of a tag stands there

    def add(self, added: str) -> None:
        """A token that adds these characters."""
        self._tokens += 1
        if self._thinks:
            self._head += added
            self._thinks = OPEN.startswith(self._head.lstrip()[: len(OPEN)])
            if self._thinks and CLOSE in self._head:
                self._thinks, self._tokens = False, 0

    def give_back(self, tokens: int) -> None:
        """So many of the page's are not to count."""
        self._tokens -= tokens

    @property
    def is_full(self) -> bool:
        return self._tokens >= (self._budget.thoughts if self._thinks else self._budget.page)


class BudgetStop:
    """A stopping criterion of transformers: ends each row of a batch that has used up its thoughts or its page."""

    def __init__(self, budget: Budget, text: Callable[[int], str], prompt_length: int, begun: Sequence[str]) -> None:
        self._text, self._seen = text, prompt_length
        self._tallies = [Tally(budget, each) for each in begun]

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        for tally, ids in zip(self._tallies, input_ids[:, self._seen :].tolist(), strict=True):
            for token in ids:
                if not tally.is_full:
                    tally.add(self._text(token))
        self._seen = input_ids.shape[1]
        return torch.tensor([tally.is_full for tally in self._tallies], device=input_ids.device)
