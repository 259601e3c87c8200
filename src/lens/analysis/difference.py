"""What the difference of two figures is off by: its standard error, with Student's t for as little as is known of it.

Every request has an influence on a figure: on a mean its distance from it, on a percentile whether it lies below it,
over the density there (Bahadur 1966); what has many values a request, as the gaps between tokens, is pooled. A
difference of figures is off by what the mean of the influences is off by, which is read as in `metrics.intervals`, so
that neighbours may resemble each other. A side that several runs make up is read run by run. What disturbs one metric
disturbs all: the longest memory that one of them shows counts for the others, as far as they may have it.
Figures are those of answers: one that breaks off after its first token had that one soon, and an empty one ends soon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np

from lens.analysis.stats import Series, chunk_means, statistic_of, t_tails, t_upper
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import (
    FEWEST_BEYOND_ALIKE,
    FEWEST_COSINES,
    TIMES_MEMORY,
    correlation,
    correlation_beyond_chance,
    larger_error,
    memory_of,
)
from lens.metrics.long_series import MOST
from lens.metrics.table import Table

# Requests that a mean or a median needs on each side, and a tail beyond it: fewer tell neither noise nor memory.
FEWEST = 30
FEWEST_BEYOND = 10
# The density at a percentile is read within what it is off by, but at most so many standard errors of independent
# values: farther out, a few outliers would stand for the density of all.
WIDEST = 3.0
# Values that are weighed at once.
AT_ONCE = 1 << 20
# Requests from which on sides are told apart that lie wholly apart.
FEWEST_SEPARATED = 10


def fewest(statistic: str) -> int:
    """Return the requests that a statistic needs on each side."""
    return max(FEWEST, _fewest_beyond(statistic))


def _fewest_beyond(statistic: str, beyond: int = FEWEST_BEYOND) -> int:
    """Return the requests with so many beyond a percentile; 0 of a mean."""
    if not statistic.startswith("p"):
        return 0
    share = float(statistic[1:]) / 100
    return ceil(round(beyond / min(share, 1 - share), 6))


def pair_sides(a: Table, b: Table, name: str) -> Sides:
    """Return a metric of two tables whose rows are pairs, of those that have it on both sides."""
    rows = np.flatnonzero(~(np.isnan(_of_answers(a, name)) | np.isnan(_of_answers(b, name))))
    x, y = (_Measured.of([side.take(rows)], name) for side in (a, b))
    return Sides(x.values, y.values, paired=True, pools=_pools(x, y))


def run_sides(a: Sequence[Table], b: Sequence[Table], name: str) -> Sides:
    """Return a metric of two sides that are not paired; each side is made of runs."""
    x, y = _Measured.of(a, name), _Measured.of(b, name)
    return Sides(x.values, y.values, paired=False, pools=_pools(x, y), runs=(x.runs, y.runs))


def _of_answers(table: Table, name: str) -> Column:
    return np.where(table.answered, table.metric(name), np.nan)


def share_memory(metrics: Sequence[Sides]) -> None:
    """Let the metrics of two sides reckon with the longest memory that one of them shows."""
    longest = max([one.correlation for one in metrics], default=0.0)
    for one in metrics:
        one.share(longest)


# Values, and the request of each, ascending.
Pool = tuple[Series, Series]


class _Measured(NamedTuple):
    """A metric of the requests that have it, run after run."""

    values: Series
    pool: Callable[[], Pool] | None  # of a metric with many values a request: reads them
    runs: tuple[int, ...]  # requests of each run

    @classmethod
    def of(cls, tables: Sequence[Table], name: str) -> _Measured:
        columns = [_of_answers(table, name) for table in tables]
        rows = [np.flatnonzero(~np.isnan(column)) for column in columns]
        values = np.concatenate([column[some] for column, some in zip(columns, rows, strict=True)])
        pool = None if METRICS[name].pooled is None else partial(_pooled, tables, rows, name)
        return cls(values, pool, tuple([len(some) for some in rows]))


def _pooled(tables: Sequence[Table], rows: Sequence[Column], name: str) -> Pool:
    """Return all values of these requests, run after run, and the request of each."""
    pools = [
        (table.take(some) if len(some) < len(table) else table).pooled(name)
        for table, some in zip(tables, rows, strict=True)
    ]
    if len(pools) == 1:
        return pools[0]
    begins = np.cumsum([0, *[len(some) for some in rows[:-1]]])
    of = [pool.of + begin for pool, begin in zip(pools, begins, strict=True)]
    return np.concatenate([pool.values for pool in pools]), np.concatenate(of)


def _pools(x: _Measured, y: _Measured) -> tuple[Callable[[], Pool], Callable[[], Pool]] | None:
    return None if x.pool is None or y.pool is None else (x.pool, y.pool)


class Error(NamedTuple):
    """What a difference is off by: its standard error, and the freedom of Student's t for it."""

    size: float
    freedom: float

    def tails(self, difference: float) -> float:
        """Return how often chance alone makes a larger difference."""
        if not self.size:
            return 1.0 if difference == 0 else 0.0
        return t_tails(abs(difference) / self.size, self.freedom)

    def half(self, chance: float) -> float:
        """Return the difference that chance alone exceeds this often."""
        return t_upper(chance / 2, self.freedom) * self.size if self.size else 0.0


class Sides:
    """One metric of a baseline and a candidate, and what all its statistics share."""

    def __init__(
        self,
        x: Series,
        y: Series,
        *,
        paired: bool,
        pools: tuple[Callable[[], Pool], Callable[[], Pool]] | None = None,
        runs: tuple[Sequence[int], Sequence[int]] = ((), ()),
    ) -> None:
        """
        x, y: a value a request, in the order in which they were measured; of pairs in their order.
        pools: of a metric with many values a request, of each side what reads them.
        runs: how many of the requests of each side are of each of its runs; none: all are of one.
        """
        self.x, self.y, self.paired = x, y, paired
        self._ends = (_ends(runs[0]), _ends(runs[1]))
        self._shared = 0.0  # correlation of neighbours in what disturbs all metrics
        reads: Sequence[Callable[[], Pool]] = pools or [partial(_one_each, side) for side in (x, y)]
        self._sides = [_Side(read, len(series)) for read, series in zip(reads, (x, y), strict=True)]

    @property
    def requests(self) -> tuple[int, int]:
        """How many requests each side has."""
        return len(self.x), len(self.y)

    @cached_property
    def above(self) -> float:
        """In which share of pairs, or of all combinations, the candidate has more; ties half."""
        if self.paired:
            return float((self.y > self.x).mean() + 0.5 * (self.y == self.x).mean())
        x, y = np.sort(self.x), np.sort(self.y)
        below = np.searchsorted(x, y, side="left").mean() + np.searchsorted(x, y, side="right").mean()
        return float(below / 2 / len(x))

    def prepare(self, statistics: Sequence[str]) -> None:
        """Read the values of each side once for all these statistics."""
        for side in self._sides:
            side.prepare(statistics)

    def at(self, statistic: str) -> tuple[float, float]:
        """Return the statistic of both."""
        x, y = (side.at(statistic) for side in self._sides)
        return x, y

    @cached_property
    def _series(self) -> list[Series]:
        if self.paired:
            return [_shortened(self.y - self.x)]
        return [_shortened(run) for run in (*np.split(self.x, self._ends[0]), *np.split(self.y, self._ends[1]))]

    @cached_property
    def correlation(self) -> float:
        """The correlation of neighbours where it is more than chance; else 0."""
        return max([correlation_beyond_chance(one) if len(one) > 1 else 0.0 for one in self._series])

    @property
    def memory(self) -> int:
        """How many neighbours tell as much as one independent value; 1: they do not resemble each other."""
        return memory_of(self.correlation) * ceil(max(self.requests, default=0) / MOST or 1)

    def share(self, correlation: float) -> None:
        """Reckon with what disturbs all metrics, whose neighbours have this correlation."""
        self._shared = correlation

    @cached_property
    def separated(self) -> bool:
        """Whether the nearest values of the two sides lie farther apart than all values of either; of pairs, from 0.

        Of equal sides that are AR(1) with 0.9, at most one in 10,000 is so at 30 requests.
        """
        if not min(self.requests):
            return False
        if self.paired:
            differences = self.y - self.x
            return bool(np.abs(differences).min() > np.ptp(differences))
        gap = max(self.x.min() - self.y.max(), self.y.min() - self.x.max())
        return bool(gap > max(np.ptp(self.x), np.ptp(self.y)))

    def fewest(self, statistic: str) -> int:
        """Return the requests that a statistic needs on each side.

        More where neighbours resemble each other, unless the sides lie so far apart that no memory explains it.
        """
        if self.separated:
            return max(FEWEST_SEPARATED, _fewest_beyond(statistic))
        if self.memory == 1:
            return fewest(statistic)
        return max(FEWEST, _fewest_beyond(statistic, FEWEST_BEYOND_ALIKE), TIMES_MEMORY * self.memory)

    def error(self, statistic: str) -> Error:
        """Return what the difference of a statistic is off by."""
        x, y = (side.influences(statistic) for side in self._sides)
        if self.paired:
            found = _error_of_mean(y - x, self._shared)
        else:
            sides = zip((x, y), self._ends, strict=True)
            found = _joined([_error_of_runs(influences, ends, self._shared) for influences, ends in sides])
        return found._replace(freedom=1 / (1 / found.freedom + self._unknown_density(statistic)))

    def _unknown_density(self, statistic: str) -> float:
        """Return 1 over the freedom of the density at a percentile: the values that it was read from; 0 of a mean."""
        if not statistic.startswith("p"):
            return 0.0
        share = float(statistic[1:]) / 100
        return 1 / sum([2 * sqrt(share * (1 - share) * requests) for requests in self.requests])


def _one_each(values: Series) -> Pool:
    return values, np.arange(len(values))


class _Side:
    """The values of one side, and the influence of each request on a statistic of them.

    Values are read for several statistics at once, and not kept: there may be many a request.
    """

    def __init__(self, read: Callable[[], Pool], requests: int) -> None:
        self._read, self._requests = read, requests
        self._known: dict[str, tuple[float, Series]] = {}

    def prepare(self, statistics: Sequence[str]) -> None:
        missing = [one for one in statistics if one not in self._known]
        if missing:
            values = _Values(*self._read(), self._requests)
            self._known |= {one: values.figure(one) for one in missing}

    def at(self, statistic: str) -> float:
        self.prepare([statistic])
        return self._known[statistic][0]

    def influences(self, statistic: str) -> Series:
        """Return of each request what it adds to the statistic's distance from the truth; their mean is 0."""
        self.prepare([statistic])
        return self._known[statistic][1]


class _Values:
    """All values of one side, and which request each is of."""

    def __init__(self, values: Series, of: Series, requests: int) -> None:
        self._values, self._of, self._requests = values, of, requests

    @cached_property
    def _ordered(self) -> Series:
        return np.sort(self._values)

    def figure(self, statistic: str) -> tuple[float, Series]:
        """Return a statistic, and the influence of each request on it."""
        if statistic == "mean":
            mean = self._values.mean()
            return float(mean), self._of_requests(lambda values: values - mean)
        at, share = statistic_of(self._ordered, statistic), float(statistic[1:]) / 100
        below = self._of_requests(lambda values: (values <= at) - share)
        below -= below.mean()
        return at, below * -self._width(share, _error_of_mean(below).size)

    def _of_requests(self, weigh: Callable[[Series], Series]) -> Series:
        """Return the sum of each request, in units in which the mean of all is the mean of the values."""
        n, sums, begin = len(self._values), np.zeros(self._requests), 0
        while begin < n:
            # Whole requests, so many values at a time that they need little memory.
            end = int(np.searchsorted(self._of, self._of[min(begin + AT_ONCE, n) - 1], side="right"))
            first, last = int(self._of[begin]), int(self._of[end - 1])
            sums[first : last + 1] = np.bincount(self._of[begin:end] - first, weigh(self._values[begin:end]))
            begin = end
        return sums * (self._requests / n)

    def _width(self, share: float, off: float) -> float:
        """Return by how much the values grow for a share, where the percentile lies: 1 / density."""
        n = len(self._ordered)
        off = min(off, WIDEST * sqrt(share * (1 - share) / self._requests))
        low, high = max(share - off, 0.0), min(share + off, 1.0)
        if high <= low:
            return 0.0
        ends = [self._ordered[min(max(ceil(at * n) - 1, 0), n - 1)] for at in (low, high)]
        return float(ends[1] - ends[0]) / (high - low)


def _shortened(series: Series) -> Series:
    """Return a long series as the means of as many neighbours each as make it short."""
    each = ceil(len(series) / MOST)
    return series if each <= 1 else chunk_means(series, each)


def _ends(runs: Sequence[int]) -> list[int]:
    """Return where runs end that are read by themselves; one with few requests is read with the next."""
    ends: list[int] = []
    done, total = 0, sum(runs)
    for size in runs:
        done += size
        if done - (ends[-1] if ends else 0) >= FEWEST and total - done >= FEWEST:
            ends.append(done)
    return ends


def _error_of_runs(influences: Series, ends: Sequence[int], shared: float) -> Error:
    """Return what the mean of a series of several runs is off by, whatever lies between them."""
    n, found = len(influences), []
    for run in np.split(influences, ends):
        one = _error_of_mean(run, shared)
        found.append(Error(one.size * len(run) / n, one.freedom))
    return _joined(found)


def _joined(errors: Sequence[Error]) -> Error:
    """Return the error of a sum of independent parts (Welch and Satterthwaite)."""
    variances = [one.size**2 for one in errors]
    total = sum(variances)
    if not total:
        return Error(0.0, errors[0].freedom)
    shares = sum([variance**2 / one.freedom for variance, one in zip(variances, errors, strict=True)])
    return Error(sqrt(total), total**2 / shares)


def _error_of_mean(series: Series, shared: float = 0.0) -> Error:
    """Return what the mean of a series is off by.

    Where neighbours do not resemble each other by more than a standard error, as of independent values, which has
    more freedom. shared: the correlation of neighbours in what disturbs all metrics of the run.
    """
    series = _shortened(series)
    n = len(series)
    centred = series - series.mean()
    plain = sqrt(float(np.square(centred).sum()) / (n - 1) / n)
    rho = correlation(centred)
    if not plain:
        return Error(0.0, n - 1)
    found = Error(plain, n - 1)
    if rho > 1 / sqrt(n):
        size, freedom = larger_error(series)
        found = Error(max(size, plain), freedom)
    # The share of the variance that may be of what is shared: its correlation over that of the series.
    share = min(max(rho + 1 / sqrt(n), 0.0) / shared, 1.0) if shared else 0.0
    with_shared = plain * sqrt(1 + share * (memory_of(shared) - 1))
    if with_shared <= found.size:
        return found
    return Error(with_shared, max(min(found.freedom, n / memory_of(shared)), FEWEST_COSINES))
