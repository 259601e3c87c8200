"""The clocks agree with the ones Python has, and the pacer keeps its times."""

import os
import select
import time
from array import array

import numpy as np
import pytest
from waiting import HANG_S

from lens._core import clock, pacer


def test_now_lies_between_two_readings_of_pythons_monotonic_clock():
    before = time.monotonic_ns()
    now = clock.now_ns()
    assert before <= now <= time.monotonic_ns()


def test_realtime_lies_between_two_readings_of_pythons_wall_clock():
    before = time.time_ns()
    now = clock.realtime_ns()
    assert before <= now <= time.time_ns()


def test_the_offset_carries_one_clock_to_the_other():
    offset, width = clock.sample_offset()
    before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    # What corrects the wall clock meanwhile moves it by no more than a ms.
    assert wall - after - width - 1_000_000 <= offset <= wall - before + width + 1_000_000
    assert all(clock.sample_offset()[1] >= 0 for _ in range(20))
    assert min(clock.sample_offset()[1] for _ in range(100)) < 1_000_000


def test_resolution_and_cost_are_what_a_stamp_can_bear():
    assert 1 <= clock.resolution_ns() <= 1_000_000
    assert 0 < min(clock.cost_ns(100) for _ in range(100)) < 100_000


@pytest.mark.parametrize("call", [lambda: clock.sample_offset(0), lambda: clock.cost_ns(0)])
def test_none_of_nothing_is_refused(call):
    with pytest.raises(ValueError, match="1 or more"):
        call()


def collect(made: pacer.Pacer) -> list[tuple[int, int]]:
    """(index, when it was told) of each start time."""
    told = []
    while made.remaining:
        select.select([made.fileno()], [], [], HANG_S)
        first, last = made.due()
        now = clock.now_ns()
        told += [(i, now) for i in range(first, last)]
    return told


@pytest.mark.parametrize("early_ns", [0, 100_000])
def test_each_start_time_comes_once_in_order_and_never_early(early_ns):
    start = clock.now_ns() + 5_000_000
    times = array("q", [start + i * 500_000 for i in range(50)])
    told = collect(pacer.Pacer(times, early_ns=early_ns))
    assert [i for i, _ in told] == list(range(50))
    assert all(now >= times[i] for i, now in told)


def test_times_that_have_passed_come_at_once_and_together():
    past = clock.now_ns() - 1_000_000
    made = pacer.Pacer(array("q", [past, past, past + 1]))
    select.select([made.fileno()], [], [], HANG_S)
    assert made.due() == (0, 3)
    assert made.due() == (3, 3)


def test_a_pacer_without_times_has_nothing_due():
    made = pacer.Pacer(array("q"))
    assert made.remaining == 0
    assert made.due() == (0, 0)


def test_times_that_do_not_ascend_are_refused():
    with pytest.raises(ValueError, match="must ascend"):
        pacer.Pacer(array("q", [2, 1]))


@pytest.mark.parametrize(
    "times",
    [
        array("d", [1.0, 2.0]),
        array("Q", [1, 2]),
        array("i", [1, 2]),
        b"12345678",
        np.array([1.0, 2.0]),
        np.array([1, 2], np.int64).astype(">i8"),
        np.array([1, 2], "datetime64[ns]").view(np.uint64),
    ],
    ids=["float64", "uint64", "int32", "bytes", "numpy's float64", "int64 of the other byte order", "numpy's uint64"],
)
def test_times_that_are_not_int64_are_refused(times):
    with pytest.raises(TypeError, match=r"format .* int64 would work"):
        pacer.Pacer(times)


@pytest.mark.parametrize("times", [array("q", [1, 2]), memoryview(array("q", [1, 2])), np.array([1, 2], np.int64)])
def test_int64_is_taken_from_whoever_holds_it(times):
    assert pacer.Pacer(times).due() == (0, 2)


def test_times_and_limits_at_the_ends_of_int64_do_not_go_round():
    made = pacer.Pacer(array("q", [-(2**63), 2**63 - 1]), early_ns=2**62)
    assert made.due() == (0, 1)
    assert made.remaining == 1
    made.close()


@pytest.mark.skipif(not pacer.native, reason="this system has no timerfd")
def test_a_timer_that_cannot_be_read_is_an_error():
    made = pacer.Pacer(array("q", [1]))
    with open(os.devnull, "w") as null:  # not for reading
        os.dup2(null.fileno(), made.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        made.due()
    made.close()


def test_a_closed_pacer_says_so():
    made = pacer.Pacer(array("q", [1]))
    made.close()
    made.close()
    with pytest.raises(ValueError, match="closed"):
        made.due()


def test_fine_timers_are_granted_on_linux():
    assert pacer.fine_timers() is pacer.native


@pytest.mark.skipif(not pacer.native, reason="this system has no timerfd")
def test_an_alarm_goes_off_once_and_can_be_set_again() -> None:
    alarm = pacer.Alarm()
    for after_ns in (20_000_000, 10_000_000):
        set_ns = clock.now_ns()
        alarm.set(after_ns)
        early = select.select([alarm.fileno()], [], [], 0)[0]
        assert early == [] or clock.now_ns() - set_ns >= after_ns
        assert select.select([alarm.fileno()], [], [], HANG_S)[0]
        assert clock.now_ns() - set_ns >= after_ns
    for far_ns in (10**12, 2**63 - 1):
        alarm.set(far_ns)
        assert select.select([alarm.fileno()], [], [], 0)[0] == [], "what was set before is forgotten"
    alarm.close()
    with pytest.raises(OSError):
        alarm.set(1)
