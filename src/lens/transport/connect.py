"""From an endpoint to a socket that carries requests: lookup, TCP connect, proxy, TLS handshake, in this order.

Addresses are raced as RFC 8305 says. Each attempt leaves an Attempt, also when it is cancelled, and each phase its
stamps in the caller's ConnectionSetup, so that a setup that failed tells how far it got and how long each step took.
Of all sockets only that of the attempt that won stays open.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Sequence

import trio

from lens._core.clock import now_ns
from lens.errors import ConnectError, ResolveError
from lens.model import Attempt, Connection
from lens.transport import sockets
from lens.transport.endpoint import Endpoint, authority
from lens.transport.proxy import open_tunnel
from lens.transport.resolve import Address, resolve
from lens.transport.tls import TlsConnection, handshake
from lens.units import human_duration

# How long one address may try before the next one starts.
# RFC 8305, section 5, recommends 250 ms.
ATTEMPT_DELAY_S = 0.250
# A unix socket whose backlog is full answers EAGAIN and cannot be waited for.
UNIX_RETRY_S = 0.001

_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS))


class ConnectionSetup:
    """Stamps and facts of one connection setup, as far as it has come."""

    __slots__ = ("addresses", "attempts", "dns_end", "dns_start", "family", "peer", "phase", "proxy_end", "proxy_start",
                 "tcp_end", "tcp_start", "tls", "tls_end", "tls_start", "verified", "via_proxy")  # fmt: skip

    def __init__(self) -> None:
        self.phase = "waiting"  # for messages
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
        self.tls: TlsConnection | None = None
        self.verified: bool | None = None

    def summary(self) -> str:
        """Return where the connection goes and how long each phase took, for a log."""
        phases = (
            ("lookup", self.dns_start, self.dns_end),
            ("connect", self.tcp_start, self.tcp_end),
            ("proxy", self.proxy_start, self.proxy_end),
            ("TLS", self.tls_start, self.tls_end),
        )
        took = [f"{name} {human_duration(end - start)}" for name, start, end in phases if start and end]
        way = [f"via {self.via_proxy}"] if self.via_proxy else []
        version = [f"{self.tls.version}{', resumed' if self.tls.resumed else ''}"] if self.tls else []
        return ", ".join([f"peer {self.peer}", *way, *took, *version])

    def describe(self, *, reused: bool) -> Connection:
        """Return the facts as a record keeps them. A reused connection cost this request no attempts."""
        tls = self.tls
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


async def open_socket(
    endpoint: Endpoint, setup: ConnectionSetup, session: ssl.SSLSession | None = None
) -> socket.socket:
    """Return a connected, non-blocking socket, through proxy and TLS where the endpoint asks for them.

    Raises:
        ResolveError, ConnectError, ProxyError, TlsError: the phase that failed.
    """
    sock = await _connect_endpoint(endpoint, setup)
    try:
        early = b""
        if endpoint.proxy is not None:
            setup.via_proxy = endpoint.proxy.label
        if endpoint.proxy is not None and endpoint.relay is None:
            setup.phase = "waiting for the proxy"
            host, port = endpoint.dial_target()
            setup.proxy_start = now_ns()
            early = await open_tunnel(sock, endpoint.proxy, authority(host, port))
            setup.proxy_end = now_ns()
        if endpoint.scheme == "https":
            setup.phase = "in the TLS handshake"
            setup.tls_start = now_ns()
            setup.tls = await handshake(sock, endpoint, session, early)
            setup.tls_end = now_ns()
            setup.verified = not endpoint.insecure
    except BaseException:
        sockets.close(sock)
        raise
    setup.phase = "connected"
    return sock


async def _connect_endpoint(endpoint: Endpoint, setup: ConnectionSetup) -> socket.socket:
    if endpoint.unix_socket is not None:
        setup.phase = "connecting"
        sock, won = await connect_unix(endpoint.unix_socket, setup.attempts)
        setup.peer = endpoint.unix_socket
    else:
        proxy = endpoint.proxy
        host, port = (proxy.host, proxy.port) if proxy else endpoint.dial_target()
        setup.phase = "looking up the name"
        try:
            found = await resolve(host, port, endpoint.family, endpoint.pinned_addresses(host, port))
        except ResolveError as error:
            setup.dns_start, setup.dns_end = error.start_ns, error.end_ns
            raise
        setup.dns_start, setup.dns_end = found.start_ns, found.end_ns
        setup.addresses = tuple(a.text for a in found.addresses)
        setup.phase = "connecting"
        sock, won = await connect_tcp(found.addresses, authority(host, port), setup.attempts)
        setup.peer = authority(won.address, port)
    setup.family = won.family
    setup.tcp_start, setup.tcp_end = won.start_ns, won.end_ns
    return sock


def interleave_families(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses with the families taking turns, the resolver's first choice first (RFC 8305, section 4)."""
    if not addresses:
        return []
    first = [a for a in addresses if a.family == addresses[0].family]
    second = [a for a in addresses if a.family != addresses[0].family]
    order: list[Address] = []
    for i in range(max(len(first), len(second))):
        order += first[i : i + 1] + second[i : i + 1]
    return order


async def connect_tcp(
    addresses: Sequence[Address], label: str, attempts: list[Attempt]
) -> tuple[socket.socket, Attempt]:
    """Return the first connected socket, non-blocking and without Nagle's delay, and the attempt that won.

    Raises:
        ConnectError: no address accepted; the message has the error of each.
    """
    order = interleave_families(addresses)
    race = _Race(attempts)
    if len(order) == 1:
        await race.run(order[0])
    else:
        await race.run_all(order)
    if race.winner is None:
        reasons = "; ".join(f"{a.address}: {a.error}" for a in attempts) or "it has no address"
        raise ConnectError(f"no connection to {label}: {reasons}")
    return race.winner


async def connect_unix(path: str, attempts: list[Attempt]) -> tuple[socket.socket, Attempt]:
    """Return a connected Unix socket and its attempt.

    Raises:
        ConnectError: no process listens there.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ConnectError(f"no connection to {path}: this system has no unix sockets")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    start = now_ns()
    try:
        while (code := _connect_unix_once(sock, path)) == errno.EAGAIN:
            await trio.sleep(UNIX_RETRY_S)
    except BaseException:
        sock.close()
        attempts.append(Attempt(address=path, family="unix", start_ns=start, end_ns=now_ns(), error="called off"))
        raise
    error = _describe_errno(code) if code else None
    attempt = Attempt(address=path, family="unix", start_ns=start, end_ns=now_ns(), error=error)
    attempts.append(attempt)
    if error:
        sock.close()
        raise ConnectError(f"no connection to {path}: {error}")
    return sock, attempt


def _connect_unix_once(sock: socket.socket, path: str) -> int:
    try:
        return sock.connect_ex(path)
    except OSError as error:  # the path is longer than the system allows
        return error.errno or errno.ENAMETOOLONG


class _Race:
    """Connection attempts under way; the first to connect wins, all others are closed."""

    def __init__(self, attempts: list[Attempt]) -> None:
        self.attempts = attempts
        self.winner: tuple[socket.socket, Attempt] | None = None

    async def run_all(self, order: Sequence[Address]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for address in order:
                    over = trio.Event()
                    nursery.start_soon(self.run, address, over, nursery.cancel_scope)
                    with trio.move_on_after(ATTEMPT_DELAY_S):
                        await over.wait()
        except BaseException:
            if self.winner is not None:
                self.winner[0].close()
            raise

    async def run(
        self, address: Address, over: trio.Event | None = None, others: trio.CancelScope | None = None
    ) -> None:
        """Make one attempt; set `over` if it failed, cancel `others` if it won."""
        sock: socket.socket | None = None
        start = now_ns()
        error: str | None = "called off"
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
            await _connect_socket(sock, address)
            error = None
        except OSError as failed:
            error = _describe_errno(failed.errno or 0)
        finally:
            self._record(sock, address, start, error)
            if over is not None and error:
                over.set()
        if others is not None and self.winner is not None:
            others.cancel()

    def _record(self, sock: socket.socket | None, address: Address, start: int, error: str | None) -> None:
        if error is None and self.winner is not None:
            error = "another address was faster"
        attempt = Attempt(
            address=address.text,
            family="ipv4" if address.family == socket.AF_INET else "ipv6",
            start_ns=start,
            end_ns=now_ns(),
            error=error,
        )
        self.attempts.append(attempt)
        if sock is not None and error is None:
            self.winner = sock, attempt
        elif sock is not None:
            sock.close()


async def _connect_socket(sock: socket.socket, address: Address) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(address.sockaddr)
    if code in _IN_PROGRESS:
        # Near peers have answered already; asking at once keeps trio's wake-up out of the stamp.
        if not _is_writable(sock):
            await trio.lowlevel.wait_writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _is_writable(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([], [sock], [sock], 0)[1])
    asked = select.poll()
    asked.register(sock, select.POLLOUT)
    return bool(asked.poll(0))


def _describe_errno(code: int) -> str:
    """Return the system's text of an errno, in lower case as part of a sentence."""
    text = os.strerror(code).lower() if code else "it failed without a reason"
    return f"{text} (raise the limit with `ulimit -n`)" if code in (errno.EMFILE, errno.ENFILE) else text
