"""The statistics that several analyses share: the length of blocks, resampling, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan, ceil, nan, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens.metrics.distribution import percentile
from lens.metrics.intervals import batch_length

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


# Figures, and how sure they are.


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
        return float(ordered.std(ddof=1)) if len(ordered) > 1 else nan
    # Rounding may carry the mean of equal values past them.
    return min(max(float(ordered.mean()), float(ordered[0])), float(ordered[-1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the chances of several findings, corrected for how many were looked for (Holm 1979); in their order."""
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(p_values[place] * (len(p_values) - rank), 1.0))
        adjusted[place] = worst
    return adjusted


def t_tails(t: float, freedom: float) -> float:
    """Return how often Student's t lies farther from 0 than this.

    With t = sqrt(freedom) tan(a) its density becomes that of cos(a) ** (freedom - 1), which is summed up.
    """

    def below(angle: float) -> float:
        middles = (np.arange(2000) + 0.5) * (angle / 2000)
        return float((np.cos(middles) ** (freedom - 1)).mean()) * angle

    return max(1 - below(atan(t / sqrt(freedom))) / below(pi / 2), 0.0)


def t_upper(chance: float, freedom: float) -> float:
    """Return what Student's t exceeds this often, on one side."""
    low, high = 0.0, 1.0
    while t_tails(high, freedom) > 2 * chance and high < 1e6:
        low, high = high, 2 * high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tails(middle, freedom) > 2 * chance else (low, middle)
    return (low + high) / 2
