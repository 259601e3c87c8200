"""Connections that stay open between requests, by endpoint; the newest is used first.

The rule: a connection is put back only if its last response ended as its framing says, allowed reuse, and left nothing
behind. Idle ones are still read by the loop, so a peer that closed is known before the next request is sent.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from lens._core.signals import SignalSet
from lens._core.stream import Stream
from lens.errors import LensError, TimedOut, TransportError
from lens.transport import sockets
from lens.transport.connect import ConnectionSetup, open_socket
from lens.transport.endpoint import NO_TIMEOUTS, Endpoint, Timeouts
from lens.transport.head import HeadWriter
from lens.transport.loop import Loop, open_loop
from lens.units import NS_PER_S, human_duration
from lens.wire import SignalRules

LOG = logging.getLogger(__name__)


class PooledConnection:
    """An open connection as requests use it: its socket, the core's stream over it, and its setup."""

    __slots__ = ("endpoint", "reused", "session_kept", "setup", "sock", "stream")

    def __init__(self, endpoint: Endpoint, sock: socket.socket, stream: Stream, setup: ConnectionSetup) -> None:
        self.endpoint = endpoint
        self.sock = sock
        self.stream = stream
        self.setup = setup
        self.reused = False  # it was open before the request that uses it began
        self.session_kept = False

    @property
    def is_usable(self) -> bool:
        """Whether it can carry another request."""
        return not self.stream.closed and not self.stream.surplus

    def encrypt(self, data: bytes | memoryview) -> bytes | memoryview:
        """Return what is sent for these bytes: ciphertext over TLS, else the bytes themselves."""
        return self.setup.tls.encrypt(data) if self.setup.tls is not None else data


class Pool:
    """Every connection of a run, and what its requests share."""

    def __init__(self, loop: Loop, *, resume: bool = True) -> None:
        """With `resume`, new TLS connections resume the session of an earlier one to the same endpoint."""
        self.loop = loop
        self.heads = HeadWriter()
        self._resume = resume
        self._idle: dict[Endpoint, list[PooledConnection]] = {}
        self._open: set[PooledConnection] = set()
        self._sessions: dict[Endpoint, ssl.SSLSession] = {}
        self._signals: dict[int, tuple[SignalRules, SignalSet]] = {}
        self.surplus_closed = 0  # idle connections that were closed because bytes came on them

    async def open(self, endpoint: Endpoint, setup: ConnectionSetup) -> PooledConnection:
        """Open a new connection, read by the loop.

        Raises:
            TransportError: a phase of the setup failed; its class says which.
        """
        try:
            sock = await open_socket(endpoint, setup, self._sessions.get(endpoint))
        except TransportError as error:
            LOG.debug("no connection to %s: %s", endpoint.label, error)
            raise
        if LOG.isEnabledFor(logging.DEBUG):
            LOG.debug("connection to %s: %s", endpoint.label, setup.summary())
        stream = Stream(sock.fileno())
        connection = PooledConnection(endpoint, sock, stream, setup)
        self._open.add(connection)
        if setup.tls is not None:
            stream.secure(setup.tls.ssl_object, setup.tls.incoming)
            if setup.tls.leftover:  # it came before all that the loop will read
                stream.feed(setup.tls.leftover, setup.tls.leftover_ns, setup.tls.leftover_ns)
        self.loop.attach(stream, sock)
        return connection

    def take_idle(self, endpoint: Endpoint) -> PooledConnection | None:
        """Return the idle connection that was put back last and is still open; close stale ones on the way."""
        idle = self._idle.get(endpoint)
        if not idle:
            return None
        while idle:
            connection = idle.pop()
            self.loop.refresh(connection.stream)  # the peer may have closed just now
            if connection.is_usable:
                connection.reused = True
                return connection
            self.surplus_closed += connection.stream.surplus
            self.discard(connection)
        return None

    def put_idle(self, connection: PooledConnection) -> None:
        """Keep a connection for the next request. Only after an exchange that ended well; see the rule above."""
        self._keep_session(connection)
        self._idle.setdefault(connection.endpoint, []).append(connection)

    def discard(self, connection: PooledConnection) -> None:
        """Close a connection."""
        self._keep_session(connection)
        self._open.discard(connection)
        self.loop.detach(connection.stream)
        sockets.close(connection.sock)

    async def warm(self, endpoint: Endpoint, count: int, timeouts: Timeouts = NO_TIMEOUTS) -> int:
        """Open connections until `count` are idle, within the time limits of a request; return how many were opened.

        Raises:
            TransportError: one could not be opened; the others stay open.
        """
        missing = count - self.idle_count(endpoint)
        failures: list[LensError] = []
        async with trio.open_nursery() as nursery:
            for _ in range(missing):
                nursery.start_soon(self._warm_one, endpoint, timeouts, failures)
        if failures:
            raise failures[0]
        return max(missing, 0)

    async def _warm_one(self, endpoint: Endpoint, timeouts: Timeouts, failures: list[LensError]) -> None:
        setup = ConnectionSetup()
        option, limit_ns = timeouts.of_setup()
        try:
            with trio.move_on_after(limit_ns / NS_PER_S if limit_ns is not None else float("inf")) as scope:
                self.put_idle(await self.open(endpoint, setup))
            if scope.cancelled_caught:
                raise make_connect_timeout(endpoint, setup, limit_ns or 0, option)
        except LensError as error:
            failures.append(error)

    def idle_count(self, endpoint: Endpoint) -> int:
        """Return how many idle connections are usable."""
        return sum(connection.is_usable for connection in self._idle.get(endpoint, ()))

    def signal_set(self, rules: SignalRules) -> SignalSet:
        """Return the rules compiled; each set of rules is compiled once."""
        known = self._signals.get(id(rules))
        if known is None:
            # The rules are kept with it, so that the id stays theirs.
            known = self._signals[id(rules)] = rules, SignalSet(*rules.compiled_form())
        return known[1]

    def close(self) -> None:
        """Close every connection, also those in use."""
        self._idle.clear()
        for connection in list(self._open):
            self.discard(connection)

    def _keep_session(self, connection: PooledConnection) -> None:
        """Keep the TLS session to resume it; TLS 1.3 sends its ticket behind the handshake."""
        tls = connection.setup.tls
        if self._resume and tls is not None and not connection.session_kept and connection.stream.wire_bytes:
            session = tls.ssl_object.session
            if session is not None and session.has_ticket:
                self._sessions[connection.endpoint] = session
                connection.session_kept = True


def make_connect_timeout(endpoint: Endpoint, setup: ConnectionSetup, limit_ns: int, option: str) -> TimedOut:
    """Return the error of a connection setup that took too long."""
    limit = human_duration(limit_ns)
    return TimedOut(f"no connection to {endpoint.label} within {limit} ({option}); it was {setup.phase}")


@asynccontextmanager
async def open_pool(*, kernel_stamps: bool = True, fallback: bool = False, resume: bool = True) -> AsyncIterator[Pool]:
    """Open a Pool with a Loop of its own; all its connections are closed at the end."""
    async with open_loop(kernel_stamps=kernel_stamps, fallback=fallback) as loop:
        pool = Pool(loop, resume=resume)
        try:
            yield pool
        finally:
            pool.close()
