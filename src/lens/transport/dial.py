"""From an endpoint to a socket that carries requests: lookup, connect, proxy, handshake, in this order.

Each phase writes its stamps into the caller's DialLog as it happens, so that a dial that was
called off or failed still tells how far it got and how long each step took.
"""

from __future__ import annotations

import socket
import ssl

from lens._core.clock import now_ns
from lens._version import __version__
from lens.errors import ResolveError
from lens.model import Attempt, Connection
from lens.transport import raw
from lens.transport.connect import connect, connect_unix
from lens.transport.endpoint import Endpoint, authority
from lens.transport.proxy import open_tunnel
from lens.transport.resolve import resolve
from lens.transport.tls import Secured, handshake

USER_AGENT = f"llm-latency-lens/{__version__}".encode()


class DialLog:
    """What one dial has done so far."""

    __slots__ = (
        "addresses",
        "attempts",
        "dns_end",
        "dns_start",
        "family",
        "peer",
        "phase",
        "proxy_end",
        "proxy_start",
        "secured",
        "tcp_end",
        "tcp_start",
        "tls_end",
        "tls_start",
        "verified",
        "via_proxy",
    )

    def __init__(self) -> None:
        self.phase = "waiting"  # what is being done, for messages
        self.dns_start: int | None = None
        self.dns_end: int | None = None
        self.tcp_start: int | None = None
        self.tcp_end: int | None = None
        self.proxy_start: int | None = None
        self.proxy_end: int | None = None
        self.tls_start: int | None = None
        self.tls_end: int | None = None
        self.addresses: tuple[str, ...] = ()
        self.attempts: list[Attempt] = []
        self.peer: str | None = None
        self.family: str | None = None
        self.via_proxy: str | None = None
        self.secured: Secured | None = None
        self.verified: bool | None = None

    def connection(self, *, reused: bool) -> Connection:
        """The facts as a record keeps them. A reused connection cost this request no attempts."""
        tls = self.secured
        return Connection(
            reused=reused,
            peer=self.peer,
            family=self.family,
            addresses=self.addresses,
            attempts=() if reused else tuple(sorted(self.attempts, key=lambda a: a.start_ns)),
            via_proxy=self.via_proxy,
            tls_version=tls.version if tls else None,
            tls_cipher=tls.cipher if tls else None,
            alpn=tls.alpn if tls else None,
            tls_resumed=tls.resumed if tls else None,
            verified=self.verified,
        )


async def dial(endpoint: Endpoint, log: DialLog, session: ssl.SSLSession | None = None) -> socket.socket:
    """A connected, non-blocking socket, through proxy and TLS where the endpoint asks for them.

    Raises:
        ResolveError, ConnectError, ProxyError, TlsError: the phase that failed.
    """
    sock = await _connect(endpoint, log)
    try:
        early = b""
        if endpoint.proxy is not None:
            log.phase = "waiting for the proxy"
            log.via_proxy = endpoint.proxy.label
            host, port = endpoint.dial_target()
            log.proxy_start = now_ns()
            early = await open_tunnel(sock, endpoint.proxy, authority(host, port), USER_AGENT)
            log.proxy_end = now_ns()
        if endpoint.scheme == "https":
            log.phase = "in the TLS handshake"
            log.tls_start = now_ns()
            log.secured = await handshake(sock, endpoint, session, early)
            log.tls_end = now_ns()
            log.verified = not endpoint.insecure
    except BaseException:
        raw.close(sock)
        raise
    log.phase = "connected"
    return sock


async def _connect(endpoint: Endpoint, log: DialLog) -> socket.socket:
    if endpoint.unix_socket is not None:
        log.phase = "connecting"
        sock, won = await connect_unix(endpoint.unix_socket, log.attempts)
        log.peer = endpoint.unix_socket
    else:
        proxy = endpoint.proxy
        host, port = (proxy.host, proxy.port) if proxy else endpoint.dial_target()
        log.phase = "looking up the name"
        try:
            found = await resolve(host, port, endpoint.family, endpoint.pinned(host, port))
        except ResolveError as error:
            log.dns_start, log.dns_end = error.start_ns, error.end_ns
            raise
        log.dns_start, log.dns_end = found.start_ns, found.end_ns
        log.addresses = tuple(a.text for a in found.addresses)
        log.phase = "connecting"
        sock, won = await connect(found.addresses, authority(host, port), log.attempts)
        log.peer = authority(won.address, port)
    log.family = won.family
    log.tcp_start, log.tcp_end = won.start_ns, won.end_ns
    return sock
