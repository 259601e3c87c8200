"""Rates over the time that they were asked for: schedules of few requests, bursts, searches, several runs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from handmade import INFO, START, failed_record, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.stages import stage_tables
from lens.metrics.summarize import summarize
from lens.metrics.windows import rates_of, stage_window, window_of
from lens.model import SessionTurn, Status
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


def stopped(times_ms, *, open_since_ms=(), at_ms=10_000, **header):
    """Return a table of a run that was stopped at a time, while requests that began at these times were open."""
    info = msgspec.structs.replace(INFO, **{"stopped_by": "SIGINT", "ended_ns": START + at_ms * NS_PER_MS} | header)
    records = [record((20,), index=n, stamps=stamps(START + at * NS_PER_MS, end=130)) for n, at in enumerate(times_ms)]
    for at in open_since_ms:
        made = stamps(START + at * NS_PER_MS, end=at_ms - at)
        records.append(failed_record(index=len(records), status=Status.CANCELLED, category="interrupted", stamps=made))
    return table_of(records, info)


@pytest.mark.parametrize(
    ("table", "window_s", "busy_s"),
    [
        (stopped([0, 100, 200], open_since_ms=[50, 300]), 10.0, 0.39 + 9.95 + 9.7),
        (stopped([0, 100, 200], open_since_ms=[50, 300], stopped_by=None), 10.0, 0.39 + 9.95 + 9.7),  # of an older file
        (stopped([0, 100, 200]), 10.0, 0.39),
        (stopped([0, 100, 200], stopped_by=None), 0.33, 0.39),  # it ran to its end
        (stopped([0, 100, 200], ended_ns=None), 0.33, 0.39),
    ],
)
def test_a_run_that_was_stopped_lasted_until_then_and_what_was_open_counts(table, window_s, busy_s):
    found = window_of(table.measured())
    assert (found.window_s, found.busy_s) == (pytest.approx(window_s), pytest.approx(busy_s))
    summary = summarize(table)
    assert summary.requests_per_second == pytest.approx(3 / window_s)
    assert summary.concurrency_mean == pytest.approx(busy_s / window_s)
    assert (summary.requests, summary.interrupted) == (3, len(table) - 3)
    assert [row.answered_per_s for row in summary.stages] == [pytest.approx(3 / window_s)]


def test_the_stage_in_which_a_run_was_stopped_lasts_until_then():
    info = msgspec.structs.replace(INFO, stopped_by="SIGINT", ended_ns=START + 9000 * NS_PER_MS)
    times = [(0, "4 at a time"), (100, "4 at a time"), (2000, "8 at a time"), (2100, "8 at a time")]
    records = [
        record((20,), index=n, stage=stage, stamps=stamps(START + at * NS_PER_MS, end=130))
        for n, (at, stage) in enumerate(times)
    ]
    table = table_of(records, info)
    assert [stage_window(one).window_s for one in stage_tables(table)] == [pytest.approx(0.23), pytest.approx(7.0)]
    marked = table.with_warmup(np.array([False, False, True, True]))  # its end is cut as cool-down
    assert window_of(marked.measured()).window_s == pytest.approx(0.23)
