"""The columns of turns: numbers of one value a request, in few bytes where there are no sessions."""

from __future__ import annotations

import msgspec
import numpy as np
from handmade import MS, START, record
from handmade_sessions import DAG, turn

from lens.metrics.session_columns import NO_TURN, session_columns, session_ids
from lens.model import Try


def test_each_turn_has_its_numbers():
    found = session_columns([record(), *DAG], np.array)
    assert found["turn"].tolist() == [NO_TURN, 0, 1, 2, 3]
    assert found["turns"].tolist() == [0, 4, 4, 4, 4]
    assert found["tool"].tolist() == [0, 0, 50 * MS, 50 * MS, 0]
    assert found["think"].tolist() == [0, 0, 0, 0, 200 * MS]
    assert session_ids([record(), *DAG]) == [None, "s", "s", "s", "s"]


def test_the_turns_that_were_waited_for_lie_behind_each_other():
    found = session_columns([record(), *DAG], np.array)
    assert found["after.sizes"].tolist() == [0, 0, 1, 1, 2]
    assert found["after.turn"].tolist() == [0, 0, 1, 2]


def test_other_starts_are_times_after_the_start_of_the_request():
    tried = Try(start_ns=START + 7 * MS, end_ns=START + 8 * MS, category="timeout")
    found = session_columns([turn(0, 10, 20, planned=4, tries=(tried,)), turn(0, 0, 1)], np.array)
    assert found["session_planned"][0] == -6 * MS
    assert found["first_start"][0] == -3 * MS
    assert np.isnan(found["session_planned"][1])
    assert np.isnan(found["first_start"][1])


def test_requests_of_no_session_take_few_bytes():
    found = session_columns([record()] * 10, np.array)
    assert sum(column.nbytes for column in found.values()) <= 200
    late = msgspec.structs.replace(record(), tries=(Try(start_ns=START, end_ns=START, category="timeout"),))
    assert session_columns([late], np.array)["first_start"].tolist() == [0]
