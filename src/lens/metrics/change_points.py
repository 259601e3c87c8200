"""Changes of level in a series of values, wherever they are looked for.

The test is rank-based, so that neither outliers nor the shape of the values matter. The cumulative sum of
centred ranks is, without a change, a Brownian bridge; its greatest distance from zero has Kolmogorov's distribution
(the test of Pettitt, 1979, in its large form). A change is reported when that distance is unlikelier than `alpha`,
and each side is searched again. For independent values a series without a change is said to have one in at most
`alpha` of all cases; neighbours that resemble each other make it more, so what is watched continuously uses a small
alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Series = NDArray[Any]

# Fewer values on a side say nothing of a level.
FEWEST = 8
ALPHA = 0.01


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
