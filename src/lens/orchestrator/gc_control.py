"""Garbage collection is off while a run measures, unless memory runs short; timers are fine-grained.

A full collection pauses every stamp of the process for 10 to 200 ms. What exists when the run starts
is frozen, with the little garbage that waits among it, the collector is off, and cycles are left to wait;
only when very many objects are waiting is there one collection, and what it cost is kept for the report.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from lens._core import pacer
from lens._core.clock import now_ns
from lens.units import human_duration

# So many new containers may wait for a collection: about 100 MB, where memory begins to matter.
MOST_WAITING = 1_000_000


class GarbageWatch:
    """Collects between requests when too many objects wait, and records how long that paused the run."""

    def __init__(self) -> None:
        self.pauses_ns: list[int] = []

    def look(self) -> None:
        """Collect when too much is waiting."""
        if gc.get_count()[0] < MOST_WAITING:
            return
        began = now_ns()
        gc.collect(0)
        self.pauses_ns.append(now_ns() - began)

    def warnings(self) -> tuple[str, ...]:
        """Return a warning where collections paused the run."""
        if not self.pauses_ns:
            return ()
        longest = human_duration(max(self.pauses_ns))
        return (f"garbage was collected {len(self.pauses_ns)} times while measuring; the longest pause was {longest}",)


@contextmanager
def gc_disabled() -> Iterator[GarbageWatch]:
    """Freeze and disable the collector within the block; restore its state afterwards."""
    was_on = gc.isenabled()
    gc.freeze()  # not collected first: that takes a fresh process as long as a tenth of its start
    gc.disable()
    pacer.fine_timers()
    try:
        yield GarbageWatch()
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
