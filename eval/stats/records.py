"""What metrics.json holds: eval.score writes it; report, gate and compare read it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Figure(TypedDict):
    """A mean over `n` cards of `families` families with its 95% interval; `note` says why that is missing or odd, `seed_sd`
    how far the means of several samples lie apart."""

    mean: float | None
    ci95: list[float] | None
    n: int
    families: int
    note: NotRequired[str]
    seed_sd: NotRequired[float]


class Comparison(TypedDict):
    """System b minus system a, card by card. `p_holm` only of headline metrics; see `paired.compare_cards` for the others."""

    a: str
    b: str
    metric: str
    difference: float | None
    ci95: list[float] | None
    p: float | None
    n: int
    families: int
    mcnemar_p: NotRequired[float]
    detectable: NotRequired[float]
    note: NotRequired[str]
    p_holm: NotRequired[float | None]


class NamedMetric(TypedDict):
    name: str
    unit: str  # "share" or "words"


class MetricRecord(NamedMetric):
    """As `Metric` of eval/scoring/metrics.py, and whether it was named before looking."""

    label: str
    group: str
    better: str | None
    headline: bool


Systems = dict[str, dict[str, Figure]]  # system -> metric -> figure


class Scores(TypedDict):
    """What follows from the summaries of held-out cards alone."""

    cards: int
    families: int
    decoding: str
    metrics: list[MetricRecord]
    systems: Systems
    greedy: Systems | None
    missing: dict[str, int]
    odd: dict[str, dict[str, int]]
    comparisons: list[Comparison]
    claims: list[str]
    slices: dict[str, dict[str, Systems]]
    slice_notes: list[str]
    bootstrap: dict[str, Any]
    versions: dict[str, str]
    prompts: str


class Metrics(Scores):
    """All of it: with the probes, by kind, and what other stages said of their measures."""

    probes: dict[str, Systems]
    probe_metrics: list[dict[str, Any]]
    measures: dict[str, dict[str, Any]]
