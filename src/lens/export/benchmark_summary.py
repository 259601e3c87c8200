"""The summary of a run as its documents, reports and choices have it: totals, statistics of latencies, rates, money.

One struct for the JSON export, for Test-Bench reports and for what a choice is made from, so that a name means
the same in each. A percentile that has too few values for it is given all the same, and marked.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from lens.export.request_json import encode_requests
from lens.metrics.distribution import Distribution
from lens.metrics.formulas import ERROR_KINDS, error_rate_of
from lens.metrics.rows import timestamps
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo


class LatencyStats(msgspec.Struct, frozen=True, kw_only=True):
    """How the values of one metric are spread, in its unit.

    Of a percentile in `too_few` the value is the largest: by nearest rank no other can stand for it.
    """

    min: float
    max: float
    mean: float
    median: float
    p95: float
    p99: float
    std_dev: float | None  # of the sample; None for one value
    n: int = 0
    unit: str = "ms"
    too_few: dict[str, int] = {}  # percentile -> how many values it would need


class BenchmarkSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What requests come to. None is not measured, never 0."""

    test_config: dict[str, Any] = {}  # the settings of the run
    start_time: str | None = None
    end_time: str | None = None
    total_requests: int
    successful_requests: int
    failed_requests: int
    ttft_stats: LatencyStats | None = None
    itl_stats: LatencyStats | None = None
    total_latency_stats: LatencyStats | None = None
    avg_tokens_per_second: float | None = None  # mean of the requests' own
    avg_requests_per_second: float | None = None  # successes by the time of the run
    total_cost: Decimal | None = None  # USD
    avg_cost_per_request: Decimal | None = None
    total_input_tokens: int | None = None
    total_output_tokens: int | None = None
    success_rate: float | None = None
    output_tokens_per_second: float | None = None  # of all requests together
    error_rates: dict[str, float] = {}  # kind of error -> share of all requests
    by_status: dict[str, int] = {}
    by_category: dict[str, int] = {}
    requests: tuple[dict[str, Any], ...] = ()  # each with its figures, where they were asked for


def latency_stats(found: Distribution | None) -> LatencyStats | None:
    """Return a distribution as statistics; None where nothing was measured."""
    if found is None:
        return None
    return LatencyStats(
        min=found.min,
        max=found.max,
        mean=found.mean,
        median=found.median,
        p95=found.percentiles.get("p95", found.max),
        p99=found.percentiles.get("p99", found.max),
        std_dev=found.std_dev,
        n=found.n,
        unit=found.unit,
        too_few=found.needs,
    )


def benchmark_summary(info: RunInfo | None, summary: Summary) -> BenchmarkSummary:
    """Return the summary of a run under the names of its documents."""
    spread = summary.distributions
    rate = spread.get("tokens_per_second")
    return BenchmarkSummary(
        test_config=info.config if info else {},
        start_time=info.started_at if info else None,
        end_time=info.ended_at if info else None,
        total_requests=summary.requests,
        successful_requests=summary.successes,
        failed_requests=summary.requests - summary.successes,
        ttft_stats=latency_stats(spread.get("ttft_ms")),
        itl_stats=latency_stats(spread.get("itl_ms")),
        total_latency_stats=latency_stats(spread.get("total_latency_ms")),
        avg_tokens_per_second=rate.mean if rate else None,
        avg_requests_per_second=summary.requests_per_second,
        total_cost=summary.total_cost,
        avg_cost_per_request=summary.cost_per_request,
        total_input_tokens=summary.input_tokens,
        total_output_tokens=summary.output_tokens,
        success_rate=summary.success_rate,
        output_tokens_per_second=summary.output_tokens_per_second,
        error_rates=error_rates(summary),
        by_status=summary.by_status,
        by_category=summary.by_category,
    )


def error_rates(summary: Summary) -> dict[str, float]:
    """Return the share of requests that failed in each way, by the names that gates have for them."""
    shares = {kind: error_rate_of(status)(summary) for kind, status in ERROR_KINDS.items()}
    return {kind: share for kind, share in shares.items() if share is not None}


def benchmark_summary_of(table: Table, info: RunInfo | None = None, *, requests: bool = False) -> BenchmarkSummary:
    """Return the summary of a table; `requests`: with each request and its figures."""
    found = benchmark_summary(info, summarize(table, info))
    if info is None and len(table):
        found = msgspec.structs.replace(found, start_time=min(timestamps(table)))
    rows = tuple(map(msgspec.json.decode, encode_requests(table))) if requests else ()
    return msgspec.structs.replace(found, requests=rows)
