"""What chance does to the difference of two runs: their blocks of neighbours, drawn again and again (Kuensch 1989).

Long series are resampled as the means of chunks of neighbours, so that the work does not grow with the run. A
percentile is resampled by the share of values below it, read back through the values (Bahadur 1966).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import ceil

import numpy as np

from lens.analysis.stats import Series, block_length, chunk_means, moving_blocks, statistic_of

DRAWS = 1000
# Cells of one round of resampling, so that memory is bounded.
CELLS = 4_000_000
# Values of a side that are resampled one by one; more are resampled as the means of so many chunks.
MOST_SINGLE = 2000
CHUNKS = 1000


class ResampledSides:
    """One metric of baselines and a run, resampled in blocks, and what all its statistics share."""

    def __init__(self, x: Series, y: Series, *, length: int = 0) -> None:
        """
        x, y: values in the order in which they were measured.
        length: of the blocks that are drawn, at least.
        """
        self.x, self.y, self._least = x, y, length
        self._drawn: tuple[Series, Series] | None = None

    @cached_property
    def ordered(self) -> tuple[Series, Series]:
        return np.sort(self.x), np.sort(self.y)

    @cached_property
    def length(self) -> int:
        """How long the blocks are that are drawn: as long as neighbours resemble each other."""
        return max(block_length(self.x), block_length(self.y), self._least)

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
            other = moving_blocks(len(self.y), self.length, many, generator)
            found.append(_of(self.y[other], statistic) - _of(self.x[at], statistic))
        return np.concatenate(found)

    def _resampled_chunks(self, statistic: str, generator: np.random.Generator) -> Series:
        x, y = (_Chunks(*side, statistic) for side in zip((self.x, self.y), self.ordered, strict=True))
        if self._drawn is None:  # once for all statistics
            at = moving_blocks(len(x.means), ceil(self.length / x.each), DRAWS, generator)
            other = moving_blocks(len(y.means), ceil(self.length / y.each), DRAWS, generator)
            self._drawn = at, other
        at, other = self._drawn
        difference: Series = y.read_back(y.means[other].mean(axis=1)) - x.read_back(x.means[at].mean(axis=1))
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

    def read_back(self, means: Series) -> Series:
        """Return the statistic of runs with these means."""
        if self._percent is None:
            return means
        below = self._percent + (self.share - means)
        n = len(self._ordered)
        found: Series = self._ordered[np.clip(np.ceil(below * n).astype(np.int64) - 1, 0, n - 1)]
        return found


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
    size = max(min(DRAWS, CELLS // max(n, 1)), 1)
    for done in range(0, DRAWS, size):
        yield min(size, DRAWS - done)
