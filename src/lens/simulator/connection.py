"""One client's connection: requests in, answers out, each write when it is due.

The write loop is the hot path: stamp, send, stamp, and nothing between. What a socket does
not take at once waits for it, and the stamp after is that of the last byte taken.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from array import array
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING

from lens.simulator.answer import Answer
from lens.simulator.http import BadRequest, RequestReader
from lens.simulator.log import LATE_BINS, Record

if TYPE_CHECKING:
    from lens.simulator.server import Server

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
RECEIVE_BYTES = 256 * 1024
# How long a connection that was closed by us may take to be closed by the client.
LINGER_NS = 2_000_000_000
NO_LINGER = struct.pack("ii", 1, 0)
READ, WRITE, GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class Play:
    """An answer in progress."""

    __slots__ = (
        "answer",
        "base_ns",
        "close",
        "data",
        "due_ns",
        "first",
        "next",
        "ready_ns",
        "record",
        "stamps",
        "timed",
        "trickle",
    )

    def __init__(
        self, answer: Answer, head: bytes, base_ns: int, due_ns: tuple[int, ...], record: Record | None
    ) -> None:
        data = [write.data for write in answer.writes]
        self.first = 0  # writes before those of the answer: 1 when the head goes alone
        if answer.head_ns is None and data:
            data[0] = head + data[0]
        elif head:
            due_ns = (answer.head_ns or 0, *(max(answer.head_ns or 0, due) for due in due_ns))
            data.insert(0, head)
            self.first = 1
        self.answer, self.data, self.due_ns, self.base_ns, self.record = answer, data, due_ns, base_ns, record
        self.next = 0
        self.ready_ns = 0  # when a full socket last let us go on
        self.stamps = array("q")
        self.trickle = False
        self.timed = False  # whether its writes count in the statistics of lateness
        self.close = answer.close


class Connection:
    """One accepted socket."""

    __slots__ = ("_first_byte_ns", "_out", "_out_before_ns", "_reader", "accepted_ns", "hello_ns", "number", "phase",
                 "play", "server", "sock", "ticket", "tls_done_ns")  # fmt: skip

    def __init__(self, server: Server, sock: socket.socket, number: int, accepted_ns: int) -> None:
        self.server, self.sock, self.number, self.accepted_ns = server, sock, number, accepted_ns
        self.phase = "handshake" if isinstance(sock, ssl.SSLSocket) else "open"
        self.hello_ns: int | None = None
        self.tls_done_ns: int | None = None
        self.ticket = 0  # number of the timer that counts; others are stale
        self.play: Play | None = None
        self._reader = RequestReader()
        self._first_byte_ns = 0
        self._out = b""  # what a full socket has not taken yet
        self._out_before_ns = 0

    # What the server's loop calls.

    def on_ready(self, mask: int) -> None:
        """The socket can be read or written, or the client is gone."""
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
        """The time that was asked for has come."""
        if self.phase == "open" and self.play:
            self.go_on()
        elif self.phase == "held":  # the ServerHello was held back
            self.phase = "handshake"
            self.server.watch(self, READ)
            self._handshake()
        else:  # idle for too long, or lingering
            self.close()

    # TLS.

    def _handshake(self) -> None:
        if self.hello_ns is None:
            self.hello_ns = monotonic_ns()
            if self.server.script.tls_delay_ns:
                self.phase = "held"
                self.server.watch(self, 0)
                self.server.schedule(self, self.hello_ns + self.server.script.tls_delay_ns)
                return
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.server.watch(self, READ)
        except ssl.SSLWantWriteError:
            self.server.watch(self, READ | WRITE)
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
                    self.gone()
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
            self.gone()
            return
        if self.phase == "open" and self.play is None:
            self.next_request()

    def next_request(self) -> None:
        """Answer the next request, if it is complete."""
        try:
            request = self._reader.next_request()
        except BadRequest as wrong:
            self.server.refuse(self, str(wrong))
            return
        if request is None:
            self._wait_for_request()
            return
        complete_ns, first_ns = monotonic_ns(), self._first_byte_ns
        self._first_byte_ns = complete_ns if self._reader.data else 0
        self.server.answer(self, request, first_ns, complete_ns)

    def _wait_for_request(self) -> None:
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.ticket = 0
        if self.server.script.keep_alive_ns and not self._first_byte_ns:
            self.server.schedule(self, monotonic_ns() + self.server.script.keep_alive_ns)

    # Answers.

    def start(self, play: Play) -> None:
        """Begin an answer; what is due already leaves now."""
        self.play = play
        if not play.data:
            self._finish(play)
        elif play.base_ns + play.due_ns[0] <= monotonic_ns():
            self.go_on()
        else:
            self.server.schedule(self, play.base_ns + play.due_ns[0])

    def go_on(self) -> None:
        """Make every write that is due."""
        play = self.play
        if play is None or self._out:
            return
        clock, send, stamps, log = monotonic_ns, self.sock.send, play.stamps, self.server.log
        while True:
            data = play.data[play.next]
            due = play.base_ns + play.due_ns[play.next]
            before = clock()
            try:
                sent = (self._send_bytewise(data) if play.trickle else send(data)) if data else 0
            except WOULD_BLOCK:
                sent = 0
            except OSError:
                self.gone()
                return
            after = clock()
            if play.timed and play.next >= play.first:  # a head is due at once: nothing to be late for
                late = before - (due if due > play.ready_ns else play.ready_ns)
                log.late_us[late // 1000 if late < 1000 * LATE_BINS else LATE_BINS] += 1
                if late > log.max_late_ns:
                    log.max_late_ns = late
            if sent < len(data):
                self._out, self._out_before_ns = data[sent:], before
                self.server.watch(self, READ | WRITE)
                return
            stamps.append(before)
            stamps.append(after)
            play.next += 1
            if play.next == len(play.data):
                self._finish(play)
                return
            due = play.base_ns + play.due_ns[play.next]
            if due > after:
                self.server.schedule(self, due)
                return

    def _send_bytewise(self, data: bytes) -> int:
        for k in range(len(data)):
            try:
                self.sock.send(data[k : k + 1])
            except WOULD_BLOCK:
                return k
        return len(data)

    def _send_rest(self) -> None:
        """A full socket takes more."""
        try:
            sent = self.sock.send(self._out)
        except WOULD_BLOCK:
            return
        except OSError:
            self.gone()
            return
        self._out = self._out[sent:]
        if self._out or self.play is None:
            return
        play = self.play
        self.server.watch(self, READ)
        play.ready_ns = monotonic_ns()
        play.stamps.append(self._out_before_ns)
        play.stamps.append(play.ready_ns)
        play.next += 1
        if play.next == len(play.data):
            self._finish(play)
        else:
            self.server.schedule(self, play.base_ns + play.due_ns[play.next])

    def _finish(self, play: Play) -> None:
        self.play = None
        answer = play.answer
        self.server.ended(play, answer.end)
        if answer.end == "reset":
            self.reset()
        elif answer.end == "truncated" or play.close:
            self.shut(polite=answer.end != "truncated")
        else:
            self.ticket = 0
            self.next_request()

    # Ends.

    def gone(self, how: str = "client_closed") -> None:
        """The connection is over before its answer: the client closed or broke it, or the server stops."""
        play, self.play = self.play, None
        if play:
            self.server.ended(play, how)
        self.close()

    def shut(self, *, polite: bool) -> None:
        """FIN, then wait for the client's: closing at once could reset what it has not read.

        Polite TLS says that it ends (close_notify); a truncated answer must not.
        """
        self.phase = "lingering"
        if polite and isinstance(self.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.sock.unwrap()
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.server.schedule(self, monotonic_ns() + LINGER_NS)

    def reset(self) -> None:
        """RST: close with nothing lingering."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.close()

    def close(self) -> None:
        if self.phase != "closed":
            self.phase = "closed"
            self.ticket = 0
            self.server.forget(self)
            self.sock.close()
