"""The monitor's own pages, /metrics and /healthz, over HTTP/1.1; by default for this machine alone.

Small on purpose: GET and HEAD, bounded in size, time and number, nothing of a request but its path is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import h11
import trio

from lens.errors import ConfigError
from lens.units import parse_count

MOST_BYTES = 8192  # of a request's head
IDLE_S = 30.0
MOST_CONNECTIONS = 64


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: bytes


Pages = dict[str, Callable[[], Page]]
NOT_FOUND = Page(404, "text/plain; charset=utf-8", b"there are /metrics and /healthz\n")
NOT_ALLOWED = Page(405, "text/plain; charset=utf-8", b"only GET and HEAD\n")


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


async def open_listeners(listen: str) -> list[trio.SocketListener]:
    """
    Raises:
        ConfigError: the address cannot be listened on.
    """
    host, port = parse_listen(listen)
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ConfigError(f"--listen {listen}: {(error.strerror or str(error)).lower()}; take another port") from None


async def serve(listeners: list[trio.SocketListener], pages: Pages) -> None:
    """Until cancelled."""
    room = trio.CapacityLimiter(MOST_CONNECTIONS)
    await trio.serve_listeners(partial(_connection, pages, room), listeners)


async def _connection(pages: Pages, room: trio.CapacityLimiter, stream: trio.SocketStream) -> None:
    """One client; whatever it does ends only itself."""
    async with room:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_BYTES)
        try:
            while True:
                with trio.fail_after(IDLE_S):
                    await _exchange(http, pages, stream)
                if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                    break
                http.start_next_cycle()
        except (h11.RemoteProtocolError, h11.LocalProtocolError, trio.BrokenResourceError, trio.TooSlowError, OSError):
            return
        finally:
            with trio.move_on_after(1, shield=True):
                await stream.aclose()


async def _exchange(http: h11.Connection, pages: Pages, stream: trio.SocketStream) -> None:
    asked: h11.Request | None = None
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(MOST_BYTES))
        elif isinstance(event, h11.Request):
            asked = event
        elif isinstance(event, h11.EndOfMessage) and asked is not None:
            break
        elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed")
    page = _page(asked, pages)
    headers = [
        ("Content-Type", page.content_type),
        ("Content-Length", str(len(page.body))),
        ("Cache-Control", "no-store"),
    ]
    data = http.send(h11.Response(status_code=page.status, headers=headers)) or b""
    if asked.method != b"HEAD":
        data += http.send(h11.Data(data=page.body)) or b""
    data += http.send(h11.EndOfMessage()) or b""
    await stream.send_all(data)


def _page(asked: h11.Request, pages: Pages) -> Page:
    if asked.method not in (b"GET", b"HEAD"):
        return NOT_ALLOWED
    made = pages.get(asked.target.partition(b"?")[0].decode("ascii", "replace"))
    return made() if made is not None else NOT_FOUND
