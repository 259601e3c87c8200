"""Collects what is measured of one request; an Exchange can be built of it at any moment.

The rule: whatever interrupts a request (a limit, a broken connection, Ctrl-C), what was measured until then is kept.
perform() writes here as it proceeds; a caller that cancels it reads here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lens._core.clock import now_ns
from lens._core.exchange import read_facts, read_usual_head
from lens._core.stream import Stream
from lens._core.tape import Tape
from lens.errors import LensError, ProtocolError
from lens.model import CONTENT, Attempt, Connection, Events, Failure, Signal, Stamps, TcpInfo
from lens.transport.connect import ConnectionSetup
from lens.transport.faults import ends_idle_time, was_unread
from lens.transport.head import ResponseHead, describe_usual_head
from lens.transport.loop import tcp_info
from lens.transport.pool import PooledConnection
from lens.transport.proxy import MAX_INFORMATIONAL
from lens.units import NS_PER_US
from lens.wire import Exchange, Frame

if TYPE_CHECKING:
    from lens._core.exchange import Facts

_SETUP_STAMPS = (
    "dns_start", "dns_end", "tcp_start", "tcp_end", "proxy_start", "proxy_end", "tls_start", "tls_end",
)  # fmt: skip


# As plain ints: `&` of an int with a flag enum takes many times as long.
_FINISH, _USAGE, _DONE, _ERROR = int(Signal.FINISH), int(Signal.USAGE), int(Signal.DONE), int(Signal.ERROR)
_OWN = int(CONTENT | Signal.USAGE | Signal.FINISH | Signal.ERROR | Signal.DONE)

_NO_FACTS: Facts = (-1, -1, "call", -1, -1, -1, "read", False, 0, 0)


class ExchangeBuilder:
    """The measurements of one request in progress. Made by the caller of perform(), or by perform() itself."""

    def __init__(self) -> None:
        self.start_ns = now_ns()
        self.intended_ns: int | None = None
        self.setup: ConnectionSetup | None = None  # of the connection that this request opened
        self.stale: list[Attempt] = []  # idle connections that turned out to be closed
        self.head: ResponseHead | None = None
        self.informational_ns: int | None = None
        self.informational = 0  # heads of 1xx
        self._connection: PooledConnection | None = None
        self._tape: Tape | None = None
        self._tcp_at_send: TcpInfo | None = None
        self._acked_at_send: int | None = None
        self._tcp_at_end: TcpInfo | None = None
        self._failure: Failure | None = None
        self._category: str | None = None
        self._released_ns: int | None = None  # when the connection was released
        self._warnings: list[str] = []
        self._gave_up_waiting = False  # for an end: all that an answer has had come
        self._exchange: Exchange | None = None

    def attach_connection(self, connection: PooledConnection, tape: Tape) -> None:
        """Take the connection that the request is about to be sent over, and its tape of events."""
        self._connection = connection
        self._tape = tape
        self._tcp_at_send, self._acked_at_send = tcp_info(connection.sock.fileno())

    def was_unread(self, end_ns: int) -> bool:
        """Return whether a reused connection ended, at `end_ns`, before its peer can have read the request."""
        used, tcp = self._connection, self._tcp_at_send
        if used is None or not self._may_be_stale():
            return False
        round_trip_us = 0 if tcp is None else tcp.rtt_us if tcp.min_rtt_us is None else tcp.min_rtt_us
        return was_unread(used.stream, end_ns, round_trip_us * NS_PER_US, acked=self._acked())

    def came_unasked(self) -> bool:
        """Return whether what came over a reused connection left its peer before the request was there."""
        used = self._connection
        if used is None or not self._may_be_stale():
            return False
        return used.stream.first_byte_ns <= used.stream.send_start_ns or self._acked() is False

    def was_timed_out(self) -> bool:
        """Return whether a 408 on a reused connection, which has just come, is the end of its idle time."""
        used = self._connection
        return used is not None and self._may_be_stale() and ends_idle_time(used.stream)

    def _may_be_stale(self) -> bool:
        return self._connection is not None and self._connection.reused and not self.informational

    def _acked(self) -> bool | None:
        """Return whether the peer's kernel has acknowledged bytes of the request; None where it is not known."""
        if self._connection is None or self._acked_at_send is None:
            return None
        _, acked = tcp_info(self._connection.sock.fileno())
        return acked != self._acked_at_send if acked is not None else None

    @property
    def stream(self) -> Stream | None:
        """The core's stream of the connection; None before the request has one."""
        return self._connection.stream if self._connection is not None else None

    def warn(self, warning: str) -> None:
        """Record what was against the rules and did no harm."""
        self._warnings.append(warning)

    def has_finished(self, *, counted: bool = False) -> bool:
        """Return whether a failure has come, or a finish reason, with `counted` the token counts too."""
        if self._tape is None:
            return False
        bits = self._tape.signals
        return bool(bits & _ERROR) or (bool(bits & _FINISH) and (not counted or bool(bits & _USAGE)))

    def stop_waiting(self) -> None:
        """Record that the answer was taken as complete although its protocol has not ended."""
        self._gave_up_waiting = True
        self.warn("the answer was finished, but no end came: its connection was closed")

    def drop_stale_connection(self, connection: PooledConnection, error: str) -> None:
        """Record a reused connection that could not carry the request; another will."""
        sent = connection.stream.send_start_ns
        start = sent if sent >= 0 else now_ns()
        address = connection.setup.peer or ""
        family: Any = connection.setup.family
        self.stale.append(
            Attempt(address=address, family=family, start_ns=start, end_ns=now_ns(), error=error, resent=sent >= 0)
        )
        if sent >= 0:
            self.warn(f"the request was sent again over a new connection: {error}")
        self._connection = None

    def take_usual_head(self, stream: Stream) -> None:
        """Take the response head if the core has settled it."""
        if self.head is None and (usual := read_usual_head(stream)) is not None:
            self.head = describe_usual_head(usual)

    def release_connection(self, connection: PooledConnection) -> None:
        """Take the last readings of a connection that is about to be closed or put back."""
        self._released_ns = now_ns()
        if self._connection is connection:
            self.take_usual_head(connection.stream)
            self._tcp_at_end, _ = tcp_info(connection.sock.fileno())
            if connection.stream.surplus:
                self.warn("bytes came after the end of the answer: its connection is not used again")

    def fail(self, error: LensError, kind: str | None = None) -> None:
        """Record the error that ended the request."""
        where: Any = "protocol" if isinstance(error, ProtocolError) else "transport"
        message = f"{error}{self._says_informational()}"
        self._failure = Failure(message=message, type=kind, where=where, retryable=error.retryable)
        self._category = error.category

    def count_informational(self, stream: Stream) -> None:
        """Count a head of 1xx, and keep when the first one came."""
        self.informational += 1
        if self.informational_ns is None:
            self.informational_ns = stream.first_byte_ns

    def _says_informational(self) -> str:
        """Return what to add to an error where only heads of 1xx came; one that came over the limit says so itself."""
        if self.head is not None or not 0 < self.informational <= MAX_INFORMATIONAL:
            return ""
        return f"; only informational heads (1xx) had come: {self.informational}"

    def build_cancelled(self, message: str, category: str = "cancelled") -> Exchange:
        """Return the Exchange of a request that its caller cancelled."""
        if self._exchange is None:
            self._failure = Failure(message=message, where="client")
            self._category = category
        return self.build()

    def build_without_events(self, message: str) -> Exchange:
        """Return the Exchange of a request whose events do not fit into memory; they are given up."""
        self._tape = None
        self._failure, self._category = Failure(message=message, where="client"), "protocol_error"
        return self.build()

    def build(self) -> Exchange:
        """Return the Exchange of all that is known; the same object once perform() has returned."""
        if self._exchange is None:
            self._exchange = self._collect()
        return self._exchange

    def _collect(self) -> Exchange:
        head, tape, stream = self.head, self._tape, self.stream
        state, facts = (stream.state, read_facts(stream)) if stream is not None else ("", None)
        if stream is not None and facts is not None and tape is not None:
            read = _read_stream(stream, state, facts, tape, self.start_ns)
        else:
            read = {"events": Events()}
        return Exchange(
            stamps=self._stamps(state, facts, self._answer_end_ns(stream, read["events"])),
            status=head.status if head else None,
            reason=head.reason if head else "",
            headers=head.headers if head else (),
            framing=head.events if head else None,
            content_encoding=(head.coding or None) if head else None,
            failure=self._failure,
            category=self._category,
            connection=self._describe_connection(),
            warnings=(*(head.warnings if head else ()), *self._warnings),
            **read,
        )

    def _answer_end_ns(self, stream: Stream | None, events: Events) -> int | None:
        """Return when the protocol's terminator came, or the last event of an answer that never got one.

        How long the peer then held the body open is no part of the latency. None where the body's end is the answer's.
        """
        wanted = _DONE if stream is not None and stream.done else _OWN if self._gave_up_waiting else 0
        if not wanted:
            return None
        for i in range(len(events) - 1, -1, -1):
            if events.signals[i] & wanted:
                return self.start_ns + events.arrived_ns[i]
        return None

    def _stamps(self, state: str, facts: Facts | None, answer_end_ns: int | None) -> Stamps:
        sent, left, _, first_byte, head_end, ended = (facts or _NO_FACTS)[:6]
        end = answer_end_ns
        if end is None and state in ("ended", "failed"):
            end = ended if ended > 0 else head_end if head_end > 0 else None
        if end is None:
            end = self._released_ns if self._released_ns is not None else now_ns()
        setup = self.setup
        return Stamps(
            start=self.start_ns,
            intended=self.intended_ns,
            informational=self.informational_ns,
            send_start=sent if sent >= 0 else None,
            send_end=left if left >= 0 else None,
            first_byte=first_byte if first_byte >= 0 else None,
            head_end=head_end if head_end >= 0 else None,
            end=end,
            **({} if setup is None else {name: getattr(setup, name) for name in _SETUP_STAMPS}),
        )

    def _describe_connection(self) -> Connection | None:
        used = self._connection
        setup = used.setup if used is not None else self.setup
        if setup is None:
            return None
        facts = setup.describe(reused=used is not None and used.reused)
        attempts = (*self.stale, *facts.attempts)
        return msgspec.structs.replace(
            facts, attempts=attempts, tcp_at_send=self._tcp_at_send, tcp_at_end=self._tcp_at_end
        )


def _read_stream(stream: Stream, state: str, facts: Facts, tape: Tape, start_ns: int) -> dict[str, Any]:
    sent, _, send_stamp, _, _, _, stamp_kind, clock_stepped, comments, wire_bytes = facts
    arrived, lag, signals, chars, read = tape.columns(start_ns)
    blocks = tape.blocks()
    field = stream.error_field
    return {
        "events": Events(
            arrived_ns=arrived,
            lag_ns=lag,
            signals=signals,
            chars=chars,
            read=read,
            block=None if blocks is None else blocks[: len(arrived)],
        ),
        "frames": tuple([Frame(i, name.decode("utf-8", "replace"), data) for i, name, data in tape.frames()]),
        "document": stream.document,
        "ended": state == "ended",
        "comments": comments,
        "wire_bytes": wire_bytes,
        "error_field": field.decode("utf-8", "replace") if field else None,
        "stamp_kind": stamp_kind,
        "send_stamp": send_stamp if sent >= 0 else None,
        "clock_stepped": clock_stepped,
    }
