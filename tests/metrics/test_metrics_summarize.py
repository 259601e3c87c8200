"""Windows and counts of a summary."""

from __future__ import annotations

from handmade import failed_record, record

from lens.metrics.summarize import summarize
from lens.model import Status


def test_requests_that_the_end_of_a_run_cut_are_counted_apart():
    cut = failed_record(status=Status.CANCELLED, category="interrupted")
    summary = summarize([record(), cut])
    assert (summary.requests, summary.success_rate, summary.interrupted) == (1, 1.0, 1)
