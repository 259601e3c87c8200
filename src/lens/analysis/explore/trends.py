"""Does it become slower as time goes on? A slope with an interval, and a verdict in words.

The slope is the median of the slopes between all pairs of neighbourhoods (Theil 1950, Sen 1968), each
the median of as many requests as resemble each other, so that one outlier moves nothing and a slow
moment is no trend. Models, targets and stages are looked at apart: what is asked more often later is
no drift. All verdicts of one table are corrected together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lens.analysis.columns import per_request
from lens.analysis.sources import wall_s
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import batch_length
from lens.model import Record
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray

WATCHED = ("ttft_ms", "itl_ms", "total_latency_ms", "tokens_per_second")
LEVEL = 0.95
# Requests, and neighbourhoods of them, below which nothing is said.
FEWEST = 30
FEWEST_PLACES = 8
# More neighbourhoods than this are made larger: all pairs of them are looked at.
MOST_PLACES = 400
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


def peers_of(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Requests that may be compared with each other: of one target, under one setting."""
    found: dict[str, list[Record]] = {}
    for record in records:
        stage = f", {record.stage}" if record.stage else ""
        found.setdefault(f"{record.provider}/{record.model}{stage}", []).append(record)
    return found


def trends_of(records: Sequence[Record], book: PriceBook, metrics: Sequence[str] = WATCHED) -> tuple[Trend, ...]:
    """The trends of each target; those of which too little was measured are left out."""
    drawn = []
    for who, some in peers_of(records).items():
        if len(some) < FEWEST:
            continue
        for name in metrics:
            points = _points(per_request(METRICS[name], some, book), some)
            if points is not None:
                drawn.append((who, name, points))
    found = [_trend(who, name, points, len(drawn)) for who, name, points in drawn]
    return tuple(one for one in found if one is not None)


class _Points(msgspec.Struct):
    """Medians of neighbourhoods over time."""

    at_s: Any
    values: Any
    n: int
    span_s: float
    level: float


def _points(values: NDArray[Any], records: Sequence[Record]) -> _Points | None:
    import numpy as np

    there = ~np.isnan(values)
    y = values[there]
    t = np.array([wall_s(record) for record in records])[there]
    if len(y) < FEWEST or t.max() <= t.min():
        return None
    order = np.argsort(t, kind="stable")
    t, y = t[order], y[order]
    length = max(_resemblance(t, y), ceil(len(y) ** (1 / 3)), ceil(len(y) / MOST_PLACES))
    places = len(y) // length
    if places < FEWEST_PLACES:
        return None
    cuts = np.array_split(np.arange(len(y)), places)
    at = np.array([t[cut].mean() for cut in cuts])
    medians = np.array([np.median(y[cut]) for cut in cuts])
    return _Points(at, medians, len(y), float(t[-1] - t[0]), float(np.median(y)))


def _resemblance(t: NDArray[Any], y: NDArray[Any]) -> int:
    """How many neighbours go together, the trend itself apart; outliers are cut back to the 95th percentile."""
    import numpy as np

    calm = np.clip(y, *np.quantile(y, [0.05, 0.95]))
    centred = t - t.mean()
    slope = float(centred @ calm) / float(centred @ centred)
    return batch_length(calm - slope * centred)


def _trend(who: str, metric: str, points: _Points, looked_at: int) -> Trend | None:
    """Sen's slope with the interval of Kendall's statistic; None when so few places cannot bound it."""
    import numpy as np

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
