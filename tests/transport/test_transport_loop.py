"""The reading loop: the core reads whatever Python does, and wakes only tasks whose streams have changed."""

import socket
import time

import pytest
import trio

from lens._core import reactor
from lens._core.stream import Stream
from lens.transport import loop as reading
from lens.transport.loop import LoopClosed, open_loop

pytestmark = pytest.mark.skipif(not reactor.native, reason="this system has no epoll with stamps")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
EVENT = b"data: {}\n\n"
NEAR_NS = 10_000_000


class Streams:
    """Connections whose streams a loop reads; their bodies end when the peer closes."""

    def __init__(self, loop, many):
        self.loop, self.peers, self.socks, self.streams, self.tapes = loop, [], [], [], []
        with socket.create_server(("127.0.0.1", 0), backlog=many) as listener:
            for _ in range(many):
                sock = socket.create_connection(listener.getsockname())
                peer, _ = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setblocking(False)
                stream = Stream(sock.fileno())
                self.tapes.append(stream.begin())
                loop.attach(stream, sock)
                self.peers.append(peer)
                self.socks.append(sock)
                self.streams.append(stream)

    async def begin(self):
        for peer in self.peers:
            peer.sendall(ANSWER)
        for stream in self.streams:
            assert await self.loop.wait(stream, ("parked",))
            stream.begin_body("close", -1, "sse", None)

    def close(self):
        for stream, sock, peer in zip(self.streams, self.socks, self.peers, strict=True):
            self.loop.detach(stream)
            sock.close()
            peer.close()


async def test_events_are_read_while_python_is_busy_and_each_has_its_arrival():
    async with open_loop() as loop:
        streams = Streams(loop, 3)
        await streams.begin()
        sent = []
        for number in range(1, 9):  # nothing here lets trio run
            began = time.monotonic_ns()
            for peer in streams.peers:
                peer.sendall(EVENT)
            sent.append((began, time.monotonic_ns()))
            whole = len(ANSWER) + number * len(EVENT)
            while number % 2 and any(stream.wire_bytes < whole for stream in streams.streams):
                time.sleep(0.001)
        while any(stream.wire_bytes < whole for stream in streams.streams):
            time.sleep(0.001)
        for stream in streams.streams:
            loop.detach(stream)
        for tape in streams.tapes:
            arrived, _, _, _, reads = tape.columns(0)
            last_of_read = {read: number for number, read in enumerate(reads)}
            assert len(arrived) == 8
            assert len(last_of_read) > 1
            for number in last_of_read.values():
                began, ended = sent[number]
                assert began - NEAR_NS <= arrived[number] <= ended + NEAR_NS
        streams.close()


async def test_single_events_wake_nobody():
    async with open_loop() as loop:
        streams = Streams(loop, 1)
        await streams.begin()
        polls = loop.reactor.polls
        for _ in range(20):
            streams.peers[0].sendall(EVENT)
            await trio.sleep(0.001)
        while streams.streams[0].reads < 2:
            await trio.sleep(0.001)
        assert loop.reactor.polls <= polls + 1, "the head may be told of late"
        streams.peers[0].close()
        assert await loop.wait(streams.streams[0], ("ended",))
        assert len(streams.tapes[0]) == 20
        streams.close()


async def test_a_deadline_that_has_passed_ends_the_waiting():
    async with open_loop() as loop:
        streams = Streams(loop, 1)
        assert not await loop.wait(streams.streams[0], ("parked",), reading.now_ns() - 1)
        assert not await loop.wait(streams.streams[0], ("parked",), reading.now_ns() + 10**6)
        streams.peers[0].sendall(ANSWER)
        while streams.streams[0].state == "head":  # trio is not told of it
            time.sleep(0.001)
        assert await loop.wait(streams.streams[0], ("parked",), reading.now_ns() - 1)
        streams.close()


async def test_refresh_notices_that_the_peer_has_closed():
    async with open_loop() as loop:
        streams = Streams(loop, 1)
        streams.peers[0].close()
        while not streams.streams[0].closed:
            loop.refresh(streams.streams[0])
        streams.close()


async def test_a_connection_that_is_closed_at_once_disturbs_no_other_of_the_plain_loop():
    async with open_loop(fallback=True) as loop:
        Streams(loop, 3).close()
        streams = Streams(loop, 3)  # the same descriptors
        await streams.begin()
        for peer in streams.peers:
            peer.sendall(EVENT)
            peer.close()
        for stream, tape in zip(streams.streams, streams.tapes, strict=True):
            assert await loop.wait(stream, ("ended",))
            assert len(tape) == 1
        streams.close()


async def test_a_task_that_is_cancelled_with_the_loop_sees_the_cancellation():
    with trio.CancelScope() as scope:
        async with open_loop() as loop:
            streams = Streams(loop, 1)
            try:
                loop._stop("the reading task was cancelled first")
                with pytest.raises(LoopClosed):
                    await loop.wait(streams.streams[0], ("parked",))
                scope.cancel()
                await loop.wait(streams.streams[0], ("parked",))
            finally:
                streams.close()
    assert scope.cancelled_caught
