"""Connections that stay open between requests, by endpoint; the newest is used first.

The rule: a connection comes back only when its last answer ended as promised, allowed it, and
left nothing behind. Idle ones are still read by the loop, so a peer that closed is known before
the next request is sent.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from lens._core.signals import SignalSet
from lens._core.stream import Stream
from lens.errors import LensError, TimedOut
from lens.transport import raw
from lens.transport.dial import DialLog, dial
from lens.transport.endpoint import NO_TIMEOUTS, Endpoint, Timeouts
from lens.transport.head import HeadWriter
from lens.transport.loop import Loop, open_loop
from lens.units import NS_PER_S, human_duration
from lens.wire import SignalRules


class Link:
    """One connection as requests use it: socket, the core's view of it, and how it came to be."""

    __slots__ = ("endpoint", "log", "reused", "session_kept", "sock", "stream")

    def __init__(self, endpoint: Endpoint, sock: socket.socket, stream: Stream, log: DialLog) -> None:
        self.endpoint = endpoint
        self.sock = sock
        self.stream = stream
        self.log = log
        self.reused = False  # it was open before the request that uses it began
        self.session_kept = False

    @property
    def usable(self) -> bool:
        return not self.stream.closed and not self.stream.surplus

    def encrypted(self, data: bytes | memoryview) -> bytes | memoryview:
        """What goes to the kernel for these bytes."""
        return self.log.secured.encrypt(data) if self.log.secured is not None else data


class Pool:
    """Every connection of a run, and what its requests share."""

    def __init__(self, loop: Loop, *, resume: bool = True) -> None:
        """With `resume`, new TLS connections resume the session of an earlier one to the same endpoint."""
        self.loop = loop
        self.heads = HeadWriter()
        self._resume = resume
        self._idle: dict[Endpoint, list[Link]] = {}
        self._open: set[Link] = set()
        self._sessions: dict[Endpoint, ssl.SSLSession] = {}
        self._signals: dict[int, tuple[SignalRules, SignalSet]] = {}

    async def open(self, endpoint: Endpoint, log: DialLog) -> Link:
        """A new connection, read by the loop.

        Raises:
            TransportError: the phase of the dial that failed.
        """
        sock = await dial(endpoint, log, self._sessions.get(endpoint))
        stream = Stream(sock.fileno())
        link = Link(endpoint, sock, stream, log)
        self._open.add(link)
        if log.secured is not None:
            stream.secure(log.secured.tls, log.secured.incoming)
        self.loop.attach(stream, sock)
        if log.secured is not None and log.secured.leftover:
            stream.feed(log.secured.leftover, log.secured.leftover_ns, log.secured.leftover_ns)
        return link

    def take_idle(self, endpoint: Endpoint) -> Link | None:
        """The connection that came back last and still lives; dead ones are closed on the way."""
        links = self._idle.get(endpoint)
        if not links:
            return None
        self.loop.turn()  # a peer may have closed just now
        while links:
            link = links.pop()
            if link.usable:
                link.reused = True
                return link
            self.discard(link)
        return None

    def give_back(self, link: Link) -> None:
        """For the next request. Only when the exchange ended well; see the rule above."""
        self._keep_session(link)
        self._idle.setdefault(link.endpoint, []).append(link)

    def discard(self, link: Link) -> None:
        """Close it."""
        self._keep_session(link)
        self._open.discard(link)
        self.loop.detach(link.stream)
        raw.close(link.sock)

    async def warm(self, endpoint: Endpoint, count: int, timeouts: Timeouts = NO_TIMEOUTS) -> int:
        """Have `count` idle connections; returns how many were opened.

        Raises:
            TransportError: one could not be opened; those that could stay.
        """
        missing = count - sum(link.usable for link in self._idle.get(endpoint, ()))
        failures: list[LensError] = []
        async with trio.open_nursery() as nursery:
            for _ in range(missing):
                nursery.start_soon(self._warm_one, endpoint, timeouts.connect_ns, failures)
        if failures:
            raise failures[0]
        return max(missing, 0)

    async def _warm_one(self, endpoint: Endpoint, limit_ns: int | None, failures: list[LensError]) -> None:
        log = DialLog()
        try:
            with trio.move_on_after(limit_ns / NS_PER_S if limit_ns is not None else float("inf")) as scope:
                self.give_back(await self.open(endpoint, log))
            if scope.cancelled_caught:
                raise connect_timed_out(endpoint, log, limit_ns or 0)
        except LensError as error:
            failures.append(error)

    def idle_count(self, endpoint: Endpoint) -> int:
        """How many idle connections live."""
        return sum(link.usable for link in self._idle.get(endpoint, ()))

    def signal_set(self, rules: SignalRules) -> SignalSet:
        """The rules compiled; each set of rules once."""
        known = self._signals.get(id(rules))
        if known is None:
            # The rules are kept with it, so that the id stays theirs.
            known = self._signals[id(rules)] = rules, SignalSet(*rules.compiled_form())
        return known[1]

    def close(self) -> None:
        """Close every connection, leased ones too."""
        self._idle.clear()
        for link in list(self._open):
            self.discard(link)

    def _keep_session(self, link: Link) -> None:
        """TLS 1.3 sends its tickets behind the handshake: they are there once an answer was read."""
        secured = link.log.secured
        if self._resume and secured is not None and not link.session_kept and link.stream.wire_bytes:
            session = secured.tls.session
            if session is not None and session.has_ticket:
                self._sessions[link.endpoint] = session
                link.session_kept = True


def connect_timed_out(endpoint: Endpoint, log: DialLog, limit_ns: int, option: str = "--connect-timeout") -> TimedOut:
    """The error of a dial that took too long."""
    limit = human_duration(limit_ns)
    return TimedOut(f"no connection to {endpoint.label} within {limit} ({option}); it was {log.phase}")


@asynccontextmanager
async def open_pool(*, kernel_stamps: bool = True, fallback: bool = False, resume: bool = True) -> AsyncIterator[Pool]:
    """A Pool with a Loop of its own; all its connections are closed at the end."""
    async with open_loop(kernel_stamps=kernel_stamps, fallback=fallback) as loop:
        pool = Pool(loop, resume=resume)
        try:
            yield pool
        finally:
            pool.close()
