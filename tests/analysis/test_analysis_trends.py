"""Trends held to simulated truth: a drift is found with its size, and a slow moment is none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from handmade import START, record, stamps

from lens.analysis.explore.trends import trends_of
from lens.metrics.builder import table_of

MS = 1_000_000
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def at(i, ttft, *, every_s=60.0, **more):
    """The i-th request, so many seconds after the one before."""
    begin = START + round(i * every_s * 1000) * MS
    when = (BEGIN + timedelta(seconds=i * every_s)).isoformat()
    return record(
        (ttft, ttft + 10, ttft + 20),
        index=i,
        timestamp=when,
        stamps=stamps(begin, send_start=0, send_end=0, first_byte=ttft - 1, end=ttft + 22),
        **more,
    )


def day(seed, n=300, drift_ms_per_hour=0.0, memory=0.5, **more):
    rng = np.random.default_rng(seed)
    noise, records = 0.0, []
    for i in range(n):
        noise = memory * noise + rng.normal(0, 5)
        records.append(at(i, 100 + noise + drift_ms_per_hour * i / 60 + rng.exponential(10), **more))
    return records


def ttft(records, **more):
    return next((one for one in trends_of(table_of(records), **more) if one.metric == "ttft_ms"), None)


def test_a_drift_is_found_with_its_size_and_told_in_words():
    found = ttft(day(1, drift_ms_per_hour=10))
    assert (found.direction, found.better, found.per) == ("rises", False, "hour")
    assert found.low <= 10 <= found.high
    assert found.slope == pytest.approx(10, abs=3)
    assert str(found).startswith("ttft_ms rises by ")
    assert str(found).endswith(": worse")
    assert "ms an hour (95 % +" in str(found)


def test_what_falls_is_better():
    found = ttft(day(2, drift_ms_per_hour=-10))
    assert (found.direction, found.better) == ("falls", True)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_where_nothing_drifts_a_trend_is_seldom_told(memory):
    told = sum(any(one.better is not None for one in trends_of(table_of(day(s, memory=memory)))) for s in range(60))
    assert told <= 5


def test_one_slow_moment_is_no_trend():
    records = day(3)
    slow = [at(i, 900) if 280 <= i < 290 else one for i, one in enumerate(records)]
    assert ttft(slow).better is None


def test_another_model_later_on_is_no_trend():
    noise = np.random.default_rng(4).normal(300, 5, 150)
    quick, slow = day(4, n=150, memory=0.0), [at(150 + i, late, model="slow") for i, late in enumerate(noise)]
    assert {one.who for one in trends_of(table_of(quick + slow))} == {"openai/gpt-4", "openai/slow"}
    assert all(one.better is None for one in trends_of(table_of(quick + slow)) if one.metric == "ttft_ms")


def test_the_unit_of_time_is_that_of_the_span():
    assert ttft([at(i, 100 + i, every_s=1) for i in range(60)]).per == "minute"
    assert ttft([at(i, 100 + i, every_s=7200) for i in range(60)]).per == "day"
    assert ttft([at(i, 100 + i, every_s=1) for i in range(60)]).slope == pytest.approx(60)


def test_too_few_requests_say_nothing():
    assert trends_of(table_of(day(5, n=20))) == ()
    assert trends_of(table_of([])) == ()
    assert trends_of(table_of([at(0, 100) for _ in range(50)])) == (), "all at one instant"
