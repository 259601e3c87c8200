"""From addresses to one connected socket: RFC 8305 racing, every attempt stamped and kept.

The rule: each attempt, lost or won, leaves an Attempt in the caller's list, also when the race
is called off; and of all sockets only the winner's stays open.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Sequence

import trio

from lens._core.clock import now_ns
from lens.errors import ConnectError
from lens.model import Attempt
from lens.transport.resolve import Address

# How long one address may try before the next one starts.
# RFC 8305, section 5, recommends 250 ms.
ATTEMPT_DELAY_S = 0.250
# A unix socket whose backlog is full answers EAGAIN and cannot be waited for.
UNIX_RETRY_S = 0.001

_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS))


def in_racing_order(addresses: Sequence[Address]) -> list[Address]:
    """Families take turns, beginning with that of the resolver's first choice (RFC 8305, section 4)."""
    if not addresses:
        return []
    first = [a for a in addresses if a.family == addresses[0].family]
    second = [a for a in addresses if a.family != addresses[0].family]
    order: list[Address] = []
    for i in range(max(len(first), len(second))):
        order += first[i : i + 1] + second[i : i + 1]
    return order


async def connect(addresses: Sequence[Address], label: str, attempts: list[Attempt]) -> tuple[socket.socket, Attempt]:
    """The first connected socket, non-blocking and without Nagle's delay, and the attempt that won.

    Raises:
        ConnectError: no address accepted; the message lists what each said.
    """
    order = in_racing_order(addresses)
    race = _Race(attempts)
    if len(order) == 1:
        await race.run(order[0])
    else:
        await race.run_all(order)
    if race.winner is None:
        said = "; ".join(f"{a.address}: {a.error}" for a in attempts) or "it has no address"
        raise ConnectError(f"no connection to {label}: {said}")
    return race.winner


async def connect_unix(path: str, attempts: list[Attempt]) -> tuple[socket.socket, Attempt]:
    """A connected unix socket.

    Raises:
        ConnectError: nobody listens there.
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
    error = _words(code) if code else None
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
    """Attempts under way; the first to connect stays, all others close."""

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
        """One attempt; sets `over` when it failed, calls `others` off when it won."""
        sock: socket.socket | None = None
        start = now_ns()
        error: str | None = "called off"
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
            await _finish_connect(sock, address)
            error = None
        except OSError as failed:
            error = _words(failed.errno or 0)
        finally:
            self._over(sock, address, start, error)
            if over is not None and error:
                over.set()
        if others is not None and self.winner is not None:
            others.cancel()

    def _over(self, sock: socket.socket | None, address: Address, start: int, error: str | None) -> None:
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


async def _finish_connect(sock: socket.socket, address: Address) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(address.sockaddr)
    if code in _IN_PROGRESS:
        # Near peers have answered already; to ask at once keeps trio's wake-up out of the stamp.
        if not _writable_now(sock):
            await trio.lowlevel.wait_writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _writable_now(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([], [sock], [sock], 0)[1])
    asked = select.poll()
    asked.register(sock, select.POLLOUT)
    return bool(asked.poll(0))


def _words(code: int) -> str:
    """What the system says of an errno, in lower case as it stands inside a sentence."""
    said = os.strerror(code).lower() if code else "it failed without a reason"
    return f"{said} (raise the limit with `ulimit -n`)" if code in (errno.EMFILE, errno.ENFILE) else said
