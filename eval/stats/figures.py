"""From single summaries' values to those that a figure is made of: samples of a card averaged first, so that the unit is the card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

DIGITS = 6  # of figures in a file: below what any interval resolves, above what two machines' sums differ by


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Floats, however deep, as a file holds them: JSON knows no NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(float(value), digits)
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    return [rounded(inner, digits) for inner in value] if isinstance(value, list) else value


def card_means(values: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """Card -> mean of its samples, from (card, value of a sample); NaN for a card of which no sample was measured."""
    samples: dict[str, list[float]] = {}
    for card, value in values:
        samples.setdefault(card, []).extend([] if value is None or math.isnan(value) else [value])
    return {card: float(np.mean(found)) if found else math.nan for card, found in samples.items()}


def arrays(means: Mapping[str, float], families: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Values and families of the cards, as all that resamples families takes them."""
    return np.array(list(means.values())), np.array([families[card] for card in means])
