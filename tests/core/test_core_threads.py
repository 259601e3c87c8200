"""Threads that each have objects of their own disturb nobody: the core lets go of the GIL while it reads and decodes.

Under ThreadSanitizer (`make threads`) a place that two of them touch at once would be reported and end the run.
"""

import contextlib
import gc
import gzip
import os
import random
import select
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
import trustme
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


def test_reads_wait_for_each_other_only_where_no_stream_is_fast():
    reactor = Reactor()
    reactor.start()
    connections = [Connection(reactor) for _ in range(200)]

    def write_until(batches, some):
        deadline = time.monotonic() + HANG_S
        while reactor.batches is not batches:
            assert time.monotonic() < deadline
            for connection in some:
                connection.peer.sendall(b"H")  # of a head that never ends
        assert not reactor.unstamped

    for connection in connections:
        connection.peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    write_until(True, connections)
    write_until(False, connections[:1])
    write_until(True, connections)
    for connection in connections:
        connection.close()
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


def until(is_met, reactor=None):
    """Wait; poll meanwhile, if there is a reactor."""
    deadline = time.monotonic() + HANG_S
    while not is_met():
        assert time.monotonic() < deadline
        if reactor is None:
            time.sleep(0.001)
        else:
            select.select([reactor.fileno()], [], [], 0.01)
            reactor.poll()


def test_a_tape_may_be_read_while_the_thread_writes_it():
    reactor, sent = Reactor(), 60_000
    reactor.start()
    connection = Connection(reactor)
    body = b"".join(EVENT % (number % 10) for number in range(sent))

    def send():
        connection.peer.sendall(HEAD[:-2] + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 3000):
            connection.peer.sendall(body[at : at + 3000])

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        while connection.stream.state not in ("ended", "failed"):
            columns = connection.tape.columns(0)
            assert len({len(column) for column in columns}) == 1
            assert columns[4].tolist() == sorted(columns[4])
            assert len(columns[0]) <= len(connection.tape.frames()) <= len(connection.tape) <= sent
            assert connection.tape.signals in (0, int(Signal.TEXT))
        sending.result()
    assert len(connection.tape.columns(0)[0]) == len(connection.tape.frames()) == sent
    connection.close()
    reactor.close()


def test_a_peer_that_closed_behind_an_informational_head_ends_the_body_that_follows():
    reactor = Reactor()
    reactor.start()
    connection = Connection(reactor)
    usual = HEAD[:-2] + b"Content-Length: 1000\r\n\r\n"
    connection.peer.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" + usual + EVENT % 1)
    connection.peer.shutdown(socket.SHUT_WR)
    until(lambda: connection.stream.closed)
    connection.stream.informational()
    assert (connection.stream.state, connection.stream.error) == ("failed", "incomplete body")
    assert len(connection.tape) == 1
    connection.close()
    reactor.close()


def test_informational_heads_that_fill_the_memory_are_read_on_when_there_is_room():
    reactor, many = Reactor(), 150
    reactor.start()
    connection = Connection(reactor)
    early = b"HTTP/1.1 103 Early Hints\r\nX: " + b"a" * 60_000 + b"\r\n\r\n"
    answer = early * many + HEAD[:-2] + b"Content-Length: %d\r\n\r\n" % len(EVENT % 1) + EVENT % 1
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(connection.peer.sendall, answer)
        until(lambda: len(connection.stream.held) > 4 << 20)

        def pass_one():
            if connection.stream.state == "parked":
                connection.stream.informational()
            return connection.stream.state == "ended"

        until(pass_one)
        sending.result()
    connection.close()
    reactor.close()


class Secured(Connection):
    """The same over TLS, past the handshake."""

    def __init__(self, reactor):
        super().__init__(reactor)
        authority, incoming, outgoing = trustme.CA(), ssl.MemoryBIO(), ssl.MemoryBIO()
        ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.configure_trust(ours)
        authority.issue_cert("localhost").configure_cert(theirs)
        self.to_peer = ssl.MemoryBIO()
        client = ours.wrap_bio(incoming, self.to_peer, server_hostname="localhost")
        self.peer_in, self.outgoing = ssl.MemoryBIO(), outgoing
        self.server = theirs.wrap_bio(self.peer_in, outgoing, server_side=True)
        for _ in range(4):
            for end, read, write in ((client, self.to_peer, self.peer_in), (self.server, outgoing, incoming)):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
                write.write(read.read())
        self.stream.secure(client, incoming)

    def send(self, data, *, last=False):
        self.server.write(data)
        if last:
            with pytest.raises(ssl.SSLWantReadError):
                self.server.unwrap()
        self.peer.sendall(self.outgoing.read())
        if last:
            self.peer.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("body", ["close", "length", "informational"])
def test_what_waits_to_be_decrypted_comes_before_the_end(body):
    """The peer has closed when the task acts on a head, but the rest of its answer is ciphertext still."""
    reactor, events = Reactor(), EVENT % 1 * 5
    reactor.start()
    connection = Secured(reactor)
    stream = connection.stream
    usual = HEAD[:-2] + b"Content-Length: %d\r\n\r\n" % len(events)
    connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" if body == "informational" else HEAD)
    until(lambda: stream.state == "parked", reactor)
    connection.send(usual + events if body == "informational" else events, last=True)
    until(lambda: stream.closed)
    if body == "informational":
        stream.informational()
    else:
        stream.begin_body(body, len(events), "sse", SHARED)
    until(lambda: stream.state in ("ended", "failed"), reactor)
    assert (stream.state, stream.error, len(connection.tape)) == ("ended", None, 5)
    connection.close()
    reactor.close()


class Endless:
    """A TLS object whose peer sends the next bytes while it decrypts the last."""

    def __init__(self, connection):
        self.connection, self.reads, self.pending_bytes = connection, 0, 0

    def read(self, _):
        self.reads += 1
        assert self.reads < 100, "poll() does not come back"
        before = self.connection.reactor.reads
        self.connection.peer.sendall(b"x")
        until(lambda: self.connection.reactor.reads > before)
        return b"x"

    def pending(self):
        return 0


class Incoming:
    pending = 0

    def write(self, data):
        pass


def test_a_peer_that_sends_faster_than_can_be_decrypted_does_not_hold_up_a_poll():
    reactor = Reactor()
    reactor.start()
    connection = Connection(reactor)
    tls = Endless(connection)
    connection.stream.secure(tls, Incoming())
    connection.peer.sendall(b"x")
    for polls in range(1, 4):
        until(lambda: select.select([reactor.fileno()], [], [], 0)[0])
        reactor.poll()
        assert tls.reads == polls
    connection.close()
    reactor.close()


class Holder:
    """Garbage that only a collector finds."""

    def __init__(self):
        self.me = self


def test_a_reactor_that_a_collector_finds_ends_its_thread_before_its_streams_go():
    gc.collect()
    before = threads_now()
    reactor = Reactor()
    reactor.start()
    connection = Connection(reactor)
    ours, peer = connection.ours, connection.peer
    holder = Holder()  # younger: the reactor's streams would be cleared away before anything lets go of it
    holder.reactor = reactor
    peer.sendall(HEAD[:-2] + b"Content-Length: 1000000000\r\n\r\n" + EVENT % 1 * 1000)
    del reactor, connection, holder
    gc.collect()
    peer.sendall(EVENT % 1 * 1000)
    until(lambda: threads_now() <= before)
    ours.close()
    peer.close()


def test_a_forked_child_leaves_the_reactor_to_its_parent():
    reactor = Reactor()
    reactor.start()
    connection = Connection(reactor)
    child = os.fork()
    if child == 0:
        reactor.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    connection.peer.sendall(HEAD)
    until(lambda: connection.stream.state == "parked", reactor)
    turns = reactor.turns
    time.sleep(0.05)
    assert reactor.turns - turns < 10  # nor does its thread turn and turn
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
