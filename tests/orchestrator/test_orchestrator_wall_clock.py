"""What is known of the wall clock, and stamps on another clock."""

import gc
import tracemalloc

import msgspec
import pytest
from handmade import full_record

from lens.model import Attempt, Try
from lens.orchestrator import wall_clock
from lens.orchestrator.wall_clock import read_wall_clock, shift_record, with_moved

S = 1_000_000_000


def test_the_kernel_tells_how_well_the_clock_is_kept():
    clock = read_wall_clock()
    assert clock.offset_ns > 0
    assert clock.boot_id == read_wall_clock().boot_id
    assert clock.synchronized in (True, False)
    assert clock.max_error_ns >= 0
    assert clock.estimated_error_ns >= 0
    assert abs(with_moved(clock).moved_ns) < S


def test_reading_it_again_leaves_nothing_for_the_collector():
    """A monitor reads it each round, and the collector is off while a round measures."""
    read_wall_clock()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(50):
            read_wall_clock()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 20_000


def test_a_machine_that_does_not_tell_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr(wall_clock, "BOOT_ID", tmp_path / "none")
    monkeypatch.setattr(wall_clock.sys, "platform", "darwin")
    clock = read_wall_clock()
    assert (clock.boot_id, clock.synchronized, clock.max_error_ns) == (None, None, None)


def test_a_shifted_record_has_the_same_durations():
    here = full_record()
    there = shift_record(here, 5 * S)
    assert there.stamps.end - there.stamps.start == here.stamps.end - here.stamps.start
    assert there.stamps.start == here.stamps.start - 5 * S
    assert shift_record(there, -5 * S) == here
    bare = msgspec.structs.replace(here, connection=None, session=None)
    assert shift_record(bare, S).connection is None


def test_every_absolute_stamp_of_a_record_is_shifted():
    here = full_record()
    here = msgspec.structs.replace(
        here,
        tries=(Try(start_ns=3 * S, end_ns=4 * S, category="server_error"),),
        connection=msgspec.structs.replace(
            here.connection, attempts=(Attempt(address="192.0.2.1", family="ipv4", start_ns=2 * S, end_ns=3 * S),)
        ),
        session=msgspec.structs.replace(here.session, planned_ns=2 * S),
    )
    there = shift_record(here, S)
    assert (there.tries[0].start_ns, there.tries[0].end_ns) == (2 * S, 3 * S)
    assert (there.connection.attempts[0].start_ns, there.connection.attempts[0].end_ns) == (S, 2 * S)
    assert there.session.planned_ns == S
    assert there.session.think_ns == here.session.think_ns, "a pause is no stamp"
    assert shift_record(there, -S) == here


class RefusingKernel:
    """adjtimex(2) of a kernel that has none, or forbids it."""

    def __init__(self, answer):
        self.answer = answer

    def adjtimex(self, _):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [-1, OSError("not permitted"), AttributeError("adjtimex")])
def test_a_kernel_that_refuses_leaves_the_errors_unknown(monkeypatch, answer):
    monkeypatch.setattr(wall_clock, "_libc", lambda: RefusingKernel(answer))
    clock = read_wall_clock()
    assert (clock.synchronized, clock.max_error_ns, clock.estimated_error_ns) == (None, None, None)
    assert clock.offset_ns > 0
