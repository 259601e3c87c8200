"""Iterate over what a run hands out while it goes on: `for` in plain code, `async for` under trio and asyncio.

The run has a thread and an event loop of its own, so that a slow reader never holds up what is measured: items that
were not taken yet wait in memory. Leaving the iteration early stops the run.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

import trio

from lens.orchestrator.stop import Stop
from lens.run.async_bridge import Threaded, running_library

T = TypeVar("T")
R = TypeVar("R")
# Given a function that hands out, and a stop flag; returns the result of the run.
Source = Callable[[Callable[[T], None], Stop], Awaitable[R]]


class Streamed(Generic[T, R]):
    """Iterate once, either way; `with` and `async with` stop the run at the end of their block."""

    def __init__(self, source: Source[T, R]) -> None:
        self._run: _StreamThread[T, R] = _StreamThread(source)
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def result(self) -> R | None:
        """The result of the run; None before the iteration has ended.

        Raises:
            LensError: whatever ended the run.
        """
        return self._run.runner.result() if self._ended and self._thread is not None else None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        self._begin()
        try:
            found = None if self._ended else self._run.handed.get()
        except BaseException:
            self._leave()
            raise
        if found is None:
            self._end()
            raise StopIteration
        return found[0]

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        self._begin()
        try:
            found = None if self._ended else await self._take()
        except BaseException:
            self._leave()
            raise
        if found is None:
            self._end()
            raise StopAsyncIteration
        return found[0]

    def close(self) -> None:
        """Stop the run, and return when it has ended."""
        self._run.runner.ask_to_stop("closed")
        if self._thread is not None:
            self._thread.join()
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._run.runner.ask_to_stop("closed")
        if self._thread is not None:
            await _in_thread(self._thread.join)
        self._ended = True

    def __del__(self) -> None:
        if self._thread is not None and not self._ended:
            self._run.runner.ask_to_stop("the reader has stopped")

    async def _take(self) -> tuple[T] | None:
        handed = self._run.handed
        return await _in_thread(handed.get) if handed.empty() else handed.get()

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run.run, name="lens-stream", daemon=True)
            self._thread.start()

    def _leave(self) -> None:
        """Stop the run where waiting for it was interrupted or cancelled; free a thread that waits in place of us."""
        self._run.runner.ask_to_stop("the reader has stopped")
        self._run.handed.put(None)

    def _end(self) -> None:
        """End once all is taken: an error of the run itself is raised to the reader."""
        if not self._ended:
            self._ended = True
            self._run.runner.result()


class _StreamThread(Generic[T, R]):
    """What the thread knows; not who reads, so that it can be seen when nobody does any more."""

    def __init__(self, source: Source[T, R]) -> None:
        self._source = source
        self.handed: SimpleQueue[tuple[T] | None] = SimpleQueue()
        self.runner: Threaded[R] = Threaded(self._work, None)

    def run(self) -> None:
        self.runner.run_kept()
        self.handed.put(None)

    async def _work(self, stop: Stop) -> R:
        return await self._source(lambda value: self.handed.put((value,)), stop)


async def _in_thread(call: Callable[[], T]) -> T:
    if running_library() == "trio":
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)
    asyncio = sys.modules["asyncio"]
    found: T = await asyncio.get_running_loop().run_in_executor(None, call)
    return found
