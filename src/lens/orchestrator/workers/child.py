"""A worker process: takes an order on standard input, runs its share, hands back records on standard output.

    python -m lens.orchestrator.workers.child

Threads read and write, so that a slow reader never holds up the loop that measures. SIGTERM, and the end
of standard input, cancel what is in flight; its records are handed back too. SIGINT is left to whoever gave
the order: a terminal sends it to all at once.
"""

from __future__ import annotations

import os
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import Any

import trio

from lens.errors import LensError, causes
from lens.model import Record
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.orchestrator.run_state import Outcome, RunState
from lens.orchestrator.shards import Share
from lens.orchestrator.stop import Stop, stopped_by_signals
from lens.orchestrator.workers import messages as handover


class Channel:
    """Messages to and from the parent."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._unpacker = handover.Unpacker()
        self._waiting: list[tuple[bytes, Any]] = []
        self._writer = Thread(target=self._write, name="lens-handover", daemon=True)
        self._writer.start()

    def send(self, kind: bytes, value: object = None) -> None:
        self._queue.put(handover.packed(kind, handover.encoded(value)))

    def close(self) -> None:
        """Return when all is written."""
        self._queue.put(None)
        self._writer.join()

    def read(self) -> tuple[bytes, Any] | None:
        """Return the next message; None when the other side is gone."""
        while not self._waiting:
            data = os.read(0, 1 << 16)
            if not data:
                return None
            self._waiting.extend(self._unpacker.feed(data))
        return self._waiting.pop(0)

    def _write(self) -> None:
        while (data := self._queue.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(1, view) :]
            except OSError:
                return


class _Orders:
    """What the parent says while the run goes on."""

    def __init__(self, stop: Stop) -> None:
        self.stop, self.enough = stop, False
        self._send, self.starts = trio.open_memory_channel[int](1)

    def hear(self, said: tuple[bytes, Any] | None) -> None:
        """Take an order, in the loop's thread; None is the end of whoever gave it."""
        kind, value = said or (handover.STOP, None)
        if kind == handover.START and value is not None:
            self._send.send_nowait(value)
        elif kind == handover.ENOUGH:
            self.enough = True
        elif kind == handover.STOP:
            self.stop.ask("SIGTERM")


def main() -> int:
    """Return the process from its first byte to its last."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel()
    said = channel.read()
    if said is None or said[0] != handover.ORDER:
        return 2
    order: handover.Order = said[1]
    if order.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {order.cpu})
    try:
        channel.send(handover.OUTCOME, trio.run(_run, channel, order))
        code = 0
    except* LensError as errors:
        channel.send(handover.ERROR, str(next(causes(errors))))
        code = 1
    channel.close()
    return code


async def _run(channel: Channel, order: handover.Order) -> Outcome:
    plan = make_plan(order.config, prompts=order.prompts, trace_ns=order.trace_ns, sessions=order.sessions)
    async with stopped_by_signals(Stop(), signal.SIGTERM) as stop:
        told = _Orders(stop)
        token = trio.lowlevel.current_trio_token()
        Thread(target=_listen, args=(channel, token, told), name="lens-orders", daemon=True).start()
        known = -1

        async def on_stage() -> int:
            channel.send(handover.READY)
            return await told.starts.receive()

        def hand_back(record: Record) -> None:
            channel.send(handover.RECORD, record)

        def progress(state: RunState) -> None:
            nonlocal known
            if state.begun != known:
                known = state.begun
                channel.send(handover.BEGUN, known)

        return await run_plan(
            plan,
            on_record=hand_back,
            on_warmup=hand_back,
            on_progress=progress,
            enough=lambda: told.enough,
            stop=stop,
            share=Share(order.worker, order.of),
            on_stage=on_stage,
        )


def _listen(channel: Channel, token: trio.lowlevel.TrioToken, told: _Orders) -> None:
    """Brings what is said into the loop, until nobody is there to say anything."""
    said: tuple[bytes, Any] | None = (handover.ORDER, None)
    while said is not None:
        said = channel.read()
        try:
            token.run_sync_soon(told.hear, said)
        except trio.RunFinishedError:
            return


if __name__ == "__main__":
    sys.exit(main())
