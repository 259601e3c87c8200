"""Histograms with fixed bounds, as Prometheus and OpenTelemetry want them.

A bucket holds what is at most its bound (both say "less or equal"); the last one has no bound.
Bounds never change while a histogram lives, so that two of them can be added up.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

from lens.metrics.columns import Column

LATENCY_MS = (5, 10, 25, 50, 100, 250, 500, 750, 1000, 2500, 5000, 10000, 30000, 60000)
TASK_MS = (100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000)
GAP_MS = (1, 2.5, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 250, 500, 1000)
CONNECT_MS = (0.1, 0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 5000)
COST_USD = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
SHARE = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)
# Of what has no bounds of its own: three a decade.
ANY = tuple([step * 10.0**power for power in range(-1, 7) for step in (1, 2, 5)])
# Recommended by OpenTelemetry's conventions for generative AI (gen_ai.client.*).
OTEL_DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
OTEL_TOKENS = tuple(4**i for i in range(14))
Key = TypeVar("Key", bound=Hashable)


class Buckets:
    """Counts between bounds, with the sum and the extremes."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.n = 0
        self.min: float | None = None
        self.max: float | None = None

    def add_counts(self, counts: Sequence[int], total: float, least: float, most: float) -> None:
        """Add how many values there are in each bucket, their sum, the least and the greatest of them."""
        self.counts = [had + more for had, more in zip(self.counts, counts, strict=True)]
        self.n += sum(counts)
        self.sum += total
        self.min = least if self.min is None else min(self.min, least)
        self.max = most if self.max is None else max(self.max, most)


def fill_buckets(
    histograms: dict[Key, Buckets], bounds: tuple[float, ...], keys: Sequence[Key], of: Column, values: Column
) -> None:
    """Add values to the histograms of their keys; a histogram that is not there yet is made when it gets a value.

    of: for each value the place of its key in `keys`.
    """
    if not len(values):
        return
    order = np.argsort(of.astype(np.min_scalar_type(len(keys))), kind="stable")
    of, values = of[order], np.asarray(values, dtype=np.float64)[order]
    begins = np.flatnonzero(np.diff(of, prepend=-1))
    wide = len(bounds) + 1
    counts = np.bincount(of * wide + np.searchsorted(bounds, values, side="left"), minlength=len(keys) * wide)
    counts = counts.reshape(len(keys), wide)[of[begins]]
    sums, least, most = (how.reduceat(values, begins) for how in (np.add, np.minimum, np.maximum))
    for i in np.argsort(order[begins]).tolist():  # in the order of their first value
        found = histograms.setdefault(keys[int(of[begins[i]])], Buckets(bounds))
        found.add_counts(counts[i].tolist(), float(sums[i]), float(least[i]), float(most[i]))


def first_seen(of: Column) -> list[int]:
    """Return the different numbers of a column in the order in which they come first."""
    values, first = np.unique(of, return_index=True)
    return list(values[np.argsort(first)].tolist())
