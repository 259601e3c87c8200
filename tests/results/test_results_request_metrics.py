"""One request as the library gives it."""

from __future__ import annotations

import pytest
from handmade import full_record, record

from lens.model import Failure, Status
from lens.pricing import PriceBook, parse_price
from lens.results.request_metrics import RequestMetrics

PRICED = RequestMetrics(full_record(), PriceBook((parse_price("in=3,out=15"),)))


def test_it_says_what_was_asked_and_the_outcome():
    metrics = RequestMetrics(record(text="hello"))
    assert (metrics.provider, metrics.model, metrics.status, metrics.ok) == ("openai", "gpt-4", "Success", True)
    assert (metrics.text, metrics.error, metrics.info) == ("hello", None, None)
    assert metrics.request_id == metrics.record.request_id
    assert metrics.timestamp == "2025-11-07T18:30:00.000000Z"
    assert repr(metrics) == "RequestMetrics(Success, ttft_ms=100.0, total_latency_ms=135.0, output_tokens=4)"


def test_a_failure_is_told_in_one_line():
    failed = record(
        status=Status.NETWORK_ERROR,
        category="network_error",
        failure=Failure(message="refused\nby a wall"),
        http_status=None,
    )
    assert RequestMetrics(failed).error == "refused by a wall"


def test_times_of_content_events_are_since_the_start_and_since_the_one_before():
    first, second = RequestMetrics(record((100, 130))).token_timings
    assert (first["timestamp_ms"], second["timestamp_ms"], second["delta_ms"]) == (100.0, 130.0, 30.0)


def test_plain_values_hold_every_figure_that_was_measured_and_the_record():
    plain = PRICED.to_dict()
    for name, value in PRICED.figures.items():
        if value is not None:
            assert plain[name] == pytest.approx(float(value)), name
    assert plain["stamps"]["start"] == PRICED.record.stamps.start
    assert plain["total_cost"] > 0


def test_a_name_that_is_none_says_what_there_is():
    with pytest.raises(AttributeError, match=r"there is no figure 'ttft_s'; there are .*ttft_ms"):
        _ = PRICED.ttft_s
    assert {"ttft_ms", "to_dict"} <= set(dir(PRICED))
