"""The distribution of one metric: percentiles, standard deviation, histogram, confidence intervals.

Percentiles are nearest rank (Hyndman and Fan 1996, definition 1): a value that was measured, never
one between two. One that so few values cannot tell is not given; how many it needs is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from lens.arrays.dispatch import np
from lens.metrics.long_series import mean_of, std_dev
from lens.metrics.ordered_values import Ordered, ordered_array, ordered_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lens.metrics.intervals import Interval, Refusal

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
# Of these an interval is told, where it is asked for and there are enough values.
SURE_OF = (50.0, 90.0, 95.0, 99.0)
HISTOGRAM_BINS = 12  # at most; fewer for few values


class Histogram(msgspec.Struct, frozen=True):
    """Counts in bins of one width; the last bin also holds all that is above it."""

    edges: tuple[float, ...]  # one more than counts
    counts: tuple[int, ...]


class Distribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values of one metric."""

    metric: str
    unit: str
    n: int
    min: float
    max: float
    mean: float
    std_dev: float | None  # of the sample; None for one value
    median: float
    percentiles: dict[str, float]  # "p99" -> value
    needs: dict[str, int] = {}  # "p99.9" -> how many values it would need, where there are fewer
    histogram: Histogram | None = None
    intervals: dict[str, Interval] = {}  # "mean", "p95" -> 95 % interval, where it was asked for
    no_interval: dict[str, str] = {}  # "mean", "p95" -> why it has none, where one was asked for


def percentile(ordered: Sequence[float] | NDArray[Any], percent: float) -> float:
    """Return the smallest value that at least this percentage of all values does not exceed.

    Raises:
        ValueError: there are no values, or percent is outside 0..100.
    """
    if not len(ordered) or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(ordered)} values")
    part, whole = _exact(percent)
    rank = -(-part * len(ordered) // (100 * whole))  # rounded up
    return float(ordered[max(rank, 1) - 1])


@cache
def _exact(percent: float) -> tuple[int, int]:
    """Return numerator and denominator of the number that people write so."""
    return Decimal(str(percent)).as_integer_ratio()


@cache
def values_needed(percent: float) -> int:
    """Return how many values a percentile needs so that one of them may lie beyond it: 100 for p99."""
    part, whole = _exact(percent)
    beyond = 100 * whole - part
    return -(-100 * whole // beyond) if percent > 50 and beyond else 1


def percentile_name(percent: float) -> str:
    """p50, p99.9"""
    return f"p{percent:g}"


def distribution(
    metric: str,
    unit: str,
    values: Sequence[float] | NDArray[Any],
    percents: Sequence[float] = PERCENTILES,
    *,
    sure_of: Sequence[float] = (),
    own: bool = False,
) -> Distribution | None:
    """Describe values; None when there are none.

    sure_of: percentiles that get an interval, and the mean with them; values must then be in the
        order in which they were measured, for neighbours resemble each other.
    own: values are an array that nobody needs any more; it is sorted in place.
    """
    measured = np.asarray(values, dtype=np.float64)
    found = ordered_array(measured if own else measured.copy(), by_time=bool(sure_of))
    return _describe(metric, unit, found, percents, sure_of)


def distribution_of_pieces(
    metric: str,
    unit: str,
    pieces: Iterable[NDArray[Any]],
    percents: Sequence[float] = PERCENTILES,
    *,
    sure_of: Sequence[float] = (),
) -> Distribution | None:
    """Describe values that come an array at a time, and may be more than memory should hold."""
    return _describe(metric, unit, ordered_values(pieces, by_time=bool(sure_of)), percents, sure_of)


def _describe(
    metric: str, unit: str, found: Ordered, percents: Sequence[float], sure_of: Sequence[float]
) -> Distribution | None:
    ordered, n = found.by_size, len(found.by_size)
    if n == 0:
        return None
    can = [p for p in percents if n >= values_needed(p)]
    intervals: dict[float | None, Interval | Refusal] = {}
    if found.by_time is not None:
        intervals = _intervals(found.by_time, ordered, [p for p in sure_of if n >= values_needed(p)])
    mean, least, greatest = mean_of(ordered), float(ordered[0]), float(ordered[-1])
    return Distribution(
        metric=metric,
        unit=unit,
        n=n,
        min=least,
        max=greatest,
        mean=min(max(mean, least), greatest),  # rounding may carry the mean of equal values past them
        std_dev=std_dev(ordered, mean) if n > 1 else None,
        median=percentile(ordered, 50),
        percentiles={percentile_name(p): percentile(ordered, p) for p in can},
        needs={percentile_name(p): values_needed(p) for p in percents if p not in can},
        histogram=_histogram(ordered),
        intervals={_name(p): one for p, one in intervals.items() if not isinstance(one, str)},
        no_interval={_name(p): str(one) for p, one in intervals.items() if isinstance(one, str)},
    )


def _intervals(
    in_time: NDArray[Any], ordered: NDArray[Any], percents: Sequence[float]
) -> dict[float | None, Interval | Refusal]:
    from lens.metrics.intervals import intervals_of

    return intervals_of(in_time, ordered, percents)


def _name(percent: float | None) -> str:
    return "mean" if percent is None else percentile_name(percent)


def _histogram(ordered: NDArray[Any]) -> Histogram | None:
    """Equal bins from the least value to the p95 and a bit; what lies above is in the last."""
    low, high = float(ordered[0]), percentile(ordered, 95)
    if len(ordered) < 2 or high <= low:
        return None
    top = min(float(ordered[-1]), high + (high - low) / 4)
    bins = min(HISTOGRAM_BINS, ceil(len(ordered) ** 0.5) + 1)
    edges = [low + number * ((top - low) / bins) for number in range(bins)]
    upto = np.searchsorted(ordered, edges[1:]).tolist()  # sorted values need no counting
    counts = [end - first for first, end in pairwise([0, *upto, len(ordered)])]
    return Histogram((*edges, top), tuple(counts))
