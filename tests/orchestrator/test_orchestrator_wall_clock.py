"""What is known of the wall clock, and stamps on another clock."""

import gc
import tracemalloc

import msgspec
from handmade import full_record

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
    bare = msgspec.structs.replace(here, connection=None)
    assert shift_record(bare, S).connection is None
