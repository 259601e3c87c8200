"""One timer wakes the tasks of all streams at their deadlines, in their order, and no other."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing
from waiting import HANG_S

from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens.transport.alarm import Alarm, trio_time
from lens.units import NS_PER_MS, NS_PER_S


class Waiting:
    """Streams, an alarm, and which of them it woke when."""

    def __init__(self) -> None:
        self.sockets = [socket.socket() for _ in range(4)]
        self.streams = [Stream(one.fileno()) for one in self.sockets]
        self.woken: list[tuple[int, int]] = []
        self.alarm = Alarm(lambda stream: self.woken.append((self.streams.index(stream), now_ns())))

    async def until(self, count: int) -> list[int]:
        """The numbers of the streams that were woken, once there are so many."""
        with trio.fail_after(HANG_S):
            while len(self.woken) < count:
                await trio.sleep(0.001)
        return [number for number, _ in self.woken]


@pytest.fixture
async def waiting(nursery):
    made = Waiting()
    nursery.start_soon(made.alarm.run)
    yield made
    for one in made.sockets:
        one.close()


async def test_each_is_woken_once_its_deadline_has_passed(waiting):
    at = {number: now_ns() + number * 5 * NS_PER_MS for number in (3, 1, 2)}
    for number, at_ns in at.items():
        waiting.alarm.set(waiting.streams[number], at_ns)
    assert await waiting.until(3) == [1, 2, 3]
    assert all(woken_ns >= at[number] for number, woken_ns in waiting.woken)


async def test_an_earlier_deadline_that_comes_later_moves_the_sleep(waiting):
    waiting.alarm.set(waiting.streams[0], now_ns() + 3600 * NS_PER_S)
    await trio.testing.wait_all_tasks_blocked()
    waiting.alarm.set(waiting.streams[1], now_ns() + NS_PER_MS)
    assert await waiting.until(1) == [1]


async def test_one_that_is_cleared_or_set_anew_is_not_woken_by_what_was_before(waiting):
    first, second, third, _ = waiting.streams
    soon, later = now_ns() + 2 * NS_PER_MS, now_ns() + 20 * NS_PER_MS
    for stream in (first, second):
        waiting.alarm.set(stream, soon)
    waiting.alarm.clear(first)
    waiting.alarm.clear(first)
    waiting.alarm.set(second, later)
    waiting.alarm.set(third, later)
    assert sorted(await waiting.until(2)) == [1, 2]
    assert all(woken_ns >= later for _, woken_ns in waiting.woken)
    waiting.alarm.set(second, soon)  # it has passed already
    assert (await waiting.until(3))[2] == 1


async def test_an_instant_is_the_same_on_both_clocks():
    before = trio_time(now_ns())
    between = trio.current_time()
    assert before - 0.001 <= between <= trio_time(now_ns()) + 0.001
