"""Call the instrument from plain code, trio and asyncio.

The instrument runs under trio only. A caller under asyncio gets an awaitable whose work
happens in a thread with a loop of its own; a blocking caller inside a running loop gets such a
thread too. Cancelling the asyncio task asks the run to stop, and so does Ctrl-C in a blocking caller.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import trio

from lens.errors import RunInterrupted, causes
from lens.orchestrator.stop import Stop, stopped_by_signals

T = TypeVar("T")
Work = Callable[[Stop], Awaitable[T]]
INTERRUPTED = "SIGINT"  # why a run was stopped by Ctrl-C


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
    """Do `work` and wait for it.

    Raises:
        RunInterrupted: Ctrl-C stopped the work; the error has its result.
        KeyboardInterrupt: there is no result, or Ctrl-C came again.
    """
    if running_library() is None:
        runner = Threaded(work, None, by_interrupt=_is_interrupt_free())
        runner.run_kept()
    else:
        runner = Threaded(work, None)
        try:
            threading.Thread(target=runner.run_kept, name="lens").start()
            runner.ended.wait()  # a join that is interrupted takes the thread for ended
        except KeyboardInterrupt:
            runner.ask_to_stop(INTERRUPTED)
            runner.ended.wait()
    return runner.result_or_interrupt()


def _is_interrupt_free() -> bool:
    """Return whether Ctrl-C comes to this thread, and nobody has a handler of their own for it."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


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

    def __init__(self, work: Work[T], stop: Stop | None, *, by_interrupt: bool = False) -> None:
        """by_interrupt: Ctrl-C asks the run to stop."""
        self._work, self._stop, self._by_interrupt = work, stop or Stop(), by_interrupt
        self.ended = threading.Event()  # run_kept has kept all there is
        self._token: trio.lowlevel.TrioToken | None = None
        self._answer: list[Any] = []
        self._error: BaseException | None = None

    def run(self) -> T:
        """Run the work under trio and return its result."""
        return trio.run(self._main)

    def run_kept(self) -> None:
        """Run, in a thread perhaps, and keep the result or the error for result()."""
        try:
            self._answer.append(self.run())
        except BaseException as error:
            interrupted = any(isinstance(one, KeyboardInterrupt) for one in causes(error))
            self._error = KeyboardInterrupt() if interrupted else error
        self.ended.set()

    def result(self) -> T:
        """Return the result of run_kept, or raise its error."""
        if self._error is not None:
            raise self._error
        answer: T = self._answer[0]
        return answer

    def result_or_interrupt(self) -> T:
        """Return the result of run_kept; raise its error, or the interrupt that stopped it."""
        if self._stop.why == INTERRUPTED:
            raise (RunInterrupted(self._answer[0]) if self._answer else KeyboardInterrupt)
        return self.result()

    def ask_to_stop(self, why: str) -> None:
        """Ask the run to stop, from another thread."""
        self._stop.why = self._stop.why or why
        if self._token is None:
            return  # it has not begun, and will see that it is not to
        try:
            self._token.run_sync_soon(self._stop.ask, why)
        except trio.RunFinishedError:
            return

    async def _main(self) -> T:
        self._token = trio.lowlevel.current_trio_token()
        if self._stop.why is not None:
            self._stop.ask(self._stop.why)
        if not self._by_interrupt:
            return await self._work(self._stop)
        failed: Exception | None = None
        async with stopped_by_signals(self._stop, signal.SIGINT):
            try:
                answer = await self._work(self._stop)
            except Exception as error:  # raised outside, where the nursery cannot wrap it in a group
                failed = error
        if failed is not None:
            raise failed
        return answer
