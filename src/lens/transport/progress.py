"""What has been measured of one request so far: an Exchange can be made of it at any moment.

The rule: whatever interrupts a request (a limit, a broken connection, Ctrl-C), what had been
measured until then is kept. perform() writes here as it goes; a caller that cancels it reads here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens._core.tape import Tape
from lens.errors import LensError, ProtocolError
from lens.model import Attempt, Connection, Events, Failure, Stamps, TcpInfo
from lens.transport.dial import DialLog
from lens.transport.head import ResponseHead
from lens.transport.loop import tcp_info
from lens.transport.pool import Link
from lens.wire import Exchange, Frame


class Progress:
    """One request under way. Made by the caller of perform(), or by perform() itself."""

    def __init__(self) -> None:
        self.start_ns = now_ns()
        self.intended_ns: int | None = None
        self.log: DialLog | None = None  # of the dial that this request made
        self.lost: list[Attempt] = []  # idle connections that turned out to be dead
        self.head: ResponseHead | None = None
        self.informational_ns: int | None = None
        self._link: Link | None = None
        self._tape: Tape | None = None
        self._tcp_at_send: TcpInfo | None = None
        self._tcp_at_end: TcpInfo | None = None
        self._failure: Failure | None = None
        self._category: str | None = None
        self._over_ns: int | None = None  # when the connection was let go
        self._exchange: Exchange | None = None

    def carried_by(self, link: Link, tape: Tape) -> None:
        """The request is about to be sent over this connection."""
        self._link = link
        self._tape = tape
        self._tcp_at_send = tcp_info(link.sock.fileno())

    @property
    def stream(self) -> Stream | None:
        """What the core read, once the request had a connection."""
        return self._link.stream if self._link is not None else None

    def lost_connection(self, link: Link) -> None:
        """A reused connection was dead before any byte of an answer; another one will carry the request."""
        sent = link.stream.send_start_ns
        start = sent if sent >= 0 else now_ns()
        address = link.log.peer or ""
        family: Any = link.log.family
        error = "the idle connection had been closed by the peer"
        self.lost.append(Attempt(address=address, family=family, start_ns=start, end_ns=now_ns(), error=error))
        self._link = None

    def let_go(self, link: Link) -> None:
        """The connection is about to be closed or given back."""
        self._over_ns = now_ns()
        if self._link is link:
            self._tcp_at_end = tcp_info(link.sock.fileno())

    def fail(self, error: LensError, kind: str | None = None) -> None:
        """Why it ended early."""
        where: Any = "protocol" if isinstance(error, ProtocolError) else "transport"
        self._failure = Failure(message=str(error), type=kind, where=where, retryable=error.retryable)
        self._category = error.category

    def stopped(self, message: str, category: str = "cancelled") -> Exchange:
        """What is known of a request that its caller cancelled."""
        if self._exchange is None:
            self._failure = Failure(message=message, where="client")
            self._category = category
        return self.exchange()

    def exchange(self) -> Exchange:
        """All that is known; the same object once perform() has returned."""
        if self._exchange is None:
            self._exchange = self._make()
        return self._exchange

    def _make(self) -> Exchange:
        head, tape = self.head, self._tape
        stream = self.stream
        facts: dict[str, Any] = {}
        if stream is not None and tape is not None:
            facts = _stream_facts(stream, tape, self.start_ns)
        return Exchange(
            stamps=self._stamps(stream),
            status=head.status if head else None,
            reason=head.reason if head else "",
            headers=head.headers if head else (),
            framing=head.events if head else None,
            content_encoding=(head.coding or None) if head else None,
            failure=self._failure,
            category=self._category,
            connection=self._connection(),
            **(facts or {"events": Events()}),
        )

    def _stamps(self, stream: Stream | None) -> Stamps:
        log = self.log
        stamps: dict[str, int | None] = {}
        if log is not None:
            for name in ("dns_start", "dns_end", "tcp_start", "tcp_end"):
                stamps[name] = getattr(log, name)
            for name in ("proxy_start", "proxy_end", "tls_start", "tls_end"):
                stamps[name] = getattr(log, name)
        end = self._over_ns
        if stream is not None:
            stamps["send_start"] = _measured(stream.send_start_ns)
            stamps["send_end"] = _measured(stream.send_end_ns)
            stamps["first_byte"] = _measured(stream.first_byte_ns)
            stamps["head_end"] = _measured(stream.head_end_ns)
            if stream.state in ("ended", "failed"):
                end = _measured(stream.end_ns) or _measured(stream.head_end_ns) or end
        return Stamps(
            start=self.start_ns,
            intended=self.intended_ns,
            informational=self.informational_ns,
            end=end if end is not None else now_ns(),
            **stamps,
        )

    def _connection(self) -> Connection | None:
        link = self._link
        log = link.log if link is not None else self.log
        if log is None:
            return None
        connection = log.connection(reused=link is not None and link.reused)
        attempts = (*self.lost, *connection.attempts)
        return msgspec.structs.replace(
            connection, attempts=attempts, tcp_at_send=self._tcp_at_send, tcp_at_end=self._tcp_at_end
        )


def _stream_facts(stream: Stream, tape: Tape, start_ns: int) -> dict[str, Any]:
    arrived, lag, signals, chars, read = tape.columns(start_ns)
    field = stream.error_field
    return {
        "events": Events(arrived_ns=arrived, lag_ns=lag, signals=signals, chars=chars, read=read),
        "frames": tuple([Frame(i, name.decode("utf-8", "replace"), data) for i, name, data in tape.frames()]),
        "document": stream.document,
        "ended": stream.ended,
        "comments": stream.comments,
        "wire_bytes": stream.wire_bytes,
        "error_field": field.decode("utf-8", "replace") if field else None,
        "stamp_kind": "kernel" if stream.kernel_stamped and stream.reads else "read",
        "clock_stepped": stream.clock_stepped,
    }


def _measured(stamp_ns: int) -> int | None:
    return stamp_ns if stamp_ns >= 0 else None
