"""The one trio task that reads every connection of a run.

The rule: a request's task is woken only when its stream has changed state (head complete, body
ended, failed) or a deadline has passed; single events never reach Python. Where the system has no
epoll with stamps, or on demand, a plain loop with a trio task per connection does the same work
with the time of the read. If the reading stops, whoever waits fails; nobody hangs.
"""

from __future__ import annotations

import abc
import os
import socket
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from lens._core import reactor as core
from lens._core.clock import now_ns
from lens._core.pacer import Alarm
from lens._core.stream import Stream
from lens.model import TcpInfo
from lens.units import NS_PER_S

# Forces the plain loop, so that it can be measured and tested where the native one exists.
FALLBACK_VARIABLE = "LENS_CORE_FALLBACK"
# One read of the plain loop; larger than a socket's usual receive buffer holds.
READ_BYTES = 262144
# Reading nothing costs some 3 us; a glance this often is a hundredth of a core.
GLANCE_NS = 300_000
# So many streams, of which none is quick, are read in turns: a turn of the loop costs as much as ten reads, and the
# kernel's stamps do not mind. Two events of one stream that come closer than a nap are one read then.
CROWD = 256
NAP_NS = 300_000
# Reads a second of one stream, on average: quicker than that a nap would be more than 3 % of its gaps.
QUICK_PER_S = 100
PACE_NS = 50_000_000


class LoopClosed(RuntimeError):
    """The reading has stopped while a request waited for it."""


class Loop(abc.ABC):
    """Reads attached streams and wakes whoever waits for them. Made by open_loop."""

    native: bool
    kernel_stamps: bool

    def __init__(self, *, kernel_stamps: bool, native: bool) -> None:
        self.native = native
        self.kernel_stamps = kernel_stamps and native
        self._waiting: dict[Stream, Task] = {}
        self._stopped: str | None = None

    @abc.abstractmethod
    def attach(self, stream: Stream, sock: socket.socket) -> None:
        """Begin to read; `sock` is the stream's own, connected and non-blocking."""

    @abc.abstractmethod
    def detach(self, stream: Stream) -> None:
        """Stop to read; before the socket is closed. Harmless when it is not attached."""

    @abc.abstractmethod
    def turn(self) -> None:
        """Read what is there now, before a decision that depends on it."""

    @abc.abstractmethod
    def glance(self) -> None:
        """Read what is there, between two pieces of work, when nothing was read for a while.

        Work of one request is short, that of many which are due at once is not; what came meanwhile would
        be read, and by then be one piece with what came after it, only when all of it is done.
        """

    def close(self) -> None:
        """Whoever still waits fails."""
        self._stop("the loop was closed")

    async def wait(self, stream: Stream, states: Container[str], deadline_ns: int | None = None) -> bool:
        """Until the stream is in one of the states; False when the deadline passed first.

        Raises:
            LoopClosed: the reading has stopped.
        """
        while stream.state not in states:
            if self._stopped is not None:
                raise LoopClosed(self._stopped)
            if deadline_ns is None:
                await self._park(stream)
                continue
            if now_ns() >= deadline_ns:
                self.turn()
                return stream.state in states
            with trio.CancelScope(deadline=trio_time(deadline_ns)):
                await self._park(stream)
        return True

    async def _park(self, stream: Stream) -> None:
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
    """One epoll descriptor for all sockets; the core drains them in C."""

    def __init__(self, *, kernel_stamps: bool) -> None:
        super().__init__(kernel_stamps=kernel_stamps, native=True)
        self.reactor = core.Reactor(kernel_stamps=kernel_stamps)
        self._read_ns = 0
        # How quick the streams were of late.
        self._paced_ns, self._paced_reads, self._slow = now_ns(), 0, False
        self._alarm = Alarm()

    def attach(self, stream: Stream, sock: socket.socket) -> None:  # noqa: ARG002  the core knows the descriptor
        self.reactor.attach(stream)

    def detach(self, stream: Stream) -> None:
        self.reactor.detach(stream)
        self._wake(stream)

    def turn(self) -> None:
        for stream in self.reactor.poll():
            self._wake(stream)
        self._read_ns = now_ns()

    def glance(self) -> None:
        if now_ns() - self._read_ns > GLANCE_NS:
            self.turn()

    async def run(self) -> None:
        """The background task."""
        ready, alarm = self.reactor.fileno(), self._alarm.fileno()
        try:
            while True:
                if self._crowded():
                    self._alarm.set(NAP_NS)
                    await trio.lowlevel.wait_readable(alarm)
                else:
                    await trio.lowlevel.wait_readable(ready)
                if self._stopped is not None:
                    return  # closed between the waking and now
                self.turn()
        except BaseException as error:
            self._stop(f"the reading task ended: {type(error).__name__}: {error}")
            raise

    def _crowded(self) -> bool:
        """So many streams that something comes all the time, and none so quick that it must be read at once."""
        streams, now = len(self.reactor), now_ns()
        if now - self._paced_ns >= PACE_NS:
            reads_per_s = (self.reactor.reads - self._paced_reads) * NS_PER_S / (now - self._paced_ns)
            self._slow = streams < reads_per_s < QUICK_PER_S * streams
            self._paced_ns, self._paced_reads = now, self.reactor.reads
        return self._slow and streams >= CROWD and not self.reactor.unstamped

    def close(self) -> None:
        super().close()
        self.reactor.close()
        self._alarm.close()


class PlainLoop(Loop):
    """A trio task for each socket; stamps are the time of the read."""

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

    def turn(self) -> None:
        for stream, (sock, _) in list(self._readers.items()):
            self._read_once(stream, sock)

    def glance(self) -> None:
        return  # each socket would have to be asked for itself, which costs more than it finds

    async def _read(self, stream: Stream, sock: socket.socket, scope: trio.CancelScope) -> None:
        try:
            with scope:
                while not stream.closed:
                    await trio.lowlevel.wait_readable(sock)
                    self._read_once(stream, sock)
        except BaseException as error:
            self._stop(f"a reading task ended: {type(error).__name__}: {error}")
            raise

    def _read_once(self, stream: Stream, sock: socket.socket) -> None:
        """Everything is in here, so that turn() and the tasks cannot read one socket by halves."""
        if stream.closed:
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
    """A Loop that reads until the block is left; streams must have been detached by then.

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
        try:
            yield loop
        except (Exception, KeyboardInterrupt) as error:
            failure = error  # raised outside, where the nursery cannot wrap it in a group
        finally:
            nursery.cancel_scope.cancel()
            loop.close()
    if failure is not None:
        raise failure


def trio_time(at_ns: int) -> float:
    """An instant of the monotonic clock on trio's own."""
    return trio.current_time() + (at_ns - now_ns()) / NS_PER_S


def tcp_info(descriptor: int) -> TcpInfo | None:
    """What the kernel knows of a connection; None where it does not tell."""
    facts = core.read_tcp_info(descriptor)
    if facts is None:
        return None
    rtt, rttvar, min_rtt, retransmits = facts
    return TcpInfo(
        rtt_us=rtt,
        rttvar_us=rttvar if rttvar >= 0 else None,
        min_rtt_us=min_rtt if min_rtt >= 0 else None,
        retransmits=retransmits,
    )
