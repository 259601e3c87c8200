"""What a failed stream means: from the core's error to a LensError, and to the type that Failure.type holds.

Programs may group by these types, so they do not change.
"""

from __future__ import annotations

import errno

from lens._core.stream import Stream
from lens.errors import (
    ConnectError,
    LensError,
    PeerClosed,
    ProtocolError,
    ProxyError,
    ResolveError,
    TimedOut,
    TlsError,
    TransportError,
)
from lens.transport.endpoint import ANSWER_LIMITS, AnswerLimits
from lens.transport.tls import describe_reason
from lens.units import NS_PER_MS, NS_PER_S

_TYPES: tuple[tuple[type[LensError], str], ...] = (
    (TimedOut, "timeout"),
    (ResolveError, "dns"),
    (ConnectError, "connect"),
    (ProxyError, "proxy"),
    (TlsError, "tls"),
    (PeerClosed, "incomplete_body"),
)
# What the core calls a body whose end is missing, and what that means to a reader.
_TRUNCATED = {
    "incomplete body": "",
    "incomplete event": "",
    "reset by the peer": "",
    "closed without close_notify": ", and TLS had not said that it was over (no close_notify)",
    "incomplete compressed data": ", before the end of the compressed data",
}


class StaleConnection(Exception):
    """A reused connection had no response for the request, which may be sent again: closed, or full of other bytes."""

    def __init__(self, reason: str = "the idle connection had been closed by the peer") -> None:
        super().__init__(reason)


LEFT_OVER = "the idle connection held bytes that an earlier answer had left behind"
TIMED_OUT = "the peer had ended the idle connection with HTTP 408"
# What the core says of an answer that is over a limit: the limit, and what is counted.
_LIMITS = {
    "too many events": ("events", "events"),
    "too many kept bytes": ("kept", "bytes of events to keep"),
    "too many decompressed bytes": ("inflated", "bytes when decompressed"),
    "compressed too densely": ("ratio", "bytes of body for each compressed byte"),
    "head too long": ("head", "bytes of head"),
}
# A server that gives up a request which it has read has waited for longer than this.
GIVING_UP_NS = NS_PER_S
# How long after a request came a process that was closing an idle connection may take to do so.
CLOSING_NS = 5 * NS_PER_MS


def was_unread(stream: Stream, end_ns: int, round_trip_ns: int, *, acked: bool | None) -> bool:
    """Return whether the peer's end, seen at `end_ns`, was under way when the request was, which may go again.

    It was seen before the sending, or within about one round trip of it and what a process takes to close; or the
    peer's kernel never acknowledged a byte (acked is False; None: not known). A server that works first has read it.
    """
    sent = stream.send_end_ns
    if sent < 0 or end_ns <= stream.send_start_ns:
        return True
    return acked is False or end_ns - sent <= max(round_trip_ns * 3 // 2, CLOSING_NS)


def ends_idle_time(stream: Stream) -> bool:
    """Return whether a 408 that has come is no answer: the peer timed out the idle connection, not the request.

    RFC 9110, section 15.5.9: a request in transit may be repeated over a new connection.
    """
    return stream.send_end_ns < 0 or stream.first_byte_ns - stream.send_end_ns < GIVING_UP_NS


def make_head_error(
    stream: Stream, limits: AnswerLimits, *, stale: bool, broken: OSError | None, action: str
) -> LensError | StaleConnection:
    """Return the error of a request that got no response head.

    stale: the connection was reused, and its end or its bytes were under way before the request can have been read:
    it may be sent again.
    broken: the error of sending, if that failed.
    """
    error = stream.error or "no answer"
    if (reason := _tls_reason(error)) is not None:
        return TlsError(f"{action}: TLS failed: {describe_reason(reason)}")
    if stream.first_byte_ns < 0:
        if stale:
            return StaleConnection()
        how = "reset" if _was_reset(stream, broken) else "closed"
        return TransportError(f"{action}: the peer {how} the connection without an answer")
    head = stream.partial_head.lstrip(b"\r\n")
    if head and not head.startswith(b"HTTP/"[: len(head)]):
        if stale:
            return StaleConnection(LEFT_OVER)
        return ProtocolError(f"{action}: the answer is not HTTP/1.1")
    if stream.closed:
        return TransportError(f"{action}: the peer closed the connection inside the response head")
    return ProtocolError(f"{action}: {_describe_limit(error, limits)}")


def _describe_limit(error: str, limits: AnswerLimits) -> str:
    """Return the core's error, with the limit and its option where it is one."""
    if error not in _LIMITS:
        return error
    name, what = _LIMITS[error]
    return f"{error}: more than {getattr(limits, name)} {what} (--answer-limit {name}=N)"


def make_body_error(stream: Stream, action: str, limits: AnswerLimits = ANSWER_LIMITS) -> LensError:
    """Return the error of a response whose body failed."""
    error = stream.error or "the body broke off"
    if error in _TRUNCATED:
        if not stream.closed:
            return PeerClosed(f"{action}: the peer ended the body{_TRUNCATED[error]}")
        how = "reset" if stream.errno == errno.ECONNRESET else "closed"
        return PeerClosed(f"{action}: the peer {how} the connection inside the body{_TRUNCATED[error]}")
    if (reason := _tls_reason(error)) is not None:
        if "_ALERT_" in reason:  # it is the peer who gave up, and says so
            return PeerClosed(f"{action}: the peer ended the connection inside the body: {describe_reason(reason)}")
        return ProtocolError(f"{action}: TLS failed: {describe_reason(reason)}")
    return ProtocolError(f"{action}: {_describe_limit(error, limits)}")


def classify_error(error: LensError, stream: Stream | None) -> str:
    """Return the type of an error, as Failure.type holds it."""
    if isinstance(error, ProtocolError):
        return "bad_chunk" if stream is not None and "chunk" in (stream.error or "") else "protocol"
    if not isinstance(error, TimedOut | TlsError) and stream is not None and stream.errno == errno.ECONNRESET:
        return "connection_reset"
    for kind, name in _TYPES:
        if isinstance(error, kind):
            return name
    return "incomplete_head" if stream is not None and stream.first_byte_ns >= 0 else "no_answer"


def _tls_reason(error: str) -> str | None:
    """Return OpenSSL's reason; None if it was not TLS that failed."""
    failed, _, reason = error.partition(": ")
    return reason if failed == "TLS failed" else None


def _was_reset(stream: Stream, broken: OSError | None) -> bool:
    return stream.errno == errno.ECONNRESET or (broken is not None and broken.errno == errno.ECONNRESET)
