"""Ending a run early, without losing what it measured.

Asked once, a run starts nothing more and ends what is under way; every request still gets its Record.
Asked again by a signal, it is left at once.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Stop:
    """The wish to end; shared by whoever may have it and the run that obeys."""

    def __init__(self) -> None:
        self.why: str | None = None  # "SIGINT", "SIGTERM", or a sentence
        self._event = trio.Event()

    @property
    def asked(self) -> bool:
        return self.why is not None

    def ask(self, why: str) -> None:
        """From within the run's event loop; the first reason stays."""
        if self.why is None:
            self.why = why
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


@asynccontextmanager
async def stopped_by_signals(stop: Stop, *numbers: signal.Signals) -> AsyncIterator[Stop]:
    """These signals (SIGINT and SIGTERM) ask to stop; a second one interrupts. Only in the main thread."""
    again = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal again
            with trio.open_signal_receiver(*(numbers or (signal.SIGINT, signal.SIGTERM))) as signals:
                async for number in signals:
                    if stop.asked:
                        again = True
                        nursery.cancel_scope.cancel()
                        return
                    stop.ask(signal.Signals(number).name)

        nursery.start_soon(watch)
        yield stop
        nursery.cancel_scope.cancel()
    if again:
        raise KeyboardInterrupt
