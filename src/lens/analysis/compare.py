"""Targets side by side: by how much they differ, how sure that is, and what was too small to see.

Targets that were asked in turns are compared pair by pair: whether the difference could be chance is told
by swapping the labels within pairs, which holds whatever the drift. Runs that were not interleaved are
compared without pairs, and drift between them cannot be excluded. All comparisons of one table are
corrected together (Holm 1979).

Long series are resampled as the means of chunks of neighbours, so that the work does not grow with the run. A
percentile is resampled by the share of values below it, read back through the values (Bahadur 1966).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import ceil, sqrt
from statistics import NormalDist

import msgspec
import numpy as np

from lens.analysis.stats import Series, block_length, chunk_means, holm, moving_blocks, statistic_of
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.table import Table

COMPARED = ("ttft_ms", "itl_ms", "total_latency_ms", "tokens_per_second", "total_cost")
STATISTICS = ("mean", "p50", "p95")
SWAPS = 1000  # of labels, and of resampled blocks
LEVEL = 0.95
POWER = 0.90
FEWEST = 8
# Cells of one round of resampling, so that memory is bounded.
CELLS = 4_000_000
# Values of a side that are resampled one by one; more are resampled as the means of so many chunks.
MOST_SINGLE = 2000
CHUNKS = 1000


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
    smallest_seen: float  # a difference of this size would have been found with 90 % power
    wins: float  # share of pairs in which the candidate was better, ties half
    n: int
    paired: bool

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


def compare_targets(table: Table, *, targets: int, seed: int = 0) -> list[Comparison]:
    """Compare all targets of one interleaved run with the first of them."""
    measured = table.measured()
    target, turn = measured.column("target_index"), measured.column("index") // targets
    rows = [_last_of_each(np.flatnonzero(target == number), turn) for number in range(targets)]
    found = []
    for candidate in range(1, targets):
        _, a, b = np.intersect1d(turn[rows[0]], turn[rows[candidate]], assume_unique=True, return_indices=True)
        if len(a):
            pair = measured.take(rows[0][a]), measured.take(rows[candidate][b])
            found.append(_compared(*pair, paired=True, seed=seed + candidate))
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
        made = _compared(first, run.measured(), paired=False, seed=number)
        found.append(msgspec.structs.replace(made, baseline=names[0], candidate=names[number]))
    return _corrected(found)


def target_name(table: Table) -> str:
    """Return whose requests these are, by the first of them."""
    if not len(table):
        return ""
    names = table.codes("target")
    name: str = names.values[names.codes[0]]
    return name


def _compared(a: Table, b: Table, *, paired: bool, seed: int) -> Comparison:
    generator = np.random.default_rng(seed)
    shifts = []
    for name in COMPARED:
        x, y = a.counted(name), b.counted(name)
        if paired:
            both = ~(np.isnan(x) | np.isnan(y))
            x, y = x[both], y[both]
        else:
            x, y = x[~np.isnan(x)], y[~np.isnan(y)]
        if min(len(x), len(y)) >= FEWEST:
            sides = Sides(x, y, paired=paired)
            shifts += [shift(name, one, sides, generator) for one in STATISTICS]
    failed = [int((side.codes("failure").codes >= 0).sum()) for side in (a, b)]
    return Comparison(
        baseline=target_name(a), candidate=target_name(b), shifts=tuple(shifts), failed=(failed[0], failed[1])
    )


class Sides:
    """One metric of a baseline and a candidate, and what all its statistics share."""

    def __init__(self, x: Series, y: Series, *, paired: bool, length: int = 0) -> None:
        """
        x, y: values in the order in which they were measured; of pairs in their order.
        length: of the blocks that are drawn, at least.
        """
        self.x, self.y, self.paired, self._least = x, y, paired, length
        self._drawn: tuple[Series, Series] | None = None

    @cached_property
    def ordered(self) -> tuple[Series, Series]:
        return np.sort(self.x), np.sort(self.y)

    @cached_property
    def length(self) -> int:
        """How long the blocks are that are drawn: as long as neighbours resemble each other."""
        alone = block_length(self.y - self.x) if self.paired else max(block_length(self.x), block_length(self.y))
        return max(alone, self._least)

    @cached_property
    def above(self) -> float:
        """In which share of pairs, or of all combinations, the candidate has more; ties of pairs half."""
        if self.paired:
            return float((self.y > self.x).mean() + 0.5 * (self.y == self.x).mean())
        return float(np.searchsorted(*self.ordered).mean() / len(self.x))

    @property
    def many(self) -> bool:
        """Whether there are too many values to resample them one by one."""
        return max(len(self.x), len(self.y)) > MOST_SINGLE

    def at(self, statistic: str) -> tuple[float, float]:
        """Return the statistic of both."""
        if statistic == "mean":
            return float(self.x.mean()), float(self.y.mean())
        x, y = self.ordered
        return statistic_of(x, statistic), statistic_of(y, statistic)

    def resampled(self, statistic: str, generator: np.random.Generator) -> Series:
        """Return differences of runs made of random blocks of this one."""
        if self.many:
            return self._resampled_chunks(statistic, generator)
        found = []
        for many in _rounds(max(len(self.x), len(self.y))):
            at = moving_blocks(len(self.x), self.length, many, generator)
            other = at if self.paired else moving_blocks(len(self.y), self.length, many, generator)
            found.append(_of(self.y[other], statistic) - _of(self.x[at], statistic))
        return np.concatenate(found)

    def _resampled_chunks(self, statistic: str, generator: np.random.Generator) -> Series:
        x, y = (_Chunks(*side, statistic) for side in zip((self.x, self.y), self.ordered, strict=True))
        if self._drawn is None:  # once for all statistics
            at = moving_blocks(len(x.means), ceil(self.length / x.each), SWAPS, generator)
            other = moving_blocks(len(y.means), ceil(self.length / y.each), SWAPS, generator)
            self._drawn = at, at if self.paired else other
        at, other = self._drawn
        difference: Series = y.read_back(y.means[other].mean(axis=1)) - x.read_back(x.means[at].mean(axis=1))
        return difference

    def swapped(self, statistic: str, generator: np.random.Generator) -> Series:
        """Return differences with the labels of random pairs swapped: what chance alone does."""
        if self.many:
            return self._swapped_chunks(statistic, generator)
        found = []
        for many in _rounds(len(self.x)):
            swap = generator.random((many, len(self.x))) < 0.5
            found.append(
                _of(np.where(swap, self.x, self.y), statistic) - _of(np.where(swap, self.y, self.x), statistic)
            )
        return np.concatenate(found)

    def _swapped_chunks(self, statistic: str, generator: np.random.Generator) -> Series:
        """Return the same with the pairs of a chunk swapped together, which holds for neighbours that are alike too."""
        both = np.sort(np.concatenate((self.x, self.y)))
        x, y = (_Chunks(series, both, statistic) for series in (self.x, self.y))
        centre = (x.share + y.share) / 2  # of values that do not exceed the statistic of both together
        swap = generator.random((SWAPS, len(x.means))) < 0.5
        one, other = (np.where(swap, *pair).mean(axis=1) for pair in ((x.means, y.means), (y.means, x.means)))
        difference: Series = x.read_back(one, centre) - y.read_back(other, centre)
        return difference


class _Chunks:
    """A long series as the means of chunks, from which a statistic can be read back."""

    def __init__(self, series: Series, ordered: Series, statistic: str) -> None:
        """ordered: the values that the statistic is of, ascending; those of the series, or of more."""
        self.each = ceil(len(series) / CHUNKS)
        self._ordered = ordered
        self._percent = None if statistic == "mean" else float(statistic[1:]) / 100
        if self._percent is not None:
            series = series <= statistic_of(ordered, statistic)
        self.means = chunk_means(series, self.each)
        self.share = float(series.mean())

    def read_back(self, means: Series, centre: float | None = None) -> Series:
        """Return the statistic of runs with these means.

        centre: what the mean is where the statistic is as measured.
        """
        if self._percent is None:
            return means
        below = self._percent + ((self.share if centre is None else centre) - means)
        n = len(self._ordered)
        found: Series = self._ordered[np.clip(np.ceil(below * n).astype(np.int64) - 1, 0, n - 1)]
        return found


def shift(metric: str, statistic: str, sides: Sides, generator: np.random.Generator) -> Shift:
    """Return by how much a statistic differs, with its interval and the chance of it (not yet corrected)."""
    at_x, at_y = sides.at(statistic)
    difference = at_y - at_x
    boots = sides.resampled(statistic, generator)
    spread = float(boots.std(ddof=1))
    low, high = (float(v) for v in np.quantile(boots, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    if sides.paired:
        swapped = sides.swapped(statistic, generator)
        p_value = (1 + int((np.abs(swapped) >= abs(difference) * (1 - 1e-12)).sum())) / (1 + len(swapped))
    else:
        z = abs(difference) / spread if spread else (0.0 if difference == 0 else float("inf"))
        p_value = 2 * (1 - NormalDist().cdf(z))
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)
    return Shift(
        metric=metric,
        statistic=statistic,
        baseline=at_x,
        candidate=at_y,
        difference=difference,
        low=low,
        high=high,
        relative=difference / at_x if at_x else None,
        p_value=p_value,
        p_adjusted=p_value,
        different=False,
        better=None,
        smallest_seen=reach * spread,
        wins=1 - sides.above if METRICS[metric].better == "lower" else sides.above,
        n=min(len(sides.x), len(sides.y)),
        paired=sides.paired,
    )


def _of(rows: Series, statistic: str) -> Series:
    """Return the statistic of each row; percentiles by nearest rank."""
    if statistic == "mean":
        means: Series = rows.mean(axis=1)
        return means
    rank = max(ceil(float(statistic[1:]) / 100 * rows.shape[1]), 1) - 1
    ranked: Series = np.partition(rows, rank, axis=1)[:, rank]
    return ranked


def _rounds(n: int) -> Iterator[int]:
    """Yield how many runs are resampled at once."""
    size = max(min(SWAPS, CELLS // max(n, 1)), 1)
    for done in range(0, SWAPS, size):
        yield min(size, SWAPS - done)


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """Return them with Holm's step-down over all shifts of all comparisons."""
    adjusted = iter(holm([one.p_value for c in comparisons for one in c.shifts]))
    return [
        msgspec.structs.replace(c, shifts=tuple([_with_verdict(one, next(adjusted)) for one in c.shifts]))
        for c in comparisons
    ]


def _with_verdict(one: Shift, p_adjusted: float) -> Shift:
    different = p_adjusted < 1 - LEVEL
    better = None
    if different:
        better = (one.difference < 0) == (METRICS[one.metric].better == "lower")
    return msgspec.structs.replace(one, p_adjusted=p_adjusted, different=different, better=better)


def planned_n(first: Shift, share: float, comparisons: int) -> int:
    """Return the requests a target that find a shift of this share with 90 % power, corrected for many comparisons."""
    plain = NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)
    strict = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(comparisons, 1)) + NormalDist().inv_cdf(POWER)
    # The spread that is planned with is an estimate itself: its upper bound is used.
    unsure = 1 + NormalDist().inv_cdf(0.99) * sqrt(2 / max(first.n, 1))
    return ceil(first.needed(share) * (strict / plain) ** 2 * unsure)
