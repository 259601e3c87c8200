"""Stop a run early without losing what it measured.

After the first request to stop, a run starts nothing more and cancels what is in flight; every request
still gets its Record. A second signal interrupts the program at once.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import trio

T = TypeVar("T")
# How long deliveries may take after a signal: it ends a program within 2 s.
DELIVER_S = 1.5


class Stop:
    """Cooperative stop flag shared by the caller and the engine."""

    def __init__(self) -> None:
        self.why: str | None = None  # "SIGINT", "SIGTERM", or a sentence
        self._event = trio.Event()
        self._parts: list[Stop] = []

    @property
    def asked(self) -> bool:
        """Whether somebody has asked."""
        return self.why is not None

    def ask(self, why: str) -> None:
        """Ask the run to stop; call it from the run's event loop. The first reason is kept."""
        if self.why is None:
            self.why = why
        self._event.set()
        for part in self._parts:
            part.ask(why)

    @contextmanager
    def part(self) -> Iterator[Stop]:
        """Yield the flag of a part of the run: it is asked with the whole, and may be asked alone."""
        made = Stop()
        if self.why is not None:
            made.ask(self.why)
        self._parts.append(made)
        try:
            yield made
        finally:
            self._parts.remove(made)

    async def wait(self) -> None:
        """Return once somebody has asked."""
        await self._event.wait()


async def unless_stopped(stop: Stop, call: Callable[[], Awaitable[T]]) -> T | None:
    """Return what `call` returns; None where somebody asks to stop before it has."""
    found: T | None = None
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await stop.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        found = await call()
        nursery.cancel_scope.cancel()
    return found


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a run in order; a hang-up too, unless it is ignored as nohup wants it."""
    hangup = getattr(signal, "SIGHUP", None)
    ends = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *([hangup] if hangup is not None and ends else []))


@asynccontextmanager
async def stopped_by_signals(stop: Stop, *numbers: signal.Signals) -> AsyncIterator[Stop]:
    """Let signals (SIGINT and SIGTERM) ask to stop within the block; only in the main thread.

    Raises:
        KeyboardInterrupt: a second signal came.
    """
    again = False
    async with trio.open_nursery() as nursery:

        async def watch(task_status: trio.TaskStatus[None]) -> None:
            nonlocal again
            with trio.open_signal_receiver(*(numbers or (signal.SIGINT, signal.SIGTERM))) as signals:
                task_status.started()
                async for number in signals:
                    if stop.asked:
                        again = True
                        nursery.cancel_scope.cancel()
                        return
                    stop.ask(signal.Signals(number).name)

        await nursery.start(watch)
        yield stop
        nursery.cancel_scope.cancel()
    if again:
        raise KeyboardInterrupt
