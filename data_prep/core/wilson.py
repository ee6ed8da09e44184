"""Wilson's interval, which data_prep and eval give with rates."""

from __future__ import annotations


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a rate (Wilson 1927), for independent trials: hand-labelled sentences, planted faults.
    (0, 1) for no trial. Raises ValueError where `successes` is no count of `n`."""
    from scipy import stats  # a second, which a stage with nothing to do need not wait for

    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: expected a count from 0 to {n}; count both over the same items")
    if n == 0:
        return 0.0, 1.0
    interval = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
