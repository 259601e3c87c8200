"""Thresholds in every form in which they are typed, and what they say of a run."""

import pytest
from handmade import failed_record, record, stamps

from lens.analysis.gates.thresholds import (
    Threshold,
    evaluate_thresholds,
    format_verdict,
    parse_threshold,
    thresholds_of,
)
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import Status
from lens.pricing import PriceBook, parse_price


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ttft_p95<1000", ("ttft_ms", "p95", "<", 1000)),
        ("ttft_p95:1000", ("ttft_ms", "p95", "<=", 1000)),
        ("ttft_p95=<=1000", ("ttft_ms", "p95", "<=", 1000)),
        ("ttft_p95=1000", ("ttft_ms", "p95", "<=", 1000)),
        ("ttft_p95_ms <= 1s", ("ttft_ms", "p95", "<=", 1000)),
        ("p99_ttft_ms<500ms", ("ttft_ms", "p99", "<", 500)),
        ("ttft_p99.9<2000", ("ttft_ms", "p99.9", "<", 2000)),
        ("ttft_p99_9<2000", ("ttft_ms", "p99.9", "<", 2000)),
        ("tokens_per_second>15", ("tokens_per_second", "mean", ">", 15)),
        ("tps:20", ("tokens_per_second", "mean", ">=", 20)),
        ("cost_per_request<0.05", ("total_cost", "mean", "<", 0.05)),
        ("itl_max<200ms", ("itl_ms", "max", "<", 200)),
        ("e2e_median<5s", ("total_latency_ms", "p50", "<", 5000)),
        ("success_rate>=99%", ("success_rate", "", ">=", 0.99)),
        ("error_rate<0.01", ("error_rate", "", "<", 0.01)),
        ("client_lag_us_p99<1ms", ("client_lag_us", "p99", "<", 1000)),
        ("ttft_from_send_p50<80", ("ttft_from_send_ms", "p50", "<", 80)),
    ],
)
def test_every_form_is_understood(text, meant):
    found = parse_threshold(text)
    assert (found.metric, found.statistic, found.operator, found.limit) == meant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ttft_p95", "shell takes <"),
        ("tttf_p95<10", "did you mean ttft"),
        ("ttft<fast", "is no number"),
        ("ttft_p95<1e999", "'1e999' is not a finite number"),
        ("ttft<50%", "not a share"),
        ("success_rate>5ms", "not a time"),
        ("", "a metric and a limit"),
    ],
)
def test_what_is_no_threshold_is_told_what_would_be(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_threshold(text)


def test_the_specified_section_of_thresholds():
    section = {
        "ttft_p95_ms": 1000.0,
        "ttft_p99_ms": 2000.0,
        "tokens_per_second_min": 15.0,
        "success_rate_min": 0.99,
        "cost_per_request_max": 0.10,
    }
    assert [str(t) for t in thresholds_of(section)] == [
        "ttft_ms p95 <= 1000",
        "ttft_ms p99 <= 2000",
        "tokens_per_second mean >= 15",
        "success_rate >= 0.99",
        "total_cost mean <= 0.1",
    ]
    with pytest.raises(ConfigError, match="expected a finite number"):
        thresholds_of({"ttft_p95": "fast"})


def verdict_of(text, records, price="in=1,out=1"):
    table = table_of(records, book=PriceBook([parse_price(price)]))
    (verdict,) = evaluate_thresholds([parse_threshold(text)], table, summarize(table))
    return verdict


def test_a_run_is_held_to_its_percentiles_and_rates():
    records = [
        record(
            (
                100 + i,
                150 + i,
            )
        )
        for i in range(40)
    ]
    assert verdict_of("ttft_p95<138", records).actual == pytest.approx(137)
    assert verdict_of("ttft_p95<138", records).kept
    assert not verdict_of("ttft_p95<137", records).kept
    assert verdict_of("success_rate>=100%", records).kept
    assert verdict_of("error_rate<0.01", records).actual == 0
    assert verdict_of("itl_mean<51", records).n == 40


def test_what_was_not_measured_fails():
    verdict = verdict_of("thinking_ms_mean<10", [record((100,))])
    assert not verdict.kept
    assert verdict.reason == "it was not measured"
    assert "FAIL" in format_verdict(verdict)


def test_too_few_values_are_judged_by_the_largest_and_say_so():
    verdict = verdict_of("ttft_p99<1000", [record((100,)), record((300,))])
    assert (verdict.actual, verdict.kept) == (pytest.approx(300), True)
    assert "needs 100 values, there are 2" in verdict.reason


def test_requests_of_the_warm_up_do_not_count():
    import msgspec

    slow = msgspec.structs.replace(record((5000,)), warmup=True)
    assert verdict_of("ttft_max<200", [slow, record((100,))]).kept


def test_failed_requests_count_against_the_rate_and_not_for_what_they_did_not_measure():
    failed = failed_record()
    verdict = verdict_of("success_rate>=0.9", [record((100,)), failed])
    assert (verdict.actual, verdict.kept) == (0.5, False)


def test_a_threshold_reads_as_it_is_written():
    assert str(Threshold(metric="ttft_ms", statistic="p95", operator="<", limit=1000.0)) == "ttft_ms p95 < 1000"


def test_errors_are_limited_by_their_kind():
    records = [record(), failed_record(), failed_record(status=Status.AUTH_ERROR), record()]
    assert verdict_of("error_rate_rate_limit<1%", records).actual == 0.25
    assert verdict_of("error_rate_auth<=25%", records).kept
    assert verdict_of("error_rate_network<1%", records).kept
    assert not verdict_of("error_rate<25%", records).kept


@pytest.mark.parametrize(
    "text", ["ttft_p95<60", "success_rate>0.9", "ttft<=123.456789", "cost_per_session<0.000012345", "ttft_p99.9:9"]
)
def test_a_threshold_is_written_as_it_is_read(text):
    read = parse_threshold(text)
    assert parse_threshold(read.text) == read


BROKEN = {"status": Status.SERVER_ERROR, "category": "stream_error"}


@pytest.mark.parametrize(
    ("text", "slow", "broken", "kept", "actual", "says"),
    [
        ("ttft_p50<50", 8, 12, False, 90, "with 12 requests that failed it is 10"),
        ("ttft_from_send_p50<50", 8, 12, False, 89, "with 12 requests that failed"),
        ("ttft<50", 0, 12, False, None, "all that have it are 12 requests that failed"),
        ("ttft_p50<100", 8, 12, True, 10, None),  # so it is either way
        ("ttft_p50>50", 8, 12, False, 10, None),
        ("ttft_p50<100", 20, 0, True, 90, None),
        ("send_p50<50", 8, 12, True, 1, None),  # whether the answer broke makes no difference
    ],
)
def test_answers_that_break_after_their_first_token_do_not_open_a_gate(text, slow, broken, kept, actual, says):
    made = stamps(send_start=0, send_end=1, first_byte=5, end=100)
    records = [record((90, 95), stamps=made) for _ in range(slow)]
    records += [record((10, 11), stamps=made, **BROKEN) for _ in range(broken)]
    table = table_of(records)
    (verdict,) = evaluate_thresholds([parse_threshold(text)], table, summarize(table))
    assert (verdict.kept, verdict.actual if actual is None else round(verdict.actual)) == (kept, actual)
    assert says is None or says in verdict.reason


def test_a_page_says_what_failed_requests_make_of_ttft():
    records = [record((90, 95)) for _ in range(8)] + [record((10, 11), **BROKEN) for _ in range(12)]
    found = summarize(records)
    assert (found.distributions["ttft_ms"].n, found.ttft_of_successes.n) == (20, 8)
    said = "requests that failed after their first token change TTFT: of successful ones alone p50 90 ms instead of 10"
    assert said in found.warnings
    assert summarize(records[:8]).ttft_of_successes is None
