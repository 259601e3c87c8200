"""Threads that each have objects of their own disturb nobody: the core lets go of the GIL while it reads and decodes.

Under ThreadSanitizer (`make threads`) a place that two of them touch at once would be reported and end the run.
"""

import random
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

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


def test_a_reactor_is_polled_by_one_thread_at_a_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    ours.setblocking(False)
    reactor, stream = Reactor(), Stream(ours.fileno())
    reactor.attach(stream)
    tape = stream.begin(keep_all=True)
    peer.sendall(HEAD)
    while stream.state != "parked":
        reactor.poll()
    stream.begin_body("close", 0, "sse", SHARED)
    sent = 2000

    ended = Event()

    def poll(_):
        while not ended.is_set():
            try:
                if reactor.poll():
                    ended.set()
            except RuntimeError as error:
                assert "one thread at a time" in str(error)  # noqa: PT017  how often it happens is chance

    with ThreadPoolExecutor(THREADS) as pool:
        pollers = [pool.submit(poll, i) for i in range(THREADS)]
        for number in range(sent):
            peer.sendall(b'data: {"t":"%d"}\n\n' % (number % 10))
        peer.close()
        for poller in pollers:
            poller.result()
    assert stream.ended
    assert len(tape) == sent
    reactor.close()
    ours.close()


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
