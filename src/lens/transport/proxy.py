"""A tunnel through an HTTP proxy: one CONNECT, and then the socket is the target's.

Plain http:// targets go through CONNECT too, so that what is measured is the same connection
with and without TLS; a proxy that forbids that says so by its status.
"""

from __future__ import annotations

import base64
import socket

import h11

from lens.errors import ProxyError
from lens.transport import raw
from lens.transport.endpoint import Proxy


async def open_tunnel(sock: socket.socket, proxy: Proxy, target: str, user_agent: bytes) -> bytes:
    """Ask the proxy for `target` (host:port); returns what the target had sent with the proxy's answer.

    Raises:
        ProxyError: it refused, with its status; or it broke off, or is no HTTP proxy.
    """
    headers = [(b"host", target.encode()), (b"user-agent", user_agent)]
    if proxy.credentials is not None:
        token = base64.b64encode(proxy.credentials.reveal().encode())
        headers.append((b"proxy-authorization", b"Basic " + token))
    link = h11.Connection(h11.CLIENT)
    asked = link.send(h11.Request(method=b"CONNECT", target=target.encode(), headers=headers))
    asked += link.send(h11.EndOfMessage())
    doing = f"proxy {proxy.label}, CONNECT {target}"
    try:
        await raw.send_all(sock, asked)
        answer = await _answer(sock, link, doing)
    except OSError as error:
        raise ProxyError(f"{doing}: {(error.strerror or 'it broke off').lower()}") from None
    if not 200 <= answer.status_code < 300:
        raise ProxyError(f"{doing}: {_refusal(answer)}")
    return link.trailing_data[0]


async def _answer(sock: socket.socket, link: h11.Connection, doing: str) -> h11.Response:
    try:
        while True:
            event = link.next_event()
            if event is h11.NEED_DATA:
                link.receive_data(await raw.receive(sock))
            elif isinstance(event, h11.Response):
                return event
            elif not isinstance(event, h11.InformationalResponse):
                raise ProxyError(f"{doing}: it closed the connection without an answer")
    except h11.RemoteProtocolError:
        raise ProxyError(f"{doing}: it closed the connection or is no HTTP proxy") from None


def _refusal(answer: h11.Response) -> str:
    words = f"{answer.status_code} {answer.reason.decode('latin-1')}".strip()
    if answer.status_code == 407:
        return f"{words}; write the proxy as http://USER:PASSWORD@HOST:PORT"
    return words
