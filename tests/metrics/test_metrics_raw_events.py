"""All events of requests, against going through them one by one."""

from __future__ import annotations

from array import array
from itertools import pairwise

import numpy as np
from handmade import TEXT, record
from hypothesis import given
from hypothesis import strategies as st

from lens.history.lean import MISSING
from lens.metrics.builder import table_of
from lens.metrics.raw_events import AT_ONCE, raw_events, with_records
from lens.model import Events

TIMES = st.lists(st.lists(st.integers(0, 50), max_size=4).map(sorted), max_size=5)


def made(times, code="q"):
    n = len(times)
    return record(
        events=Events(
            arrived_ns=array(code, times), lag_ns=array("q", [0] * n), signals=array("H", [TEXT] * n),
            chars=array("I", range(n)), read=array("I", range(n)),
        )
    )  # fmt: skip


@given(TIMES)
def test_edges_and_gaps_are_those_of_each_request(rows):
    found = raw_events([made(times) for times in rows])
    assert found.first_at().tolist() == [times[0] if times else MISSING for times in rows]
    assert found.last_at().tolist() == [times[-1] if times else MISSING for times in rows]
    gaps, of = found.gaps()
    expected = [(b - a, row) for row, times in enumerate(rows) for a, b in pairwise(times)]
    assert list(zip(gaps.tolist(), of.tolist(), strict=True)) == expected


@given(TIMES)
def test_events_that_are_left_are_events_of_the_same_requests(rows):
    found = raw_events([made(times) for times in rows])
    later = found.where(found.chars > 0)
    assert later.first_at().tolist() == [times[1] if len(times) > 1 else MISSING for times in rows]
    assert int(later.begins.sum()) == sum(len(times) > 1 for times in rows)


def test_a_table_is_walked_in_slices_with_its_records():
    records = [record(index=i) for i in range(AT_ONCE + 2)]
    parts = list(with_records(table_of(records)))
    assert [(len(part), len(kept)) for part, kept in parts] == [(AT_ONCE, AT_ONCE), (2, 2)]
    assert np.concatenate([part.column("index") for part, _ in parts]).tolist() == list(range(AT_ONCE + 2))
    assert list(with_records(table_of([]))) == []
