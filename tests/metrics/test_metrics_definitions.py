"""Each metric against a record whose stamps were chosen so that the figure can be read off."""

from __future__ import annotations

from array import array
from decimal import Decimal

import pytest
from handmade import MS, REASONING, START, TEXT, events, failed_record, full_record, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.definitions import METRICS, Metric, define, metric_named, remove, request_metrics
from lens.metrics.formulas import ERROR_KINDS
from lens.metrics.rows import figures_of, file_name
from lens.metrics.summary import Summary
from lens.model import Connection, TcpInfo, Usage
from lens.pricing import PriceBook, parse_price

FULL = {
    "dns_ms": 12,
    "tcp_ms": 8,
    "proxy_ms": None,
    "tls_ms": 25,
    "connect_ms": 45,
    "send_ms": 0.1,
    "ttfb_ms": 200,
    "ttft_ms": 240,
    "ttft_from_send_ms": 240 - 45.2,
    "ttft_from_schedule_ms": None,
    "ttfo_ms": 300,
    "thinking_ms": 60,
    "inter_chunk_ms": (660 - 240) / 5,
    "itl_ms": (660 - 240) / 5,
    "tpot_ms": (660 - 240) / 5,
    "total_latency_ms": 665,
    "total_latency_from_schedule_ms": None,
    "tokens_per_second": 6 / 0.665,
    "decode_tokens_per_second": 5 / 0.42,
    "stall_count": 1,
    "stall_ms": 320,
    "longest_gap_ms": 320,
    "longest_gap_text_ms": 320,
    "longest_gap_thinking_ms": 20,
    "longest_gap_tool_ms": None,
    "coalescing": 0,
    "schedule_lag_us": None,
    "client_lag_us": 20,
    "rtt_ms": 8.3,
    "min_rtt_ms": 7.9,
    "retransmits": 1,
    "server_ms": 150,
    "input_tokens": 42,
    "output_tokens": 6,
    "thinking_tokens": 2,
    "cached_tokens": None,
    "uncached_tokens": None,
    "cached_share": None,
    "task_ms": None,
}


# Every metric that is promised, in its order.
PROMISED = """
dns_ms tcp_ms proxy_ms tls_ms connect_ms ttfb_ms ttft_ms ttft_from_send_ms ttft_from_schedule_ms ttfo_ms thinking_ms
inter_chunk_ms itl_ms tpot_ms total_latency_ms total_latency_from_schedule_ms tokens_per_second decode_tokens_per_second
stall_count stall_ms longest_gap_ms reading_misses_5 reading_misses_10 reading_misses_20 coalescing schedule_lag_us
client_lag_us rtt_ms min_rtt_ms retransmits server_ms input_tokens output_tokens thinking_tokens cached_tokens
input_cost output_cost thinking_cost total_cost success_rate error_rate goodput_rps output_tokens_per_second
requests_per_second cost_per_token error_rate_network error_rate_rate_limit error_rate_server error_rate_auth
error_rate_invalid_request error_rate_cancelled longest_gap_text_ms longest_gap_thinking_ms longest_gap_tool_ms
tool_first_ms tool_ready_ms tool_deltas tool_silence_before_ms tool_silence_inside_ms first_sentence_ms first_line_ms
first_code_block_ms valid time_to_valid_ms valid_rate
uncached_tokens cached_share cache_missed_tokens task_ms task_from_schedule_ms task_model_ms task_tool_ms task_think_ms
task_client_ms critical_ms cache_read_share sessions_per_second session_success_rate goodput_sessions_per_second
session_cost
"""


def test_every_metric_that_was_promised_is_defined_and_no_other():
    assert set(METRICS) == {*PROMISED.split(), "send_ms"}


def measure(name, one):
    """A metric of one record, by name; the mean where it is a distribution."""
    return figures_of(table_of([one]))[file_name(metric_named(name))][0]


def test_every_metric_says_how_it_is_computed_and_what_it_is_read_from():
    for metric in METRICS.values():
        assert (metric.column is None) == (metric.kind == "run") == (metric.of_run is not None), metric.name
        assert (metric.pooled is not None) == (metric.kind == "pooled"), metric.name
        assert metric.read_from or metric.kind == "run", metric.name


def double_ttft(**more):
    fields = {"name": "double_ttft_ms", "unit": "ms", "better": "lower", "formula": "2 x ttft_ms", "source": "stamps"}
    return Metric(**{**fields, "column": lambda t: 2 * t.metric("ttft_ms"), "aliases": ("twice",), **more})


def test_a_metric_that_is_added_is_one_of_a_request_until_it_is_removed():
    define(double_ttft())
    try:
        assert measure("twice", record((100, 110))) == 200
        assert request_metrics()[-1].name == "double_ttft_ms"
    finally:
        remove("double_ttft_ms")
    with pytest.raises(KeyError):
        metric_named("twice")


@pytest.mark.parametrize("wrong", [{"name": "ttft_ms"}, {"aliases": ("ttft",)}, {"column": None}, {"kind": "run"}])
def test_a_metric_that_cannot_be_is_refused_whole(wrong):
    with pytest.raises(ValueError, match="metric"):
        define(double_ttft(**wrong))
    with pytest.raises(KeyError):
        metric_named("twice")


def test_every_figure_of_a_run_stands_in_its_summary():
    # 1 - success_rate, and by kind out of by_status
    fields = {*Summary.__struct_fields__, "error_rate", *[f"error_rate_{kind}" for kind in ERROR_KINDS]}
    assert {m.name for m in METRICS.values() if m.kind == "run"} <= fields


@pytest.mark.parametrize("name", FULL)
def test_the_figure_is_the_one_on_paper(name):
    found = measure(name, full_record())
    assert found == (None if FULL[name] is None else pytest.approx(FULL[name]))


@pytest.mark.parametrize(
    "name", [m.name for m in request_metrics() if m.kind != "cost" and m.name not in ("ttfb_ms", "send_ms")]
)
def test_what_was_not_measured_is_none_and_not_zero(name):
    bare = failed_record(stamps=stamps(), connection=None)
    assert measure(name, bare) is None


def test_a_late_schedule_counts_in_the_latency_from_schedule_only():
    late = record((100, 110), stamps=stamps(intended=-30, send_start=1, send_end=2, end=120))
    assert measure("ttft_ms", late) == 100
    assert measure("ttft_from_schedule_ms", late) == 130
    assert measure("schedule_lag_us", late) == 31_000


def test_tpot_is_absent_when_all_tokens_came_in_the_first_event():
    assert measure("tpot_ms", record((100, 110), tokens_per_event=array("q", [2, 0]), tokens=2)) is None
    assert measure("tpot_ms", record((100,), tokens=9)) is None


def test_the_end_token_without_text_counts_in_tpot_but_is_no_gap():
    ended = record((100, 110, 120), tokens=4)
    assert measure("tpot_ms", ended) == pytest.approx(20 / 3)
    assert measure("itl_ms", ended) == pytest.approx(10)


def test_a_short_gap_is_no_stall_even_when_it_is_many_times_the_median():
    assert measure("stall_count", record((0, 1, 2, 3, 103))) == 0
    assert measure("stall_count", record((0, 1, 2, 3, 204))) == 1


def test_a_reader_of_5_tokens_a_second_misses_what_comes_later_than_200_ms_after_the_last():
    slow = record((0, 100, 500, 600, 700, 2000))  # wanted at 0 200 400 600 800 1000
    assert measure("reading_misses_5", slow) == 2
    assert measure("reading_misses_20", slow) == 5


def test_a_reader_does_not_read_the_thinking():
    stream = events((0, REASONING, 4), (5000, TEXT, 4), (5100, TEXT, 4))
    assert measure("reading_misses_5", record(events=stream)) == 0


def test_coalescing_is_the_share_that_came_in_one_read_with_the_one_before():
    stream = events((1, TEXT, 1), (1, TEXT, 1), (2, TEXT, 1), (2, TEXT, 1), reads=[1, 1, 2, 2])
    assert measure("coalescing", record(events=stream)) == 0.5


def test_client_lag_is_unknown_without_kernel_stamps():
    assert measure("client_lag_us", record(stamp_kind="read")) is None


def test_retransmits_of_a_reused_connection_are_those_of_this_request():
    before, after = TcpInfo(rtt_us=1, retransmits=3), TcpInfo(rtt_us=1, retransmits=4)
    reused = Connection(reused=True, tcp_at_send=before, tcp_at_end=after)
    assert measure("retransmits", record(connection=reused)) == 1


def test_a_stream_that_broke_still_speaks_for_its_first_token():
    broken = table_of([failed_record(events=events((100, TEXT, 4)))])
    assert broken.counted("ttft_ms").tolist() == [100]
    assert str(broken.counted("total_latency_ms")[0]) == "nan"
    assert broken.metric("total_latency_ms")[0] > 0


def test_costs_are_among_the_figures_with_all_their_digits():
    priced = record(usage=Usage(input_tokens=1000, output_tokens=1000, reasoning_tokens=100))
    found = figures_of(table_of([priced], book=PriceBook([parse_price("in=3,out=15")])))
    costs = {name: found[name][0] for name in ("input_cost", "output_cost", "thinking_cost", "total_cost")}
    assert costs == {name: Decimal(usd) for name, usd in zip(costs, ("0.003", "0.015", "0.0015", "0.018"), strict=True)}


def test_every_metric_says_all_there_is_to_know():
    for metric in METRICS.values():
        assert metric.formula
        assert metric.source
        assert metric.unit in ("ms", "us", "tokens", "tokens/s", "requests/s", "sessions/s", "count", "share", "USD")
        if metric.unit in ("ms", "us"):
            assert metric.name.endswith(f"_{metric.unit}")


def test_aliases_lead_to_metrics():
    assert metric_named("ttft").name == "ttft_ms"
    assert metric_named("e2el").name == "total_latency_ms"
    assert metric_named("cost_per_request").name == "total_cost"
    with pytest.raises(KeyError):
        metric_named("ttfp")


def test_stamps_are_relative_to_the_start_of_the_request():
    assert measure("ttft_from_send_ms", record((100,))) == pytest.approx(100 - 41)
    assert START % MS == 0
