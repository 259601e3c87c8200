"""Bytes over a non-blocking socket, before the core reads it: to a proxy, and in the TLS handshake.

The rule: try first, wait only when the kernel says so; a wake-up costs more than the call.
"""

from __future__ import annotations

import socket

import trio

READ_BYTES = 65536


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of it.

    Raises:
        OSError: the connection broke.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except (BlockingIOError, InterruptedError):
            await trio.lowlevel.wait_writable(sock)


async def receive(sock: socket.socket) -> bytes:
    """Return what has been received, at least one byte; b"" when the peer has ended.

    Raises:
        OSError: the connection broke.
    """
    while True:
        try:
            data = sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            await trio.lowlevel.wait_readable(sock)
        else:
            # A peer that never pauses must not keep deadlines and other tasks from their turn.
            await trio.lowlevel.checkpoint()
            return data


def close(sock: socket.socket) -> None:
    """Close at once; trio is told, so that no task waits for a descriptor that another socket gets."""
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()
