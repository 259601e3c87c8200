"""Latency against load: the stages of a sweep as points of a curve, and the knee of that curve.

Load is what was really put on the endpoint and came back (requests a second, requests open),
never what was asked for, so that stages of different kinds can stand on one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

from lens.metrics.summary import Summary

# A curve that rises less than this many times has no knee worth a mark.
RISES_AT_LEAST = 1.5


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


def point_of(name: str, summary: Summary) -> Point:
    """A stage as a point."""

    def at(metric: str, percentile: str) -> float | None:
        found = summary.distributions.get(metric)
        return found.percentiles.get(percentile) if found else None

    return Point(
        name=name,
        requests=summary.requests,
        failed=summary.requests - summary.successes,
        open=summary.concurrency_mean,
        requests_per_second=summary.requests_per_second,
        tokens_per_second=summary.output_tokens_per_second,
        ttft_p50_ms=at("ttft_ms", "p50"),
        ttft_p95_ms=at("ttft_ms", "p95"),
        itl_p50_ms=at("itl_ms", "p50"),
        itl_p95_ms=at("itl_ms", "p95"),
        total_p50_ms=at("total_latency_ms", "p50"),
        total_p95_ms=at("total_latency_ms", "p95"),
    )


def by_load(points: Sequence[Point]) -> list[Point]:
    """In the order of the load that was on the endpoint; stages that measured nothing are left out."""
    return sorted((p for p in points if p.open is not None), key=lambda p: p.open or 0.0)


def knee(points: Sequence[Point]) -> int | None:
    """The last stage before latency takes off, as an index into points in the order of `by_load`.

    The point farthest below the straight line from the first to the last, both axes scaled to 1
    (Satopaa, Albrecht, Irwin and Raghavan 2011, "Finding a 'Kneedle' in a Haystack").
    None for fewer than four stages, or a curve that is flat or straight.
    """
    curve = [(i, p.open, p.ttft_p50_ms if p.ttft_p50_ms is not None else p.total_p50_ms) for i, p in enumerate(points)]
    known = [(i, x, y) for i, x, y in curve if x is not None and y is not None]
    if len(known) < 4:
        return None
    (_, x0, y0), (_, x1, y1) = known[0], known[-1]
    if x1 <= x0 or y0 <= 0 or y1 < RISES_AT_LEAST * y0:
        return None
    below = [((x - x0) / (x1 - x0) - (y - y0) / (y1 - y0)) / hypot(1, 1) for _, x, y in known]
    deepest = max(range(len(known)), key=below.__getitem__)
    # A tenth of the diagonal: less is the noise of a straight line.
    return known[deepest][0] if below[deepest] > 0.1 else None
