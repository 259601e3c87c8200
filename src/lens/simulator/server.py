"""The server: one thread, one epoll, one heap of deadlines.

Whatever can be prepared is prepared before it is due, so that being punctual costs a heap operation and a send.
Timers go by select(2), whose timeout is in microseconds; epoll's rounds up to a millisecond.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import heapq
import os
import select
import signal
import socket
import ssl
import threading
from pathlib import Path
from time import monotonic_ns
from typing import Any

from lens.simulator.connection import READ, Connection, PendingResponse
from lens.simulator.http import Request
from lens.simulator.log import Log, LogEntry
from lens.simulator.responder import Responder, refuse_request, send_json
from lens.simulator.script import Script, parse_count

LISTEN_BACKLOG = 4096
# Writes made before the sockets are looked at again.
BATCH = 64
# The log file is written when nothing is due for so long, or when too many entries wait.
QUIET_NS = 5_000_000
MAX_BACKLOG = 2_000
CONTROL = "/_lens/"


def open_listener(host: str, port: int, unix: str | None) -> socket.socket:
    """Return a listening socket, IPv4 or IPv6 by the form of the address, or Unix."""
    if unix:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(unix)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    sock.listen(LISTEN_BACKLOG)
    sock.setblocking(False)
    return sock


def tighten_timer_slack() -> None:
    """Let this thread's sleeps end when they are due, not up to 50 us later (prctl(2), PR_SET_TIMERSLACK)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)


class TlsMissing(RuntimeError):
    """The package that makes certificates is not installed."""


def make_tls_context(ca_file: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    """Return a TLS context for these names and addresses, certified by an authority made now (trustme).

    The authority's PEM is written to ca_file.

    Raises:
        TlsMissing: trustme is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise TlsMissing("TLS needs trustme: pip install 'llm-latency-lens[simulator]'") from None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(*names).configure_cert(context)
    return context


class Server:
    """Sends the responses of a script, each write when it is due."""

    def __init__(
        self,
        script: Script,
        listener: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        log: Log | None = None,
        spin_ns: int = 0,
    ) -> None:
        self.script, self.log, self._responder = script, log or Log(), Responder(script)
        self._listener, self._tls, self._spin_ns = listener, tls, spin_ns
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._parent: int | None = None
        self._signals: tuple[socket.socket, ...] = ()
        self._connections: dict[int, Connection] = {}
        self._heap: list[tuple[int, int, Connection]] = []
        self._tickets = self._accepted = 0
        self._queue: list[tuple[Connection, PendingResponse]] = []
        self._stopping = False
        self._closing = threading.RLock()  # a signal handler may call stop() while this thread closes
        self._epoll.register(listener.fileno(), READ)
        self._epoll.register(self._wake, READ)

    # The loop.

    def run(self, until_ns: int | None = None) -> None:
        """Serve until stop(), the end of the parent's pipe, or the time that was set."""
        tighten_timer_slack()
        try:
            while not self._stopping:
                now = self._run_timers(monotonic_ns())
                if until_ns is not None and now >= until_ns:
                    break
                self._wait(until_ns)
                for fd, mask in self._epoll.poll(0):
                    self._dispatch(fd, mask)
        finally:
            self._close()

    def stop(self) -> None:
        """End the loop; from any thread or signal handler, any number of times, also when it has ended."""
        with self._closing:
            self._stopping = True
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def stop_by(self, *numbers: signal.Signals) -> None:
        """Stop by these signals; only in the main thread, which runs the loop.

        Python calls a handler only once the loop wakes. A signal that comes just before it sleeps, or in another
        thread, does not wake it: what Python writes for each signal does.
        """
        self._signals = reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        self._epoll.register(reading, READ)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: self.stop())

    def stop_at_eof(self, fd: int) -> None:
        """Stop when this pipe ends, whose other end the parent process holds."""
        self._parent = fd
        self._epoll.register(fd, READ)

    def _run_timers(self, now: int) -> int:
        heap = self._heap
        for _ in range(BATCH):
            if not heap or heap[0][0] > now:
                break
            _, ticket, connection = heapq.heappop(heap)
            if connection.ticket == ticket:
                connection.on_timer()
                now = monotonic_ns()
        return now

    def _wait(self, until_ns: int | None) -> None:
        """Sleep until a socket is ready or the next deadline is near."""
        due = self._heap[0][0] if self._heap else until_ns
        if due is not None and until_ns is not None:
            due = min(due, until_ns)
        gap = None if due is None else due - monotonic_ns() - self._spin_ns
        if self.log.backlog() and (gap is None or gap > QUIET_NS or self.log.backlog() > MAX_BACKLOG):
            self.log.flush()
        elif gap is None or gap > 0:
            if self._epoll.fileno() < 1024:  # what select(2) can hold
                select.select([self._epoll], [], [], None if gap is None else gap / 1e9)
            elif gap is None or gap > 2_000_000:
                self._epoll.poll(None if gap is None else gap / 1e9 - 0.001)

    def _dispatch(self, fd: int, mask: int) -> None:
        connection = self._connections.get(fd)
        if connection is not None:
            connection.on_ready(mask)
        elif fd == self._listener.fileno():
            self._accept()
        elif fd == self._parent and not os.read(fd, 4096):
            self._stopping = True

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                return
            accepted_ns = monotonic_ns()
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self._accepted += 1
            connection = Connection(self, sock, self._accepted, accepted_ns)
            self._connections[sock.fileno()] = connection
            self._epoll.register(sock.fileno(), READ)

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            connection.abandon("stopped")
        self._epoll.close()
        self._listener.close()
        if self._signals:
            signal.set_wakeup_fd(-1)
        for sock in self._signals:
            sock.close()
        with self._closing:
            wake, self._wake = self._wake, -1
            os.close(wake)
        self.log.close()

    # Called by connections (ConnectionOwner).

    def schedule(self, connection: Connection, due_ns: int) -> None:
        """Call the connection's on_timer then; an earlier request for that is forgotten."""
        self._tickets += 1
        connection.ticket = self._tickets
        heapq.heappush(self._heap, (due_ns, self._tickets, connection))

    def watch(self, connection: Connection, mask: int) -> None:
        """Call its on_ready for these epoll events."""
        self._epoll.modify(connection.sock.fileno(), mask)

    def forget(self, connection: Connection) -> None:
        """Stop watching it; before its socket is closed."""
        fd = connection.sock.fileno()
        self._epoll.unregister(fd)
        del self._connections[fd]

    def answer(self, connection: Connection, request: Request, first_ns: int, complete_ns: int) -> None:
        """Find the response to a request and start it, now or when it is its turn."""
        if request.target.startswith(CONTROL):
            self._answer_control(connection, request)
            return
        admission = self._responder.admission
        entry = LogEntry(connection.number, admission.count, request.method, request.target)
        entry.accepted_ns, entry.first_byte_ns, entry.complete_ns = connection.accepted_ns, first_ns, complete_ns
        entry.tls_hello_ns, entry.tls_done_ns = connection.hello_ns, connection.tls_done_ns
        entry.session = request.headers.get(self.script.session_header)
        entry.body_hash = hashlib.sha256(request.body).hexdigest()
        self.log.add(entry)
        pending = self._responder.respond(request, entry)
        admission.start()
        if self.script.slots and admission.busy - len(self._queue) > self.script.slots:
            connection.pending = pending
            self._queue.append((connection, pending))
        else:
            connection.start(pending)

    def finish(self, pending: PendingResponse, how: str) -> None:
        """Complete the log entry of a response; the next in the queue starts."""
        entry = pending.entry
        if entry is None:
            return
        now, first, stamps = monotonic_ns(), pending.first, pending.stamps
        entry.stamps = stamps[2 * first :]
        entry.head_ns = (stamps[0], stamps[1]) if stamps else None
        entry.due_ns, entry.end, entry.end_ns = pending.due_ns[first:], how, now
        self.log.finish(entry)
        self._responder.admission.finish(now)
        self._queue = [waiting for waiting in self._queue if waiting[1] is not pending]
        self._start_waiting(now)

    def _start_waiting(self, now: int) -> None:
        admission = self._responder.admission
        while self._queue and admission.busy - len(self._queue) < self.script.slots:
            connection, waiting = self._queue.pop(0)
            waiting.base_ns = now + waiting.response.prefill_ns
            if waiting.entry:
                waiting.entry.base_ns = waiting.base_ns
            self.schedule(connection, waiting.base_ns + waiting.due_ns[0])

    def refuse(self, connection: Connection, why: str) -> None:
        """Answer what is no HTTP, and end the connection."""
        connection.start(refuse_request(400, {"message": why}, None, close=True))

    # The control endpoint.

    def _answer_control(self, connection: Connection, request: Request) -> None:
        last = request.query.get("last")
        value = self._control(request.path.removeprefix(CONTROL), parse_count(last) if last else None)
        if value is None:
            connection.start(refuse_request(404, {"message": "there are /_lens/log, /_lens/stats, /_lens/reset"}, None))
        else:
            connection.start(send_json(200, value))

    def _control(self, what: str, last: int | None = None) -> Any:
        """Return what /_lens/WHAT answers; None if there is no such thing."""
        if what == "log":
            entries = list(self.log.entries)
            return [entry.as_dict() for entry in (entries[-last:] if last is not None else entries)]
        if what == "reset":
            self.log.reset()
            self._responder.reset()
            return {"reset": True}
        return self.log.stats() if what == "stats" else None
