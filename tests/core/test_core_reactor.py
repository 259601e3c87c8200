"""The reactor against real sockets: what it stamps, when a stream changes, and what becomes of faults."""

import contextlib
import gc
import gzip
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import sysconfig
import time
import zlib
from pathlib import Path

import pytest
import trustme
from waiting import HANG_S

from lens._core import clock, reactor, signals
from lens._core.reactor import Reactor, Stream
from lens._core.tcp import read_tcp_info
from lens.model import Signal

TEXT = signals.SignalSet([("t", int(Signal.TEXT), True, 0, None)], b"[DONE]")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def event(text: str) -> bytes:
    return b'data: {"t":"%s"}\n\n' % text.encode()


class Pair:
    """Two ends of a TCP connection on loopback; ours is attached to a reactor."""

    def __init__(self, *, kernel_stamps: bool = True, threaded: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.ours = socket.create_connection(listener.getsockname())
            self.peer, _ = listener.accept()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ours.setblocking(False)
        self.reactor = Reactor(kernel_stamps=kernel_stamps)
        if threaded:
            self.reactor.start()
        self.stream = Stream(self.ours.fileno())
        self.reactor.attach(self.stream)
        self.threaded, self.reads = threaded, 0

    def poll(self) -> list[Stream]:
        """One poll, once something is ready, or once the thread has read something."""
        if self.threaded:
            deadline = time.monotonic() + HANG_S
            while self.reactor.reads == self.reads and time.monotonic() < deadline:
                time.sleep(0.0005)
            self.reads = self.reactor.reads
        else:
            select.select([self.reactor.fileno()], [], [], HANG_S)
        return self.reactor.poll()

    def until(self, state: str) -> None:
        deadline = time.monotonic() + HANG_S
        while self.stream.state != state and time.monotonic() < deadline:
            select.select([self.reactor.fileno()], [], [], 0.05)
            self.reactor.poll()
        self.reads = self.reactor.reads
        assert self.stream.state == state, (self.stream.state, self.stream.error)

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def close(self) -> None:
        self.reactor.detach(self.stream)
        self.reactor.close()
        self.ours.close()
        self.peer.close()


@pytest.fixture(params=["poll", "thread"])
def pair(request):
    """Read by poll(), or by the reactor's own thread."""
    made = Pair(threaded=request.param == "thread")
    yield made
    made.close()


@pytest.fixture
def polled():
    """Read by poll() alone."""
    made = Pair()
    yield made
    made.close()


def signal_column(tape) -> list[int]:
    return tape.columns(0)[2].tolist()


def test_every_stamp_lies_within_the_send_that_caused_it(pair):
    tape = pair.stream.begin()
    pair.peer.sendall(HEAD)
    pair.until("parked")
    assert pair.stream.head == HEAD
    pair.stream.begin_body("close", -1, "sse", TEXT)
    brackets = []
    for i in range(20):
        before = clock.now_ns()
        pair.peer.sendall(event(f"token {i}"))
        brackets.append((before, clock.now_ns()))
        pair.poll()
    arrived, lag, _, chars, reads = tape.columns(0)
    assert pair.stream.kernel_stamped is reactor.native
    assert all(before - 5_000 <= a <= after + 5_000 for a, (before, after) in zip(arrived, brackets, strict=True))
    assert all(late >= 0 for late in lag)
    assert chars.tolist() == [len(f"token {i}") for i in range(20)]
    assert len(set(reads.tolist())) == 20


def test_a_late_reader_reports_when_the_bytes_came_and_how_late_it_was(polled):
    tape = polled.stream.begin()
    polled.peer.sendall(HEAD)
    polled.until("parked")
    polled.stream.begin_body("close", -1, "sse", TEXT)
    before = clock.now_ns()
    polled.peer.sendall(event("x"))
    after = clock.now_ns()
    time.sleep(0.05)
    polled.poll()
    arrived, lag, *_ = tape.columns(0)
    assert before - 5_000 <= arrived[0] <= after + 5_000
    assert lag[0] >= 49_000_000


def test_without_kernel_stamps_the_time_of_reading_is_used_and_said():
    pair = Pair(kernel_stamps=False)
    pair.stream.begin()
    before = clock.now_ns()
    pair.peer.sendall(HEAD)
    time.sleep(0.02)
    pair.until("parked")
    assert pair.stream.kernel_stamped is False
    assert pair.stream.first_byte_ns >= before + 20_000_000
    pair.close()


def test_bytes_that_come_while_the_head_is_being_understood_keep_their_stamps(pair):
    tape = pair.stream.begin()
    pair.peer.sendall(HEAD)
    pair.until("parked")
    sent = []
    for _ in range(3):
        before = clock.now_ns()
        pair.peer.sendall(event("x"))
        sent.append((before, clock.now_ns()))
        pair.poll()
    assert pair.stream.state == "parked"
    pair.stream.begin_body("close", -1, "sse", TEXT)
    arrived, _, _, _, reads = tape.columns(0)
    assert all(a - 5_000 <= t <= b + 5_000 for t, (a, b) in zip(arrived, sent, strict=True))
    assert len(set(reads.tolist())) == 3


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_a_head_may_come_in_any_pieces_and_the_body_may_come_with_it(pair, cut):
    tape = pair.stream.begin()
    answer = HEAD + event("one") + event("two")
    for at in range(0, len(answer), cut):
        pair.peer.sendall(answer[at : at + cut])
        pair.poll()
        if pair.stream.state == "parked":
            pair.stream.begin_body("close", -1, "sse", TEXT)
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until("ended")
    assert tape.columns(0)[3].tolist() == [3, 3]
    assert pair.stream.wire_bytes == len(answer)
    assert pair.stream.closed


def test_an_informational_head_is_followed_by_the_real_one(pair):
    pair.stream.begin()
    pair.peer.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + event("x"))
    pair.until("parked")
    assert pair.stream.head == b"HTTP/1.1 103 Early Hints\r\n\r\n"
    pair.stream.informational()
    assert pair.stream.state == "parked"
    assert pair.stream.head == HEAD


def test_one_connection_serves_one_exchange_after_another(pair):
    for text in ("one", "three"):
        tape = pair.stream.begin()
        body = event(text)
        pair.peer.sendall(HEAD + body)
        pair.until("parked")
        pair.stream.begin_body("length", len(body), "sse", TEXT)
        assert pair.stream.state == "ended"
        assert tape.columns(0)[3].tolist() == [len(text)]
        assert not pair.stream.surplus


def test_a_body_of_no_bytes_is_over_at_once(pair):
    pair.stream.begin()
    pair.peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    pair.until("parked")
    pair.stream.begin_body("none", 0, "document", None)
    assert pair.stream.state == "ended"


def test_bytes_after_the_end_make_the_connection_unfit(pair):
    pair.stream.begin()
    pair.peer.sendall(HEAD + event("x") + b"more")
    pair.until("parked")
    pair.stream.begin_body("length", len(event("x")), "sse", TEXT)
    assert pair.stream.ended
    assert pair.stream.surplus


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", "closed before an answer"),
        (b"HTTP/1.1 200", "closed inside the head"),
        (b"x" * 70_000, "head too long"),
    ],
)
def test_a_head_that_never_ends_says_why(pair, sent, error):
    pair.stream.begin()
    pair.peer.sendall(sent)
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until("failed")
    assert pair.stream.error == error
    assert pair.stream.partial_head.startswith(sent[:1000])


def test_a_body_cut_short_keeps_its_events(pair):
    tape = pair.stream.begin()
    pair.peer.sendall(HEAD + event("x"))
    pair.until("parked")
    pair.stream.begin_body("length", 1000, "sse", TEXT)
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until("failed")
    assert pair.stream.error == "incomplete body"
    assert signal_column(tape) == [Signal.TEXT]


def test_a_reset_is_told_with_its_error_number(pair):
    pair.stream.begin()
    pair.peer.sendall(HEAD)
    pair.until("parked")
    pair.stream.begin_body("chunked", -1, "sse", TEXT)
    pair.reset()
    pair.until("failed")
    assert pair.stream.error == "reset by the peer"
    assert pair.stream.errno != 0


def test_a_close_while_parked_is_acted_on_when_the_body_begins(pair):
    tape = pair.stream.begin()
    pair.peer.sendall(HEAD + event("x"))
    pair.peer.shutdown(socket.SHUT_WR)
    while not pair.stream.closed:
        pair.poll()
    assert pair.stream.state == "parked"
    pair.stream.begin_body("close", -1, "sse", TEXT)
    assert pair.stream.ended
    assert signal_column(tape) == [Signal.TEXT]


def test_an_idle_connection_that_the_peer_closes_is_noticed(pair):
    pair.peer.close()
    assert pair.poll() == [pair.stream]
    assert pair.stream.closed
    pair.stream.begin()
    assert pair.stream.state == "failed"


def test_a_peer_that_floods_a_parked_stream_is_held_back(pair):
    tape = pair.stream.begin()
    block = b"".join(event("y" * 100) for _ in range(500))
    pair.peer.sendall(HEAD)
    pair.until("parked")
    pair.peer.setblocking(False)
    sent, idle = 0, 0
    while idle < 20 and sent < 64_000_000:
        try:
            sent += pair.peer.send(block[sent % len(block) :])
            idle = 0
        except BlockingIOError:
            idle += 1
            select.select([pair.reactor.fileno()], [], [], 0.005)
            pair.reactor.poll()
    assert sent < 64_000_000, "nothing held the peer back"
    pair.stream.begin_body("length", sent, "sse", TEXT)
    pair.until("ended")
    assert len(tape) == sent // len(event("y" * 100))


@pytest.mark.parametrize("cut", [1, 13, 100_000])
@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(event("one") + event("two"), mtime=0)),
        ("gzip", gzip.compress(event("one"), mtime=0) + gzip.compress(event("two"), mtime=0)),
        ("deflate", zlib.compress(event("one") + event("two"))),
    ],
    ids=["gzip", "gzip in two members", "deflate"],
)
def test_a_compressed_body_gives_the_same_events(pair, encoding, packed, cut):
    tape = pair.stream.begin()
    pair.peer.sendall(HEAD)
    pair.until("parked")
    pair.stream.begin_body("length", len(packed), "sse", TEXT, encoding)
    for at in range(0, len(packed), cut):
        pair.peer.sendall(packed[at : at + cut])
        pair.poll()
    pair.until("ended")
    assert tape.columns(0)[3].tolist() == [3, 3]


def test_what_is_not_gzip_fails_and_says_so(pair):
    pair.stream.begin()
    pair.peer.sendall(HEAD + b"not gzip")
    pair.until("parked")
    pair.stream.begin_body("length", 8, "sse", TEXT, "gzip")
    assert pair.stream.state == "failed"
    assert pair.stream.error == "bad compressed data"


def begin_encoded(body: str, length: int, encoding: str) -> Stream:
    stream = Stream(-1)
    stream.begin()
    stream.feed(HEAD, 1, 1)
    stream.begin_body(body, length, "sse", TEXT, encoding)
    return stream


def end_of_encoded(body: str, encoding: str, packed: bytes) -> Stream:
    """A stream that has got `packed` as the whole of a body, ended as its framing says."""
    stream = begin_encoded(body, len(packed), encoding)
    if body == "chunked":
        packed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed) if packed else b"0\r\n\r\n"
    if packed:
        stream.feed(packed, 2, 2)
    if body == "close":
        stream.eof(3)
    return stream


@pytest.mark.parametrize("body", ["length", "chunked", "close"])
@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_data_without_its_end_is_incomplete_however_the_body_ends(body, encoding, pack):
    packed = pack(event("one") + event("two"))
    for cut in range(1, len(packed)):
        stream = end_of_encoded(body, encoding, packed[:cut])
        assert (stream.state, stream.error) == ("failed", "incomplete compressed data"), cut
    assert end_of_encoded(body, encoding, packed).state == "ended"
    assert end_of_encoded(body, encoding, b"").state == "ended"


def test_a_second_member_without_its_end_is_incomplete():
    one, two = gzip.compress(event("one")), gzip.compress(event("two"))
    assert end_of_encoded("close", "gzip", one).state == "ended"
    assert end_of_encoded("close", "gzip", one + two[:-1]).error == "incomplete compressed data"
    assert end_of_encoded("close", "gzip", one + two).state == "ended"


def test_a_body_cut_short_by_its_framing_is_told_as_that_though_it_is_compressed():
    packed = gzip.compress(event("one"))
    stream = begin_encoded("length", len(packed), "gzip")
    stream.feed(packed[:-4], 2, 2)
    stream.eof(3)
    assert (stream.state, stream.error) == ("failed", "incomplete body")


class Secured:
    """Both ends of TLS after their handshake, the peer's with its records in our hands."""

    def __init__(self) -> None:
        authority = trustme.CA()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        self.ours, self.to_peer = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
        self.client = client.wrap_bio(*self.ours, server_hostname="localhost")
        self.server = server.wrap_bio(*self.to_peer, server_side=True)
        for _ in range(3):
            for end in (self.client, self.server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
            self.to_peer[0].write(self.ours[1].read())
            self.ours[0].write(self.to_peer[1].read())

    def ciphertext(self, plain: bytes) -> bytes:
        """What the peer sends for it."""
        self.server.write(plain)
        return self.to_peer[1].read()

    def close_notify(self) -> bytes:
        """What the peer sends to say that it ends."""
        with contextlib.suppress(ssl.SSLError):
            self.server.unwrap()
        return self.to_peer[1].read()

    def alert(self) -> bytes:
        """What the peer sends when it is given a record that cannot be."""
        self.to_peer[0].write(b"\x17\x03\x03\x00\x20" + bytes(32))
        with contextlib.suppress(ssl.SSLError):
            self.server.read(1)
        return self.to_peer[1].read()


def test_what_comes_in_one_read_with_an_alert_is_kept(pair):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    tape = pair.stream.begin()
    pair.peer.sendall(tls.ciphertext(HEAD))
    pair.until("parked")
    pair.stream.begin_body("close", -1, "sse", TEXT)
    pair.peer.sendall(tls.ciphertext(event("a") + event("b")) + tls.alert())
    pair.until("failed")
    assert signal_column(tape) == [int(Signal.TEXT)] * 2
    assert "ALERT" in pair.stream.error


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("settled", [True, False])
def test_an_alert_before_the_exchange_begins_is_the_reason_that_it_fails(pair, closed, settled):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    pair.peer.sendall(tls.alert())
    if closed:
        pair.peer.close()
    if settled:
        pair.poll()
    pair.stream.begin()
    pair.until("failed")
    assert "ALERT" in pair.stream.error


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("notified", [True, False])
def test_only_close_notify_ends_a_body_that_lasts_until_the_close(pair, encoding, apart, notified):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    tape = pair.stream.begin()
    pair.peer.sendall(tls.ciphertext(HEAD))
    pair.until("parked")
    pair.stream.begin_body("close", -1, "sse", TEXT, encoding)
    body = event("a") + event("b")
    last = tls.ciphertext(gzip.compress(body) if encoding else body)
    end = tls.close_notify() if notified else b""
    if apart:
        pair.peer.sendall(last)
        pair.poll()
        pair.peer.sendall(end)
    else:
        pair.peer.sendall(last + end)
    pair.peer.close()
    pair.until("ended" if notified else "failed")
    assert pair.stream.error == (None if notified else "closed without close_notify")
    assert signal_column(tape) == [int(Signal.TEXT)] * 2


@pytest.mark.parametrize("notified", [True, False])
def test_what_close_notify_has_ended_a_reset_does_not_undo(pair, notified):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    pair.stream.begin()
    pair.peer.sendall(tls.ciphertext(HEAD))
    pair.until("parked")
    pair.stream.begin_body("close", -1, "sse", TEXT)
    pair.peer.sendall(tls.ciphertext(event("a")) + (tls.close_notify() if notified else b""))
    pair.reset()
    pair.until("ended" if notified else "failed")
    assert pair.stream.error == (None if notified else "reset by the peer")


def test_a_body_whose_framing_has_ended_needs_no_close_notify(pair):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    pair.stream.begin()
    pair.peer.sendall(tls.ciphertext(HEAD + event("a")))
    pair.peer.close()
    pair.until("parked")
    pair.stream.begin_body("length", len(event("a")), "sse", TEXT)
    assert pair.stream.state == "ended"


def test_a_close_without_notice_while_the_head_is_understood_is_no_end(pair):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    pair.stream.begin()
    pair.peer.sendall(tls.ciphertext(HEAD + event("a")))
    pair.peer.close()
    pair.until("parked")
    while not pair.stream.closed:
        pair.poll()
    pair.stream.begin_body("close", -1, "sse", TEXT)
    assert (pair.stream.state, pair.stream.error) == ("failed", "closed without close_notify")


def test_tls_records_carry_the_stamp_of_their_ciphertext(pair):
    tls = Secured()
    pair.stream.secure(tls.client, tls.ours[0])
    tape = pair.stream.begin()

    def send(plain: bytes) -> tuple[int, int]:
        cipher = tls.ciphertext(plain)
        pair.peer.sendall(cipher[:5])  # a record may be cut anywhere
        pair.poll()
        before = clock.now_ns()
        pair.peer.sendall(cipher[5:])
        return before, clock.now_ns()

    send(HEAD)
    pair.until("parked")
    pair.stream.begin_body("close", -1, "sse", TEXT)
    brackets = []
    for i in range(5):
        brackets.append(send(event(f"token {i}")))
        pair.poll()
    arrived, *_ = tape.columns(0)
    assert len(tape) == 5
    assert all(a - 5_000 <= t <= b + 5_000 for t, (a, b) in zip(arrived, brackets, strict=True))
    pair.peer.sendall(b"\x17\x03\x03\x00\x05wrong")
    pair.until("failed")
    assert pair.stream.error.startswith("TLS failed: ")


def test_the_plain_loop_may_feed_what_it_read_itself():
    stream = Stream(-1)
    tape = stream.begin()
    stream.feed(HEAD + event("x"), 1_000, 1_000)
    assert stream.take_changed()
    assert not stream.take_changed()
    stream.begin_body("close", -1, "sse", TEXT)
    stream.eof(2_000)
    assert stream.ended
    assert stream.end_ns == 2_000
    assert tape.columns(0)[0].tolist() == [1_000]
    assert stream.kernel_stamped is False


def test_send_hands_bytes_to_the_kernel_and_stamps_it(pair):
    pair.stream.begin()
    before = clock.now_ns()
    assert pair.stream.send(b"hello", 2) == 3
    assert before <= pair.stream.send_start_ns <= pair.stream.send_end_ns <= clock.now_ns()
    assert pair.peer.recv(10) == b"llo"
    while pair.stream.send(b"x" * 1_000_000):
        pass
    pair.reset()
    select.select([pair.ours], [], [])  # until the reset is here
    with pytest.raises(OSError, match=r".+"):
        pair.stream.send(b"x")


def sent_bracket(pair, data: bytes) -> tuple[int, int]:
    """When it was sent in one call, which the peer has read by the end."""
    before = clock.now_ns()
    assert pair.stream.send(data) == len(data)
    assert pair.peer.recv(len(data), socket.MSG_WAITALL) == data
    return before, clock.now_ns()


def test_the_end_of_sending_is_when_the_kernel_sent_the_last_byte(pair):
    for text in (b"one", b"two" * 10_000):
        pair.stream.begin()
        pair.stream.send(b"first ")
        pair.peer.recv(6)
        before, after = sent_bracket(pair, text)
        deadline = time.monotonic() + HANG_S
        while pair.stream.send_stamp != "kernel" and time.monotonic() < deadline:
            pair.reactor.poll()
        assert pair.stream.send_stamp == "kernel"
        assert pair.stream.send_start_ns <= before <= pair.stream.send_end_ns <= after
        pair.peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        pair.until("parked")
        pair.stream.begin_body("none", 0, "document", None)


def test_without_the_kernels_stamp_the_first_byte_bounds_the_end_of_sending():
    pair = Pair(kernel_stamps=False)
    pair.stream.begin()
    _, after = sent_bracket(pair, b"question")
    assert pair.stream.send_stamp == "call"
    assert pair.stream.send_end_ns <= after
    pair.stream.feed(HEAD, pair.stream.send_start_ns + 1, after)
    assert pair.stream.send_stamp == "bound"
    assert pair.stream.send_end_ns == pair.stream.send_start_ns + 1 == pair.stream.first_byte_ns
    pair.close()


def test_what_cannot_be_done_in_a_state_is_refused(pair):
    with pytest.raises(RuntimeError, match="no head"):
        pair.stream.begin_body("close", -1, "sse", TEXT)
    with pytest.raises(RuntimeError, match="no head"):
        pair.stream.informational()
    pair.stream.begin()
    with pytest.raises(RuntimeError, match="cannot begin"):
        pair.stream.begin()
    with pytest.raises(ValueError, match="outside"):
        pair.stream.send(b"x", 2)


def test_a_failed_exchange_says_so_when_its_body_is_to_begin(pair):
    pair.stream.begin()
    pair.stream.eof(5)
    with pytest.raises(RuntimeError, match="has failed: closed before an answer"):
        pair.stream.begin_body("close", -1, "sse", None)
    with pytest.raises(RuntimeError, match="has failed: closed before an answer"):
        pair.stream.informational()


def test_a_body_begins_once(pair):
    pair.stream.begin()
    pair.stream.feed(HEAD, 1, 1)
    pair.stream.begin_body("close", -1, "sse", None)
    with pytest.raises(RuntimeError, match="has begun already"):
        pair.stream.begin_body("close", -1, "sse", None)


class Detaching:
    """A TLS object that makes its owner let go of all other streams when it decrypts."""

    def __init__(self, reactor: Reactor, streams: dict[int, Stream], own: int) -> None:
        self.reactor, self.streams, self.own = reactor, streams, own

    def read(self, _: int) -> bytes:
        for number in [n for n in self.streams if n != self.own]:
            self.reactor.detach(self.streams.pop(number))
        gc.collect()
        self.overwritten = [bytes([255]) * size for size in range(100, 1500)]
        return HEAD

    def pending(self) -> int:
        return 0


class Incoming:
    pending = 0

    def write(self, data: bytes) -> None:
        pass


def test_streams_that_decrypting_another_detaches_stay_alive_and_untold():
    reactor = Reactor(kernel_stamps=False)
    pairs = [socket.socketpair() for _ in range(40)]
    streams = {ours.fileno(): Stream(ours.fileno()) for ours, _ in pairs}
    for number in list(streams):
        streams[number].secure(Detaching(reactor, streams, number), Incoming())
        reactor.attach(streams[number])
        streams[number].begin()
    for _, peer in pairs:
        peer.send(b"x")
    changed = reactor.poll()
    assert [stream.fd for stream in changed] == list(streams)
    assert len(streams) == len(reactor) == 1
    for ours, peer in pairs:
        ours.close()
        peer.close()


def test_a_late_detach_leaves_the_stream_that_has_the_descriptor_now():
    reactor = Reactor(kernel_stamps=False)
    first, first_peer = socket.socketpair()
    number = first.fileno()
    old = Stream(number)
    reactor.attach(old)
    first.close()
    with contextlib.ExitStack() as stack:
        second, peer = map(stack.enter_context, socket.socketpair())
        if second.fileno() != number:
            os.dup2(second.fileno(), number)
            stack.callback(os.close, number)
        new = Stream(number)
        reactor.attach(new)
        new.begin()
        assert len(reactor) == 1
        reactor.detach(old)
        peer.send(HEAD)
        assert reactor.poll() == [new]
        assert new.state == "parked"
        reactor.detach(new)
        assert len(reactor) == 0
    first_peer.close()


def test_a_reactor_leaves_the_streams_of_another_alone(pair):
    other = Reactor()
    other.detach(pair.stream)
    with pytest.raises(ValueError, match="another reactor"):
        other.attach(pair.stream)
    pair.stream.begin()
    pair.peer.sendall(HEAD)
    pair.until("parked")
    other.close()


def test_a_descriptor_that_lives_on_as_a_duplicate_is_of_no_stream():
    reactor = Reactor(kernel_stamps=False)
    ours, peer = socket.socketpair()
    twin = ours.dup()
    stream = Stream(ours.fileno())
    reactor.attach(stream)
    ours.close()
    reactor.detach(stream)
    del stream
    peer.send(b"x")
    assert reactor.poll() == []
    twin.close()
    peer.close()


def test_a_poll_that_the_kernel_refuses_is_an_error():
    reactor = Reactor(kernel_stamps=False)
    with open(os.devnull) as null:
        os.dup2(null.fileno(), reactor.fileno())
    with pytest.raises(OSError, match="epoll_wait"):
        reactor.poll()
    reactor.close()


def test_a_closed_reactor_says_so(pair):
    pair.reactor.close()
    with pytest.raises(ValueError, match="closed"):
        pair.reactor.poll()


def test_tcp_info_is_of_the_connection(pair):
    info = read_tcp_info(pair.ours.fileno())
    assert info is not None
    rtt_us, _, min_rtt_us, retransmits, acked = info
    assert 0 < min_rtt_us <= max(rtt_us, min_rtt_us) < 1_000_000
    assert retransmits == 0 <= acked
    assert read_tcp_info(pair.reactor.fileno()) is None


# The wall clock of the whole machine is not ours to set: a library put before libc moves what
# this one process reads of it, which is how a step looks from inside.
SHIM = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
long lens_test_step_s = 0;
int clock_gettime(clockid_t id, struct timespec *t) {
    int answer = (int)syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME) t->tv_sec += lens_test_step_s;
    return answer;
}
"""
STEPPED = r"""
import ctypes, sys, time
sys.path[:0] = {paths!r}
from test_core_reactor import Pair, HEAD, TEXT, event
step = ctypes.c_long.in_dll(ctypes.CDLL({shim!r}), "lens_test_step_s")
pair = Pair()
tape = pair.stream.begin()
pair.peer.sendall(HEAD)
pair.until("parked")
pair.stream.begin_body("close", -1, "sse", TEXT)
pair.peer.sendall(event("x")); pair.poll()
assert pair.stream.clock_stepped is False
step.value = {seconds}
time.sleep(0.02)
pair.peer.sendall(event("x")); pair.poll()
assert pair.stream.clock_stepped is True
assert pair.reactor.clock_steps == 1
pair.peer.sendall(event("x")); pair.poll()  # the kernel's stamp is of the clock as it was before
gaps = [tape.columns(0)[0][i] - tape.columns(0)[0][0] for i in (1, 2)]
assert all(19_000_000 < gap < 1_000_000_000_000 for gap in gaps), gaps
print("noticed")
"""


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_step_of_the_wall_clock_is_noticed_and_moves_no_stamp(tmp_path, seconds):
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source], check=True, timeout=HANG_S)
    here = Path(__file__).parent
    code = STEPPED.format(paths=[str(here), str(here.parent)], shim=str(shim), seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"LD_PRELOAD": str(shim), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.stdout.strip() == "noticed", done.stderr


TEXT_AND_END = signals.SignalSet([("t", 1, True, 0, None)], b"[DONE]")


def test_the_protocols_own_end_is_a_change_told_once_while_the_body_stays_open():
    stream = Stream(-1)
    stream.begin()
    stream.feed(b"HTTP/1.1 200 OK\r\n\r\n", 1, 1)
    assert stream.take_changed()
    stream.begin_body("close", -1, "sse", TEXT_AND_END)
    stream.feed(b'data: {"t":"x"}\n\n', 2, 2)
    assert not stream.take_changed()
    stream.feed(b"data: [DONE]\n\n", 3, 3)
    assert (stream.done, stream.state, stream.take_changed(), stream.take_changed()) == (True, "body", True, False)


def test_the_first_bytes_behind_a_head_are_told_and_shown_before_the_body_begins():
    stream = Stream(-1)
    stream.begin()
    stream.feed(b"HTTP/1.1 200 OK\r\n\r\n", 1, 1)
    assert (stream.held, stream.take_changed()) == (b"", True)
    stream.feed(b"data: ", 2, 2)
    assert (stream.held, stream.take_changed()) == (b"data: ", True)
    stream.feed(b"x\n\n", 3, 3)
    assert (stream.held, stream.take_changed()) == (b"data: x\n\n", False)
    stream.begin_body("close", -1, "sse", None)
    assert stream.held == b""


@pytest.mark.parametrize(
    ("lines", "field"),
    [(b'{"error":"x"}\n', b'{"error":"x"}'), (b'error: y\n{"a":1}\n', b"y"), (b'data: 1\n\n{"b":2}\r\n', b'{"b":2}')],
)
def test_a_line_of_bare_json_is_kept_beside_the_events(lines, field):
    stream = Stream(-1)
    stream.begin()
    stream.feed(b"HTTP/1.1 200 OK\r\n\r\n", 1, 1)
    stream.begin_body("close", -1, "sse", None)
    stream.feed(lines, 2, 2)
    assert stream.error_field == field


@pytest.mark.parametrize("resets", [False, True])
def test_a_unix_socket_whose_answer_is_there_before_the_request_is_sent(resets):
    ours, peer = socket.socketpair(socket.AF_UNIX)
    ours.setblocking(False)
    loop, stream = Reactor(), Stream(ours.fileno())
    loop.attach(stream)
    stream.begin()
    stream.send(b"half of it ")
    peer.sendall(HEAD)
    if resets:
        peer.close()  # with bytes that it has not read
    else:
        stream.send(b"and half")
    while stream.state != "parked":
        loop.poll()
    assert stream.head == HEAD
    assert stream.send_stamp in ("call", "bound")
    loop.close()
    ours.close()
    peer.close()
