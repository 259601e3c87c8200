"""The reading loop: who waits is woken, a crowd is read in turns, and a glance reads what came meanwhile."""

import socket
import time

import pytest
import trio

from lens._core import reactor
from lens._core.stream import Stream
from lens.transport import loop as reading
from lens.transport.loop import open_loop

pytestmark = pytest.mark.skipif(not reactor.native, reason="this system has no epoll with stamps")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
EVENT = b"data: {}\n\n"
NEAR_NS = 10_000_000


class Crowd:
    """So many connections, whose streams are read by a loop and wait for a body that closing ends."""

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


async def test_a_crowd_is_read_in_turns_and_its_stamps_are_those_of_arrival():
    async with open_loop() as loop:
        crowd = Crowd(loop, reading.BATCH_STREAMS)
        await crowd.begin()
        sent = []
        await trio.sleep(0.06)  # until it is known how quick they are
        before = loop.reactor.polls
        for _ in range(8):
            began = time.monotonic_ns()
            for peer in crowd.peers:
                peer.sendall(EVENT)
            sent.append((began, time.monotonic_ns()))
            time.sleep(0.02)  # nobody reads meanwhile
            await trio.sleep(0.02)
        crowd.close()
    assert all(len(tape) == 8 for tape in crowd.tapes)
    for tape in crowd.tapes:
        arrived = tape.columns(0)[0]
        assert all(began - NEAR_NS <= at <= ended + NEAR_NS for at, (began, ended) in zip(arrived, sent, strict=True))
    assert loop.reactor.polls - before < 8 * reading.BATCH_STREAMS, "several streams are read at once"


@pytest.mark.parametrize(("reads", "crowded"), [(0, False), (20, True), (2000, False)])
async def test_only_streams_that_speak_and_are_not_quick_are_read_in_turns(reads, crowded):
    async with open_loop() as loop:
        crowd = Crowd(loop, reading.BATCH_STREAMS)
        await crowd.begin()
        began = loop._rate_since_ns
        loop._rate_from_reads = loop.reactor.reads - reads * reading.BATCH_STREAMS
        while reading.now_ns() - began < 10**9:
            time.sleep(0.01)
        assert loop.should_batch() == crowded
        crowd.close()


async def test_without_kernel_stamps_nobody_is_kept_waiting():
    async with open_loop(kernel_stamps=False) as loop:
        crowd = Crowd(loop, reading.BATCH_STREAMS)
        await crowd.begin()
        assert not loop.should_batch()
        crowd.close()


async def test_a_glance_reads_between_two_pieces_of_work():
    async with open_loop() as loop:
        crowd = Crowd(loop, 2)
        await crowd.begin()
        crowd.peers[0].sendall(EVENT)
        time.sleep(2 * reading.STALE_NS / 1e9)  # work of which trio's loop knows nothing
        loop.poll_if_stale()
        assert len(crowd.tapes[0]) == 1
        polls = loop.reactor.polls
        loop.poll_if_stale()
        assert loop.reactor.polls == polls, "just now it was read"
        crowd.close()
