"""One HTTP/1.1 request over one connection, from acquiring the connection to the Exchange.

The rule: network and HTTP faults never leave perform() as exceptions; they are part of what was measured. Only
cancellation and errors of the program or its configuration do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

import trio

from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens.errors import ProtocolError, ProxyError, TimedOut, TransportError
from lens.transport.alarm import trio_time
from lens.transport.connect import ConnectionSetup
from lens.transport.endpoint import ANSWER_LIMITS, NO_TIMEOUTS, AnswerLimits, Endpoint, Timeouts
from lens.transport.exchange_builder import ExchangeBuilder
from lens.transport.faults import (
    LEFT_OVER,
    TIMED_OUT,
    StaleConnection,
    classify_error,
    make_body_error,
    make_head_error,
)
from lens.transport.head import REQUEST_TIMEOUT, ResponseHead, decide_by_bytes, interpret_head, parse_head
from lens.transport.pool import Pool, PooledConnection, make_connect_timeout
from lens.transport.proxy import AUTHENTICATION_REQUIRED, MAX_INFORMATIONAL, wants_credentials
from lens.units import NS_PER_MS, NS_PER_S, human_duration
from lens.wire import Exchange, WireRequest

# A body is handed to the kernel (and encrypted) in pieces of this size.
PIECE_BYTES = 262144
# While the kernel takes no more, a response is looked for this often: a server may refuse
# early and wait for the client to notice (RFC 9112, section 9.5).
EARLY_RESPONSE_S = 0.05
# trio's timeouts are rounded up to a millisecond (epoll); the rest is spun.
SPIN_NS = NS_PER_MS

# How long a peer may take for the end of a body whose protocol has ended, before its connection is given up.
DRAIN_NS = 100 * NS_PER_MS
# How long an answer with finish reason and token counts is waited for, if nothing of it comes any more.
LINGER_NS = 5 * NS_PER_S
# The same where no counts have come: they may follow late.
LINGER_UNCOUNTED_NS = 30 * NS_PER_S
# Blank lines before a status line that are passed over; some servers end a body with one more than they say.
MAX_BLANK_LINES = 8
# How often the first bytes of a body are looked for where the loop does not tell of them.
CHECK_NS = 50 * NS_PER_MS
FIRST_FINAL_STATUS, FIRST_ERROR_STATUS = 200, 300
_UNLIMITED_HEAD = 1 << 62
UNASKED = "the answer came before the request was sent"

_BODY_STATES = ("ended", "failed")


class _Deadlines:
    """The time limits of one request, as deadlines on the monotonic clock."""

    def __init__(self, timeouts: Timeouts, start_ns: int) -> None:
        self.timeouts = timeouts
        total = timeouts.total_ns
        self.total_at = start_ns + total if total is not None else None

    def connect_deadline(self, now: int) -> int | None:
        """Return when a connection setup that begins now must be done."""
        limit = self.timeouts.connect_ns
        return _earliest(self.total_at, now + limit if limit is not None else None)

    def next_deadline(self, stream: Stream) -> int | None:
        """Return the deadline by what has come until now; comments and pings are not content and move nothing."""
        ttft, idle = self.timeouts.ttft_ns, self.timeouts.idle_ns
        if ttft is None and idle is None:
            return self.total_at
        # A document has no content events: any byte counts as content.
        content = stream.last_read_ns if stream.is_document else stream.last_content_ns
        if content >= 0:
            return _earliest(self.total_at, content + idle if idle is not None else None)
        sent = stream.send_end_ns
        return _earliest(self.total_at, sent + ttft if ttft is not None and sent >= 0 else None)

    def next_check(self, stream: Stream) -> int | None:
        """Return the first instant at which a deadline may have passed, whatever comes until then."""
        idle = self.timeouts.idle_ns
        return _earliest(self.next_deadline(stream), now_ns() + min(idle or LINGER_NS, LINGER_NS))

    def make_timeout(self, stream: Stream, action: str) -> TimedOut:
        """Return the error that names the limit which was exceeded."""
        limits = self.timeouts
        if limits.total_ns is not None and self.next_deadline(stream) == self.total_at:
            return TimedOut(f"{action}: no end within {human_duration(limits.total_ns)} (--timeout)")
        if (stream.last_read_ns if stream.is_document else stream.last_content_ns) >= 0:
            return TimedOut(f"{action}: no content for {human_duration(limits.idle_ns or 0)} (--idle-timeout)")
        return TimedOut(f"{action}: no content within {human_duration(limits.ttft_ns or 0)} (--ttft-timeout)")


async def perform(
    pool: Pool,
    endpoint: Endpoint,
    request: WireRequest,
    *,
    timeouts: Timeouts = NO_TIMEOUTS,
    limits: AnswerLimits = ANSWER_LIMITS,
    start_ns: int | None = None,
    intended_ns: int | None = None,
    fresh: bool = False,
    keep_all: bool = False,
    before_send_at_ns: int | None = None,
    builder: ExchangeBuilder | None = None,
) -> Exchange:
    """Send the request and read its response to the end; return the Exchange, whether it succeeded or failed.

    `fresh` opens a connection for this request alone. `keep_all` keeps every event whole.
    `before_send_at_ns` delays sending, with the connection open, until that instant. After a call that is cancelled,
    `builder` has what was measured.

    Raises:
        ConfigError: the request cannot be written, or a certificate file cannot be used.
        LoopClosed: the pool's loop has stopped.
    """
    builder = builder if builder is not None else ExchangeBuilder()
    builder.start_ns = start_ns if start_ns is not None else now_ns()
    builder.intended_ns = intended_ns
    deadlines = _Deadlines(timeouts, builder.start_ns)
    try:
        while not await _attempt(
            pool, endpoint, request, builder, deadlines, limits, fresh, keep_all, before_send_at_ns
        ):
            pass
    except MemoryError:
        return builder.build_without_events(f"{request.method} {endpoint.label}: out of memory for the answer")
    except (TransportError, ProtocolError) as error:
        builder.fail(error, classify_error(error, builder.stream))
    try:
        return builder.build()
    except MemoryError:  # costs this request its events, and no other anything
        return builder.build_without_events(f"{request.method} {endpoint.label}: out of memory for the answer's events")


async def _attempt(
    pool: Pool,
    endpoint: Endpoint,
    request: WireRequest,
    builder: ExchangeBuilder,
    deadlines: _Deadlines,
    limits: AnswerLimits,
    fresh: bool,
    keep_all: bool,
    before_send_at_ns: int | None,
) -> bool:
    """Do the exchange on one connection. Return False if an idle one was stale: the next attempt opens a new one."""
    connection = await _acquire_connection(pool, endpoint, builder, deadlines, fresh=fresh or bool(builder.stale))
    sent = False
    try:
        data = pool.heads.render(request, endpoint.authority, endpoint.relay) + request.body
        if before_send_at_ns is not None:
            await _sleep_until(before_send_at_ns)
        stream = connection.stream
        tape = stream.begin(
            keep_all=keep_all,
            max_head_bytes=limits.head or _UNLIMITED_HEAD,
            max_events=limits.events,
            max_kept_bytes=limits.kept,
            max_inflated_bytes=limits.inflated,
            max_inflation=limits.ratio,
            usual_events="" if request.method == "HEAD" else request.framing,
            signals=pool.signal_set(request.signals),
        )
        builder.attach_connection(connection, tape)
        action = f"{request.method} {endpoint.label}"
        _check_unasked(connection, action)
        broken = await _send(connection, data, deadlines, action)
        sent = broken is None
        await _read_response(pool, connection, request, builder, deadlines, limits, broken, action)
    except StaleConnection as stale:
        builder.drop_stale_connection(connection, str(stale))
        return False
    finally:
        builder.release_connection(connection)
        if not fresh and _is_reusable(connection, builder, sent):
            pool.put_idle(connection)
        else:
            pool.discard(connection)
    return True


def _check_unasked(connection: PooledConnection, action: str) -> None:
    """Check that nothing has come over the connection, no end either, before the request is sent."""
    if connection.reused and connection.stream.closed:
        raise StaleConnection
    if connection.stream.surplus:
        raise StaleConnection(LEFT_OVER) if connection.reused else ProtocolError(f"{action}: {UNASKED}")


async def _acquire_connection(
    pool: Pool, endpoint: Endpoint, builder: ExchangeBuilder, deadlines: _Deadlines, *, fresh: bool
) -> PooledConnection:
    """Return an idle connection, or a new one within the time limits."""
    surplus_closed = pool.surplus_closed
    connection = None if fresh else pool.take_idle(endpoint)
    if pool.surplus_closed > surplus_closed:
        builder.warn("an idle connection was closed: bytes came on it after the end of its last answer")
    if connection is not None:
        return connection
    builder.setup = setup = ConnectionSetup()
    began = now_ns()
    deadline = deadlines.connect_deadline(began)
    if deadline is None:
        return await pool.open(endpoint, setup)
    with trio.CancelScope(deadline=trio_time(deadline)):
        return await pool.open(endpoint, setup)
    total = deadline == deadlines.total_at
    limit = deadlines.timeouts.total_ns if total else deadlines.timeouts.connect_ns
    raise make_connect_timeout(endpoint, setup, limit or 0, "--timeout" if total else "--connect-timeout")


async def _send(connection: PooledConnection, data: bytes, deadlines: _Deadlines, action: str) -> OSError | None:
    """Send the request; return the error if the connection broke, for it may still hold a response."""
    stream = connection.stream
    try:
        for plain in _pieces(data):
            piece = connection.encrypt(plain)
            sent = stream.send(piece)
            while sent < len(piece):
                if stream.state != "head":
                    return OSError(errno.EPIPE, UNASKED)
                await _wait_writable(connection, deadlines, action)
                sent += stream.send(piece, sent)
    except OSError as error:
        return error
    return None


def _pieces(data: bytes) -> Iterable[bytes | memoryview]:
    """Return what is sent at once."""
    if len(data) <= PIECE_BYTES:
        return (data,)
    view = memoryview(data)
    return [view[at : at + PIECE_BYTES] for at in range(0, len(view), PIECE_BYTES)]


async def _wait_writable(connection: PooledConnection, deadlines: _Deadlines, action: str) -> None:
    if deadlines.total_at is not None and now_ns() >= deadlines.total_at:
        limit = human_duration(deadlines.timeouts.total_ns or 0)
        raise TimedOut(f"{action}: the request was not sent within {limit} (--timeout)")
    with trio.move_on_after(EARLY_RESPONSE_S):
        await trio.lowlevel.wait_writable(connection.sock)


async def _read_response(
    pool: Pool,
    connection: PooledConnection,
    request: WireRequest,
    builder: ExchangeBuilder,
    deadlines: _Deadlines,
    limits: AnswerLimits,
    broken: OSError | None,
    action: str,
) -> None:
    """Read the response to its end; the core settles a usual head, and wakes this task for any other."""
    stream = connection.stream
    blank_lines = 0
    while await _next_head(pool, stream, builder, deadlines, action):
        data = stream.head.lstrip(b"\r\n")
        if not data and blank_lines < MAX_BLANK_LINES:
            blank_lines += 1
            stream.informational()
            continue
        if not data.startswith(b"HTTP/") and builder.came_unasked():
            raise StaleConnection(LEFT_OVER)
        response = parse_head(data)
        if response.status_code == REQUEST_TIMEOUT and builder.was_timed_out():
            raise StaleConnection(TIMED_OUT)
        if response.status_code == AUTHENTICATION_REQUIRED and (relay := connection.endpoint.relay) is not None:
            raise ProxyError(f"proxy {relay.label}: 407; {wants_credentials(relay)}")
        if response.status_code >= FIRST_FINAL_STATUS:
            head = interpret_head(response, request)  # type: ignore[arg-type]  # an h11.Response from 200 on
            await _begin_body(pool, stream, head, request, builder, deadlines, action)
            continue
        builder.count_informational(stream)
        if builder.informational > MAX_INFORMATIONAL:
            raise ProtocolError(f"{action}: more than {MAX_INFORMATIONAL} informational answers (1xx) and no final one")
        if deadlines.total_at is not None and now_ns() >= deadlines.total_at:
            raise deadlines.make_timeout(stream, action)
        stream.informational()
    builder.take_usual_head(stream)
    if builder.head is None:
        came = stream.first_byte_ns >= 0
        stale = builder.came_unasked() if came else builder.was_unread(stream.end_ns)
        raise make_head_error(stream, limits, stale=stale, broken=broken, action=action)
    if stream.done and stream.state not in _BODY_STATES:
        await _drain(pool, stream, builder.head)
    if stream.state == "failed":
        raise make_body_error(stream, action, limits)
    if builder.head.status < FIRST_ERROR_STATUS and (broken is not None or stream.first_byte_ns < stream.send_start_ns):
        raise ProtocolError(f"{action}: HTTP {builder.head.status}: {UNASKED}")


async def _next_head(pool: Pool, stream: Stream, builder: ExchangeBuilder, deadlines: _Deadlines, action: str) -> bool:
    """Wait for a head that the core leaves to this task; return False when the answer is over instead."""
    # The core wakes no task when content comes, so the deadlines are checked once each idle time.
    while not await pool.loop.wait_until(stream, stream.is_due, deadlines.next_check(stream)) or stream.backlog:
        if stream.backlog:
            stream.inflate_more()
            if deadlines.total_at is not None and now_ns() >= deadlines.total_at:
                raise deadlines.make_timeout(stream, action)
            continue
        limit, now = deadlines.next_deadline(stream), now_ns()
        passed = limit is not None and now >= limit
        silent_ns = now - stream.last_content_ns
        counts_missing = not passed and silent_ns < LINGER_UNCOUNTED_NS
        if (passed or silent_ns >= LINGER_NS) and builder.has_finished(counted=counts_missing):
            builder.stop_waiting()
            return False
        if passed:
            raise deadlines.make_timeout(stream, action)
    return stream.state == "parked"


async def _begin_body(
    pool: Pool,
    stream: Stream,
    head: ResponseHead,
    request: WireRequest,
    builder: ExchangeBuilder,
    deadlines: _Deadlines,
    action: str,
) -> None:
    """Let the core cut the body as the final head says, and its first bytes where the head is not certain."""
    builder.head = head
    if not head.certain and head.body != "none":
        builder.head = head = decide_by_bytes(head, await _first_bytes(pool, stream, head, deadlines, action), request)
    stream.begin_body(head.body, head.length, head.events, pool.signal_set(request.signals), head.encoding)


async def _first_bytes(pool: Pool, stream: Stream, head: ResponseHead, deadlines: _Deadlines, action: str) -> bytes:
    """Return the first bytes of the body, in its transfer coding; they stay held, with their stamps."""

    def have_come() -> bool:
        held = stream.held
        # Of a chunk, its size line says nothing yet.
        return stream.closed or len(held) > (held.find(b"\n") + 1 if head.body == "chunked" else 0)

    if head.body == "length" and head.length == 0:
        return b""
    while not await pool.loop.wait_until(
        stream, have_come, _earliest(deadlines.next_deadline(stream), now_ns() + CHECK_NS)
    ):
        limit = deadlines.next_deadline(stream)
        if limit is not None and now_ns() >= limit:
            raise deadlines.make_timeout(stream, action)
    return stream.held


async def _drain(pool: Pool, stream: Stream, head: ResponseHead) -> None:
    """Wait a little for the end of a body whose protocol has ended, so that its connection can be used again."""
    if head.keep_alive:
        await pool.loop.wait(stream, _BODY_STATES, now_ns() + DRAIN_NS)


def _is_reusable(connection: PooledConnection, builder: ExchangeBuilder, sent: bool) -> bool:
    """Return whether the connection can carry another request."""
    head = builder.head
    if head is None or not head.keep_alive:
        return False
    # An answer of no bytes is none: what it should have been may still come.
    has_body = head.status >= FIRST_ERROR_STATUS or head.body != "length" or head.length > 0
    return sent and has_body and connection.stream.ended and connection.is_usable


async def _sleep_until(at_ns: int) -> None:
    remaining_ns = at_ns - now_ns()
    if remaining_ns > SPIN_NS:
        await trio.sleep((remaining_ns - SPIN_NS) / NS_PER_S)
    while now_ns() < at_ns:
        pass


def _earliest(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
