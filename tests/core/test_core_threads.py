"""Threads that each have objects of their own disturb nobody: the core lets go of the GIL while it reads and decodes.

Under ThreadSanitizer (`make threads`) a place that two of them touch at once would be reported and end the run.
"""

import gc
import gzip
import os
import random
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from answers import Answer, fixtures
from waiting import HANG_S

from lens._core.reactor import Reactor, Stream
from lens._core.signals import SignalSet
from lens._core.tape import Tape
from lens.model import Signal

THREADS = 4
# Compiled once, used by all: what is learned of a stream's form belongs to the stream.
SHARED = SignalSet([("t", int(Signal.TEXT), True, 0, None)], b"[DONE]")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
EVENT = b'data: {"t":"%d"}\n\n'


def together(work):
    """work(number) in each of THREADS at one moment; what they returned."""
    ready = Barrier(THREADS)

    def one(number):
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def seen_of(answer, cuts):
    """All that a decoder says of an answer, but its stamps."""
    decoder, tape, _ = answer.decode(cuts)
    return decoder.error, decoder.ended, tape.frames(), [c.tolist() for c in tape.columns(0)[2:4]]


def test_answers_are_decoded_as_if_alone():
    answers = [Answer(name) for name in fixtures]
    answers = [answer for answer in answers if len(answer.data) < 50_000]
    alone = [seen_of(answer, []) for answer in answers]

    def all_of_them(number):
        chance = random.Random(number)
        cut = [(a, sorted(chance.randrange(len(a.data) + 1) for _ in range(5))) for a in answers]
        return [seen_of(answer, cuts) for answer, cuts in cut]

    assert all(found == alone for found in together(all_of_them))


def test_columns_are_whole_while_another_thread_appends():
    tape, many = Tape(), 20_000
    done = Event()

    def append():
        for read in range(many):
            tape.event(10**15 + read * 1000, 10**15 + read * 1000 + 128, read, 1, read % 100)
        done.set()

    def read():
        while not done.is_set():
            arrived, _, _, chars, reads = tape.columns(10**15)
            assert len(arrived) == len(chars) == len(reads)
            assert reads.tolist() == list(range(len(reads)))

    with ThreadPoolExecutor(2) as pool:
        for work in [pool.submit(append), pool.submit(read)]:
            work.result()
    assert len(tape) == many


class Connection:
    """Two ends; ours is read by a reactor."""

    def __init__(self, reactor):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.ours = socket.create_connection(listener.getsockname())
            self.peer, _ = listener.accept()
        self.ours.setblocking(False)
        self.reactor, self.stream = reactor, Stream(self.ours.fileno())
        reactor.attach(self.stream)
        self.tape = self.stream.begin(keep_all=True, usual_events="sse", signals=SHARED)

    def close(self):
        self.reactor.detach(self.stream)
        self.ours.close()
        self.peer.close()


def look(stream):
    """Everything that a stream tells."""
    names = [name for name in dir(Stream) if not name.startswith("_")]
    return [value for name in names if not callable(value := getattr(stream, name))]


@pytest.mark.parametrize("pollers", [1, THREADS])
def test_what_the_reading_thread_writes_others_may_see_and_change(pollers):
    reactor, sent = Reactor(), 2000
    reactor.start()
    connections = [Connection(reactor) for _ in range(4)]
    streams = [connection.stream for connection in connections]

    def send(connection):
        # Two of the heads are settled by the thread, two are left to whoever polls.
        usual = b"Content-Length: %d\r\n\r\n" % (len(EVENT % 0) * sent)
        connection.peer.sendall(HEAD if connections.index(connection) % 2 else HEAD[:-2] + usual)
        for number in range(sent):
            connection.peer.sendall(EVENT % (number % 10))
        connection.peer.shutdown(socket.SHUT_WR)

    def poll():
        while not all(stream.state in ("ended", "failed") for stream in streams):
            select.select([reactor.fileno()], [], [], 0.01)
            for stream in reactor.poll():
                if stream.state == "parked":
                    stream.begin_body("close", 0, "sse", SHARED)
            for stream in streams:
                look(stream)
            passing = Connection(reactor)  # comes and goes
            passing.peer.sendall(HEAD * 100)
            passing.close()

    with ThreadPoolExecutor(len(connections) + pollers) as pool:
        for work in [*(pool.submit(send, c) for c in connections), *(pool.submit(poll) for _ in range(pollers))]:
            work.result()
    assert [stream.state for stream in streams] == ["ended"] * len(streams)
    for connection in connections:
        reactor.detach(connection.stream)
        assert len(connection.tape) == sent
        assert len(connection.tape.frames()) == sent
        connection.close()
    assert len(reactor) == 0
    reactor.close()


def test_a_compressed_flood_is_decoded_while_it_is_read():
    reactor, sent = Reactor(), 20_000
    reactor.start()
    connection = Connection(reactor)
    stream = connection.stream
    packed = gzip.compress(b"".join(b'data: {"t":"%d"}\n\n' % number for number in range(sent)), 1)

    def send():
        connection.peer.sendall(HEAD)
        for at in range(0, len(packed), 100):
            connection.peer.sendall(packed[at : at + 100])

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        while stream.state not in ("ended", "failed"):
            select.select([reactor.fileno()], [], [], 0.01)
            reactor.poll()
            if stream.state == "parked":
                stream.begin_body("length", len(packed), "sse", SHARED, "gzip")
            look(stream)
        sending.result()
    assert stream.state == "ended"
    assert len(connection.tape) == sent
    connection.close()
    reactor.close()


def test_a_reactor_that_is_forgotten_ends_its_thread():
    reactor = Reactor()
    reactor.start()
    connection = Connection(reactor)
    before = threads_now()
    connection.reactor = None
    del reactor
    gc.collect()
    while threads_now() >= before:  # the kernel takes a moment to strike an ended thread off
        time.sleep(0.001)
    assert connection.stream.state == "head"
    connection.ours.close()
    connection.peer.close()


def threads_now():
    return len(os.listdir("/proc/self/task"))


def test_each_reactor_reads_its_own_stream():
    def read_one(number):
        events = 300 + number
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
        ours.setblocking(False)
        reactor, stream = Reactor(), Stream(ours.fileno())
        reactor.attach(stream)
        tape = stream.begin()
        peer.sendall(HEAD)
        for _ in range(events):
            peer.sendall(b'data: {"t":"%d"}\n\n' % number)
            select.select([reactor.fileno()], [], [], HANG_S)
            reactor.poll()
            if stream.state == "parked":
                stream.begin_body("close", 0, "sse", SHARED)
        peer.close()
        while stream.state not in ("ended", "failed") and select.select([reactor.fileno()], [], [], HANG_S)[0]:
            reactor.poll()
        state = stream.state
        reactor.detach(stream)
        reactor.close()
        ours.close()
        arrived, _, signals, chars, _ = (column.tolist() for column in tape.columns(0))
        assert arrived == sorted(arrived)
        return state, signals.count(int(Signal.TEXT)), set(chars)

    assert together(read_one) == [("ended", 300 + number, {1}) for number in range(THREADS)]
