"""Mark the warm-up and the cool-down of a run, which are left out of its figures.

The warm-up is found by MSER-5 (White 1997): the cut that minimises the standard error of the mean of what
remains. It finds one in every third run that has none, so a cut counts only if what is cut differs from what remains
by more than chance: by the mean of the ranks, as sure as neighbours let it be. A cut at the end of the search is none:
such a run has not settled. The cool-down is what the user says, by number, time or share.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens.metrics.change_points import midranks
from lens.metrics.columns import Column
from lens.metrics.intervals import mean_error
from lens.metrics.table import Table
from lens.orchestrator.schedule import parse_cooldown

BATCH = 5
# Fewer batches than this say nothing of a beginning.
FEWEST_BATCHES = 8
# The chance of a cut where the beginning is like the rest.
ALPHA = 0.02


def transient_length(values: Sequence[float] | NDArray[Any]) -> int:
    """Return how many values at the beginning are unlike the rest; 0 if none, or if there are fewer than 40 values.

    Less than half of the values are cut: a series that never settles has no steady part to keep.
    """
    series = np.asarray(values, dtype=np.float64)
    cut = mser_cut(series)
    if cut == 0 or cut >= len(series) // BATCH // 2 * BATCH:
        return 0
    ranks = midranks(series)
    head, rest = ranks[:cut], ranks[cut:]
    error = mean_error(rest, 1 - ALPHA)
    variance = float(rest.var())
    # The mean of the few is no surer than one value and no less sure than values without memory.
    of_head = max(min(error.size**2 * len(rest) / cut, variance), variance / cut)
    unlike = abs(float(head.mean() - rest.mean())) > error.t * sqrt(of_head + error.size**2)
    return cut if unlike else 0


def mser_cut(values: Sequence[float] | NDArray[Any]) -> int:
    """Return the cut of MSER-5, of half the values at most; 0 for fewer than 40 values. Linear in their number."""
    series = np.asarray(values, dtype=np.float64)
    batches = len(series) // BATCH
    if batches < FEWEST_BATCHES:
        return 0
    means = series[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    means -= means[batches // 2 :].mean()  # so that sums of squares lose no digits to a level that all share
    left = np.arange(batches, 0, -1, dtype=np.float64)
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (means, means**2))
    spread = squares - sums**2 / left
    spread[spread < 1e-12 * squares] = 0  # what rounding leaves of values that are all the same
    errors = spread / left**2
    return int(np.argmin(errors[: batches // 2 + 1])) * BATCH


def mark_warmup(table: Table) -> tuple[Table, int]:
    """Return the table with the requests of the beginning marked as warm-up, and how many these are.

    Judged by TTFT from the send on and by the whole latency, where they were measured; whichever cuts more.
    """
    order = _started(table)
    cut = 0
    for name in ("ttft_from_send_ms", "total_latency_ms"):
        values = table.metric(name)[order]
        known = np.flatnonzero(~np.isnan(values))
        length = transient_length(values[known])
        cut = max(cut, int(known[length - 1]) + 1 if length else 0)
    return _marked(table, order[:cut]), cut


def mark_cooldown(table: Table, cooldown: str) -> tuple[Table, int]:
    """Return the table with the requests that started at the end marked as left out, and how many these are.

    cooldown: a number of requests ("3"), a time ("10s") or a share ("10%").

    Raises:
        ConfigError: `cooldown` is none of these.
    """
    order = _started(table)
    count, span_ns, share = parse_cooldown(cooldown)
    if span_ns:
        starts = table.column("start")[order]
        count = int((starts > starts[-1] - span_ns).sum()) if len(starts) else 0
    elif share:
        count = ceil(len(order) * share)
    count = min(count, len(order))
    return _marked(table, order[len(order) - count :]), count


def _started(table: Table) -> Column:
    """Return the rows of the measured requests in the order in which they started."""
    rows = np.flatnonzero(~table.warmup)
    found: Column = rows[np.argsort(table.column("start")[rows], kind="stable")]
    return found


def _marked(table: Table, rows: Column) -> Table:
    warmup = table.warmup.copy()
    warmup[rows] = True
    return table.with_warmup(warmup)
