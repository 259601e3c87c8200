"""Changes of level in a series of values: the one method of the page, of `analyze` and of `monitor`.

The test is rank-based, so that neither outliers nor the shape of the values matter; equal values share the mean of
their ranks. The cumulative sum of centred ranks is, without a change, a Brownian bridge, whose greatest distance from
zero has Kolmogorov's distribution (the test of Pettitt, 1979, in its large form). How wide the bridge is depends on
how long neighbours resemble each other: that is read from what is left of the ranks when the clearest change is taken
out, the way it is read for the interval of a mean (`metrics.intervals`). A level is one only if it lasts for longer
than neighbours remember.

A series is searched as a whole, then in overlapping halves, quarters and eighths of it (seeded intervals: Kovacs,
Buehlmann, Li and Munk 2020), so that two changes that cancel each other are seen too; all searches share the chance
of error `alpha`. Then both sides of a change are searched the same way. A change that is smaller than `least` of the
level before is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, exp, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens.arrays.dispatch import median
from lens.metrics.intervals import MOST_ALIKE, correlation, mean_error

Series = NDArray[Any]

# Fewer values on a side say nothing of a level, and fewer in all nothing of how neighbours resemble each other.
FEWEST_ON_A_SIDE = 8
FEWEST = 24
# The chance of a change in a series that has none.
ALPHA = 1e-4
# The share of the level before by which a change of it matters.
LEAST = 0.05
# A level lasts for at least so many times as long as one value is remembered.
TIMES_MEMORY = 2.0
# Parts of a series are searched alone while they have so many values, and are no smaller than an eighth of it.
FEWEST_OF_A_PART = 60
SMALLEST_PART = 8
# A longer series is searched as the medians of so many blocks.
MOST_BLOCKS = 500


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


def change_points(values: Sequence[float] | Series, *, alpha: float = ALPHA, least: float = LEAST) -> list[ChangePoint]:
    """Return every change of level, in order; values that are None or not finite must have been left out."""
    series = np.asarray(values, dtype=np.float64)
    each = max(ceil(len(series) / MOST_BLOCKS), 1)
    short = series if each == 1 else median(series[: len(series) // each * each].reshape(-1, each), axis=1)
    found: dict[int, float] = {}
    _search(short, 0, alpha, found)
    edges = _refined(short, sorted(found))
    p_values = [found[index] for index in sorted(found)]
    return _large_enough(series, [edge * each for edge in edges], p_values, least)


def _large_enough(series: Series, edges: list[int], p_values: list[float], least: float) -> list[ChangePoint]:
    """Return the changes without the smallest, one after the other, while it is too small to matter."""
    while edges:
        levels = [float(median(series[a:b])) for a, b in pairwise([0, *edges, len(series)])]
        found = [ChangePoint(*of) for of in zip(edges, levels, levels[1:], p_values, strict=False)]
        sizes = [abs(one.after - one.before) - least * abs(one.before) for one in found]
        smallest = int(np.argmin(sizes))
        if sizes[smallest] > 0:
            return found
        del edges[smallest], p_values[smallest]
    return []


def _search(series: Series, offset: int, alpha: float, found: dict[int, float]) -> None:
    """Find the clearest change of a stretch, then those on its sides."""
    split = _split(series, alpha)
    if split is None:
        return
    at, p_value = split
    found[offset + at] = p_value
    _search(series[:at], offset, alpha, found)
    _search(series[at:], offset + at, alpha, found)


def _split(series: Series, alpha: float) -> tuple[int, float] | None:
    """Return where the clearest change is and how likely it is without one; None: no likelier than that."""
    side = FEWEST_ON_A_SIDE
    for parts in _layers(len(series)):
        chance = alpha / (2 * len(parts) ** 2)  # 1, 3, 7, 15 parts: less than alpha in all
        splits = [(begin, *_clearest(series[begin:end], side, chance)) for begin, end in parts]
        begin, at, p_value = min(splits, key=lambda split: split[2])
        if p_value <= chance:
            return begin + at, min(p_value * 2 * len(parts) ** 2, 1.0)
        if len(parts) == 1:
            # A part is too short to know of spells that the whole has.
            side = _shortest_side(_surely_alike(_levelled(series, at)) if at else 0.0)
    return None


def _shortest_side(alike: float) -> int:
    """Return for how many values a level lasts at least, with this correlation of neighbours."""
    return max(ceil(TIMES_MEMORY * (1 + alike) / (1 - alike)), FEWEST_ON_A_SIDE)


def _layers(n: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the whole, then its overlapping halves, quarters and eighths, as begins and ends."""
    if n >= FEWEST:
        yield [(0, n)]
    part = 2
    while part <= SMALLEST_PART and n // part >= FEWEST_OF_A_PART:
        yield [(i * n // (2 * part), (i + 2) * n // (2 * part)) for i in range(2 * part - 1)]
        part *= 2


def _clearest(series: Series, least_side: int, chance: float) -> tuple[int, float]:
    """Return the index of the first value after the clearest change, and how likely it is without one.

    least_side: values on a side, at least.
    chance: what is likelier than this is no change; how much likelier is not looked at.
    """
    n = len(series)
    ranks = midranks(series) - (n + 1) / 2
    if not ranks.any():
        return 0, 1.0  # all values are the same
    walk = np.abs(np.cumsum(ranks))
    at = _farthest(walk, FEWEST_ON_A_SIDE)
    rest = _levelled(ranks, at)
    if not rest.any():
        return at, kolmogorov(sqrt(n))  # two levels without any noise
    rho = _surely_alike(rest)
    values = _levelled(series, at)
    alike = max(rho, _surely_alike(values))
    side = max(_shortest_side(alike), least_side)
    if 2 * side > n:
        return at, 1.0
    remembered = sqrt(float(np.mean(rest**2)) * (1 + rho) / (1 - rho) / n)
    at = _farthest(walk, side)
    distance = float(walk[at - 1]) / n
    least = kolmogorov(distance / remembered)
    if least > chance:
        return at, least
    error = mean_error(rest, 0.95)
    return at, kolmogorov(distance / max(error.size * error.t / 1.96, remembered))


def _farthest(walk: Series, side: int) -> int:
    """Return the number of values after which the walk is farthest from 0, with so many on each side."""
    return int(walk[side - 1 : len(walk) - side].argmax()) + side


def _levelled(series: Series, at: int) -> Series:
    """Return what is left of a series when the means of its two parts are taken out."""
    rest: Series = np.concatenate([part - part.mean() for part in (series[:at], series[at:])])
    return rest


def _surely_alike(rest: Series) -> float:
    """Return the correlation of neighbours, larger by its standard error; what is taken out made it too small."""
    n = len(rest)
    if not rest.any():
        return 0.0
    rho = correlation(rest)
    rho += (1 + 4 * rho) / n  # for the second mean that was taken out
    if rho <= 0:
        return 0.0
    rho = min(rho, 1.0)
    return min(rho + min(1.0, rho * sqrt(n)) * sqrt((1 - rho * rho) / n), MOST_ALIKE)


def midranks(series: Series) -> Series:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(series, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Series = (ends - (counts - 1) / 2)[inverse]
    return ranks


def kolmogorov(distance: float) -> float:
    """Return the chance that a Brownian bridge gets further from zero than this."""
    if distance < 0.2:
        return 1.0
    terms = ((-1) ** (j - 1) * exp(-2 * j * j * distance * distance) for j in range(1, 101))
    return float(min(max(2 * sum(terms), 0.0), 1.0))


def _refined(series: Series, edges: list[int]) -> list[int]:
    """Return the edges moved to where the two levels fit best (least absolute deviations).

    Ranks draw a change towards the middle of its stretch.
    """
    edges = [0, *edges, len(series)]
    for i in range(1, len(edges) - 1):
        begin, end = edges[i - 1], edges[i + 1]
        misfits = [_misfit(series[begin:at]) + _misfit(series[at:end]) for at in range(begin + 1, end)]
        edges[i] = begin + 1 + int(np.argmin(misfits))
    return edges[1:-1]


def _misfit(part: Series) -> float:
    return float(np.abs(part - median(part)).sum())
