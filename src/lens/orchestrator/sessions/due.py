"""Start times that become known while a run goes on, kept by the core's timer where there is one.

Many tasks wait, each for its instant; one task wakes at the earliest of them. The rule is that of pacing.py: a start
that is late is late in its record too.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import trio

from lens._core import pacer
from lens._core.clock import now_ns
from lens.orchestrator.pacing import COARSE_NS, EARLY_NS
from lens.units import NS_PER_S

FAR_NS = 1 << 61


class DueTimes:
    """Instants on the monotonic clock that tasks wait for; run() has to go on beside them."""

    def __init__(
        self, *, now: Callable[[], int] = now_ns, native: bool = pacer.native, early_ns: int | None = None
    ) -> None:
        """native: by the core's timer; else by sleeping. early_ns: so long before an instant the rest is spun."""
        self._now = now
        self._early_ns = early_ns if early_ns is not None else EARLY_NS if native else COARSE_NS
        self._waiting: list[tuple[int, int, trio.Event]] = []
        self._pushed = 0
        self._alarm = pacer.Alarm() if native else None
        self._earlier = trio.Event()

    async def wait_until(self, due_ns: int) -> None:
        """Return at `due_ns`, at once where that is over."""
        if due_ns <= self._now():
            await trio.lowlevel.checkpoint()
            return
        event = trio.Event()
        self._pushed += 1
        heapq.heappush(self._waiting, (due_ns, self._pushed, event))
        if self._waiting[0][2] is event:
            self._arm()
        await event.wait()

    async def run(self) -> None:
        """Wake whoever is due; ends by being cancelled."""
        try:
            while True:
                await self._next()
                self._wake()
                self._arm()
        finally:
            if self._alarm is not None:
                self._alarm.close()

    async def _next(self) -> None:
        """Return shortly before the earliest instant, or when there may be an earlier one."""
        if self._alarm is not None:
            await trio.lowlevel.wait_readable(self._alarm.fileno())
            return
        self._earlier = trio.Event()
        with trio.move_on_after(max(self._until_first_ns() - self._early_ns, 0) / NS_PER_S):
            await self._earlier.wait()

    def _wake(self) -> None:
        """Spin to the earliest instant where it is near, and wake all that have come."""
        if self._until_first_ns() <= self._early_ns:
            while self._until_first_ns() > 0:
                pass
        while self._waiting and self._until_first_ns() <= 0:
            heapq.heappop(self._waiting)[2].set()

    def _arm(self) -> None:
        if self._alarm is None:
            self._earlier.set()
        else:
            self._alarm.set(self._until_first_ns() - self._early_ns)

    def _until_first_ns(self) -> int:
        return self._waiting[0][0] - self._now() if self._waiting else FAR_NS
