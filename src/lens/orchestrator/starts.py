"""Start times that are kept: one task wakes at each of them, by the core's timer where there is one.

The rule: a start that is late is late in its record too; nothing is moved to make it look punctual.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

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


async def starts(absolute_ns: NDArray[Any]) -> AsyncIterator[range]:
    """The numbers of the starts that have come, as they come. Times are int64 on the monotonic clock."""
    async for batch in _by_timer(absolute_ns) if pacer.native else by_sleeping(absolute_ns.tolist()):
        yield batch


async def _by_timer(absolute_ns: NDArray[Any]) -> AsyncIterator[range]:
    timer = pacer.Pacer(absolute_ns, early_ns=EARLY_NS)
    try:
        while timer.remaining:
            await trio.lowlevel.wait_readable(timer.fileno())
            first, end = timer.due()
            if end > first:
                yield range(first, end)
    finally:
        timer.close()


async def by_sleeping(absolute_ns: Sequence[int]) -> AsyncIterator[range]:
    """The same without a timer: sleep to shortly before, then spin."""
    at = 0
    while at < len(absolute_ns):
        ahead = absolute_ns[at] - now_ns()
        await trio.sleep(max(ahead - COARSE_NS, 0) / NS_PER_S)
        while now_ns() < absolute_ns[at]:
            pass
        first, now = at, now_ns()
        while at < len(absolute_ns) and absolute_ns[at] <= now:
            at += 1
        yield range(first, at)
