"""How tokens are drawn: greedy, or sampled with a temperature and top_p, each row with random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Decoding:
    """One way to decode; `sample` numbers the seeds of sampling. Temperature 0 is greedy."""

    name: Literal["greedy", "sampled"]
    sample: int
    temperature: float
    top_p: float


GREEDY = Decoding("greedy", 0, 0.0, 1.0)
DRAWS_VERSION = 3  # 1: one stream of random numbers for a batch, 2: a copy of the prompt for each row. With others the same model writes another text
LIKELIEST = 64  # tokens that top_p is looked for among first


def warpers(decoding: Decoding) -> list[Any]:
    """What `generate` does to the scores before it draws; nothing where it takes the likeliest."""
    from transformers import TemperatureLogitsWarper

    if not decoding.temperature:
        return []
    return [TemperatureLogitsWarper(float(decoding.temperature)), *([TopP(decoding.top_p)] if decoding.top_p < 1 else [])]


class TopP:
    """Keeps what transformers' TopPLogitsWarper keeps, which sorts the whole vocabulary: ten times the time at 49,152 tokens."""

    def __init__(self, top_p: float) -> None:
        from transformers import TopPLogitsWarper

        self._top_p, self._sorting = top_p, TopPLogitsWarper(top_p)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores`, shape (rows, tokens), with -inf for what is left out."""
        chances = scores.softmax(dim=-1)
        likeliest = chances.topk(min(LIKELIEST, chances.shape[-1])).values
        before = likeliest.cumsum(dim=-1) - likeliest  # what the likelier ones add up to
        if (before[:, -1] < self._top_p).any():
            return self._sorting(input_ids, scores)
        least = likeliest.masked_fill(before >= self._top_p, 1.0).amin(dim=-1, keepdim=True)
        return scores.masked_fill(chances < least, float("-inf"))


class Draws:
    """Random numbers of a batch whose rows have a seed each, so that no row's depend on the rows beside it."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds, self._generators = seeds, list[Any]()

    def ranked(self, scores: Any) -> Any:
        """Shape of `scores`. The largest of a row is what it draws, the next what it would draw without that. As `torch.multinomial`
        draws: probabilities are divided by exponential noise."""
        import torch

        if not self._generators:
            self._generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self._seeds]
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.softmax(dim=-1) / noise


class Sampled:
    """A logits processor of transformers that draws, so that `generate` has to take the likeliest: its own draws for a whole batch."""

    def __init__(self, decoding: Decoding, seeds: Sequence[int]) -> None:
        self._warpers, self._draws = warpers(decoding), Draws(seeds)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        return self._draws.ranked(scores)
