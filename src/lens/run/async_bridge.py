"""Call the instrument from plain code, trio and asyncio.

The instrument runs under trio only. A caller under asyncio gets an awaitable whose work
happens in a thread with a loop of its own; a blocking caller inside a running loop gets such a
thread too. Cancelling the asyncio task asks the run to stop.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import trio

from lens.orchestrator.stop import Stop

T = TypeVar("T")
Work = Callable[[Stop], Awaitable[T]]


async def anywhere(work: Work[T], stop: Stop | None = None) -> T:
    """Await `work` from trio directly, from asyncio through a thread."""
    if running_library() == "trio":
        return await work(stop or Stop())
    import asyncio

    runner = Threaded(work, stop)
    try:
        return await asyncio.get_running_loop().run_in_executor(None, runner.run)
    except asyncio.CancelledError:
        runner.ask_to_stop("cancelled")
        raise


def blocking(work: Work[T]) -> T:
    """Do `work` and wait for it."""
    runner = Threaded(work, None)
    if running_library() is None:
        return runner.run()
    thread = threading.Thread(target=runner.run_kept, name="lens")
    thread.start()
    thread.join()
    return runner.result()


def running_library() -> str | None:
    """Whose loop runs in this thread: "trio", "asyncio" or none."""
    if trio.lowlevel.in_trio_run():
        return "trio"
    asyncio = sys.modules.get("asyncio")  # where nobody imported it, no loop of its can be running
    try:
        return "asyncio" if asyncio is not None and asyncio.get_running_loop() else None
    except RuntimeError:
        return None


class Threaded(Generic[T]):
    """One trio run, wherever it happens."""

    def __init__(self, work: Work[T], stop: Stop | None) -> None:
        self._work, self._stop = work, stop or Stop()
        self._token: trio.lowlevel.TrioToken | None = None
        self._answer: list[Any] = []
        self._error: BaseException | None = None

    def run(self) -> T:
        """Run the work under trio and return its result."""
        return trio.run(self._main)

    def run_kept(self) -> None:
        """Run in a thread, and keep the result or the error for result()."""
        try:
            self._answer.append(self.run())
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        """Return the result of run_kept, or raise its error."""
        if self._error is not None:
            raise self._error
        answer: T = self._answer[0]
        return answer

    def ask_to_stop(self, why: str) -> None:
        """Ask the run to stop, from another thread."""
        if self._token is None:
            self._stop.why = self._stop.why or why  # it has not begun: it will not start anything
            return
        try:
            self._token.run_sync_soon(self._stop.ask, why)
        except trio.RunFinishedError:
            return

    async def _main(self) -> T:
        self._token = trio.lowlevel.current_trio_token()
        return await self._work(self._stop)
