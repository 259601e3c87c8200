"""The numbers behind the page's drawings: bins, steps, series over time; bounded whatever the run's size.

Drawings are computed from all values (or an even thinning of them), so that the page stays small and its
lines stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import Any

import numpy as np

from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.definitions import metric_named
from lens.metrics.distribution import percentile
from lens.report.html.series import DRAWN, Series
from lens.report.time_series import time_series
from lens.units import NS_PER_MS, NS_PER_S

BINS = 48  # of a histogram
STEPS = 240  # of a cumulative distribution
SLICES = (24, 120)  # of a run's duration: at least, at most; between them one for three requests
DOTS = 2_000  # requests drawn as dots, all series together
# From this many times the least value up, a logarithmic axis shows more.
LOG_FROM = 40
# A logarithmic axis begins no further below the median than this, and what is no longer than AT_ONCE has no say in it.
BELOW_MEDIAN = 50
AT_ONCE = 1e-3  # a microsecond, in ms


def histograms(values: Sequence[dict[str, Column]]) -> dict[str, Any]:
    """Return of each metric common bins, and for each series its counts and its cumulative distribution.

    values: of each series the sorted values of DRAWN.
    """
    drawn: dict[str, Any] = {}
    for name in DRAWN:
        columns = [one[name] for one in values]
        if not any(len(c) for c in columns):
            continue
        edges, logarithmic = _edges([c for c in columns if len(c)])
        drawn[name] = {
            "log": logarithmic,
            "unit": metric_named(name).unit,
            "edges": [_short(e) for e in edges],
            "counts": [_binned(c, edges) for c in columns],
            "cdf": [steps(c) for c in columns],
        }
    return drawn


def _edges(columns: Sequence[Column]) -> tuple[list[float], bool]:
    """Return bins from the least value to the p99.5 of the widest; what lies above is in the last bin."""
    low = min(float(c[0]) for c in columns)
    high = max(float(c[min(int(len(c) * 0.995), len(c) - 1)]) for c in columns)
    if high <= low:
        pad = abs(low) * 0.05 or 0.5
        low, high = low - pad, high + pad
    floor_value = min(map(_least_drawn, columns))
    if high / floor_value > LOG_FROM:
        return [float(e) for e in np.geomspace(floor_value, high, BINS + 1)], True
    return [float(e) for e in np.linspace(low, high, BINS + 1)], False


def _least_drawn(ordered: Column) -> float:
    """Return where a logarithmic axis begins for these values: the bulk decides, not those that are near zero.

    Gaps between tokens of one read are 0 ms or close to it; they would stretch the axis over decades without values.
    """
    apart = ordered[np.searchsorted(ordered, AT_ONCE, side="right") :]
    if not len(apart):
        return AT_ONCE
    return max(float(apart[int(len(apart) * 0.005)]), percentile(apart, 50) / BELOW_MEDIAN)


def _binned(ordered: Column, edges: Sequence[float]) -> list[int]:
    """Return counts; the first and the last bin also hold what lies beyond."""
    if not len(ordered):
        return []
    counts, _ = np.histogram(np.clip(ordered, edges[0], edges[-1]), bins=np.asarray(edges))
    return [int(c) for c in counts]


def steps(ordered: Column) -> list[list[float]]:
    """Return the cumulative distribution as [value, share of values not above it]; the tail is kept in full."""
    n = len(ordered)
    if n <= STEPS:
        return [[_short(float(v)), round((i + 1) / n, 6)] for i, v in enumerate(ordered)]
    # Even in the bulk, and ever closer towards the end, where the question is p99 or p99.9.
    shares = np.concatenate((np.linspace(0, 0.98, STEPS - 60), 1 - np.geomspace(0.02, 1 / n, 60)))
    ranks = np.unique(np.append(np.clip(np.ceil(shares * n).astype(int), 1, n), n))
    return [[_short(float(ordered[r - 1])), round(float(r) / n, 6)] for r in ranks]


def slice_s(found: Sequence[Series]) -> float:
    """Return the width of the slices of time: one of 1, 2, 5 times a power of ten, for all series."""
    slices = min(max(max((len(s.table) for s in found), default=0) // 3, SLICES[0]), SLICES[1])
    wanted = max((s.span_ns for s in found), default=NS_PER_S) / NS_PER_S / slices
    power = 10.0 ** floor(log10(wanted))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= wanted * 0.999)


def over_time(series: Series, step_s: float) -> dict[str, Any]:
    """Return requests open (mean of each slice), answers and tokens a second, failures; from the run's start."""
    found = time_series(series.table, zero_ns=series.zero_ns, step_ns=max(round(step_s * NS_PER_S), 1))
    return {
        "open": [_short(v) for v in found.open.tolist()],
        "requests": [_short(v) for v in found.requests.tolist()],
        "tokens": [_short(v) for v in found.tokens.tolist()],
        "failed": found.failed.tolist(),
    }


def dots(found: Sequence[Series]) -> list[list[list[float | int | None]]]:
    """Return requests as [seconds, TTFT, total, index, failed], evenly picked; failures are not picked less."""
    each = max(DOTS // max(len(found), 1), 50)
    return [_dots(series, each) for series in found]


def _dots(series: Series, most: int) -> list[list[float | int | None]]:
    table, good = series.table, series.table.success
    picked = np.concatenate((evenly(np.flatnonzero(good), most * 3 // 4), evenly(np.flatnonzero(~good), most // 4)))
    start = table.column("start")[picked] - series.zero_ns
    order = np.argsort(start, kind="stable")
    picked, at_s = picked[order], np.round(start[order] / NS_PER_S, 4)
    end = table.stamp("end")[picked]
    total_ms = np.where(end == MISSING, np.nan, end / NS_PER_MS)
    return [
        [at, _maybe(ttft), _maybe(total), index, 0 if succeeded else 1]
        for at, ttft, total, index, succeeded in zip(
            at_s.tolist(), table.metric("ttft_ms")[picked].tolist(), total_ms.tolist(),
            table.column("index")[picked].tolist(), good[picked].tolist(), strict=True,
        )
    ]  # fmt: skip


def evenly(rows: Column, most: int) -> Column:
    """Return at most so many rows, spread evenly over all; the first and the last are among them."""
    if len(rows) <= most:
        return rows
    if most < 2:
        return rows[:most]
    picked: Column = rows[np.rint(np.arange(most) * (len(rows) - 1) / (most - 1)).astype(np.int64)]
    return picked


def _maybe(value: float) -> float | None:
    return None if np.isnan(value) else _short(value)


def _short(value: float) -> float:
    """Return six significant digits: more than any screen shows."""
    return float(f"{value:.6g}")
