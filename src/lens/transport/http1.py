"""One request over one connection, from the lease to the Exchange.

The rule: network and HTTP faults never leave perform() as exceptions; they are part of what was
measured. Only cancellation and mistakes of the program or its configuration do.
"""

from __future__ import annotations

import errno

import trio

from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens.errors import ProtocolError, TimedOut, TransportError
from lens.transport.dial import DialLog
from lens.transport.endpoint import NO_TIMEOUTS, Endpoint, Timeouts
from lens.transport.faults import DeadLink, kind_of, why_body_failed, why_no_head
from lens.transport.head import parse_head, understand
from lens.transport.loop import trio_time
from lens.transport.pool import Link, Pool, connect_timed_out
from lens.transport.progress import Progress
from lens.units import NS_PER_MS, NS_PER_S, human_duration
from lens.wire import Exchange, WireRequest

# A body is handed to the kernel (and encrypted) in pieces of this size.
PIECE_BYTES = 262144
# While the kernel takes no more, the answer is looked for this often: a server may refuse
# early and wait for us to notice (RFC 9112, section 9.5).
EARLY_ANSWER_S = 0.05
# trio's timeouts are rounded up to a millisecond (epoll); the rest is spun.
SPIN_NS = NS_PER_MS

_HEAD_OVER = ("parked", "ended", "failed")
_BODY_OVER = ("ended", "failed")


class _Watch:
    """The limits of one request, as the next instant at which one would be passed."""

    def __init__(self, timeouts: Timeouts, start_ns: int) -> None:
        self.timeouts = timeouts
        total = timeouts.total_ns
        self.total_at = start_ns + total if total is not None else None
        self.document = False  # it has no content events: any byte counts as content

    def until_connected(self, now: int) -> int | None:
        limit = self.timeouts.connect_ns
        return _earlier(self.total_at, now + limit if limit is not None else None)

    def next(self, stream: Stream) -> int | None:
        """From what has come until now; comments and pings are not content and move nothing."""
        content = stream.last_read_ns if self.document else stream.last_content_ns
        ttft, idle = self.timeouts.ttft_ns, self.timeouts.idle_ns
        if content >= 0:
            return _earlier(self.total_at, content + idle if idle is not None else None)
        sent = stream.send_end_ns
        return _earlier(self.total_at, sent + ttft if ttft is not None and sent >= 0 else None)

    def look_again(self, stream: Stream) -> int | None:
        """When the next limit may have been passed, whatever comes until then."""
        idle = self.timeouts.idle_ns
        return _earlier(self.next(stream), now_ns() + idle if idle is not None else None)

    def passed(self, stream: Stream, doing: str) -> TimedOut:
        """The error that names the limit which was passed."""
        limits = self.timeouts
        if limits.total_ns is not None and self.next(stream) == self.total_at:
            return TimedOut(f"{doing}: no end within {human_duration(limits.total_ns)} (--timeout)")
        if (stream.last_read_ns if self.document else stream.last_content_ns) >= 0:
            return TimedOut(f"{doing}: no content for {human_duration(limits.idle_ns or 0)} (--idle-timeout)")
        return TimedOut(f"{doing}: no content within {human_duration(limits.ttft_ns or 0)} (--ttft-timeout)")


async def perform(
    pool: Pool,
    endpoint: Endpoint,
    request: WireRequest,
    *,
    timeouts: Timeouts = NO_TIMEOUTS,
    start_ns: int | None = None,
    intended_ns: int | None = None,
    fresh: bool = False,
    keep_all: bool = False,
    before_send_at_ns: int | None = None,
    progress: Progress | None = None,
) -> Exchange:
    """Send the request and read its answer to the end; the Exchange tells what happened, good or bad.

    `fresh` opens a connection for this request alone. `keep_all` keeps every event whole.
    `before_send_at_ns` holds the request back, connection in hand, until that instant. Of a call
    that is cancelled, `progress` knows what had been measured.

    Raises:
        ConfigError: the request cannot be written, or a certificate file cannot be used.
        LoopClosed: the pool's loop has stopped.
    """
    progress = progress if progress is not None else Progress()
    progress.start_ns = start_ns if start_ns is not None else now_ns()
    progress.intended_ns = intended_ns
    watch = _Watch(timeouts, progress.start_ns)
    try:
        while not await _try_once(pool, endpoint, request, progress, watch, fresh, keep_all, before_send_at_ns):
            pass
    except (TransportError, ProtocolError) as error:
        progress.fail(error, kind_of(error, progress.stream))
    return progress.exchange()


async def _try_once(
    pool: Pool,
    endpoint: Endpoint,
    request: WireRequest,
    progress: Progress,
    watch: _Watch,
    fresh: bool,
    keep_all: bool,
    before_send_at_ns: int | None,
) -> bool:
    """The exchange on one connection. False when an idle connection was dead: the next try dials."""
    pool.loop.glance()
    link = await _lease(pool, endpoint, progress, watch, fresh=fresh or bool(progress.lost))
    sent = False
    try:
        data = pool.heads.render(request, endpoint.authority) + request.body
        if before_send_at_ns is not None:
            await _sleep_until(before_send_at_ns)
        stream = link.stream
        progress.carried_by(link, stream.begin(keep_all=keep_all))
        doing = f"{request.method} {endpoint.label}"
        broken = await _send(link, data, watch, doing)
        sent = broken is None
        await _read_head(pool, link, request, progress, watch, broken, doing)
        await _read_body(pool, stream, watch, doing)
    except DeadLink:
        progress.lost_connection(link)
        return False
    finally:
        pool.loop.glance()
        progress.let_go(link)
        if not fresh and _may_stay(link, progress, sent):
            pool.give_back(link)
        else:
            pool.discard(link)
    return True


async def _lease(pool: Pool, endpoint: Endpoint, progress: Progress, watch: _Watch, *, fresh: bool) -> Link:
    """An idle connection, or a new one within the limits."""
    link = None if fresh else pool.take_idle(endpoint)
    if link is not None:
        return link
    progress.log = log = DialLog()
    began = now_ns()
    deadline = watch.until_connected(began)
    if deadline is None:
        return await pool.open(endpoint, log)
    with trio.CancelScope(deadline=trio_time(deadline)):
        return await pool.open(endpoint, log)
    total = deadline == watch.total_at
    limit = watch.timeouts.total_ns if total else watch.timeouts.connect_ns
    raise connect_timed_out(endpoint, log, limit or 0, "--timeout" if total else "--connect-timeout")


async def _send(link: Link, data: bytes, watch: _Watch, doing: str) -> OSError | None:
    """Hand the request to the kernel. A connection that breaks meanwhile may still hold an answer,
    so the error is returned and the answer looked for first."""
    stream, view = link.stream, memoryview(data)
    try:
        for at in range(0, len(view), PIECE_BYTES):
            piece = link.encrypted(view[at : at + PIECE_BYTES])
            sent = stream.send(piece)
            while sent < len(piece):
                if stream.state != "head":
                    return OSError(errno.EPIPE, "the answer came before the request was sent")
                await _writable(link, watch, doing)
                sent += stream.send(piece, sent)
    except OSError as error:
        return error
    return None


async def _writable(link: Link, watch: _Watch, doing: str) -> None:
    if watch.total_at is not None and now_ns() >= watch.total_at:
        limit = human_duration(watch.timeouts.total_ns or 0)
        raise TimedOut(f"{doing}: the request was not sent within {limit} (--timeout)")
    with trio.move_on_after(EARLY_ANSWER_S):
        await trio.lowlevel.wait_writable(link.sock)


async def _read_head(
    pool: Pool,
    link: Link,
    request: WireRequest,
    progress: Progress,
    watch: _Watch,
    broken: OSError | None,
    doing: str,
) -> None:
    """The final head; those of 1xx before it are stamped and passed over."""
    stream = link.stream
    while True:
        if not await pool.loop.wait(stream, _HEAD_OVER, watch.next(stream)):
            raise watch.passed(stream, doing)
        if stream.state != "parked":
            raise why_no_head(stream, reused=link.reused, broken=broken, doing=doing)
        pool.loop.glance()
        response = parse_head(stream.head)
        if response.status_code >= 200:
            break
        if progress.informational_ns is None:
            progress.informational_ns = stream.first_byte_ns
        stream.informational()
    progress.head = head = understand(response, request)  # type: ignore[arg-type]  # an h11.Response from 200 on
    watch.document = head.events == "document"
    stream.begin_body(head.body, head.length, head.events, pool.signal_set(request.signals), head.encoding)


async def _read_body(pool: Pool, stream: Stream, watch: _Watch, doing: str) -> None:
    # The core wakes nobody when content comes, so the limits are looked at again each idle time.
    while not await pool.loop.wait(stream, _BODY_OVER, watch.look_again(stream)):
        limit = watch.next(stream)
        if limit is None or now_ns() < limit:
            continue  # content came in time
        if stream.done:
            return  # the protocol's own end has come; only that of the framing is missing
        raise watch.passed(stream, doing)
    if stream.state == "failed":
        raise why_body_failed(stream, doing)


def _may_stay(link: Link, progress: Progress, sent: bool) -> bool:
    """The connection can serve another request."""
    head = progress.head
    return sent and head is not None and head.keep_alive and link.stream.ended and link.usable


async def _sleep_until(at_ns: int) -> None:
    remaining_ns = at_ns - now_ns()
    if remaining_ns > SPIN_NS:
        await trio.sleep((remaining_ns - SPIN_NS) / NS_PER_S)
    while now_ns() < at_ns:
        pass


def _earlier(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
