"""The reading loop: waiting tasks are woken, reads of many streams are batched, and a stale loop is polled."""

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


async def test_reads_of_many_streams_are_batched_and_stamped_with_their_arrival():
    async with open_loop() as loop:
        streams = Streams(loop, reading.BATCH_STREAMS)
        await streams.begin()
        sent = []
        await trio.sleep(0.06)  # until the rate of reads is known
        before = loop.reactor.polls
        for _ in range(8):
            began = time.monotonic_ns()
            for peer in streams.peers:
                peer.sendall(EVENT)
            sent.append((began, time.monotonic_ns()))
            time.sleep(0.02)  # nobody reads meanwhile
            await trio.sleep(0.02)
        streams.close()
    assert all(len(tape) == 8 for tape in streams.tapes)
    for tape in streams.tapes:
        arrived = tape.columns(0)[0]
        assert all(began - NEAR_NS <= at <= ended + NEAR_NS for at, (began, ended) in zip(arrived, sent, strict=True))
    assert loop.reactor.polls - before < 8 * reading.BATCH_STREAMS, "one poll reads several streams"


@pytest.mark.parametrize(("reads", "batched"), [(0, False), (20, True), (2000, False)])
async def test_reads_are_batched_only_for_active_streams_that_are_not_fast(reads, batched):
    async with open_loop() as loop:
        streams = Streams(loop, reading.BATCH_STREAMS)
        await streams.begin()
        began = loop._rate_since_ns
        loop._rate_from_reads = loop.reactor.reads - reads * reading.BATCH_STREAMS
        while reading.now_ns() - began < 10**9:
            time.sleep(0.01)
        assert loop.should_batch() == batched
        streams.close()


async def test_without_kernel_stamps_reads_are_not_batched():
    async with open_loop(kernel_stamps=False) as loop:
        streams = Streams(loop, reading.BATCH_STREAMS)
        await streams.begin()
        assert not loop.should_batch()
        streams.close()


async def test_poll_if_stale_reads_only_when_the_last_read_is_old():
    async with open_loop() as loop:
        streams = Streams(loop, 2)
        await streams.begin()
        streams.peers[0].sendall(EVENT)
        time.sleep(2 * reading.STALE_NS / 1e9)  # work of which trio's loop knows nothing
        loop.poll_if_stale()
        assert len(streams.tapes[0]) == 1
        polls = loop.reactor.polls
        loop.poll_if_stale()
        assert loop.reactor.polls == polls, "the last read is recent"
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
