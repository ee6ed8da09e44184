"""Sentences about two systems that their intervals allow, and sentences that say what is not shown.

A gain or a loss is claimed of headline metrics only, where the 95% interval leaves 0 out and p, corrected for the number
of headline metrics (Holm), is at most 0.05. Absence of a difference is never claimed: an interval around 0 says how large
a difference may still be, and the smallest one that so many cards would show stands beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from data_prep.core.text import bracketed, figure, plural, signed
from eval.stats.records import Comparison, MetricRecord

LEVEL = 0.05
TENTHS = ".1f"  # in sentences a figure has a tenth, whatever its size


def claims(comparisons: Sequence[Comparison], metrics: Sequence[MetricRecord], headline: Sequence[str]) -> list[str]:
    """What may be said, one sentence each: per pair of systems its metrics in the order of `comparisons`, then the sum.

    The sum, "better in all", needs a gain and no headline metric that falls: a summary that is truer because it says less
    is not a better one. For this a metric falls as soon as its interval lies on the wrong side of 0, whatever the
    corrected p, and one that could not be compared forbids it too.
    """
    return [sentence for pair in pairs(comparisons, headline) for sentence in said_of(pair, by_name(metrics), headline)]


def not_shown(comparisons: Sequence[Comparison], metrics: Sequence[MetricRecord], headline: Sequence[str]) -> list[str]:
    """The rest of the headline comparisons, one sentence each, with the difference that such a test would have found; and
    each pair whose gains do not count as a whole because another headline metric falls."""
    return [sentence for pair in pairs(comparisons, headline) for sentence in unsaid_of(pair, by_name(metrics))]


def pairs(comparisons: Sequence[Comparison], metrics: Collection[str]) -> list[list[Comparison]]:
    """The comparisons on these metrics, those of one pair of systems together."""
    grouped: dict[tuple[str, str], list[Comparison]] = {}
    for row in comparisons:
        if row["metric"] in metrics:
            grouped.setdefault((row["a"], row["b"]), []).append(row)
    return list(grouped.values())


def by_name(metrics: Sequence[MetricRecord]) -> dict[str, MetricRecord]:
    return {metric["name"]: metric for metric in metrics}


def said_of(pair: list[Comparison], metrics: dict[str, MetricRecord], headline: Sequence[str]) -> Iterator[str]:
    for row in pair:
        if is_shown(row):
            yield claim(row, metrics[row["metric"]])
    gains, falls = directions(pair, metrics)
    whole = {row["metric"] for row in pair if row["ci95"]} == set(headline)
    if gains and not falls and whole:
        ending = "it is not shown to fall" if len(pair) == 1 else f"none of the {len(pair)} is shown to fall"
        yield (
            f"By the headline metrics {pair[0]['b']} is above {pair[0]['a']} as a whole: better in {listed(gains)}; {ending}."
        )


def unsaid_of(pair: list[Comparison], metrics: dict[str, MetricRecord]) -> Iterator[str]:
    for row in pair:
        if not is_shown(row):
            yield missing_claim(row, metrics[row["metric"]])
    gains, falls = directions(pair, metrics)
    if gains and falls:
        yield (
            f"{pair[0]['b']} above {pair[0]['a']} as a whole is not shown: it gains in {listed(gains)} and falls in {listed(falls)}."
        )


def is_shown(row: Comparison) -> bool:
    p = row.get("p_holm")
    return excludes_zero(row) and p is not None and p <= LEVEL


def excludes_zero(row: Comparison) -> bool:
    return bool((ends := row["ci95"]) and (ends[0] > 0 or ends[1] < 0))


def directions(pair: list[Comparison], metrics: dict[str, MetricRecord]) -> tuple[list[str], list[str]]:
    """Labels, quoted, of the metrics that are shown to gain, and of those whose interval lies on the wrong side of 0."""
    gains, falls = [], []
    for row in pair:
        low, high = toward_better(row, metrics[row["metric"]]) or (0.0, 0.0)
        if low > 0 and is_shown(row):
            gains.append(quoted(metrics[row["metric"]]))
        if high < 0:
            falls.append(quoted(metrics[row["metric"]]))
    return gains, falls


def toward_better(row: Comparison, metric: MetricRecord) -> tuple[float, float] | None:
    """The interval with its sign such that more is better. None without an interval, or where neither is better."""
    if not row["ci95"] or metric["better"] is None:
        return None
    low, high = row["ci95"]
    return (low, high) if metric["better"] == "higher" else (-high, -low)


def claim(row: Comparison, metric: MetricRecord) -> str:
    assert row["difference"] is not None
    assert row["ci95"]
    up, (low, high) = row["difference"] > 0, sorted(abs(end) for end in row["ci95"])
    word, how = "above" if up else "below", ""
    if metric["better"] == "lower":
        word, how = ("worse than", ": higher") if up else ("better than", ": lower")
    by = f"by {amount(abs(row['difference']), metric)} [{number(low, metric)}, {number(high, metric)}]"
    return f"{row['b']} is {word} {row['a']} in {quoted(metric)}{how} {by} ({basis(row)})."


def missing_claim(row: Comparison, metric: MetricRecord) -> str:
    opening = f"{row['b']} against {row['a']} in {quoted(metric)}"
    if row["difference"] is None or not row["ci95"]:
        return f"{opening}: no interval ({row.get('note') or 'nothing was measured'})."
    if excludes_zero(row):
        p = row.get("p_holm")
        why = "no corrected p" if p is None else f"p is {p:.3f} after correction for the number of headline metrics"
        return f"{opening}: not shown, {difference(row, metric)}; {why} ({basis(row)})."
    return f"{opening}: no difference shown, {difference(row, metric)}{power(row, metric)} ({basis(row)})."


def difference(row: Comparison, metric: MetricRecord) -> str:
    """With its interval, which there must be."""
    interval = bracketed(row["ci95"], metric["unit"], signed, TENTHS)
    return f"{signed(row['difference'], metric['unit'], TENTHS)} {unit(metric)}{interval}"


def power(row: Comparison, metric: MetricRecord) -> str:
    if row.get("detectable") is None:
        return ""
    return f"; a true difference of {amount(row['detectable'], metric)} would be found four times in five"


def basis(row: Comparison) -> str:
    return f"{plural(row['n'], 'card')} of {plural(row['families'], 'family', 'families')}"


def listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:-1]) + " and " + labels[-1] if len(labels) > 1 else labels[0]


def quoted(metric: MetricRecord) -> str:
    return f'"{metric["label"]}"'


def amount(value: float, metric: MetricRecord) -> str:
    return f"{number(value, metric)} {unit(metric)}"


def unit(metric: MetricRecord) -> str:
    return "points" if metric["unit"] == "share" else metric["unit"]


def number(value: float | None, metric: MetricRecord) -> str:
    """A share in points, anything else in its own unit."""
    return figure(value, metric["unit"], TENTHS)
