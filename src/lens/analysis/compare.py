"""Targets side by side: by how much they differ, how sure that is, and what was too small to see.

Targets that were asked in turns are compared pair by pair, which holds whatever the drift. Runs that were not
interleaved are compared without pairs, and drift between them cannot be excluded. All comparisons of one table are
corrected together (Holm 1979).

Every request has an influence on a figure: on a mean its distance from it, on a percentile whether it lies below it,
over the density there (Bahadur 1966); what has many values a request, as the gaps between tokens, is pooled. A
difference of figures is off by what the mean of the influences is off by, which is read as in `metrics.intervals`, so
that neighbours may resemble each other. Interval, p value, verdict and what could have been seen come from that one
error, by Student's t. Its tail has no floor: however many targets are compared, a large difference is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import ceil, sqrt
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np

from lens.analysis.stats import Series, chunk_means, holm, statistic_of, t_tails, t_upper
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import FEWEST_BEYOND_ALIKE, MOST, TIMES_MEMORY, correlation, larger_error, remembered
from lens.metrics.table import Table

COMPARED = ("ttft_ms", "itl_ms", "total_latency_ms", "tokens_per_second", "total_cost")
STATISTICS = ("mean", "p50", "p95")
LEVEL = 0.95
POWER = 0.90
# Requests that a mean or a median needs on each side, and a tail beyond it: fewer tell neither noise nor memory.
FEWEST = 30
FEWEST_BEYOND = 10


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a candidate against the baseline."""

    metric: str
    statistic: str
    baseline: float
    candidate: float
    difference: float  # candidate - baseline
    low: float  # 95 % interval of the difference
    high: float
    relative: float | None  # of the baseline
    p_value: float
    p_adjusted: float  # for all comparisons of the table
    different: bool
    better: bool | None  # of the candidate; None: no difference was shown
    smallest_seen: float  # a difference of this size would have been found with 90 % power, all comparisons corrected
    wins: float  # share of pairs in which the candidate was better, ties half
    n: int
    paired: bool
    error: float = 0.0  # standard error of the difference
    freedom: float = 1.0  # of Student's t for it
    among: int = 1  # comparisons that were corrected together

    def needed(self, share: float) -> int:
        """Return the requests a target that find a shift of this share of the baseline with 90 % power."""
        effect = abs(share * self.baseline)
        return ceil(self.n * (self.smallest_seen / effect) ** 2) if effect else 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate against the baseline."""

    baseline: str
    candidate: str
    shifts: tuple[Shift, ...]
    failed: tuple[int, int]  # requests of each
    too_few: dict[str, int] = {}  # "ttft_ms p95" -> requests of each that it needs, where there were fewer


def compare_targets(table: Table, *, targets: int) -> list[Comparison]:
    """Compare all targets of one interleaved run with the first of them."""
    measured = table.measured()
    target, turn = measured.column("target_index"), measured.column("index") // targets
    rows = [_last_of_each(np.flatnonzero(target == number), turn) for number in range(targets)]
    found = []
    for candidate in range(1, targets):
        _, a, b = np.intersect1d(turn[rows[0]], turn[rows[candidate]], assume_unique=True, return_indices=True)
        if len(a):
            pair = measured.take(rows[0][a]), measured.take(rows[candidate][b])
            found.append(_compared(*pair, paired=True))
    return _corrected(found)


def _last_of_each(rows: Column, turn: Column) -> Column:
    """Return of these requests the last of each turn."""
    turns = turn[rows]
    kept: Column = rows[len(rows) - 1 - np.unique(turns[::-1], return_index=True)[1]]
    return kept


def compare_runs(runs: Sequence[Table], names: Sequence[str]) -> list[Comparison]:
    """Compare runs with the first of them; without pairs."""
    first = runs[0].measured()
    found = []
    for number, run in enumerate(runs[1:], 1):
        made = _compared(first, run.measured(), paired=False)
        found.append(msgspec.structs.replace(made, baseline=names[0], candidate=names[number]))
    return _corrected(found)


def target_name(table: Table) -> str:
    """Return whose requests these are, by the first of them."""
    if not len(table):
        return ""
    names = table.codes("target")
    name: str = names.values[names.codes[0]]
    return name


def _compared(a: Table, b: Table, *, paired: bool) -> Comparison:
    shifts, too_few = [], {}
    for name in COMPARED:
        sides = _sides(a, b, name, paired=paired)
        n = min(sides.requests)
        for statistic in STATISTICS if n else ():
            needed = sides.fewest(statistic)
            if n < needed:
                too_few[f"{name} {statistic}"] = needed
            else:
                shifts.append(shift(name, statistic, sides))
    failed = [int((side.codes("failure").codes >= 0).sum()) for side in (a, b)]
    return Comparison(
        baseline=target_name(a), candidate=target_name(b), shifts=tuple(shifts), failed=(failed[0], failed[1]),
        too_few=too_few,
    )  # fmt: skip


def fewest(statistic: str) -> int:
    """Return the requests that a statistic needs on each side."""
    return max(FEWEST, _fewest_beyond(statistic, FEWEST_BEYOND)) if statistic.startswith("p") else FEWEST


def _fewest_beyond(statistic: str, beyond: int) -> int:
    share = float(statistic[1:]) / 100
    return ceil(round(beyond / min(share, 1 - share), 6))


def _sides(a: Table, b: Table, name: str, *, paired: bool) -> Sides:
    """Return a metric of two tables; of pairs those that both have it."""
    x, y = a.counted(name), b.counted(name)
    if paired:
        rows = [np.flatnonzero(~(np.isnan(x) | np.isnan(y)))] * 2
    else:
        rows = [np.flatnonzero(~np.isnan(x)), np.flatnonzero(~np.isnan(y))]
    pools = None
    if METRICS[name].pooled is not None:
        pools = (a.take(rows[0]).pooled(name), b.take(rows[1]).pooled(name))
    return Sides(x[rows[0]], y[rows[1]], paired=paired, pools=pools)


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
        self, x: Series, y: Series, *, paired: bool, pools: tuple[tuple[Series, Series], ...] | None = None
    ) -> None:
        """
        x, y: a value a request, in the order in which they were measured; of pairs in their order.
        pools: of a metric with many values a request, of each side the values and of which request each is.
        """
        self.x, self.y, self.paired = x, y, paired
        each = [(side, np.arange(len(side))) for side in (x, y)] if pools is None else pools
        self._sides = [_Side(*one, len(series)) for one, series in zip(each, (x, y), strict=True)]

    @property
    def requests(self) -> tuple[int, int]:
        return len(self.x), len(self.y)

    @cached_property
    def above(self) -> float:
        """In which share of pairs, or of all combinations, the candidate has more; ties half."""
        if self.paired:
            return float((self.y > self.x).mean() + 0.5 * (self.y == self.x).mean())
        x, y = np.sort(self.x), np.sort(self.y)
        below = np.searchsorted(x, y, side="left").mean() + np.searchsorted(x, y, side="right").mean()
        return float(below / 2 / len(x))

    def at(self, statistic: str) -> tuple[float, float]:
        """Return the statistic of both."""
        x, y = (side.at(statistic) for side in self._sides)
        return x, y

    @cached_property
    def memory(self) -> int:
        """How many neighbours tell as much as one independent value; 1: they do not resemble each other."""
        series = (self.y - self.x,) if self.paired else (self.x, self.y)
        return max(remembered(_shortened(one)) * ceil(len(one) / MOST) for one in series)

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
        if self.memory == 1 or self.separated:
            return fewest(statistic)
        beyond = _fewest_beyond(statistic, FEWEST_BEYOND_ALIKE) if statistic.startswith("p") else 0
        return max(fewest(statistic), beyond, TIMES_MEMORY * self.memory)

    def error(self, statistic: str) -> Error:
        """Return what the difference of a statistic is off by."""
        x, y = (side.influences(statistic) for side in self._sides)
        if self.paired:
            return _error_of_mean(y - x)
        one, other = _error_of_mean(x), _error_of_mean(y)
        variances = one.size**2, other.size**2
        if not sum(variances):
            return Error(0.0, one.freedom)
        # Welch and Satterthwaite.
        freedom = sum(variances) ** 2 / (variances[0] ** 2 / one.freedom + variances[1] ** 2 / other.freedom)
        return Error(sqrt(sum(variances)), freedom)


class _Side:
    """The values of one side, and the influence of each request on a statistic of them."""

    def __init__(self, values: Series, of: Series, requests: int) -> None:
        self._values, self._of, self._requests = values, of, requests

    @cached_property
    def _ordered(self) -> Series:
        return np.sort(self._values)

    def at(self, statistic: str) -> float:
        return float(self._values.mean()) if statistic == "mean" else statistic_of(self._ordered, statistic)

    def influences(self, statistic: str) -> Series:
        """Return of each request what it adds to the statistic's distance from the truth; their mean is 0."""
        if statistic == "mean":
            return self._of_requests(self._values - self._values.mean())
        share = float(statistic[1:]) / 100
        below = self._of_requests((self._values <= self.at(statistic)) - share)
        below -= below.mean()
        return below * -self._width(share, _error_of_mean(below).size)

    def _of_requests(self, of_values: Series) -> Series:
        """Return the sum of each request, in units in which the mean of all is the mean of the values."""
        sums: Series = np.bincount(self._of, of_values, self._requests)
        return sums * (self._requests / len(of_values))

    def _width(self, share: float, off: float) -> float:
        """Return by how much the values grow for a share, where the percentile lies: 1 / density."""
        n = len(self._ordered)
        low, high = max(share - off, 0.0), min(share + off, 1.0)
        if high <= low:
            return 0.0
        ends = [self._ordered[min(max(ceil(at * n) - 1, 0), n - 1)] for at in (low, high)]
        return float(ends[1] - ends[0]) / (high - low)


def _shortened(series: Series) -> Series:
    """Return a long series as the means of as many neighbours each as make it short."""
    each = ceil(len(series) / MOST)
    return series if each <= 1 else chunk_means(series, each)


def _error_of_mean(series: Series) -> Error:
    """Return what the mean of a series is off by.

    Where neighbours do not resemble each other by more than a standard error, as of independent values, which has
    more freedom.
    """
    series = _shortened(series)
    n = len(series)
    centred = series - series.mean()
    plain = sqrt(float(np.square(centred).sum()) / (n - 1) / n)
    if not plain or correlation(centred) <= 1 / sqrt(n):
        return Error(plain, n - 1)
    size, freedom = larger_error(series)
    return Error(max(size, plain), freedom)


def shift(metric: str, statistic: str, sides: Sides) -> Shift:
    """Return by how much a statistic differs, with its interval and the chance of it (not yet corrected)."""
    at_x, at_y = sides.at(statistic)
    difference = at_y - at_x
    error = sides.error(statistic)
    half = error.half(1 - LEVEL)
    p_value = error.tails(difference)
    return Shift(
        metric=metric,
        statistic=statistic,
        baseline=at_x,
        candidate=at_y,
        difference=difference,
        low=difference - half,
        high=difference + half,
        relative=difference / at_x if at_x else None,
        p_value=p_value,
        p_adjusted=p_value,
        different=False,
        better=None,
        smallest_seen=_smallest(error, 1),
        wins=1 - sides.above if METRICS[metric].better == "lower" else sides.above,
        n=min(sides.requests),
        paired=sides.paired,
        error=error.size,
        freedom=error.freedom,
    )


def _smallest(error: Error, among: int) -> float:
    """Return the difference that is found with 90 % power when so many comparisons are corrected together."""
    # What the error is known by is an estimate, here and in the run that looks again: one standard error more.
    unsure = 1 + 1 / sqrt(2 * error.freedom)
    return unsure * (error.half((1 - LEVEL) / among) + t_upper(1 - POWER, error.freedom) * error.size)


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """Return them with Holm's step-down over all shifts of all comparisons."""
    adjusted = iter(holm([one.p_value for c in comparisons for one in c.shifts]))
    among = sum(len(c.shifts) for c in comparisons)
    return [
        msgspec.structs.replace(c, shifts=tuple([_with_verdict(one, next(adjusted), among) for one in c.shifts]))
        for c in comparisons
    ]


def _with_verdict(one: Shift, p_adjusted: float, among: int) -> Shift:
    different = p_adjusted < 1 - LEVEL
    better = None
    if different:
        better = (one.difference < 0) == (METRICS[one.metric].better == "lower")
    return msgspec.structs.replace(
        one, p_adjusted=p_adjusted, different=different, better=better, among=among,
        smallest_seen=_smallest(Error(one.error, one.freedom), among),
    )  # fmt: skip


def planned_n(first: Shift, share: float, comparisons: int) -> int:
    """Return the requests a target that find a shift of this share with 90 % power, corrected for many comparisons."""
    strict = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(comparisons, 1)) + NormalDist().inv_cdf(POWER)
    effect = abs(share * first.baseline)
    if not effect:
        return 0
    # The spread that is planned with is an estimate itself: its upper bound is used.
    unsure = 1 + NormalDist().inv_cdf(0.99) * sqrt(2 / max(first.n, 1))
    return ceil(first.n * (strict * first.error / effect) ** 2 * unsure)
