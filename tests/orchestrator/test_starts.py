"""Start times, by the timer and by sleeping alike."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from waiting import HANG_S

from lens._core.clock import now_ns
from lens.orchestrator.pacing import Starts
from lens.units import NS_PER_MS


@pytest.fixture(params=[True, False], ids=["timer", "sleeping"])
def begin(request):
    return lambda times: Starts(np.asarray(times, dtype=np.int64), native=request.param)


async def test_no_start_comes_before_its_time_and_none_is_lost(begin):
    times = [now_ns() + i * 3 * NS_PER_MS for i in range(1, 20)]
    came = {}
    with trio.fail_after(HANG_S), begin(times) as starts:
        while (batch := await starts.next()) is not None:
            came.update({i: now_ns() for i in batch})
    assert list(came) == list(range(19))
    assert all(came[i] >= at for i, at in enumerate(times))


async def test_times_that_have_passed_come_at_once_and_together(begin):
    past = now_ns() - 5 * NS_PER_MS
    with trio.fail_after(HANG_S), begin([past] * 4) as starts:
        assert await starts.next() == range(4)
        assert await starts.next() is None


async def test_waiting_for_a_start_can_be_cancelled(begin):
    with begin([now_ns() + 60_000 * NS_PER_MS]) as starts, trio.move_on_after(0.05) as scope:
        await starts.next()
    assert scope.cancelled_caught


async def test_no_times_are_no_starts(begin):
    with begin([]) as starts:
        assert await starts.next() is None
