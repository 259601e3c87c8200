"""Wakes tasks whose deadline has passed: one sleep for all that wait, in place of a cancel scope for each.

A request waits once or twice, and nearly always what it waits for comes first. To enter and leave a cancel scope each
time costs as much as all else that waiting does.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import trio

from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens.units import NS_PER_S


class Alarm:
    """The deadlines of streams that tasks wait for; one of a stream at a time."""

    def __init__(self, wake: Callable[[Stream], None]) -> None:
        """wake: called with a stream whose deadline has passed."""
        self._wake = wake
        self._due: dict[Stream, int] = {}
        # When each is looked at next, at its deadline or before; also of streams that wait no longer.
        self._looks: dict[Stream, int] = {}
        self._queue: list[tuple[int, int, Stream]] = []
        self._numbers = count()
        self._sleep: trio.CancelScope | None = None

    def set(self, stream: Stream, at_ns: int) -> None:
        """Wake the task of this stream at an instant of the monotonic clock."""
        self._due[stream] = at_ns
        if at_ns < self._looks.get(stream, at_ns + 1):  # else it is looked at before that
            self._look_at(stream, at_ns)

    def _look_at(self, stream: Stream, at_ns: int) -> None:
        self._looks[stream] = at_ns
        heappush(self._queue, (at_ns, next(self._numbers), stream))
        if self._sleep is not None and self._queue[0][2] is stream:
            self._sleep.deadline = trio_time(at_ns)

    def clear(self, stream: Stream) -> None:
        """Forget the deadline of this stream."""
        self._due.pop(stream, None)

    async def run(self) -> None:
        """Wake tasks as their deadlines pass, for ever; the background task."""
        while True:
            self._ring()
            at = trio_time(self._queue[0][0]) if self._queue else float("inf")
            with trio.CancelScope(deadline=at) as self._sleep:
                await trio.sleep_forever()

    def _ring(self) -> None:
        now = now_ns()
        while self._queue and self._queue[0][0] <= now:
            at_ns, _, stream = heappop(self._queue)
            if self._looks.get(stream) != at_ns:
                continue  # it has been looked at earlier
            del self._looks[stream]
            due = self._due.get(stream)
            if due is not None and due > now:
                self._look_at(stream, due)
            elif due is not None:
                del self._due[stream]
                self._wake(stream)


def trio_time(at_ns: int) -> float:
    """Return an instant of the monotonic clock on trio's clock, in seconds."""
    return trio.current_time() + (at_ns - now_ns()) / NS_PER_S
