"""Pages over HTTP/1.1 for people and scrapers: those of the monitor and of `lll ui`; by default for this machine alone.

Small on purpose: a request is bounded in size, time and number, and only its line and three headers are used.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import aclosing, contextmanager
from hmac import compare_digest
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qs

import h11
import trio

from lens.errors import ConfigError
from lens.units import parse_count

MOST_BYTES = 8192  # of a request's head
MOST_REQUEST_BYTES = 8 * MOST_BYTES  # with a body, which nobody needs
HEAD_S = 5.0  # until the first request of a connection is complete
IDLE_S = 30.0  # until the next one is, and for sending an answer
MOST_CONNECTIONS = 64
MOST_FIELDS = 200  # of a query
DESCRIPTORS_SHARE = 4  # and no more than this part of the descriptors that a process may have
PATIENCE_S = 0.1
# Of an address that is not one of this machine, or of a family that it does not speak.
_NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]  # of HEADERS, by their names in small letters

    def first(self, name: str, otherwise: str = "") -> str:
        """Return the first value of a parameter."""
        return self.query.get(name, [otherwise])[0]


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class EventStream(NamedTuple):
    """An answer that goes on: Server-Sent Events, as the client reads them, until it leaves or they end."""

    events: AsyncGenerator[bytes, None]
    headers: tuple[tuple[str, str], ...] = ()


HEADERS = ("host", "origin", "authorization")
Handler = Callable[[Asked], Awaitable[Page | EventStream]]
Pages = dict[str, Callable[[], Page]]
NOT_FOUND = Page(404, "text/plain; charset=utf-8", b"there are /metrics and /healthz\n")
BROKEN = Page(500, "text/plain; charset=utf-8", b"")
UNKNOWN = Page(
    401,
    "text/plain; charset=utf-8",
    b"send the token: Authorization: Bearer TOKEN\n",
    (("WWW-Authenticate", "Bearer"),),
)
NOT_ALLOWED = Page(405, "text/plain; charset=utf-8", b"only GET and HEAD\n")


def handler_of(pages: Pages, *, token: str | None = None, without: Collection[str] = ()) -> Handler:
    """Return what answers with the page of a path.

    token: who asks shows it ("Authorization: Bearer TOKEN"), but for the paths in `without`.
    """

    async def answer(asked: Asked) -> Page:
        if asked.method not in ("GET", "HEAD"):
            return NOT_ALLOWED
        if token is not None and asked.path not in without and not _shows(asked, token):
            return UNKNOWN
        made = pages.get(asked.path)
        return made() if made is not None else NOT_FOUND

    return answer


def _shows(asked: Asked, token: str) -> bool:
    kind, _, shown = asked.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and compare_digest(shown.strip().encode(), token.encode())


def parse_listen(text: str) -> tuple[str, int]:
    """ "127.0.0.1:9464", ":9464" (every address), "[::1]:9464" or a port alone (this machine).

    Raises:
        ConfigError: it is none.
    """
    host, colon, number = text.rpartition(":")
    port = parse_count(number)
    if port is None or port > 65535:
        raise ConfigError(f"--listen {text!r}: write an address and a port, like 127.0.0.1:9464")
    everywhere = "0.0.0.0"  # noqa: S104  only where somebody writes ":9464"
    return (host.strip("[]") or everywhere if colon else "127.0.0.1"), port


def is_this_machine(host: str) -> bool:
    """Return whether an address can only be reached from this machine."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


async def open_listeners(listen: str) -> list[trio.SocketListener]:
    """
    Raises:
        ConfigError: the address cannot be listened on.
    """
    host, port = parse_listen(listen)
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ConfigError(f"--listen {listen}: {why_not_listening(error, host)}") from None


def why_not_listening(error: OSError, host: str) -> str:
    """Return why an address cannot be listened on, and what to change: the port, or the address."""
    why = (error.strerror or str(error)).partition(" (while ")[0].lower()
    if isinstance(error, socket.gaierror) or error.errno in _NO_ADDRESS:
        return f"{host} is no address of this machine ({why}); 127.0.0.1 is one, and 0.0.0.0 stands for all"
    if error.errno == errno.EACCES:
        return f"{why}; take a port from 1024 on"
    return f"{why}; take another port"


def url_of(address: tuple[str, int]) -> str:
    """Return the URL of a listening socket's address, an IPv6 one in brackets: http://[::1]:9464."""
    host, port = address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(listeners: list[trio.SocketListener], answer: Handler) -> None:
    """Serve what the handler answers until cancelled."""
    async with trio.open_nursery() as nursery:
        door = _Door(most_connections())
        for listener in listeners:
            nursery.start_soon(_accept_all, listener, answer, door, nursery)


def most_connections() -> int:
    """Return how many connections are open at most: probes need descriptors too."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_CONNECTIONS
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if allowed < 0 else max(min(MOST_CONNECTIONS, allowed // DESCRIPTORS_SHARE), 1)


class _Door:
    """Lets in so many connections. A new one takes the place of the one that has been silent for longest."""

    def __init__(self, most: int) -> None:
        self._places = trio.Semaphore(most)
        self._silent: dict[int, trio.CancelScope] = {}  # the longest first

    async def wait_for_place(self) -> None:
        """Return when there is a place."""
        while True:
            try:
                return self._places.acquire_nowait()
            except trio.WouldBlock:
                pass
            if self._silent:
                self._silent.pop(next(iter(self._silent))).cancel()
            with trio.move_on_after(PATIENCE_S):
                return await self._places.acquire()

    def leave(self) -> None:
        """Give the place to another connection."""
        self._places.release()

    @contextmanager
    def silence(self, stream: trio.SocketStream, seconds: float) -> Iterator[None]:
        """Wait for a client within the block.

        Raises:
            trio.TooSlowError: nothing came within this time, or others wait for the place.
        """
        with trio.move_on_after(seconds) as scope:
            self._silent[id(stream)] = scope
            try:
                yield
            finally:
                self._silent.pop(id(stream), None)
        if scope.cancelled_caught:
            raise trio.TooSlowError


async def _accept_all(listener: trio.SocketListener, answer: Handler, door: _Door, nursery: trio.Nursery) -> None:
    """Accept connections, each once there is a place for it."""
    async with listener:
        while True:
            await door.wait_for_place()
            try:
                stream = await listener.accept()
            except BaseException as error:
                door.leave()
                if not isinstance(error, OSError):
                    raise
                await trio.sleep(PATIENCE_S)  # no descriptor is left, or the client has gone
            else:
                nursery.start_soon(_connection, answer, door, stream)


async def _connection(answer: Handler, door: _Door, stream: trio.SocketStream) -> None:
    """Serve one client; whatever it does ends only itself."""
    try:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_BYTES)
        seconds = HEAD_S
        while True:
            with door.silence(stream, seconds):
                asked = await _request(http, stream)
            await _send(http, asked, await _made(asked, answer), stream)
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                break
            http.start_next_cycle()
            seconds = IDLE_S
    except (h11.RemoteProtocolError, h11.LocalProtocolError, trio.BrokenResourceError, trio.TooSlowError, OSError):
        return
    finally:
        with trio.move_on_after(1, shield=True):
            await stream.aclose()
        door.leave()


async def _request(http: h11.Connection, stream: trio.SocketStream) -> h11.Request:
    asked: h11.Request | None = None
    read = 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(MOST_BYTES)
            read += len(data)
            if read > MOST_REQUEST_BYTES:
                raise h11.RemoteProtocolError("a body that is too long")
            http.receive_data(data)
        elif isinstance(event, h11.Request):
            asked = event
        elif isinstance(event, h11.EndOfMessage) and asked is not None:
            return asked
        elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed")


async def _made(asked: h11.Request, answer: Handler) -> Page | EventStream:
    """Return the answer; one that cannot be made must not end the server."""
    path, _, query = asked.target.decode("ascii", "replace").partition("?")
    headers = {name.decode(): value.decode("latin-1") for name, value in asked.headers if name.decode() in HEADERS}
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        return await answer(Asked(asked.method.decode(), path, fields, headers))
    except Exception as error:
        return BROKEN._replace(body=f"this page cannot be made: {type(error).__name__}\n".encode())


async def _send(
    http: h11.Connection, asked: h11.Request, answer: Page | EventStream, stream: trio.SocketStream
) -> None:
    headers = [("Cache-Control", "no-store"), *answer.headers]
    if isinstance(answer, EventStream):
        head = h11.Response(status_code=200, headers=[("Content-Type", "text/event-stream"), *headers])
        async with aclosing(answer.events) as events:
            await _within(stream, http.send(head))
            async for data in events:
                await _within(stream, http.send(h11.Data(data=data)))
    else:
        length = ("Content-Length", str(len(answer.body)))
        kind = ("Content-Type", answer.content_type)
        data = http.send(h11.Response(status_code=answer.status, headers=[kind, length, *headers])) or b""
        if asked.method != b"HEAD":
            data += http.send(h11.Data(data=answer.body)) or b""
        await _within(stream, data)
    await _within(stream, http.send(h11.EndOfMessage()))


async def _within(stream: trio.SocketStream, data: bytes | None) -> None:
    """Send something.

    Raises:
        trio.TooSlowError: the client does not take it.
    """
    with trio.fail_after(IDLE_S):
        await stream.send_all(data or b"")
