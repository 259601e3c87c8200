"""The statistics that several analyses share: change points, the length of blocks, resampling, corrections.

Change points are rank-based, so that neither outliers nor the shape of the values matter. The cumulative sum of
centred ranks is, without a change, a Brownian bridge; its greatest distance from zero has Kolmogorov's distribution
(the test of Pettitt, 1979, in its large form). A change is reported when that distance is unlikelier than `alpha`,
and each side is searched again. For independent values a series without a change is said to have one in at most
`alpha` of all cases; neighbours that resemble each other make it more, so what is watched continuously uses a small
alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import atan, ceil, exp, nan, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens.metrics.distribution import percentile
from lens.metrics.intervals import batch_length

Series = NDArray[Any]

# Fewer values on a side say nothing of a level.
FEWEST = 8
ALPHA = 0.01
# More values than this are averaged in neighbourhoods before it is asked how long they resemble each other.
MOST_CORRELATED = 50_000
# Outliers are cut back to these quantiles before it is asked.
CALM = (0.05, 0.95)
# More blocks than this are made longer: they are looked at in pairs.
MOST_BLOCKS = 400


class ChangePoint(NamedTuple):
    """A change of level."""

    at: int  # index of the first value after it
    before: float  # median of the values since the change before
    after: float  # median of those until the next
    p_value: float

    @property
    def relative(self) -> float:
        """+0.5 is half as much again; 0 where it was nothing before."""
        return self.after / self.before - 1 if self.before else 0.0


def change_points(values: Sequence[float], *, alpha: float = ALPHA, fewest: int = FEWEST) -> list[ChangePoint]:
    """Return every change of level, in order; values that are None or not finite must have been left out."""
    series = np.asarray(values, dtype=np.float64)
    found: list[tuple[int, float]] = []
    _search(series, 0, alpha, fewest, found)
    found.sort()
    edges = [0, *(index for index, _ in found), len(series)]
    levels = [float(np.median(series[a:b])) if b > a else 0.0 for a, b in pairwise(edges)]
    return [ChangePoint(index, levels[i], levels[i + 1], p) for i, (index, p) in enumerate(found)]


def _search(series: Series, offset: int, alpha: float, fewest: int, found: list[tuple[int, float]]) -> None:
    """Binary segmentation: the clearest change of a stretch, then those on its sides."""
    n = len(series)
    if n < 2 * fewest:
        return
    at, p_value = _clearest(series, fewest)
    if p_value > alpha:
        return
    found.append((offset + at, p_value))
    _search(series[:at], offset, alpha, fewest, found)
    _search(series[at:], offset + at, alpha, fewest, found)


def _clearest(series: Series, fewest: int) -> tuple[int, float]:
    """Return the index of the first value after the clearest change, and how likely it is without one."""
    n = len(series)
    centred = _midranks(series) - (n + 1) / 2
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread == 0:
        return fewest, 1.0  # all values are the same
    walk = np.abs(np.cumsum(centred)[fewest - 1 : n - fewest])
    at = int(walk.argmax())
    return at + fewest, kolmogorov(float(walk[at]) / (spread * np.sqrt(n)))


def _midranks(series: Series) -> Series:
    """Return ranks from 1; equal values share the mean of theirs."""
    order = series.argsort(kind="stable")
    ranks = np.empty(len(series))
    ranks[order] = np.arange(1, len(series) + 1)
    _, inverse, counts = np.unique(series, return_inverse=True, return_counts=True)
    shared: Series = (np.bincount(inverse, ranks) / counts)[inverse]
    return shared


def kolmogorov(distance: float) -> float:
    """Return the chance that a Brownian bridge gets further from zero than this."""
    if distance < 0.2:
        return 1.0
    terms = ((-1) ** (j - 1) * exp(-2 * j * j * distance * distance) for j in range(1, 101))
    return float(min(max(2 * sum(terms), 0.0), 1.0))


def level_changes(medians: Series, alpha: float) -> list[tuple[int, float]]:
    """Return the first place after each change of level of a short series, and how likely it is without one.

    The search sees ranks, which draw a change towards the middle of its stretch; each is moved to where the
    two levels fit best (least absolute deviations).
    """
    found = [(change.at, change.p_value) for change in change_points(medians.tolist(), alpha=alpha)]
    edges = [0, *[index for index, _ in found], len(medians)]
    for i in range(1, len(edges) - 1):
        begin, end = edges[i - 1], edges[i + 1]
        misfits = [_misfit(medians[begin:at]) + _misfit(medians[at:end]) for at in range(begin + 1, end)]
        edges[i] = begin + 1 + int(np.argmin(misfits))
    return [(edge, p_value) for edge, (_, p_value) in zip(edges[1:-1], found, strict=True)]


def _misfit(part: Series) -> float:
    return float(np.abs(part - np.median(part)).sum())


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


def block_length_between_steps(values: Series, length: int, alpha: float) -> int:
    """Return how many neighbours belong together, the clearest changes of level apart; outliers are cut back.

    length: of the blocks in which the changes are looked for.
    """
    calm = np.clip(values, *np.quantile(values, CALM))
    medians, begins = block_medians(calm, length)
    edges = [int(begins[index]) for index, _ in level_changes(medians, alpha)]
    return block_length(np.concatenate([part - np.median(part) for part in np.split(calm, edges)]))


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
