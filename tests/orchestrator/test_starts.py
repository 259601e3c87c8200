"""Start times, by the timer and by sleeping alike."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from lens._core.clock import now_ns
from lens.orchestrator.starts import by_sleeping, starts
from lens.units import NS_PER_MS


def by_timer(times):
    return starts(np.asarray(times, dtype=np.int64))


@pytest.mark.parametrize("way", [by_timer, by_sleeping])
async def test_no_start_comes_before_its_time_and_none_is_lost(way):
    times = [now_ns() + i * 3 * NS_PER_MS for i in range(1, 20)]
    came = {}
    with trio.fail_after(10):
        async for batch in way(times):
            came.update({i: now_ns() for i in batch})
    assert list(came) == list(range(19))
    assert all(came[i] >= at for i, at in enumerate(times))


@pytest.mark.parametrize("way", [by_timer, by_sleeping])
async def test_times_that_have_passed_come_at_once_and_together(way):
    past = now_ns() - 5 * NS_PER_MS
    with trio.fail_after(5):
        assert [list(batch) async for batch in way([past] * 4)] == [[0, 1, 2, 3]]


@pytest.mark.parametrize("way", [by_timer, by_sleeping])
async def test_waiting_for_a_start_can_be_cancelled(way):
    with trio.move_on_after(0.05) as scope:
        async for _ in way([now_ns() + 60_000 * NS_PER_MS]):
            pass
    assert scope.cancelled_caught


@pytest.mark.parametrize("way", [by_timer, by_sleeping])
async def test_no_times_are_no_starts(way):
    assert [batch async for batch in way([])] == []
