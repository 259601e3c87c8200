"""Wakes the task of a request when the core has something for it.

The rule: a request's task is woken only when its stream has changed state (head complete, answer done, body ended,
failed) or a deadline has passed; single events never reach Python. A thread of the core reads all sockets, and one
trio task waits until it says that a stream has changed. Where the system has no epoll with stamps, or on demand, a
plain loop with a trio task per connection does the same work with the time of the read. If the reading stops, every
task that waits fails instead of hanging.
"""

from __future__ import annotations

import abc
import os
import socket
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from lens._core import reactor as core
from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens._core.tcp import read_tcp_info
from lens.model import TcpInfo
from lens.transport.alarm import Alarm

# Forces the plain loop, so that it can be measured and tested where the native one exists.
FALLBACK_VARIABLE = "LENS_CORE_FALLBACK"
# One read of the plain loop; larger than a socket's usual receive buffer holds.
READ_BYTES = 262144


class LoopClosed(RuntimeError):
    """The reading has stopped while a request waited for it."""


class Loop(abc.ABC):
    """Reads attached streams and wakes the tasks that wait for them. Made by open_loop."""

    native: bool
    kernel_stamps: bool

    def __init__(self, *, kernel_stamps: bool, native: bool) -> None:
        self.native = native
        self.kernel_stamps = kernel_stamps and native
        self.alarm = Alarm(self._wake)
        self._waiting: dict[Stream, Task] = {}
        self._stopped: str | None = None

    @abc.abstractmethod
    def attach(self, stream: Stream, sock: socket.socket) -> None:
        """Start reading; `sock` is the stream's own, connected and non-blocking."""

    @abc.abstractmethod
    def detach(self, stream: Stream) -> None:
        """Stop reading; before the socket is closed. Harmless if it is not attached."""

    @abc.abstractmethod
    def refresh(self, stream: Stream) -> None:
        """Read what has arrived for this stream, before a decision that depends on it."""

    def close(self) -> None:
        """Stop reading; tasks that still wait fail with LoopClosed."""
        self._stop("the loop was closed")

    async def wait(self, stream: Stream, states: Container[str], deadline_ns: int | None = None) -> bool:
        """Wait until the stream is in one of the states; return False if the deadline passed first.

        Raises:
            LoopClosed: the reading has stopped.
        """
        return await self.wait_until(stream, lambda: stream.state in states, deadline_ns)

    async def wait_until(self, stream: Stream, is_met: Callable[[], bool], deadline_ns: int | None = None) -> bool:
        """Wait until a condition holds that a change of the stream may meet; return False if the deadline passed first.

        Changes are those of Stream.take_changed: its states, first bytes after the head, the protocol's own end.

        Raises:
            LoopClosed: the reading has stopped.
        """
        if is_met():
            await trio.lowlevel.checkpoint()  # the core is quick; other tasks have their turn all the same
            if is_met():
                return True
        while True:
            if self._stopped is not None:
                # Where the loop was cancelled together with this task, that is the reason, not the loop.
                await trio.lowlevel.checkpoint_if_cancelled()
                raise LoopClosed(self._stopped)
            if deadline_ns is None:
                await self._suspend(stream)
            elif now_ns() >= deadline_ns:
                self.refresh(stream)
                return is_met()
            else:
                self.alarm.set(stream, deadline_ns)
                try:
                    await self._suspend(stream)
                finally:
                    self.alarm.clear(stream)
            if is_met():
                return True

    async def _suspend(self, stream: Stream) -> None:
        def abort(_: RaiseCancelT) -> Abort:
            self._waiting.pop(stream, None)
            return Abort.SUCCEEDED

        if stream in self._waiting:
            raise RuntimeError("two tasks wait for one stream")
        self._waiting[stream] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake(self, stream: Stream) -> None:
        task = self._waiting.pop(stream, None)
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _stop(self, why: str) -> None:
        if self._stopped is None:
            self._stopped = why
        for stream in list(self._waiting):
            self._wake(stream)


class NativeLoop(Loop):
    """Reads all sockets through one epoll descriptor, in a thread of the core that needs no GIL."""

    def __init__(self, *, kernel_stamps: bool) -> None:
        super().__init__(kernel_stamps=kernel_stamps, native=True)
        self.reactor = core.Reactor(kernel_stamps=kernel_stamps)
        self.reactor.start()

    def attach(self, stream: Stream, sock: socket.socket) -> None:  # noqa: ARG002  the core knows the descriptor
        self.reactor.attach(stream)

    def detach(self, stream: Stream) -> None:
        self.reactor.detach(stream)
        self._wake(stream)

    def refresh(self, stream: Stream) -> None:
        if self.reactor.read(stream):
            self._wake_changed()

    def _wake_changed(self) -> None:
        for stream in self.reactor.poll():
            self._wake(stream)

    async def run(self) -> None:
        """Wake the tasks whose streams have changed, until the loop is closed; the background task."""
        changed = self.reactor.fileno()
        try:
            while self._stopped is None:
                self._wake_changed()
                await trio.lowlevel.wait_readable(changed)
        except BaseException as error:
            self._stop(f"the reading task ended: {type(error).__name__}: {error}")
            raise

    def close(self) -> None:
        super().close()
        self.reactor.close()


class PlainLoop(Loop):
    """Reads with one trio task a socket; stamps are the time of the read."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(kernel_stamps=False, native=False)
        self._nursery = nursery
        self._readers: dict[Stream, tuple[socket.socket, trio.CancelScope]] = {}
        self._buffer = memoryview(bytearray(READ_BYTES))

    def attach(self, stream: Stream, sock: socket.socket) -> None:
        scope = trio.CancelScope()
        self._readers[stream] = sock, scope
        self._nursery.start_soon(self._read, stream, sock, scope)

    def detach(self, stream: Stream) -> None:
        _, scope = self._readers.pop(stream, (None, None))
        if scope is not None:
            scope.cancel()
        self._wake(stream)

    def refresh(self, stream: Stream) -> None:
        sock, _ = self._readers.get(stream, (None, None))
        if sock is not None:
            self._read_once(stream, sock)

    async def _read(self, stream: Stream, sock: socket.socket, scope: trio.CancelScope) -> None:
        try:
            with scope:
                while not stream.closed and stream in self._readers:  # else its socket may have been closed
                    await trio.lowlevel.wait_readable(sock)
                    self._read_once(stream, sock)
        except BaseException as error:
            self._stop(f"a reading task ended: {type(error).__name__}: {error}")
            raise

    def _read_once(self, stream: Stream, sock: socket.socket) -> None:
        """Read one socket and wake its task, in one step, so that poll() and the tasks cannot interleave."""
        if stream.closed or stream not in self._readers:
            return
        try:
            count = sock.recv_into(self._buffer)
            seen = now_ns()
            if count:
                stream.feed(self._buffer[:count], seen, seen)
            else:
                stream.eof(seen)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            stream.eof(now_ns(), error.errno or 0)
        if stream.take_changed():
            self._wake(stream)


@asynccontextmanager
async def open_loop(*, kernel_stamps: bool = True, fallback: bool = False) -> AsyncIterator[Loop]:
    """Open a Loop that reads until the block is left; streams must have been detached by then.

    With `fallback`, or LENS_CORE_FALLBACK=1 in the environment, the plain loop is used even
    where the native one exists.
    """
    plain = fallback or not core.native or os.environ.get(FALLBACK_VARIABLE, "") not in ("", "0")
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        loop: Loop
        if plain:
            loop = PlainLoop(nursery)
        else:
            loop = native = NativeLoop(kernel_stamps=kernel_stamps)
            nursery.start_soon(native.run)
        nursery.start_soon(loop.alarm.run)
        try:
            yield loop
        except (Exception, KeyboardInterrupt) as error:
            failure = error  # raised outside, where the nursery cannot wrap it in a group
        finally:
            nursery.cancel_scope.cancel()
            loop.close()
    if failure is not None:
        raise failure


def tcp_info(descriptor: int) -> tuple[TcpInfo | None, int | None]:
    """Return the kernel's TCP_INFO of a connection, and how many bytes its peer's kernel has acknowledged.

    None where the system does not tell.
    """
    facts = read_tcp_info(descriptor)
    if facts is None:
        return None, None
    rtt, rttvar, min_rtt, retransmits, acked = facts
    info = TcpInfo(
        rtt_us=rtt,
        rttvar_us=rttvar if rttvar >= 0 else None,
        min_rtt_us=min_rtt if min_rtt >= 0 else None,
        retransmits=retransmits,
    )
    return info, acked if acked >= 0 else None
