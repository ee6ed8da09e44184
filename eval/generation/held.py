"""What a batch's generation is held to: free, with loops ended, or grounded in its sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eval.decoding.grounded import Grounded, Row
from eval.decoding.loops import LoopStop
from eval.decoding.pieces import Pieces
from eval.decoding.sampling import Decoding, Sampled
from eval.decoding.thoughts import Budget, BudgetStop
from eval.generation.requests import PromptPrefix

if TYPE_CHECKING:
    from eval.generation.local_model import LocalModel


class DecodingControl:
    """Of one batch, whose prompts are padded to `prompt_length` tokens: all of its openings have a source, or none has.
    `seeds` are those of each row's random numbers; `rows` those of grounded decoding, None for each where it is free."""

    def __init__(
        self,
        model: LocalModel,
        decoding: Decoding,
        openings: Sequence[PromptPrefix],
        seeds: Sequence[int],
        prompt_length: int,
        pieces: Pieces,
        budget: Budget,
        stops: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self._length, self._stops, self._budget, self._pieces = prompt_length, list(stops), budget, pieces
        begun, sources = [opening.said for opening in openings], [opening.source for opening in openings]
        self._begun, self._most = begun, budget.total
        self._loops: dict[int, int] = {}
        self._chooses: list[Any] = []
        self.rows: list[Row | None] = [None] * len(openings)
        if any(sources):
            grounded = Grounded(model.end_ids, decoding, sources, begun, seeds, pieces, budget)
            self.rows, self._chooses, self._most = list(grounded.rows), [grounded], grounded.most_tokens
        else:
            if budget.thoughts:
                self._stops.append(BudgetStop(budget, pieces.text, prompt_length, begun))
            loops = LoopStop(model.tokenizer.decode, model.end_ids, prompt_length, begun)
            self._loops = loops.kept
            self._stops.append(loops)
            self._chooses = [Sampled(decoding, seeds)] if decoding.temperature else []

    @property
    def options(self) -> dict[str, Any]:
        """For `generate`: how tokens are chosen, and what ends a row. What draws does so itself; what is grounded counts its tokens itself."""
        from transformers import LogitsProcessorList, StoppingCriteriaList

        return {
            "max_new_tokens": self._most,
            "stopping_criteria": StoppingCriteriaList(self._stops),
            "logits_processor": LogitsProcessorList(self._chooses),
            "do_sample": False,
        }

    def new_tokens(self, output: Any) -> list[list[int]]:
        """Each row's new tokens, without what stands behind a loop or beyond what its thoughts and its page may take."""
        rows = [ids[: self._loops.get(row)] for row, ids in enumerate(output[:, self._length :].tolist())]
        if any(self.rows):
            return rows
        return [self._budget.kept(ids, self._pieces.text, begun) for ids, begun in zip(rows, self._begun, strict=True)]
