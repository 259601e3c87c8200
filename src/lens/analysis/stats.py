"""The statistics that several analyses share: the length of blocks, resampling, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, lgamma, log, log1p, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens.metrics.distribution import percentile
from lens.metrics.intervals import batch_length
from lens.metrics.long_series import LONG, mean_of, std_dev

Series = NDArray[Any]

# More values than this are averaged in neighbourhoods before it is asked how long they resemble each other.
MOST_CORRELATED = 50_000
# Outliers are cut back to these quantiles before it is asked.
CALM = (0.05, 0.95)
# More blocks than this are made longer: they are looked at in pairs.
MOST_BLOCKS = 400


# Blocks of neighbours.


def block_length(series: Series) -> int:
    """Return how many neighbours of a series belong together: 1 for independent values (Politis and White 2004)."""
    each = -(-len(series) // MOST_CORRELATED)
    return int(batch_length(series) if each <= 1 else batch_length(chunk_means(series, each)) * each)


def block_length_along_trend(t: Series, y: Series) -> int:
    """Return how many neighbours belong together, the linear trend over t apart; outliers are cut back."""
    calm = np.clip(y, *np.quantile(y, CALM))
    centred = t - t.mean()
    slope = float(centred @ calm) / float(centred @ centred)
    return block_length(calm - slope * centred)


def shortest_block(n: int) -> int:
    """Return how long blocks of n values are at least: few enough to look at in pairs, and long enough for a median."""
    cube_root: float = n ** (1 / 3)
    return max(ceil(cube_root), ceil(n / MOST_BLOCKS))


def block_begins(n: int, length: int) -> Series:
    """Return where blocks of about so many values begin; they differ in length by one at most."""
    many = max(n // length, 1)
    size, longer = divmod(n, many)
    place = np.arange(many)
    begins: Series = place * size + np.minimum(place, longer)
    return begins


def block_medians(values: Series, length: int) -> tuple[Series, Series]:
    """Return the median of each block of about so many values, and where the blocks begin."""
    begins = block_begins(len(values), length)
    return _of_blocks(values, begins, np.median), begins


def block_means(values: Series, length: int) -> Series:
    """Return the mean of each block of about so many values."""
    return _of_blocks(values, block_begins(len(values), length), np.mean)


def _of_blocks(values: Series, begins: Series, reduce: Any) -> Series:
    """Blocks of two lengths, the longer ones first: each length is a matrix."""
    size, longer = divmod(len(values), len(begins))
    edge = longer * (size + 1)
    head, rest = values[:edge].reshape(longer, size + 1), values[edge:].reshape(len(begins) - longer, size)
    parts = [reduce(rows, axis=1) for rows in (head, rest) if len(rows)]
    found: Series = np.concatenate(parts)
    return found


def chunk_means(series: Series, each: int) -> Series:
    """Return the means of `each` neighbours; the few that are left over go."""
    whole = len(series) // each
    means: Series = series[: whole * each].reshape(whole, each).mean(axis=1, dtype="float64")
    return means


def moving_blocks(n: int, length: int, many: int, generator: np.random.Generator) -> Series:
    """Return the places of `many` resampled series: blocks that begin anywhere and go round the end (Kuensch 1989)."""
    begins: Series = generator.integers(0, n, (many, ceil(n / length)))
    if length == 1:
        return begins
    places = (begins[:, :, None] + np.arange(length)) % n
    found: Series = places.reshape(many, -1)[:, :n]
    return found


# Figures and their confidence intervals.


def statistic_of(ordered: Series, statistic: str) -> float:
    """Return a statistic of values in ascending order: "mean", "p95", "min", "max", "std_dev" of the sample.

    NaN for the deviation of one value.

    Raises:
        ValueError: no values.
    """
    if statistic.startswith("p"):
        return percentile(ordered, float(statistic[1:]))
    if not len(ordered):
        raise ValueError(f"no {statistic} of no values")
    if statistic == "min":
        return float(ordered[0])
    if statistic == "max":
        return float(ordered[-1])
    if statistic == "std_dev":
        if len(ordered) > LONG:
            return std_dev(ordered, mean_of(ordered))
        return float(ordered.std(ddof=1)) if len(ordered) > 1 else nan
    # Rounding may carry the mean of equal values past them.
    return min(max(mean_of(ordered), float(ordered[0])), float(ordered[-1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the chances of several findings, corrected for how many were looked for (Holm 1979); in their order."""
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(p_values[place] * (len(p_values) - rank), 1.0))
        adjusted[place] = worst
    return adjusted


def t_tails(t: float, freedom: float) -> float:
    """Return how often Student's t lies farther from 0 than this (DLMF 8.17: the incomplete beta function)."""
    t = abs(t)
    if not t:
        return 1.0
    a, b, x = freedom / 2, 0.5, freedom / (freedom + t * t)
    if x <= (a + 1) / (a + b + 2):
        return _beta_tail(a, b, x)
    return 1 - _beta_tail(b, a, t * t / (freedom + t * t))


def _beta_tail(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function where its continued fraction (DLMF 8.17.22) is quick."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    fraction, above, below = 1.0, 1.0, 0.0
    for step in range(500):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / _not_zero(1 + term * below)
        above = _not_zero(1 + term / above)
        fraction *= above * below
        if abs(above * below - 1) < 1e-12:
            break
    return min(max(front * (fraction - 1), 0.0), 1.0)


def _not_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


@lru_cache(maxsize=1024)
def t_upper(chance: float, freedom: float) -> float:
    """Return what Student's t exceeds this often, on one side."""
    low, high = 0.0, 1.0
    while t_tails(high, freedom) > 2 * chance and high < 1e9:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tails(middle, freedom) > 2 * chance else (low, middle)
    return (low + high) / 2
