"""Does it become slower as time goes on? A slope with an interval, and a verdict in words.

The slope is the median of the slopes between all pairs of blocks (Theil 1950, Sen 1968), each the median of
as many requests as resemble each other, so that one outlier moves nothing and a slow moment is no trend.
Models, targets and stages are looked at apart: what is asked more often later is no drift. All verdicts of
one table are corrected together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from lens.analysis.explore.peers import peers_of
from lens.analysis.stats import (
    Series,
    block_length_along_trend,
    block_means,
    block_medians,
    shortest_block,
)
from lens.history.lean import MISSING
from lens.metrics.definitions import METRICS
from lens.metrics.table import Table

WATCHED = ("ttft_ms", "itl_ms", "total_latency_ms", "tokens_per_second")
LEVEL = 0.95
# Requests, and blocks of them, below which nothing is said.
FEWEST = 30
FEWEST_BLOCKS = 8
_UNITS = ((600, "minute", 60.0), (172_800, "hour", 3600.0), (float("inf"), "day", 86_400.0))  # up to so many seconds

Direction = Literal["rises", "falls", "no trend shown"]


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Where one metric of one target goes."""

    who: str
    metric: str
    n: int
    span_s: float
    level: float  # the median over the whole time
    slope: float  # of the metric, in a `per`
    low: float  # interval of the slope, corrected for all trends that were looked at
    high: float
    per: str  # "minute", "hour" or "day"
    direction: Direction
    better: bool | None  # None: no trend shown

    @property
    def each(self) -> str:
        """The period of the slope, for people: "an hour"."""
        return "an hour" if self.per == "hour" else f"a {self.per}"

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit
        sure = f"95 % {self.low:+.3g} to {self.high:+.3g}"
        if self.better is None:
            return f"{self.metric}: no trend shown ({self.slope:+.3g} {unit} {self.each}, {sure})"
        whole = self.slope * self.span_s / _seconds(self.per)
        share = f", {whole / self.level:+.0%} in all" if self.level else ""
        word = "better" if self.better else "worse"
        return f"{self.metric} {self.direction} by {abs(self.slope):.3g} {unit} {self.each} ({sure}){share}: {word}"


def trends_of(table: Table, metrics: Sequence[str] = WATCHED) -> tuple[Trend, ...]:
    """Return the trends of each target; those of which too little was measured are left out."""
    drawn = []
    for who, peers in peers_of(table, FEWEST):
        at_s = _wall_s(peers)
        for name in metrics:
            points = _points(at_s, peers.counted(name))
            if points is not None:
                drawn.append((who, name, points))
    found = [_trend(who, name, points, len(drawn)) for who, name, points in drawn]
    return tuple(one for one in found if one is not None)


def _wall_s(table: Table) -> Series:
    """Return the time of day of each request in seconds, NaN where nobody knows it."""
    wall = table.column("wall_us")
    known: Series = np.where(wall == MISSING, np.nan, wall / 1e6)
    return known


class _Points(NamedTuple):
    """Medians of blocks over time."""

    at_s: Series
    values: Series
    n: int
    span_s: float
    level: float


def _points(at_s: Series, values: Series) -> _Points | None:
    there = ~(np.isnan(values) | np.isnan(at_s))
    y, t = values[there], at_s[there]
    if len(y) < FEWEST or t.max() <= t.min() or len(y) // shortest_block(len(y)) < FEWEST_BLOCKS:
        return None
    if (np.diff(t) < 0).any():
        order = np.argsort(t, kind="stable")
        t, y = t[order], y[order]
    length = max(block_length_along_trend(t, y), shortest_block(len(y)))
    if len(y) // length < FEWEST_BLOCKS:
        return None
    medians, _ = block_medians(y, length)
    return _Points(block_means(t, length), medians, len(y), float(t[-1] - t[0]), float(np.median(y)))


def _trend(who: str, metric: str, points: _Points, looked_at: int) -> Trend | None:
    """Return Sen's slope with the interval of Kendall's statistic; None when so few blocks cannot bound it."""
    k = len(points.at_s)
    i, j = np.triu_indices(k, 1)
    apart = points.at_s[j] - points.at_s[i]
    ahead = apart > 0
    slopes = np.sort((points.values[j] - points.values[i])[ahead] / apart[ahead])
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / looked_at)
    reach = z * sqrt(k * (k - 1) * (2 * k + 5) / 18)
    first, last = int((len(slopes) - reach) / 2) - 1, ceil((len(slopes) + reach) / 2)
    if first < 0 or last >= len(slopes):
        return None
    per, seconds = next((name, size) for upto, name, size in _UNITS if points.span_s <= upto)
    low, high = float(slopes[first]) * seconds, float(slopes[last]) * seconds
    direction: Direction = "rises" if low > 0 else "falls" if high < 0 else "no trend shown"
    better = None if direction == "no trend shown" else (direction == "falls") == (METRICS[metric].better == "lower")
    return Trend(
        who=who,
        metric=metric,
        n=points.n,
        span_s=points.span_s,
        level=points.level,
        slope=float(np.median(slopes)) * seconds,
        low=low,
        high=high,
        per=per,
        direction=direction,
        better=better,
    )


def _seconds(per: str) -> float:
    return next(size for _, name, size in _UNITS if name == per)
