"""How tokens are drawn: greedy, or sampled with a temperature and top_p."""

from __future__ import annotations

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


def warpers(decoding: Decoding) -> list[Any]:
    """What `generate` does to the scores before it draws; nothing where it takes the likeliest."""
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    if not decoding.temperature:
        return []
    top_p = [TopPLogitsWarper(decoding.top_p)] if decoding.top_p < 1 else []
    return [TemperatureLogitsWarper(float(decoding.temperature)), *top_p]
