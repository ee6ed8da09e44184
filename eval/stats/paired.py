"""One system against another on the same cards: the record that score and compare write and that claims and gate read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from eval.stats.claims import pairs
from eval.stats.estimates import detectable, estimate_mean, holm, mcnemar_p, sign_flip_p
from eval.stats.figures import rounded
from eval.stats.records import Comparison, NamedMetric


def compare_cards(
    names: tuple[str, str],
    metric: NamedMetric,
    first: np.ndarray,
    second: np.ndarray,
    families: np.ndarray,
    draws: int,
    seed: int,
) -> Comparison:
    """The paired difference of `names` (a, b) on `metric`: b minus a over the cards where both were measured.

    `first`, `second`, `families`: one entry a card, in one order; a value is the card's mean over its samples, NaN where
    there is none. `mcnemar_p` stands only where every value is 0 or 1, `detectable` and `note` only where there is one.
    """
    difference = second - first
    bounds = (-1.0, 1.0) if metric["unit"] == "share" else None
    estimate = estimate_mean(difference, families, draws, seed, bounds)
    found = {
        "difference": estimate.mean,
        "ci95": estimate.ci95,
        "p": sign_flip_p(difference, families, draws, seed),
        "n": estimate.n,
        "families": estimate.families,
    }
    optional = {
        "mcnemar_p": mcnemar_p(first, second),
        "detectable": detectable(difference, families),
        "note": estimate.note,
    }
    given = {key: value for key, value in optional.items() if value is not None}
    # cast: a TypedDict cannot be told from a dict that `rounded` went through
    return cast("Comparison", {"a": names[0], "b": names[1], "metric": metric["name"], **rounded(found | given)})


def add_holm(comparisons: Sequence[Comparison], headline: Sequence[str]) -> None:
    """Gives the headline metrics' records `p_holm`: their p as it stands among those of the same two systems, with those that could not
    be compared."""
    for rows in pairs(comparisons, headline):
        for row, p in zip(rows, holm([row["p"] for row in rows], len(headline) - len(rows)), strict=True):
            row["p_holm"] = rounded(p)
