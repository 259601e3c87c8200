"""Outliers made by hand: each is found, with the part of it that took the time; and what is ordinary is not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from handmade import START, record, stamps

from lens.analysis.explore.anomalies import anomalies_of
from lens.metrics.builder import table_of
from lens.model import Usage

MS = 1_000_000
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def one(i, ttft=100.0, *, wait=None, tcp=None, gap=10.0, pause=0.0, **more):
    """A request 10 s after the one before; of its TTFT `wait` ms were spent before the first byte."""
    begin = START + i * 10_000 * MS
    wait = ttft - 30 if wait is None else wait
    connect = {} if tcp is None else {"tcp_start": 0, "tcp_end": tcp}
    sent = (tcp or 0) + 1
    at = ttft + np.cumsum([0, gap, gap, gap + pause, gap])
    given = {
        "request_id": f"request-{i}",
        "index": i,
        "timestamp": (BEGIN + timedelta(seconds=10 * i)).isoformat(),
        "stamps": stamps(begin, **connect, send_start=sent, send_end=sent, first_byte=sent + wait, end=at[-1] + 1),
    }
    return record(tuple(at), **(given | more))


def usual(seed=0, n=60):
    rng = np.random.default_rng(seed)
    return [one(i, 100 * np.exp(rng.normal(0, 0.1)), gap=10 * np.exp(rng.normal(0, 0.05))) for i in range(n)]


def found_in(records):
    return anomalies_of(table_of(records))


def test_ordinary_runs_have_no_outliers():
    assert sum(len(found_in(usual(seed, 200))) for seed in range(20)) <= 1


@pytest.mark.parametrize(
    ("odd", "metric", "says"),
    [
        (one(60, 900, wait=870), "ttft_ms", "waiting for the first byte of the answer took 870 ms (usually"),
        (one(60, 900, wait=60), "ttft_ms", "from the first byte to the first token took 839 ms"),
        (one(60, 900, tcp=800, wait=60), "ttft_ms", "connecting took 800 ms"),
        (one(60, pause=700), "longest_gap_ms", "a pause of 710 ms before event 4 of 5 (usually"),
        (one(60, gap=60), "tpot_ms", "slow all the way: 60 ms between events"),
        (one(60, 900, server_timing_ms={"x": 800.0}), "ttft_ms", "took"),
        (one(60, 900, usage=Usage(input_tokens=9000, output_tokens=5)), "ttft_ms", "its prompt has 9000 tokens"),
        (one(60, 900, clock_stepped=True), "ttft_ms", "the wall clock was set"),
    ],
)
def test_an_outlier_is_named_with_what_took_the_time(odd, metric, says):
    (found,) = found_in([*usual(), odd])
    assert found.request_id == "request-60"
    assert found.metric == metric
    assert says in str(found)
    assert found.deviations > 5


def test_those_that_come_together_say_so():
    records = [*usual(), one(60, 900), one(61, 900, timestamp=(BEGIN + timedelta(seconds=601)).isoformat())]
    assert all("1 other stood out within 2 s" in str(found) for found in found_in(records))


@pytest.mark.filterwarnings("error")
def test_answers_in_one_event_have_no_gaps_and_still_stand_out():
    whole = [record((100 + i % 7,), index=i, request_id=f"request-{i}") for i in range(40)]
    (found,) = found_in([*whole, record((900,), index=40, request_id="late")])
    assert (found.request_id, found.metric) == ("late", "ttft_ms")


def test_each_of_many_outliers_counts_those_near_it():
    found = found_in([*usual(n=200), *[one(200 + i, 900) for i in range(20)]])
    assert len(found) == 20
    assert not any("stood out within" in str(one) for one in found), "they are 10 s apart"


def test_a_slow_model_is_no_outlier_beside_a_quick_one():
    slow = [one(100 + i, 900, model="slow") for i in range(25)]
    assert found_in([*usual(), *slow]) == ()


def test_few_requests_have_no_peers():
    assert found_in([*usual(n=10), one(60, 5000)]) == ()


def test_values_that_are_all_alike_are_no_scale():
    assert found_in([one(i, 100 + 0.01 * (i % 3)) for i in range(30)] + [one(30, 101)]) == ()
