"""The summary under the names of documents, from records made by hand."""

from __future__ import annotations

import msgspec
import pytest
from handmade import INFO, failed_record, record

from lens.export.benchmark_summary import BenchmarkSummary, benchmark_summary_of, latency_stats
from lens.metrics.builder import table_of
from lens.metrics.distribution import distribution

RECORDS = [record((100, 110, 120), index=0), record((200, 210, 220), index=1), failed_record(index=2)]


def test_totals_statistics_and_money_are_those_of_the_requests():
    found = benchmark_summary_of(table_of(RECORDS), INFO)
    assert (found.total_requests, found.successful_requests, found.failed_requests) == (3, 2, 1)
    assert (found.ttft_stats.min, found.ttft_stats.median, found.ttft_stats.max) == (100, 100, 200)
    assert found.itl_stats.mean == 10
    assert found.error_rates["rate_limit"] == pytest.approx(1 / 3)
    assert set(found.error_rates) == {"network", "rate_limit", "server", "auth", "invalid_request", "cancelled"}
    assert found.total_output_tokens == 6
    assert found.total_cost is None
    assert found.start_time == INFO.started_at
    assert found.requests == ()


def test_a_percentile_of_few_values_is_the_largest_and_is_marked():
    few = latency_stats(distribution("ttft_ms", "ms", list(range(1, 51))))
    assert (few.p95, few.p99) == (48, 50)
    assert few.too_few == {"p99": 100, "p99.9": 1000}
    many = latency_stats(distribution("ttft_ms", "ms", list(range(1, 1001))))
    assert (many.p99, many.too_few) == (990, {})
    assert latency_stats(None) is None


def test_requests_come_along_where_they_are_asked_for():
    found = benchmark_summary_of(table_of(RECORDS), requests=True)
    assert [one["ttft_ms"] for one in found.requests] == [100, 200, None]
    assert found.start_time.startswith("2025-11-07T18:30:00")
    assert msgspec.json.decode(msgspec.json.encode(found), type=BenchmarkSummary) == found
