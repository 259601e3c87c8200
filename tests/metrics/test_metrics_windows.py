"""Rates over the time that they were asked for: schedules of few requests, bursts, searches, several runs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from handmade import INFO, START, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.windows import rates_of, stage_window, window_of
from lens.model import SessionTurn
from lens.units import NS_PER_MS

SEARCH = msgspec.structs.replace(INFO, config={"load": {"search_slo": ["ttft_p95<500"]}})


def scheduled(times_ms, *, took_ms=130, session=None, stage=None, info=None):
    """Return a table of requests that were meant to start at these times."""
    records = []
    for index, at in enumerate(times_ms):
        made = stamps(START + round(at * NS_PER_MS), intended=0, first_byte=took_ms, end=took_ms)
        records.append(record((took_ms,), index=index, stamps=made, session=session, stage=stage))
    return table_of(records, info)


@pytest.mark.parametrize(
    ("times_ms", "window_s", "asked"),
    [
        ([0, 500, 1000, 1500], 2.0, 2.0),  # 4 requests at 2/s
        ([0, 500, 900, 1400], 1.8667, 2.1429),  # at random: as long again as a gap on average
        ([0, 0, 0, 10_000, 10_000, 10_000], 20.0, 0.3),  # bursts of three, each ten seconds
        ([0, 0, 0], 0.13, None),  # one burst has no rate
        ([0], 0.13, None),
    ],
)
def test_rates_are_told_over_the_time_they_were_asked_for(times_ms, window_s, asked):
    table = scheduled(times_ms)
    assert window_of(table).window_s == pytest.approx(window_s, abs=1e-3)
    assert stage_window(table) == window_of(table)
    assert rates_of(table).asked == (asked if asked is None else pytest.approx(asked, rel=1e-3))


def test_a_rate_of_arrivals_at_random_is_the_rate_that_they_have():
    generator, found = np.random.default_rng(1), []
    for _ in range(300):
        times_ms = np.cumsum(generator.exponential(500, 4))
        found.append(len(times_ms) / window_of(scheduled(times_ms, took_ms=1)).window_s)
    assert 1 / np.mean(1 / np.array(found)) == pytest.approx(2.0, rel=0.1)


def test_answers_that_outlast_the_schedule_lengthen_the_window():
    assert window_of(scheduled([0, 500, 1000, 1500], took_ms=2000)).window_s == pytest.approx(3.5)


def test_what_lies_between_the_tries_of_a_search_was_not_asked_for():
    times = [0, 1000, 2003, 3003, 4010, 5010]
    table = scheduled(times, stage="1 requests/s", info=SEARCH, took_ms=20)
    assert rates_of(table).asked == pytest.approx(1.0)
    assert stage_window(table).window_s == pytest.approx(6.0)
    assert rates_of(scheduled(times, stage="1 requests/s")).asked == pytest.approx(0.998, abs=1e-3)  # of a trace


def test_sends_that_fall_behind_have_a_rate_of_their_own():
    records = []
    for index in range(11):
        made = stamps(START + index * 100 * NS_PER_MS, intended=0, send_start=index * 25, send_end=index * 25, end=400)
        records.append(record((350,), index=index, stamps=made))
    found = rates_of(table_of(records))
    assert (found.asked, found.sent) == (pytest.approx(10), pytest.approx(8))


def test_the_last_stage_alone_lasts_a_gap_longer():
    first = [(at, "10/s") for at in range(0, 1000, 100)]
    second = [(at, "2/s") for at in range(1000, 3000, 500)]
    records = [
        record((20,), index=i, stage=stage, stamps=stamps(START + at * NS_PER_MS, intended=0, end=20))
        for i, (at, stage) in enumerate([*first, *second])
    ]
    assert window_of(table_of(records)).window_s == pytest.approx(3.0)


def test_turns_of_sessions_are_no_schedule():
    assert window_of(
        scheduled([0, 500, 900], session=SessionTurn(session_id="s", turn=0, turns=1))
    ).window_s == pytest.approx(1.03)
