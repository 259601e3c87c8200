"""Why a schedule was not kept, worked out on paper: this client, its connections, a limit on open requests, or 429s."""

import msgspec
import pytest
from handmade import INFO, START, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.stages import StageRow, pacing_warnings, stage_rows

MS = 1_000_000


def asked(index, *, due_ms, start_ms, connect_ms=0, answer_ms=60):
    """A request that was due at one time and began at another; its connection takes some of its time."""
    phases = {"tcp_start": 0, "tcp_end": connect_ms} if connect_ms else {}
    sent = connect_ms + 0.1
    made = stamps(
        START + start_ms * MS, send_start=sent, send_end=sent, first_byte=sent + 5, end=connect_ms + answer_ms, **phases
    )
    return record((50,), index=index, stamps=msgspec.structs.replace(made, intended=START + due_ms * MS))


def row_of(records, **load):
    (row,) = stage_rows(table_of(records, msgspec.structs.replace(INFO, config={"load": load})))
    return row


def test_a_client_that_begins_late_was_busy():
    row = row_of([asked(i, due_ms=100 * i, start_ms=100 * i + 30) for i in range(30)])
    assert row.late_for == "client"
    assert pacing_warnings([row]) == ("at 10 requests/s sends were up to 30.10 ms late (p99): this client was busy",)


def test_connections_that_take_long_are_not_this_client():
    row = row_of([asked(i, due_ms=100 * i, start_ms=100 * i, connect_ms=320) for i in range(30)])
    assert row.late_for == "connecting"
    (said,) = pacing_warnings([row])
    assert said == "at 10 requests/s sends were up to 320.10 ms late (p99): their connections had to be opened first"


def test_a_client_that_is_late_beside_its_connections_is_named():
    row = row_of([asked(i, due_ms=100 * i, start_ms=100 * i + 60, connect_ms=320) for i in range(30)])
    assert row.late_for == "client"


def first_in_first_out(places, n, *, gap_ms=10, answer_ms=60, late_ms=0, worker=0, of=1):
    """What a queue with so many places does to a schedule: each takes the place that is free first."""
    free, found = [0] * places, []
    for k in range(n):
        due_ms = k * gap_ms
        start_ms = max(due_ms, min(free)) + late_ms
        free[free.index(min(free))] = start_ms + answer_ms
        found.append(asked(k * of + worker, due_ms=due_ms, start_ms=start_ms, answer_ms=answer_ms))
    return found


@pytest.mark.parametrize("places", [1, 2, 5])
def test_a_limit_on_open_requests_holds_them_and_not_this_client(places):
    row = row_of(first_in_first_out(places, 60), concurrency=places)
    assert row.late_for == "places"
    (said,) = pacing_warnings([row])
    assert said.startswith("of 100 requests/s only ")
    assert said.endswith("no more may be open at a time (--concurrent), and they waited for answers")


def test_each_worker_has_its_own_places():
    few, many = ({"places": places, "n": 40, "gap_ms": 50, "of": 2} for places in (1, 2))
    records = [*first_in_first_out(**few), *first_in_first_out(**many, worker=1)]
    assert row_of(records, concurrency=3, workers=2).late_for == "client", "the first has two places, as it seems"
    records = [*first_in_first_out(**many), *first_in_first_out(**few, worker=1)]
    assert row_of(records, concurrency=3, workers=2).late_for == "places"


def test_a_client_that_is_little_late_in_a_long_queue_is_not_named():
    row = row_of(first_in_first_out(2, 60, late_ms=9), concurrency=2)
    assert row.late_for == "places"


def test_a_throttle_may_have_held_them():
    row = row_of([asked(i, due_ms=100 * i, start_ms=100 * i + 900) for i in range(30)], adaptive=True)
    assert row.late_for == "rate limit"
    (said,) = pacing_warnings([row])
    assert said.endswith("they waited for the provider's rate limit (--adaptive), or for this client")


def test_what_is_on_time_is_late_for_nothing():
    row = row_of([asked(i, due_ms=100 * i, start_ms=100 * i) for i in range(30)], concurrency=2)
    assert row.late_for is None
    assert pacing_warnings([row]) == ()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"asked_per_s": 100.0, "sent_per_s": 90.0, "lag_p99_us": 9e5}, "could not keep 100 requests/s and reached 90"),
        ({"asked_per_s": 10.0, "sent_per_s": 10.0, "lag_p99_us": 15_000.0}, "up to 15.00 ms late"),
    ],
)
def test_a_row_of_an_older_file_names_no_cause(row, says):
    (said,) = pacing_warnings([StageRow(name="x", requests=9, failed=0, **row)])
    assert says in said
