"""Histograms with fixed bounds, as Prometheus and OpenTelemetry want them.

A bucket holds what is at most its bound (both say "less or equal"); the last one has no bound.
Bounds never change while a histogram lives, so that two of them can be added up.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The plan's 100, 500, 1000 (PLAN 5.2), and enough between and around them for a quantile to be read.
LATENCY_MS = (5, 10, 25, 50, 100, 250, 500, 750, 1000, 2500, 5000, 10000, 30000, 60000)
GAP_MS = (1, 2.5, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 250, 500, 1000)
CONNECT_MS = (0.1, 0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 5000)
# The plan's 0.01, and a decade or two on both sides.
COST_USD = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
# Recommended by OpenTelemetry's conventions for generative AI (gen_ai.client.*).
OTEL_DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
OTEL_TOKENS = tuple(4**i for i in range(14))


class Buckets:
    """Counts between bounds, with the sum and the extremes."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.n = 0
        self.min: float | None = None
        self.max: float | None = None

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self._saw(1, value, value, value)

    def add_all(self, values: NDArray[Any]) -> None:
        """Many at once: a stream has a gap for each token."""
        import numpy as np

        if not len(values):
            return
        where = np.searchsorted(self.bounds, values, side="left")
        for i, count in enumerate(np.bincount(where, minlength=len(self.counts)).tolist()):
            self.counts[i] += count
        self._saw(len(values), float(values.sum()), float(values.min()), float(values.max()))

    def _saw(self, n: int, total: float, least: float, most: float) -> None:
        self.n += n
        self.sum += total
        self.min = least if self.min is None else min(self.min, least)
        self.max = most if self.max is None else max(self.max, most)
