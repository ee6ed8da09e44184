"""Rows of single summaries -> the figures of metrics.json: means over cards with intervals over families, differences, slices."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np

from data_prep.core.files import sha256_text
from data_prep.core.records import Generation, HeldOut
from eval.scoring.metrics import Metric
from eval.scoring.slices import Slices
from eval.stats.estimates import estimate_mean
from eval.stats.figures import arrays, card_means, rounded
from eval.stats.paired import add_holm, compare_cards
from eval.stats.records import Comparison, Figure, MetricRecord, Systems


@dataclass(frozen=True)
class Scored:
    """One summary with all that was measured of it; `checks` and `spans` as plain JSON values."""

    card: HeldOut
    generation: Generation
    metrics: dict[str, float | None]
    checks: list[dict[str, Any]]
    spans: list[dict[str, Any]]


@dataclass(frozen=True)
class BootstrapSettings:
    """How figures are reckoned: the family of each card, in the cards' order, and the draws of each interval."""

    families: Mapping[str, str]
    draws: int
    seed: int

    def mean(self, values: Mapping[str, float], cards: Collection[str], bounds: tuple[float, float] | None) -> Figure:
        """Mean over `cards` of what stands in `values`; a card that does not is not measured."""
        means = {card: values.get(card, np.nan) for card in cards}
        return rounded(estimate_mean(*arrays(means, self.families), self.draws, self.seed, bounds).noted)


Values = dict[tuple[str, str], dict[str, float]]  # (system, metric) -> card -> mean over its samples


def means_of(rows: Iterable[Scored]) -> Values:
    collected: dict[tuple[str, str], list[tuple[str, float | None]]] = {}
    for row in rows:
        for name, value in row.metrics.items():
            collected.setdefault((row.generation.system, name), []).append((row.card.id, value))
    return {key: card_means(samples) for key, samples in collected.items()}


def seed_spread(rows: Iterable[Scored]) -> dict[tuple[str, str], float]:
    """Standard deviation of the samples' means over cards, where there are several samples: what another seed changes."""
    collected: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in rows:
        for name, value in row.metrics.items():
            if value is not None:
                collected.setdefault((row.generation.system, name), {}).setdefault(row.generation.sample, []).append(value)
    return {
        key: float(np.std([np.mean(found) for found in samples.values()], ddof=1))
        for key, samples in collected.items()
        if len(samples) > 1
    }


def systems_figures(
    reckoning: BootstrapSettings, names: Sequence[str], metrics: Sequence[Metric], rows: Sequence[Scored]
) -> Systems:
    """With `seed_sd` where a system has several samples."""
    values, spread = means_of(rows), seed_spread(rows)
    figures: Systems = {}
    for name in names:
        figures[name] = {}
        for metric in metrics:
            found = reckoning.mean(values.get((name, metric.name), {}), reckoning.families, metric.bounds)
            if (name, metric.name) in spread:
                found["seed_sd"] = rounded(spread[name, metric.name])
            figures[name][metric.name] = found
    return figures


def comparisons(
    reckoning: BootstrapSettings,
    pairs: Sequence[Sequence[str]],
    metrics: Sequence[Metric],
    headline: Sequence[str],
    rows: Sequence[Scored],
) -> list[Comparison]:
    """The paired difference of each pair on each metric; p of the headline metrics corrected within the pair (Holm)."""
    values, cards = means_of(rows), list(reckoning.families)
    families = np.array(list(reckoning.families.values()))

    def array(system: str, metric: str) -> np.ndarray:
        found = values.get((system, metric), {})
        return np.array([found.get(card, np.nan) for card in cards])

    compared = [
        compare_cards(
            (a, b),
            {"name": metric.name, "unit": metric.unit},
            array(a, metric.name),
            array(b, metric.name),
            families,
            reckoning.draws,
            reckoning.seed,
        )
        for a, b in pairs
        for metric in metrics
    ]
    add_holm(compared, headline)
    return compared


def described(metrics: Sequence[Metric], headline: Collection[str]) -> list[MetricRecord]:
    return [cast(MetricRecord, asdict(metric) | {"headline": metric.name in headline}) for metric in metrics]


def default_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each system against the one before it, then each against the first."""
    return list(dict.fromkeys([*pairwise(names), *((names[0], name) for name in names[1:])]))


def slice_figures(
    reckoning: BootstrapSettings, slices: Slices, names: Sequence[str], headline: Sequence[Metric], rows: Sequence[Scored]
) -> dict[str, dict[str, Systems]]:
    """slice -> value -> figures of the headline metrics."""
    values = means_of(rows)

    def figures(cards: list[str]) -> Systems:
        return {
            name: {m.name: reckoning.mean(values.get((name, m.name), {}), cards, m.bounds) for m in headline} for name in names
        }

    return {name: {value: figures(cards) for value, cards in groups.items()} for name, groups in slices.shown()}


def prompts_hash(cards: Mapping[str, HeldOut]) -> str:
    """What two runs must share to be compared: the held-out cards, what every system was asked, and what its answer is held against."""
    return sha256_text(json.dumps([[card.id, card.prompt, card.source, card.reference] for card in cards.values()]))
