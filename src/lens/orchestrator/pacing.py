"""Start times that are kept: one task wakes at each of them, by the core's timer where there is one.

The rule: a start that is late is late in its record too; nothing is moved to make it look punctual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import trio

from lens._core import pacer
from lens._core.clock import now_ns
from lens.units import NS_PER_MS, NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The timer fires this early and the rest is spun: waking an idle processor takes some 50 us.
EARLY_NS = 80 * NS_PER_US
# Without a timer of its own the loop sleeps by poll timeouts, which are rounded up to a millisecond.
COARSE_NS = 2 * NS_PER_MS


class Starts:
    """Start times on the monotonic clock, ascending; a context manager."""

    def __init__(self, absolute_ns: NDArray[Any], *, native: bool = pacer.native) -> None:
        """native: by the core's timer; else by sleeping and spinning."""
        self._times = absolute_ns
        self._at = 0
        self._timer = pacer.Pacer(absolute_ns.data, early_ns=EARLY_NS) if native and len(absolute_ns) else None

    async def next(self) -> range | None:
        """Return the numbers of the starts since the last call, as soon as there is one; None at the end."""
        if self._at >= len(self._times):
            return None
        first = self._at
        while self._at == first:
            self._at = await (self._by_timer(self._timer) if self._timer else self._by_sleeping())
        return range(first, self._at)

    async def _by_timer(self, timer: pacer.Pacer) -> int:
        await trio.lowlevel.wait_readable(timer.fileno())
        return timer.due()[1]

    async def _by_sleeping(self) -> int:
        at = int(self._times[self._at])
        await trio.sleep(max(at - now_ns() - COARSE_NS, 0) / NS_PER_S)
        while now_ns() < at:
            pass
        return int(self._times.searchsorted(now_ns(), side="right"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.close()
