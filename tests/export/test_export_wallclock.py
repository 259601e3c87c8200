"""Wall-clock times of requests, in whole nanoseconds, also where they cannot be told."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from handmade import record

from lens.export.wallclock import end_unix_ns, start_unix_ns, unix_ns, unix_s
from lens.history.lean import MISSING
from lens.metrics.builder import table_of

BEGAN = 1_762_540_200_000_000_000


def test_a_request_ends_its_duration_after_its_start():
    table = table_of([record((100, 110))])
    assert start_unix_ns(table).tolist() == [BEGAN]
    assert end_unix_ns(table).tolist() == [BEGAN + 115_000_000]


def test_one_that_never_ended_ends_at_its_start():
    one = record()
    open_ended = msgspec.structs.replace(one, stamps=msgspec.structs.replace(one.stamps, end=None))
    assert end_unix_ns(table_of([open_ended])).tolist() == [BEGAN]


@pytest.mark.parametrize("timestamp", ["yesterday", "", "9999-12-31T23:59:59Z"])
def test_a_time_that_is_none_or_beyond_int64_is_missing(timestamp):
    table = table_of([record(timestamp=timestamp), record()])
    assert start_unix_ns(table).tolist() == [MISSING, BEGAN]
    assert end_unix_ns(table).tolist()[0] == MISSING


def test_seconds_are_the_nearest_floats():
    at_ns = [unix_ns("2025-11-07T18:30:00.123456789Z"), 1, 0, 2**62]
    assert unix_s(np.array(at_ns)).tolist() == [ns / 10**9 for ns in at_ns]
