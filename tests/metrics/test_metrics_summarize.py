"""Windows and counts of a summary."""

from __future__ import annotations

import pytest
from handmade import START, failed_record, record, stamps

from lens.metrics.summarize import summarize
from lens.model import Status
from lens.units import NS_PER_MS


@pytest.mark.parametrize(("gaps_ms", "window_s"), [([500, 500, 500], 2.0), ([500, 400, 500], 1.53)])
def test_a_schedule_of_equal_gaps_lasts_a_gap_longer_than_its_last_start(gaps_ms, window_s):
    records, at = [], START
    for gap in [*gaps_ms, 0]:
        one = record((10, 20, 30), stamps=stamps(at, intended=0, end=130))
        records.append(one)
        at += gap * NS_PER_MS
    assert summarize(records).window_s == pytest.approx(window_s, abs=0.001)


def test_requests_that_the_end_of_a_run_cut_are_counted_apart():
    cut = failed_record(status=Status.CANCELLED, category="interrupted")
    summary = summarize([record(), cut])
    assert (summary.requests, summary.success_rate, summary.interrupted) == (1, 1.0, 1)
