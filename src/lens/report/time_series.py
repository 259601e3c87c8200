"""A run over time: what was open, answered and streamed in each slice of its time.

The page and the terminal draw from here, so that both say the same. Slices are of one width; the last ends with the
run and is between half as wide and half as wide again, for a rate over a sliver of time is a spike that nobody saw.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.table import Table
from lens.units import NS_PER_S

# What is left at the end and is shorter than this share of a slice belongs to the slice before it.
LEAST_SHARE = 0.5
# Of the only slice of a run that ended at once: a rate over less says nothing.
_LEAST_WIDTH = 0.02


class RunTimeSeries(NamedTuple):
    """A value a slice of time."""

    open: Column  # requests open, mean
    requests: Column  # complete answers a second
    tokens: Column  # tokens a second, as they arrived
    failed: Column  # requests that ended without success


def span_ns(table: Table, zero_ns: int) -> int:
    """Return the time from there to the last end, 1 at least."""
    return max(int(_ends(table).max()) - zero_ns, 1) if len(table) else 1


def time_series(table: Table, *, zero_ns: int, step_ns: int) -> RunTimeSeries:
    """Return the run in slices of step_ns from zero_ns on."""
    span = span_ns(table, zero_ns)
    n = max(span // step_ns + (span % step_ns >= LEAST_SHARE * step_ns), 1)
    starts, ends = table.column("start") - zero_ns, _ends(table) - zero_ns
    edges = np.arange(n + 1, dtype=np.float64) * step_ns
    edges[-1] = max(edges[-1], span)
    busy = np.diff(_time_since(starts, edges) - _time_since(ends, edges))
    widths = np.full(n, step_ns / NS_PER_S)
    widths[-1] *= max((span - (n - 1) * step_ns) / step_ns, _LEAST_WIDTH)
    tokens = np.zeros(n)
    for part in table.slices():
        at = part.at + (part.column("start") - zero_ns)[part.of]
        tokens += np.bincount(_slice_of(at, step_ns, n), part.tokens, minlength=n)
    good = table.success
    return RunTimeSeries(
        open=busy / NS_PER_S / widths,
        requests=np.bincount(_slice_of(ends[good], step_ns, n), minlength=n) / widths,
        tokens=tokens / widths,
        failed=np.bincount(_slice_of(ends[~good], step_ns, n), minlength=n),
    )


def medians_over_time(table: Table, metric: str, *, zero_ns: int, step_ns: int, n: int) -> Column:
    """Return the median of a metric over the requests that started in each of n slices; NaN where none did."""
    values = table.metric(metric)
    known = ~np.isnan(values)
    values, of = values[known], _slice_of(table.column("start")[known] - zero_ns, step_ns, n)
    order = np.lexsort((values, of))
    counts = np.bincount(of, minlength=n)
    first, some = np.cumsum(counts) - counts, counts > 0
    found = np.full(n, np.nan)
    low, high = first[some] + (counts[some] - 1) // 2, first[some] + counts[some] // 2
    found[some] = (values[order[low]] + values[order[high]]) / 2
    return found


def _slice_of(at: Column, step_ns: int, n: int) -> Column:
    """Return the slice of time that each instant is in; of those beyond the ends the first and the last."""
    found: Column = np.clip(at // step_ns, 0, n - 1)
    return found


def _ends(table: Table) -> Column:
    """Return when each request ended, absolute ns; its start where nobody knows."""
    end = table.stamp("end")
    found: Column = table.column("start") + np.where(end == MISSING, 0, end)
    return found


def _time_since(instants: Column, at: Column) -> Column:
    """Return the sum over all earlier instants of the time since: its growth is the number of instants passed."""
    ordered = np.sort(instants)
    total = np.concatenate(([0.0], np.cumsum(ordered, dtype=np.float64)))
    passed = np.searchsorted(ordered, at)
    found: Column = passed * at - total[passed]
    return found
