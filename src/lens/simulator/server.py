"""The server: one thread, one epoll, one heap of deadlines.

Whatever can be prepared is prepared before it is due, so that being punctual costs a heap
operation and a send. Timers go by select(2), whose timeout is in microseconds; epoll's
rounds up to a millisecond.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import json
import os
import select
import socket
import ssl
import threading
from time import monotonic_ns
from typing import Any

from lens.simulator.answer import Answer, Write, document_answer, due_times, failure_answer, page_answer, stream_answer
from lens.simulator.connection import READ, Connection, Play
from lens.simulator.desk import Desk, Verdict
from lens.simulator.dialects import Dialect, dialect_for
from lens.simulator.dialects.base import Pace
from lens.simulator.http import Request, head_bytes
from lens.simulator.job import OPENING, Turn, check
from lens.simulator.log import Log, Record
from lens.simulator.script import Script, amended, parse_count
from lens.simulator.words import mixed

BACKLOG = 4096
# Writes made before the sockets are looked at again.
BATCH = 64
# The log file is written when nothing is due for so long, or when too many records wait.
QUIET_NS = 5_000_000
MAX_BEHIND = 2_000
CONTROL = "/_lens/"


def listen_on(host: str, port: int, unix: str | None) -> socket.socket:
    """The listening socket; an address without IP family is bound as IPv4 or IPv6 by its form."""
    if unix:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(unix)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def tighten_timers() -> None:
    """Let this thread's sleeps end when they are due, not up to 50 us later (prctl(2), PR_SET_TIMERSLACK)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)


class Server:
    """Plays a script to whoever asks."""

    def __init__(
        self,
        script: Script,
        listener: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        log: Log | None = None,
        spin_ns: int = 0,
    ) -> None:
        self.script, self.log, self.desk = script, log or Log(), Desk()
        self._listener, self._tls, self._spin_ns = listener, tls, spin_ns
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._leash: int | None = None
        self._connections: dict[int, Connection] = {}
        self._heap: list[tuple[int, int, Connection]] = []
        self._tickets = self._accepted = 0
        self._queue: list[tuple[Connection, Play]] = []
        self._stopping = False
        self._closing = threading.RLock()  # a signal handler may call stop() while this thread closes
        self._epoll.register(listener.fileno(), READ)
        self._epoll.register(self._wake, READ)

    # The loop.

    def run(self, until_ns: int | None = None) -> None:
        """Serve until stop(), the end of the leash, or the time that was set."""
        tighten_timers()
        try:
            while not self._stopping:
                now = self._fire(monotonic_ns())
                if until_ns is not None and now >= until_ns:
                    break
                self._wait(until_ns)
                for fd, mask in self._epoll.poll(0):
                    self._dispatch(fd, mask)
        finally:
            self._close()

    def stop(self) -> None:
        """End the loop; from any thread or signal handler, once or often, also when it has ended by itself."""
        with self._closing:
            self._stopping = True
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def live_while_open(self, fd: int) -> None:
        """Stop when this pipe ends: its other end is held by the parent process."""
        self._leash = fd
        self._epoll.register(fd, READ)

    def _fire(self, now: int) -> int:
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
        """Sleep until a socket or the next deadline wants something."""
        due = self._heap[0][0] if self._heap else until_ns
        if due is not None and until_ns is not None:
            due = min(due, until_ns)
        gap = None if due is None else due - monotonic_ns() - self._spin_ns
        if self.log.behind() and (gap is None or gap > QUIET_NS or self.log.behind() > MAX_BEHIND):
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
        elif fd == self._leash and not os.read(fd, 4096):
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
            connection.gone("stopped")
        self._epoll.close()
        self._listener.close()
        with self._closing:
            wake, self._wake = self._wake, -1
            os.close(wake)
        self.log.close()

    # What connections call.

    def schedule(self, connection: Connection, due_ns: int) -> None:
        """Call the connection's on_timer then; an earlier wish of it is forgotten."""
        self._tickets += 1
        connection.ticket = self._tickets
        heapq.heappush(self._heap, (due_ns, self._tickets, connection))

    def watch(self, connection: Connection, mask: int) -> None:
        """What the connection wants to hear of."""
        self._epoll.modify(connection.sock.fileno(), mask)

    def forget(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        self._epoll.unregister(fd)
        del self._connections[fd]

    def answer(self, connection: Connection, request: Request, first_ns: int, complete_ns: int) -> None:
        """Find the answer to a request and begin it, or let it queue."""
        if request.target.startswith(CONTROL):
            self._control(connection, request)
            return
        record = Record(connection.number, self.desk.count, request.method, request.target)
        record.accepted_ns, record.first_byte_ns, record.complete_ns = connection.accepted_ns, first_ns, complete_ns
        record.tls_hello_ns, record.tls_done_ns = connection.hello_ns, connection.tls_done_ns
        self.log.add(record)
        play = self._play_for(request, record)
        self.desk.started()
        if self.script.slots and self.desk.busy - len(self._queue) > self.script.slots:
            connection.play = play
            self._queue.append((connection, play))
        else:
            connection.start(play)

    def ended(self, play: Play, how: str) -> None:
        """An answer is over; the next in the queue begins."""
        record = play.record
        if record is None:
            return
        now = monotonic_ns()
        first = play.first
        record.stamps = play.stamps[2 * first :]
        stamped = len(play.stamps) > 0
        record.head_ns = (play.stamps[0], play.stamps[1]) if stamped else None
        record.due_ns, record.end, record.end_ns = play.due_ns[first:], how, now
        self.log.done(record)
        self.desk.ended(now)
        self._queue = [waiting for waiting in self._queue if waiting[1] is not play]
        while self._queue and self.desk.busy - len(self._queue) < self.script.slots:
            connection, waiting = self._queue.pop(0)
            waiting.base_ns = now + waiting.answer.prefill_ns
            if waiting.record:
                waiting.record.base_ns = waiting.base_ns
            self.schedule(connection, waiting.base_ns + waiting.due_ns[0])

    def refuse(self, connection: Connection, why: str) -> None:
        """Answer what is no HTTP, and end the connection."""
        connection.start(self._plain(400, {"error": {"message": why}}, None, close=True))

    # Finding the answer.

    def _play_for(self, request: Request, record: Record) -> Play:
        dialect = dialect_for(request)
        if dialect is None or not request.path.startswith(self.script.root):
            return self._plain(404, {"error": {"message": f"no provider has {request.method} {request.path}"}}, record)
        try:
            script = amended(self.script, request.headers.get("x-lens-script", ""))
            turn = dialect.turn(request, json.loads(request.body) if request.body else {})
            check(turn)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as wrong:
            why = f"the simulator cannot read this request: {wrong}"
            return self._plain(400, {"error": {"message": why, "type": "invalid_request_error"}}, record)
        asked_for = "" if dialect.name == "openai_models" else turn.model
        key, refused = dialect.key(request), dialect.auth_status(request)
        verdict = self.desk.admit(script, key, refused, record.complete_ns, asked_for)
        pace = self._pace(record, verdict)
        answer = self._answer_for(dialect, turn, verdict, pace)
        record.dialect, record.model, record.stream, record.status = (
            dialect.name,
            turn.model,
            turn.stream,
            answer.status,
        )
        record.writes, record.base_ns = answer.writes, record.complete_ns + verdict.cold_ns + answer.prefill_ns
        record.tokens = {"prompt": turn.prompt_tokens, "output": sum(slot.tokens for slot in answer.slots)}
        record.tokens["reasoning"] = sum(slot.tokens for slot in answer.slots if slot.kind == "reasoning")
        close = answer.close or request.headers.get("connection", "").lower() == "close"
        moving = [*answer.headers, ("Connection", "close" if close else "keep-alive"), *dialect.headers(pace)]
        head = head_bytes(answer.status, moving) if answer.status else b""
        play = Play(answer, head, record.base_ns, due_times(verdict.script, answer, record.number), record)
        play.trickle, play.close = verdict.script.trickle, close
        play.timed = not (answer.at_once or verdict.script.flood)
        return play

    def _answer_for(self, dialect: Dialect, turn: Turn, verdict: Verdict, pace: Pace) -> Answer:
        if verdict.failure:
            return failure_answer(verdict.script, dialect, turn, verdict.failure, pace.request_id)
        if verdict.script.html:
            return page_answer(verdict.script)
        if turn.stream:
            return stream_answer(verdict.script, dialect, turn)
        return document_answer(verdict.script, dialect, turn)

    def _pace(self, record: Record, verdict: Verdict) -> Pace:
        ms = 1 if verdict.failure else (verdict.script.ttft_ns + verdict.cold_ns) // 1_000_000
        name = f"req_{mixed(verdict.script.seed, record.number):016x}"
        return Pace(name, ms, verdict.limit, verdict.remaining, max(0.0, verdict.reset_s))

    def _plain(self, status: int, value: Any, record: Record | None, *, close: bool = False) -> Play:
        """One JSON document at once, in nobody's dialect."""
        body = json.dumps(value, separators=(",", ":")).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        answer = Answer(status, headers, (Write(OPENING, body, (("document", None, 0),)),), close=close, at_once=True)
        now = monotonic_ns()
        if record:
            record.status, record.writes, record.base_ns = status, answer.writes, now
        return Play(answer, head_bytes(status, headers), now, (0,), record)

    # The control endpoint.

    def control(self, what: str, last: int | None = None) -> Any:
        """What /_lens/WHAT answers; None when there is no such thing."""
        if what == "log":
            records = list(self.log.records)
            return [record.as_dict() for record in (records[-last:] if last is not None else records)]
        if what == "reset":
            self.log.reset()
            self.desk = Desk()
            return {"reset": True}
        return self.log.stats() if what == "stats" else None

    def _control(self, connection: Connection, request: Request) -> None:
        last = request.query.get("last")
        value = self.control(request.path.removeprefix(CONTROL), parse_count(last) if last else None)
        missing = {"error": {"message": "there are /_lens/log, /_lens/stats and /_lens/reset"}}
        connection.start(self._plain(404 if value is None else 200, missing if value is None else value, None))
