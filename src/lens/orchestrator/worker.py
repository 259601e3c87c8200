"""A worker process: takes an order on standard input, runs its share, hands back records on standard output.

    python -m lens.orchestrator.worker

Records are written by a thread, so that a slow reader never holds up the loop that measures. SIGINT and
SIGTERM, and the end of standard input, end what is under way; its records are handed back too.
"""

from __future__ import annotations

import os
import sys
from queue import SimpleQueue
from threading import Thread

import trio

from lens.errors import LensError
from lens.model import Record
from lens.orchestrator import handover
from lens.orchestrator.engine import Outcome, Share, run_plan
from lens.orchestrator.plan import make_plan
from lens.orchestrator.stop import Stop, stopped_by_signals


class Way:
    """To and from whoever gave the order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._unpacker = handover.Unpacker()
        self._writer = Thread(target=self._write, name="lens-handover", daemon=True)
        self._writer.start()

    def say(self, kind: bytes, data: bytes = b"") -> None:
        self._queue.put(handover.packed(kind, data))

    def close(self) -> None:
        """Return when all is written."""
        self._queue.put(None)
        self._writer.join()

    def read(self) -> tuple[bytes, object] | None:
        """The next message; None when the other side is gone."""
        while data := os.read(0, 1 << 16):
            for message in self._unpacker.feed(data):
                return message
        return None

    def _write(self) -> None:
        while (data := self._queue.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(1, view) :]
            except OSError:
                return


def main() -> int:
    """The process from its first byte to its last."""
    way = Way()
    said = way.read()
    if said is None or not isinstance(said[1], handover.Order):
        return 2
    order = said[1]
    if order.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {order.cpu})
    try:
        outcome = trio.run(_run, way, order)
        way.say(handover.OUTCOME, handover.encoded(outcome))
    except BaseExceptionGroup as group:
        ours = group.subgroup(LensError)
        if ours is None:
            raise
        way.say(handover.ERROR, handover.encoded(str(_first(ours))))
        way.close()
        return 1
    way.close()
    return 0


def _first(group: BaseExceptionGroup[LensError]) -> LensError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _run(way: Way, order: handover.Order) -> Outcome:
    plan = make_plan(order.config)
    share = Share(order.worker, order.of)

    async def ready() -> Share:
        """Everything is warm: say so, and wait for the common instant."""
        way.say(handover.READY)
        said = await trio.to_thread.run_sync(way.read, abandon_on_cancel=True)
        start_ns = said[1] if said is not None and isinstance(said[1], int) else None
        if start_ns is None:
            stop.ask("the run that gave the order is gone")
        else:
            Thread(target=_leash, args=(way, trio.lowlevel.current_trio_token(), stop), daemon=True).start()
        return Share(order.worker, order.of, start_ns)

    def hand_back(record: Record) -> None:
        way.say(handover.RECORD, handover.encoded(record))

    async with stopped_by_signals(Stop()) as stop:
        return await run_plan(plan, on_record=hand_back, on_warmup=hand_back, stop=stop, share=share, on_ready=ready)


def _leash(way: Way, token: trio.lowlevel.TrioToken, stop: Stop) -> None:
    """When standard input ends, the run is to end."""
    way.read()
    try:
        token.run_sync_soon(stop.ask, "SIGTERM")
    except trio.RunFinishedError:
        return


if __name__ == "__main__":
    sys.exit(main())
