"""One client's connection: requests in, responses out, each write when it is due.

The write loop is the hot path: stamp, send, stamp, and nothing between. What a socket does not take at once waits
for it, and the stamp after is that of the last byte taken.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from array import array
from contextlib import suppress
from time import monotonic_ns
from typing import Protocol

from lens.simulator.http import BadRequest, Request, RequestReader
from lens.simulator.log import LATE_BINS, Log, LogEntry
from lens.simulator.response import Response
from lens.simulator.script import Script

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
RECEIVE_BYTES = 256 * 1024
# How long the client may take to close a connection that was closed here.
LINGER_NS = 2_000_000_000
NO_LINGER = struct.pack("ii", 1, 0)
READ, WRITE, GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class PendingResponse:
    """A response being sent."""

    __slots__ = ("base_ns", "close", "data", "due_ns", "entry", "first", "next", "ready_ns", "response", "stamps",
                 "timed", "trickle")  # fmt: skip

    def __init__(
        self, response: Response, head: bytes, base_ns: int, due_ns: tuple[int, ...], entry: LogEntry | None
    ) -> None:
        data = [write.data for write in response.writes]
        self.first = 0  # writes before those of the response: 1 when the head goes alone
        if response.head_ns is None and data:
            data[0] = head + data[0]
        elif head:
            due_ns = (response.head_ns or 0, *(max(response.head_ns or 0, due) for due in due_ns))
            data.insert(0, head)
            self.first = 1
        self.response, self.data, self.due_ns, self.base_ns, self.entry = response, data, due_ns, base_ns, entry
        self.next = 0
        self.ready_ns = 0  # when a full socket last took the rest
        self.stamps = array("q")
        self.trickle = False
        self.timed = False  # whether its writes count in the statistics of lateness
        self.close = response.close


class ConnectionOwner(Protocol):
    """What a connection needs of the server that accepted it."""

    script: Script
    log: Log

    def schedule(self, connection: Connection, due_ns: int) -> None:
        """Call the connection's on_timer then; an earlier request for that is forgotten."""

    def watch(self, connection: Connection, mask: int) -> None:
        """Call its on_ready for these epoll events."""

    def forget(self, connection: Connection) -> None:
        """Stop watching it; before its socket is closed."""

    def answer(self, connection: Connection, request: Request, first_ns: int, complete_ns: int) -> None:
        """Find the response to a request and start it, now or when it is its turn."""

    def refuse(self, connection: Connection, why: str) -> None:
        """Answer what is no HTTP, and end the connection."""

    def finish(self, pending: PendingResponse, how: str) -> None:
        """Take note that a response is over."""


class Connection:
    """One accepted socket."""

    __slots__ = ("_first_byte_ns", "_out", "_out_before_ns", "_reader", "accepted_ns", "hello_ns", "number", "owner",
                 "pending", "phase", "sock", "ticket", "tls_done_ns")  # fmt: skip

    def __init__(self, owner: ConnectionOwner, sock: socket.socket, number: int, accepted_ns: int) -> None:
        self.owner, self.sock, self.number, self.accepted_ns = owner, sock, number, accepted_ns
        self.phase = "handshake" if isinstance(sock, ssl.SSLSocket) else "open"
        self.hello_ns: int | None = None
        self.tls_done_ns: int | None = None
        self.ticket = 0  # number of the timer that counts; others are stale
        self.pending: PendingResponse | None = None
        self._reader = RequestReader()
        self._first_byte_ns = 0
        self._out = b""  # what a full socket has not taken yet
        self._out_before_ns = 0

    # Called by the owner's loop.

    def on_ready(self, mask: int) -> None:
        """React to a socket that can be read or written, or to a client that is gone."""
        if mask & WRITE and self._out:
            self._send_rest()
        if mask & (READ | GONE) and self.phase != "closed":
            if self.phase == "handshake":
                self._handshake()
            elif self.phase == "held":
                self.close()
            else:
                self._receive()

    def on_timer(self) -> None:
        """React to the time that was asked for."""
        if self.phase == "open" and self.pending:
            self.send_due()
        elif self.phase == "held":  # the ServerHello was held back
            self.phase = "handshake"
            self.owner.watch(self, READ)
            self._handshake()
        else:  # idle for too long, or lingering
            self.close()

    # TLS.

    def _handshake(self) -> None:
        if self.hello_ns is None:
            self.hello_ns = monotonic_ns()
            if self.owner.script.tls_delay_ns:
                self.phase = "held"
                self.owner.watch(self, 0)
                self.owner.schedule(self, self.hello_ns + self.owner.script.tls_delay_ns)
                return
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.owner.watch(self, READ)
        except ssl.SSLWantWriteError:
            self.owner.watch(self, READ | WRITE)
        except OSError:
            self.close()
        else:
            self.tls_done_ns, self.phase = monotonic_ns(), "open"
            self._receive()

    # Requests.

    def _receive(self) -> None:
        """Read all there is; TLS may hold bytes that epoll does not know of."""
        try:
            while True:
                data = self.sock.recv(RECEIVE_BYTES)
                if not data:
                    self.abandon()
                    return
                if self.phase == "lingering":
                    continue
                self._first_byte_ns = self._first_byte_ns or monotonic_ns()
                self._reader.data += data
                if len(data) < RECEIVE_BYTES and not isinstance(self.sock, ssl.SSLSocket):
                    break
        except WOULD_BLOCK:
            pass
        except OSError:
            self.abandon()
            return
        if self.phase == "open" and self.pending is None:
            self.next_request()

    def next_request(self) -> None:
        """Answer the next request if it is complete."""
        try:
            request = self._reader.next_request()
        except BadRequest as wrong:
            self.owner.refuse(self, str(wrong))
            return
        if request is None:
            self._wait_for_request()
            return
        complete_ns, first_ns = monotonic_ns(), self._first_byte_ns
        self._first_byte_ns = complete_ns if self._reader.data else 0
        self.owner.answer(self, request, first_ns, complete_ns)

    def _wait_for_request(self) -> None:
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.ticket = 0
        if self.owner.script.keep_alive_ns and not self._first_byte_ns:
            self.owner.schedule(self, monotonic_ns() + self.owner.script.keep_alive_ns)

    # Responses.

    def start(self, pending: PendingResponse) -> None:
        """Start a response; what is due already leaves now."""
        self.pending = pending
        if not pending.data:
            self._finish(pending)
        elif pending.base_ns + pending.due_ns[0] <= monotonic_ns():
            self.send_due()
        else:
            self.owner.schedule(self, pending.base_ns + pending.due_ns[0])

    def send_due(self) -> None:
        """Make every write that is due."""
        pending = self.pending
        if pending is None or self._out:
            return
        clock, send, stamps, log = monotonic_ns, self.sock.send, pending.stamps, self.owner.log
        while True:
            data = pending.data[pending.next]
            due = pending.base_ns + pending.due_ns[pending.next]
            before = clock()
            try:
                sent = (self._send_bytewise(data) if pending.trickle else send(data)) if data else 0
            except WOULD_BLOCK:
                sent = 0
            except OSError:
                self.abandon()
                return
            after = clock()
            if pending.timed and pending.next >= pending.first:  # a head is due at once: nothing to be late for
                late = before - (due if due > pending.ready_ns else pending.ready_ns)
                log.late_us[late // 1000 if late < 1000 * LATE_BINS else LATE_BINS] += 1
                if late > log.max_late_ns:
                    log.max_late_ns = late
            if sent < len(data):
                self._out, self._out_before_ns = data[sent:], before
                self.owner.watch(self, READ | WRITE)
                return
            stamps.append(before)
            stamps.append(after)
            pending.next += 1
            if pending.next == len(pending.data):
                self._finish(pending)
                return
            due = pending.base_ns + pending.due_ns[pending.next]
            if due > after:
                self.owner.schedule(self, due)
                return

    def _send_bytewise(self, data: bytes) -> int:
        for k in range(len(data)):
            try:
                self.sock.send(data[k : k + 1])
            except WOULD_BLOCK:
                return k
        return len(data)

    def _send_rest(self) -> None:
        """Send what a full socket has not taken."""
        try:
            sent = self.sock.send(self._out)
        except WOULD_BLOCK:
            return
        except OSError:
            self.abandon()
            return
        self._out = self._out[sent:]
        if self._out or self.pending is None:
            return
        pending = self.pending
        self.owner.watch(self, READ)
        pending.ready_ns = monotonic_ns()
        pending.stamps.append(self._out_before_ns)
        pending.stamps.append(pending.ready_ns)
        pending.next += 1
        if pending.next == len(pending.data):
            self._finish(pending)
        else:
            self.owner.schedule(self, pending.base_ns + pending.due_ns[pending.next])

    def _finish(self, pending: PendingResponse) -> None:
        self.pending = None
        response = pending.response
        self.owner.finish(pending, response.end)
        if response.end == "reset":
            self.reset()
        elif response.end == "truncated" or pending.close:
            self.close_gracefully(notify=response.end != "truncated")
        else:
            self.ticket = 0
            self.next_request()

    # Ends.

    def abandon(self, how: str = "client_closed") -> None:
        """End it in the midst of a response: the client closed or broke it, or the server stops."""
        pending, self.pending = self.pending, None
        if pending:
            self.owner.finish(pending, how)
        self.close()

    def close_gracefully(self, *, notify: bool) -> None:
        """Send FIN, then wait for the client's: closing at once could reset what it has not read.

        With `notify`, TLS says that it ends (close_notify); a truncated response must not.
        """
        self.phase = "lingering"
        if notify and isinstance(self.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.sock.unwrap()
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.owner.schedule(self, monotonic_ns() + LINGER_NS)

    def reset(self) -> None:
        """Close with a TCP RST."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.close()

    def close(self) -> None:
        """Close the socket; again is harmless."""
        if self.phase != "closed":
            self.phase = "closed"
            self.ticket = 0
            self.owner.forget(self)
            self.sock.close()
