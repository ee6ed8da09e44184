"""What a card tells of metrics.json, which eval.score writes: its keys as they are read here."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Figure(TypedDict):
    mean: float | None
    ci95: NotRequired[list[float] | None]
    n: int


class Comparison(TypedDict):
    a: str
    b: str
    metric: str
    difference: float | None
    ci95: list[float] | None
    p_holm: NotRequired[float | None]
    n: int


class ProbeMetric(TypedDict):
    name: str
    label: str
    better: NotRequired[str | None]
    unit: NotRequired[str]


class Metric(TypedDict):
    name: str
    label: str
    better: NotRequired[str | None]
    unit: str
    group: str
    headline: bool


Systems = dict[str, dict[str, Figure]]


class Metrics(TypedDict):
    decoding: str
    metrics: list[Metric]
    systems: Systems
    comparisons: list[Comparison]
    claims: NotRequired[list[str]]
    slices: NotRequired[dict[str, dict[str, Systems]]]
    probes: NotRequired[dict[str, Systems]]
    probe_metrics: NotRequired[list[ProbeMetric]]
