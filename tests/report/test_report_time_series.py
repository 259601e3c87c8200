"""A run over time: what is added up slice by slice is what a plain walk over the requests finds."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
import report_runs as runs
from handmade import MS, START, failed_record, record, stamps
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics import columns
from lens.metrics.builder import table_of
from lens.report.time_series import medians_over_time, span_ns, time_series

STEP = 500 * MS


def test_a_slice_has_what_ended_and_arrived_in_it(monkeypatch):
    monkeypatch.setattr(columns, "SLICE", 7)  # several slices of requests
    asked = runs.loaded(40)
    found = time_series(table_of(asked), zero_ns=START, step_ns=STEP)
    n = len(found.open)
    answers, tokens, failed = [0] * n, [0] * n, [0] * n
    for one in asked:
        at = min((one.stamps.end - START) // STEP, n - 1)
        if one.category == "success":
            answers[at] += 1
        else:
            failed[at] += 1
        for arrived in one.events.arrived_ns:
            tokens[min((one.stamps.start + arrived - START) // STEP, n - 1)] += 1
    assert found.failed.tolist() == failed
    assert found.requests[:-1] == pytest.approx([count / 0.5 for count in answers[:-1]])
    assert found.tokens[:-1] == pytest.approx([count / 0.5 for count in tokens[:-1]])


def test_a_sliver_at_the_end_is_no_spike():
    # Ten a second over 10 s, and one answer 20 ms after the last whole slice: once 50 a second, for it stood alone.
    asked = [record(stamps=stamps(START + at * MS, end=50)) for at in range(0, 9_950, 100)]
    asked.append(record(stamps=stamps(START + 9_950 * MS, end=70)))
    found = time_series(table_of(asked), zero_ns=START, step_ns=1000 * MS)
    assert len(found.requests) == 10
    assert max(found.requests) <= 11
    assert found.requests[-1] == pytest.approx(11 / 1.02, rel=1e-6)


@given(st.integers(1, 5000), st.integers(1, 700))
def test_slices_cover_the_run_and_the_last_is_no_sliver(end_ms, step_ms):
    found = time_series(table_of([record(stamps=stamps(end=end_ms))]), zero_ns=START, step_ns=step_ms * MS)
    last_ms = end_ms - (len(found.open) - 1) * step_ms
    assert last_ms < 1.5 * step_ms
    assert last_ms >= 0.5 * step_ms or len(found.open) == 1


def test_open_requests_are_their_time_in_each_slice():
    asked = [record(stamps=stamps(START + at * MS, end=took)) for at, took in ((0, 1000), (250, 500), (900, 600))]
    found = time_series(table_of(asked), zero_ns=START, step_ns=STEP)
    assert found.open == pytest.approx([(500 + 250) / 500, (500 + 250 + 100) / 500, 1])


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(1, 900)), min_size=1, max_size=30))
def test_medians_are_those_of_the_requests_that_started_in_a_slice(asked):
    records = [record((ttft, ttft + 5), stamps=stamps(START + at * MS, end=1000)) for at, ttft in asked]
    table = table_of([*records, failed_record()])
    n = -(-span_ns(table, START) // STEP)
    found = medians_over_time(table, "ttft_ms", zero_ns=START, step_ns=STEP, n=n)
    for number in range(n):
        inside = [ttft for at, ttft in asked if min(at * MS // STEP, n - 1) == number]
        if inside:
            assert found[number] == pytest.approx(median(inside), abs=1e-5)
        else:
            assert np.isnan(found[number])


def test_requests_that_ended_at_once_have_a_time_series():
    found = time_series(table_of([record((), stamps=stamps(START))]), zero_ns=START, step_ns=1)
    assert len(found.open) == 1
