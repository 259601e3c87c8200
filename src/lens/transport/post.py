"""A plain HTTP client for what is not measured: pushes of results, webhooks, tokens.

One request, one connection, no core and no stamps; it is built on the same endpoint, dial and
TLS as the measuring path, so that route and certificate options mean the same here.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import h11
import trio

from lens.errors import ConfigError, PeerClosed, ProtocolError, TimedOut, TransportError
from lens.transport import sockets
from lens.transport.connect import ConnectionSetup, open_connection
from lens.transport.endpoint import Endpoint, parse_endpoint
from lens.transport.head import USER_AGENT
from lens.transport.tls import TlsConnection

# What answers to a push, or a token, may need at most; more is not read.
ANSWER_MOST_BYTES = 16 * 1024 * 1024


class Answer(NamedTuple):
    """What came back; whether the status is good is the caller's to say."""

    status: int
    body: bytes


async def post(
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    *,
    method: str = "POST",
    endpoint: Endpoint | None = None,
) -> Answer:
    """Send the body to the URL and read the whole answer. Redirects are not followed.

    `endpoint` gives the route (proxy, certificates) where it is not the plain one.

    Raises:
        ConfigError: URL or headers cannot be.
        TransportError, ProtocolError: no complete answer; TimedOut after `timeout_s`.
    """
    endpoint = endpoint or parse_endpoint(url)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    doing = f"{method} {endpoint.label}"
    asked = _request(method, target, endpoint, headers or {}, body)
    setup = ConnectionSetup()
    with trio.move_on_after(timeout_s):
        sock = await open_connection(endpoint, setup)
        try:
            return await _ask(sock, setup.tls, asked, body, doing)
        except OSError as error:
            raise TransportError(f"{doing}: {(error.strerror or 'the connection broke').lower()}") from None
        except h11.RemoteProtocolError as error:
            words = str(error).partition(":")[0]
            if "ConnectionClosed" in words:  # h11's own words for an end where an answer may begin
                raise PeerClosed(f"{doing}: the peer closed the connection without an answer") from None
            kind: type[PeerClosed | ProtocolError] = PeerClosed if "without sending" in words else ProtocolError
            raise kind(f"{doing}: {words}") from None
        finally:
            sockets.close(sock)
    raise TimedOut(f"{doing}: no answer within {timeout_s:g} s; it was {setup.phase}")


def _request(method: str, target: str, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> h11.Request:
    rows = [("host", endpoint.authority), ("user-agent", USER_AGENT.decode()), ("connection", "close")]
    if body or method not in ("GET", "HEAD"):
        rows.append(("content-length", str(len(body))))
    rows += headers.items()
    try:
        return h11.Request(method=method, target=target, headers=rows)
    except (h11.LocalProtocolError, UnicodeEncodeError):
        # h11 shows the value, and the value may be a token.
        names = ", ".join(headers) or "none"
        raise ConfigError(f"{method} {endpoint.label}: path or headers ({names}) cannot go on the wire") from None


async def _ask(
    sock: socket.socket, secured: TlsConnection | None, asked: h11.Request, body: bytes, doing: str
) -> Answer:
    link = h11.Connection(h11.CLIENT)
    data = link.send(asked) or b""
    data += (link.send(h11.Data(data=body)) or b"") if body else b""
    data += link.send(h11.EndOfMessage()) or b""
    await sockets.send_all(sock, secured.encrypt(data) if secured else data)
    if secured and secured.leftover:
        secured.incoming.write(secured.leftover)
    status, received, total = 0, [], 0
    while True:
        event = link.next_event()
        if event is h11.NEED_DATA:
            link.receive_data(await _receive(sock, secured))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            received.append(bytes(event.data))
            total += len(event.data)
            if total > ANSWER_MOST_BYTES:
                raise ProtocolError(f"{doing}: the answer is longer than {ANSWER_MOST_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, b"".join(received))


async def _receive(sock: socket.socket, secured: TlsConnection | None) -> bytes:
    """Plain bytes; b"" at the end, however the peer ended it."""
    if secured is None:
        return await sockets.receive(sock)
    return await secured.receive(sock)
