"""What a failed stream means: from the core's words to one of our errors, and its short kind.

The kinds are what Failure.type holds; programs may group by them, so they do not change.
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
from lens.transport.tls import in_words

_KINDS: tuple[tuple[type[LensError], str], ...] = (
    (TimedOut, "timeout"),
    (ResolveError, "dns"),
    (ConnectError, "connect"),
    (ProxyError, "proxy"),
    (TlsError, "tls"),
    (PeerClosed, "incomplete_body"),
)
_CUT_SHORT = ("incomplete body", "incomplete event", "reset by the peer")


class DeadLink(Exception):
    """A reused connection had been closed before any byte of an answer; the request may be sent again."""


def why_no_head(stream: Stream, *, reused: bool, broken: OSError | None, doing: str) -> LensError | DeadLink:
    """No head came. `broken` is what sending said, where it failed."""
    error = stream.error or "no answer"
    if (reason := _tls_reason(error)) is not None:
        return TlsError(f"{doing}: TLS failed: {in_words(reason)}")
    if stream.first_byte_ns < 0:
        if reused:
            return DeadLink()
        how = "reset" if _reset(stream, broken) else "closed"
        return TransportError(f"{doing}: the peer {how} the connection without an answer")
    if stream.partial_head and not stream.partial_head.startswith(b"HTTP/"[: len(stream.partial_head)]):
        return ProtocolError(f"{doing}: the answer is not HTTP/1.1")
    if stream.closed:
        return TransportError(f"{doing}: the peer closed the connection inside the response head")
    return ProtocolError(f"{doing}: {error}")


def why_body_failed(stream: Stream, doing: str) -> LensError:
    """The head was good; the body was not."""
    error = stream.error or "the body broke off"
    if error in _CUT_SHORT:
        how = "reset" if stream.errno == errno.ECONNRESET else "closed"
        return PeerClosed(f"{doing}: the peer {how} the connection inside the body")
    if (reason := _tls_reason(error)) is not None:
        if "_ALERT_" in reason:  # it is the peer who gave up, and says so
            return PeerClosed(f"{doing}: the peer ended the connection inside the body: {in_words(reason)}")
        return ProtocolError(f"{doing}: TLS failed: {in_words(reason)}")
    return ProtocolError(f"{doing}: {error}")


def kind_of(error: LensError, stream: Stream | None) -> str:
    """The short name of what went wrong."""
    if isinstance(error, ProtocolError):
        return "bad_chunk" if stream is not None and "chunk" in (stream.error or "") else "protocol"
    if not isinstance(error, TimedOut | TlsError) and stream is not None and stream.errno == errno.ECONNRESET:
        return "connection_reset"
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return name
    return "incomplete_head" if stream is not None and stream.first_byte_ns >= 0 else "no_answer"


def _tls_reason(error: str) -> str | None:
    """What OpenSSL calls it, where it was TLS that failed."""
    failed, _, reason = error.partition(": ")
    return reason if failed == "TLS failed" else None


def _reset(stream: Stream, broken: OSError | None) -> bool:
    return stream.errno == errno.ECONNRESET or (broken is not None and broken.errno == errno.ECONNRESET)
