"""A tunnel through an HTTP proxy: one CONNECT, and then the socket is the target's.

Plain http:// targets need no tunnel: their requests name the whole address, and the proxy relays them (Endpoint.relay).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lens.errors import ProxyError
from lens.transport import sockets
from lens.transport.endpoint import Proxy
from lens.transport.head import USER_AGENT

if TYPE_CHECKING:
    import h11

AUTHENTICATION_REQUIRED = 407
# Heads of 1xx before the final one; curl stops at a hundred heads, too.
MAX_INFORMATIONAL = 100


async def open_tunnel(sock: socket.socket, proxy: Proxy, target: str) -> bytes:
    """Open a tunnel to `target` (host:port); return what the target had sent behind the proxy's response.

    Raises:
        ProxyError: the proxy refused (the message has its status), broke off, or is no HTTP proxy.
    """
    import h11

    headers = [(b"host", target.encode()), (b"user-agent", USER_AGENT)]
    if proxy.authorization is not None:
        headers.append((b"proxy-authorization", proxy.authorization))
    protocol = h11.Connection(h11.CLIENT)
    request = protocol.send(h11.Request(method=b"CONNECT", target=target.encode(), headers=headers))
    request += protocol.send(h11.EndOfMessage())
    doing = f"proxy {proxy.label}, CONNECT {target}"
    try:
        await sockets.send_all(sock, request)
        response = await _receive_response(sock, protocol, doing)
    except OSError as error:
        raise ProxyError(f"{doing}: {(error.strerror or 'it broke off').lower()}") from None
    if not 200 <= response.status_code < 300:
        raise ProxyError(f"{doing}: {_describe_refusal(response, proxy)}")
    return protocol.trailing_data[0]


async def _receive_response(sock: socket.socket, protocol: h11.Connection, doing: str) -> h11.Response:
    import h11

    informational = 0
    try:
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(await sockets.receive(sock))
            elif isinstance(event, h11.Response):
                return event
            elif not isinstance(event, h11.InformationalResponse):
                raise ProxyError(f"{doing}: it closed the connection without an answer")
            else:
                informational += 1
                if informational > MAX_INFORMATIONAL:
                    raise ProxyError(f"{doing}: more than {MAX_INFORMATIONAL} informational answers (1xx)")
    except h11.RemoteProtocolError:
        raise ProxyError(f"{doing}: it closed the connection or is no HTTP proxy") from None


def _describe_refusal(response: h11.Response, proxy: Proxy) -> str:
    words = f"{response.status_code} {response.reason.decode('latin-1')}".strip()
    return f"{words}; {wants_credentials(proxy)}" if response.status_code == AUTHENTICATION_REQUIRED else words


def wants_credentials(proxy: Proxy) -> str:
    """Return what a 407 of a proxy means."""
    if proxy.credentials is not None:
        return "it does not accept the user and password that its URL gives"
    return "it wants a user and a password: give them in its URL, before the host and an @"
