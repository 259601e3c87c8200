"""What is read of an exchange at one moment is what its stream says one by one; lines of heads are told apart."""

import socket

import pytest

from lens._core.exchange import read_facts, read_usual_head
from lens._core.signals import SignalSet
from lens._core.stream import Stream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\nX-Own:%s\r\n\r\n"


@pytest.fixture
def stream():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield Stream(ours.fileno())


def said_by(stream):
    kind = "kernel" if stream.kernel_stamped and stream.reads else "read"
    return (
        stream.send_start_ns, stream.send_end_ns, stream.send_stamp, stream.first_byte_ns, stream.head_end_ns,
        stream.end_ns, kind, stream.clock_stepped, stream.comments, stream.wire_bytes,
    )  # fmt: skip


def begin(stream):
    return stream.begin(usual_events="sse", signals=SignalSet([], b"", ()))


def test_facts_are_those_that_the_stream_says(stream):
    assert read_facts(stream) == said_by(stream)
    begin(stream)
    stream.send(b"GET /")
    assert read_facts(stream) == said_by(stream)
    body = b":\n\ndata: x\n\n"
    stream.feed(HEAD % (len(body), b"1"), 5, 6)
    assert read_facts(stream) == said_by(stream)
    stream.feed(body, 7, 8)
    facts = read_facts(stream)
    assert facts == said_by(stream)
    assert facts[3:] == (5, 5, 7, "read", False, 1, stream.wire_bytes)


def test_a_line_that_differs_from_one_before_is_read_anew(stream):
    for number in range(3000):  # more than are known at once
        begin(stream)
        stream.feed(HEAD % (0, b" %d\t" % (number % 2000)), 1, 1)
        reason, body, length, events, fields = read_usual_head(stream)
        assert (reason, body, length, events) == ("OK", "length", 0, "sse")
        own = ("x-own", str(number % 2000))
        assert fields == (("content-type", "text/event-stream"), ("content-length", "0"), own)


def test_a_head_that_is_not_usual_has_none(stream):
    assert read_usual_head(stream) is None
    begin(stream)
    stream.feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1, 1)
    assert read_usual_head(stream) is None
    for read in (read_facts, read_usual_head):
        with pytest.raises(TypeError):
            read(None)
