"""Latency against load: the stages of a sweep as points of a curve, and the knee of that curve.

Load is what was really put on the endpoint and came back (requests a second, requests open),
never what was asked for, so that stages of different kinds can stand on one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lens.metrics.distribution import distribution
from lens.metrics.table import Table
from lens.metrics.windows import stage_window


class Point(NamedTuple):
    """One stage."""

    name: str
    requests: int
    failed: int
    open: float | None  # requests at a time, mean
    requests_per_second: float | None
    tokens_per_second: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None  # None: not estimable from so few
    itl_p50_ms: float | None
    itl_p95_ms: float | None
    total_p50_ms: float | None
    total_p95_ms: float | None


def point_of(name: str, table: Table) -> Point:
    """Return a stage, of which these are the requests, as a point."""
    good = table.success
    window = stage_window(table)
    window_s = window.window_s
    told = table.usage("output_tokens")[good]
    told = told[~np.isnan(told)]
    tokens = float(told.sum()) if len(told) else None
    times = {
        metric: found.percentiles
        for metric in ("ttft_ms", "itl_ms", "total_latency_ms")
        if (found := distribution(metric, "ms", table.values(metric), (50, 95), own=True))
    }

    def at(metric: str, percentile: str) -> float | None:
        return times.get(metric, {}).get(percentile)

    return Point(
        name=name,
        requests=len(table),
        failed=len(table) - int(good.sum()),
        open=window.open_mean,
        requests_per_second=int(good.sum()) / window_s if window_s else None,
        tokens_per_second=tokens / window_s if window_s and tokens is not None else None,
        ttft_p50_ms=at("ttft_ms", "p50"),
        ttft_p95_ms=at("ttft_ms", "p95"),
        itl_p50_ms=at("itl_ms", "p50"),
        itl_p95_ms=at("itl_ms", "p95"),
        total_p50_ms=at("total_latency_ms", "p50"),
        total_p95_ms=at("total_latency_ms", "p95"),
    )


def by_load(points: Sequence[Point]) -> list[Point]:
    """Return them in the order of the load that was on the endpoint; stages that measured nothing are left out."""
    return sorted((p for p in points if p.open is not None), key=lambda p: p.open or 0.0)


def knee(points: Sequence[Point]) -> int | None:
    """Return the stage at which more load stops paying, as an index into points in the order of `by_load`.

    Where throughput divided by latency, the power of the endpoint, is greatest (Kleinrock 1979, "Power
    and deterministic rules of thumb for probabilistic problems in computer communications").
    None for fewer than three stages, and where that is the heaviest load: then the knee lies beyond.
    """
    power = [
        (p.requests_per_second or 0.0) / p.total_p50_ms if p.total_p50_ms else 0.0  # nothing succeeded: no power
        for p in points
    ]
    if len(power) < 3:
        return None
    best = max(range(len(power)), key=power.__getitem__)
    return best if power[best] > 0 and best < len(power) - 1 else None
