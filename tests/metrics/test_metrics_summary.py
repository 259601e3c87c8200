"""Counts, percentiles and throughput of a run against what was put in; and when it doubts itself."""

from __future__ import annotations

import random
from array import array
from decimal import Decimal

import pytest
from handmade import INFO, MS, START, TEXT, events, failed_record, record, stamps
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics.builder import BATCH
from lens.metrics.distribution import distribution, percentile, values_needed
from lens.metrics.summarize import summarize
from lens.model import Usage
from lens.pricing import PriceBook, parse_price

finite = st.floats(-1e9, 1e9)


@given(st.lists(finite, min_size=1, max_size=60), st.sampled_from([0, 1, 25, 50, 75, 90, 95, 99, 99.9, 100]))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values, percent):
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(v <= found for v in values) * 100 >= percent * len(values)
    below = [v for v in values if v < found]
    assert not below or len(below) * 100 < percent * len(values)


def test_no_values_have_no_percentile():
    with pytest.raises(ValueError, match="of 0 values"):
        percentile([], 50)


@pytest.mark.parametrize(("percent", "n"), [(50, 1), (75, 4), (90, 10), (95, 20), (99, 100), (99.9, 1000)])
def test_a_percentile_needs_a_value_that_may_lie_beyond_it(percent, n):
    assert values_needed(percent) == n


def test_a_percentile_that_n_cannot_support_is_not_invented():
    few = distribution("ttft_ms", "ms", [float(i) for i in range(10)])
    assert few.percentiles["p90"] == 8.0
    assert "p95" not in few.percentiles
    assert few.needs == {"p95": 20, "p99": 100, "p99.9": 1000}


def test_a_histogram_holds_every_value():
    shown = distribution("ttft_ms", "ms", [1.0] * 50 + [2.0] * 50 + [1000.0]).histogram
    assert sum(shown.counts) == 101
    assert shown.edges[0] == 1.0


def test_failed_requests_are_counted_and_never_dropped():
    found = summarize([record(), failed_record("slow down"), failed_record("again")], INFO)
    assert (found.requests, found.successes) == (3, 1)
    assert found.by_category == {"rate_limited": 2, "success": 1}
    assert found.examples == {"rate_limited": "slow down"}
    assert found.success_rate == pytest.approx(1 / 3)
    assert found.distributions["total_latency_ms"].n == 1


def test_throughput_is_over_the_window_from_the_first_start_to_the_last_end():
    runs = [record((100, 200), stamps=stamps(START + i * 1000 * MS, end=1000)) for i in range(4)]
    found = summarize(runs)
    assert found.window_s == pytest.approx(4)
    assert found.requests_per_second == pytest.approx(1)
    assert found.output_tokens_per_second == pytest.approx(2)
    assert found.concurrency_mean == pytest.approx(1)


def test_the_warm_up_is_neither_counted_nor_taken():
    found = summarize([record((1000, 1100), warmup=True), record()])
    assert found.requests == 1
    assert found.distributions["ttft_ms"].max == 100


def test_gaps_are_pooled_over_requests():
    found = summarize([record((0, 10, 20)), record((0, 30))])
    assert found.distributions["inter_chunk_ms"].n == 3
    assert found.distributions["inter_chunk_ms"].max == 30


def test_costs_add_up_exactly_and_unknown_ones_are_reported():
    book = PriceBook([parse_price("in=0.1,out=0.2")])
    one = record(usage=Usage(input_tokens=1, output_tokens=1))
    found = summarize([one] * 3, book=book)
    assert found.total_cost == Decimal("0.0000009")
    assert summarize([one]).total_cost is None
    assert "--price" in summarize([one]).unpriced_reason


def test_nothing_measured_is_a_summary_too():
    empty = summarize([])
    assert (empty.requests, empty.success_rate, empty.window_s, empty.distributions) == (0, None, None, {})


def test_a_run_of_failures_has_no_latencies_but_a_count():
    found = summarize([failed_record()])
    assert "ttft_ms" not in found.distributions
    assert found.requests_per_second == 0


def says(run, word):
    return any(word in warning for warning in summarize(run).warnings)


def test_a_client_that_lags_is_doubted():
    quick = events(*((100 + 10 * i, TEXT, 4) for i in range(30)), lag_us=20)
    late = events(*((100 + 10 * i, TEXT, 4) for i in range(30)), lag_us=900)
    assert not says([record(events=quick)], "client lag")
    assert says([record(events=late)], "client lag")


def test_buffering_is_suspected_when_tokens_come_together():
    stream = events(*((100 + i // 2, TEXT, 4) for i in range(10)), reads=[i // 2 for i in range(10)])
    assert says([record(events=stream)], "50 % of tokens arrived coalesced")


def test_stamps_of_the_reader_and_guessed_tokens_are_reported():
    assert says([record(stamp_kind="read")], "no kernel timestamps")
    assert says([record(usage=None)], "no token counts")
    assert says([record(tokens=20)], "distributes")
    assert not says([record(tokens_per_event=array("q", [1, 1, 1, 1]))], "ITL")


def test_a_run_longer_than_a_batch_is_summed_up_like_a_short_one():
    runs = [record((100 + i % 7, 110 + i % 7), stamps=stamps(START + i * MS, end=200)) for i in range(BATCH + 10)]
    found = summarize(runs)
    assert found.requests == BATCH + 10
    assert found.distributions["ttft_ms"].n == BATCH + 10
    assert found.distributions["ttft_ms"].max == 106
    assert found.distributions["itl_ms"].mean == pytest.approx(10)
    assert found.output_tokens == 2 * (BATCH + 10)


def test_what_people_decide_by_has_intervals():
    chance = random.Random(3)
    runs = [record((chance.uniform(100, 117), 120)) for _ in range(400)]
    ttft = summarize(runs).distributions["ttft_ms"]
    assert ttft.intervals["mean"].low < ttft.mean < ttft.intervals["mean"].high
    assert ttft.intervals["p95"].low <= ttft.percentiles["p95"] <= ttft.intervals["p95"].high
    assert "p99" not in ttft.intervals  # four values beyond it tell nothing
    assert summarize(runs[:10]).distributions["ttft_ms"].intervals == {}
