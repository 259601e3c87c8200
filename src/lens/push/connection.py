"""Connections of urllib3 over the routes of an Endpoint, with one deadline over all that they do.

Lookup, connect and route are those of the measuring path (`lens.transport.connect`), so that route and
certificate options mean the same here. A timeout of a socket starts again with each byte that comes; the
deadline does not: when it passes, the connection is shut down, whatever waits for it.
"""

from __future__ import annotations

import base64
import http.client
import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import msgspec
import trio
import urllib3.connection

from lens.errors import ProxyError
from lens.secrets import one_line
from lens.transport.connect import ConnectionSetup, open_socket
from lens.transport.endpoint import Endpoint, authority
from lens.transport.head import USER_AGENT
from lens.transport.tls import load_tls_context

# A peer that sends more of them before its answer has none.
INFORMATIONAL_MOST = 100


class Deadline:
    """The end of one exchange's time; a context manager that lets go of the connection it watches."""

    def __init__(self, timeout_s: float) -> None:
        self.phase = "waiting"  # what is being done, for messages
        self.passed = False
        self._at_s = time.monotonic() + timeout_s
        self._handle: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def left_s(self) -> float:
        """Return the time that is left.

        Raises:
            TimeoutError: none is left.
        """
        left_s = self._at_s - time.monotonic()
        if left_s <= 0 or self.passed:
            self.passed = True
            raise TimeoutError
        return left_s

    def watch(self, sock: socket.socket) -> None:
        """Shut this connection down when the time is over. The handle outlives a wrapping by TLS."""
        self._handle = sock.dup()
        self._timer = threading.Timer(self.left_s(), self._shut_down)
        self._timer.daemon = True
        self._timer.start()

    def _shut_down(self) -> None:
        self.passed = True
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Deadline:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._handle is not None:
            self._handle.close()


class _Response(http.client.HTTPResponse):
    """An answer whose informational heads (RFC 9110, 15.2) are passed over, up to a number."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(INFORMATIONAL_MOST + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {INFORMATIONAL_MOST} informational heads")


class RoutedConnection(urllib3.connection.HTTPConnection):
    """A connection to an endpoint by its route: addresses, unix socket, proxy."""

    response_class = _Response

    def __init__(self, endpoint: Endpoint, deadline: Deadline, **options: Any) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=deadline.left_s(), **options)
        self._endpoint, self._deadline = endpoint, deadline
        if endpoint.proxy is not None and endpoint.relay is None:
            host, port = endpoint.dial_target()
            headers = {"Host": authority(host, port), "User-Agent": USER_AGENT.decode()}
            if endpoint.proxy.credentials is not None:
                headers |= basic_credentials(endpoint.proxy.credentials.reveal(), "Proxy-Authorization")
            self.set_tunnel(host, port, headers)

    def _new_conn(self) -> socket.socket:
        sock = _dial(_first_hop(self._endpoint), self._deadline)
        try:
            self._deadline.watch(sock)
            sock.settimeout(self._deadline.left_s())
        except BaseException:
            sock.close()
            raise
        self._deadline.phase = "in the TLS handshake" if self._endpoint.scheme == "https" else "waiting for the answer"
        return sock

    def _tunnel(self) -> None:
        after, self._deadline.phase = self._deadline.phase, "waiting for the proxy"
        try:
            super()._tunnel()
            self._deadline.left_s()  # a head that was cut off looks as if it had ended
        except (OSError, http.client.HTTPException) as error:
            if self._deadline.passed or isinstance(error, TimeoutError):
                raise
            proxy = self._endpoint.proxy.label if self._endpoint.proxy else ""
            target = authority(*self._endpoint.dial_target())
            raise ProxyError(f"proxy {proxy}, CONNECT {target}: {one_line(str(error), 200)}") from None
        self._deadline.phase = after


class RoutedTlsConnection(RoutedConnection, urllib3.connection.HTTPSConnection):
    """The same through TLS, with the certificate options of the endpoint."""


def open_connection(endpoint: Endpoint, deadline: Deadline) -> RoutedConnection:
    """Return a connection that connects when it is told to.

    Raises:
        ConfigError: a certificate file cannot be used.
        TimeoutError: the deadline has passed.
    """
    if endpoint.scheme == "http":
        return RoutedConnection(endpoint, deadline)
    name = endpoint.server_name or endpoint.host
    return RoutedTlsConnection(endpoint, deadline, ssl_context=load_tls_context(endpoint), server_hostname=name)


def basic_credentials(user_and_password: str, header: str = "Authorization") -> dict[str, str]:
    """Return the header of user:password (RFC 7617)."""
    return {header: f"Basic {base64.b64encode(user_and_password.encode()).decode()}"}


def _first_hop(endpoint: Endpoint) -> Endpoint:
    """Return where the socket goes to, without what is spoken over it."""
    if endpoint.proxy is None or endpoint.unix_socket is not None:
        return msgspec.structs.replace(endpoint, scheme="http", proxy=None)
    proxy = endpoint.proxy
    return Endpoint(scheme="http", host=proxy.host, port=proxy.port, resolve=endpoint.resolve, family=endpoint.family)


def _dial(endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    """Connect on a loop of its own, in a thread of its own, because the caller's may have a loop already.

    Raises:
        ResolveError, ConnectError: there is no connection.
        TimeoutError: not in time.
    """
    setup, timeout_s = ConnectionSetup(), deadline.left_s()
    outcome: queue.SimpleQueue[socket.socket | BaseException] = queue.SimpleQueue()

    async def connect() -> socket.socket:
        with trio.fail_after(timeout_s):
            return await open_socket(endpoint, setup)

    def run() -> None:
        try:
            outcome.put(trio.run(connect))
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, name="lens-push-dial", daemon=True).start()
    found = outcome.get()
    deadline.phase = setup.phase
    if isinstance(found, trio.TooSlowError):
        deadline.passed = True
        raise TimeoutError
    if isinstance(found, BaseException):
        raise found
    return found
