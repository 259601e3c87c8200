"""A scripted HTTP proxy: how long it takes, what it refuses, which credentials it wants.

It tunnels by CONNECT, and relays requests that name a whole http:// address. One thread a connection: it is for tests
of the way through a proxy, not for load.
"""

from __future__ import annotations

import base64
import select
import socket
import threading
from contextlib import suppress
from time import monotonic_ns, sleep

import msgspec

from lens.simulator.http import REASONS

HEAD_LIMIT_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 10.0


class ProxyScript(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy does with a CONNECT or another request."""

    delay_ns: int = 0  # before its answer
    status: int = 200  # another status refuses
    credentials: str = ""  # "user:password" that it requires; empty: none
    greeting: bytes = b""  # sent together with the answer, as if the target had spoken first


class Tunnel(msgspec.Struct):
    """One connection in the proxy's log; CLOCK_MONOTONIC ns."""

    target: str
    method: str
    asked_ns: int
    answered_ns: int = 0
    status: int = 0


class ProxyHandle:
    """A running proxy; a context manager that stops it."""

    def __init__(self, script: ProxyScript, host: str, port: int) -> None:
        self._script = script
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()[:2]
        self.url = f"http://{self.host}:{self.port}"
        self.tunnels: list[Tunnel] = []
        self._stop, self._waker = socket.socketpair()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="lens-proxy", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close all tunnels and wait for their threads."""
        self._waker.close()
        for thread in (self._accepting, *self._threads):
            thread.join(CONNECT_TIMEOUT_S)
        self._listener.close()
        self._stop.close()

    def __enter__(self) -> ProxyHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._stop], [], [])
            if self._stop in ready:
                return
            client, _ = self._listener.accept()
            thread = threading.Thread(target=self._serve, args=(client,), name="lens-proxy-tunnel", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head, rest = self._read_head(client)
            words = head.split(b"\r\n")[0].decode("latin-1").split(" ")
            target = words[1] if len(words) == 3 else ""
            relayed = target.startswith("http://")
            target = target.removeprefix("http://").partition("/")[0] if relayed else target
            tunnel = Tunnel(target, words[0], monotonic_ns())
            self.tunnels.append(tunnel)
            tunnel.status = self._status_for("CONNECT" if relayed else words[0], head)
            sleep(self._script.delay_ns / 1e9)
            other = self._connect(tunnel) if tunnel.status == 200 else None
            tunnel.answered_ns = monotonic_ns()
            if other is None:
                client.sendall(self._refusal(tunnel.status))
                return
            with other:
                if relayed:
                    other.sendall(head + b"\r\n\r\n" + rest)
                else:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" + self._script.greeting)
                    other.sendall(rest)
                self._pump(client, other)

    def _read_head(self, client: socket.socket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data and len(data) < HEAD_LIMIT_BYTES:
            ready, _, _ = select.select([client, self._stop], [], [])
            part = b"" if self._stop in ready else client.recv(65536)
            if not part:
                raise ConnectionAbortedError
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    def _status_for(self, method: str, head: bytes) -> int:
        if method != "CONNECT":
            return 405
        wanted = base64.b64encode(self._script.credentials.encode())
        given = [
            line.split()[-1] for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-authorization: basic")
        ]
        return 407 if self._script.credentials and wanted not in given else self._script.status

    @staticmethod
    def _connect(tunnel: Tunnel) -> socket.socket | None:
        host, _, port = (tunnel.target if ":" in tunnel.target else f"{tunnel.target}:80").rpartition(":")
        try:
            return socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S)
        except (OSError, ValueError):
            tunnel.status = 502
            return None

    @staticmethod
    def _refusal(status: int) -> bytes:
        reason = REASONS.get(status, "No")
        ask = "Proxy-Authenticate: Basic realm=proxy\r\n" if status == 407 else ""
        return f"HTTP/1.1 {status} {reason}\r\n{ask}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()

    def _pump(self, client: socket.socket, target: socket.socket) -> None:
        """Copy both ways until either side ends."""
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = {client: target, target: client}
        while True:
            ready, _, _ = select.select([client, target, self._stop], [], [])
            if self._stop in ready:
                return
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                other[side].sendall(data)


def start_proxy(script: ProxyScript | None = None, *, host: str = "127.0.0.1", port: int = 0) -> ProxyHandle:
    """Start a CONNECT proxy in threads of this process."""
    return ProxyHandle(script or ProxyScript(), host, port)
