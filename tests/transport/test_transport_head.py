"""The usual head that the core settles, against h11 as its judge: what both take, they take alike."""

import string

import h11
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lens._core.exchange import read_usual_head
from lens._core.stream import Stream
from lens.errors import ConfigError, ProtocolError
from lens.transport.endpoint import Proxy
from lens.transport.head import (
    HeadWriter,
    _plain_head,
    decide_by_bytes,
    describe_usual_head,
    interpret_head,
    parse_head,
)
from lens.wire import Secret, SignalRules, WireRequest

USUAL = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"


def request(framing: str = "sse") -> WireRequest:
    return WireRequest(method="POST", path="/", headers=(), body=b"{}", signals=SignalRules(()), framing=framing)


def settled(head: bytes, framing: str = "sse", cut: int | None = None):
    """The ResponseHead of a head that the core settles; None where it leaves that to h11."""
    stream = Stream(-1)
    stream.begin(usual_events=framing)
    for piece in (head,) if cut is None else (head[:cut], head[cut:]):
        stream.feed(piece, 1, 1)
    usual = read_usual_head(stream)
    assert (stream.state == "parked") == (usual is None)
    return None if usual is None else describe_usual_head(usual)


@pytest.mark.parametrize("framing", ["sse", "ndjson", "json_array", "aws", "document"])
@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"content-type:application/json\r\n",
        b"Content-Type: text/event-stream\r\n",
        b"Content-Type: Application/X-NDJSON\r\nX-Empty:\r\nx:  a \t b  \r\n",
        b"Content-Type: application/vnd.amazon.eventstream\r\n",
        b"Content-Type: ;\r\nConnection: Keep-Alive\r\nDate: now\r\n",
    ],
)
@pytest.mark.parametrize("body", [b"Content-Length: 012\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_usual_head_says_what_h11_says(framing, fields, body):
    head = b"HTTP/1.1 200 Fine by me\r\n" + fields + body + b"\r\n"
    judged = interpret_head(parse_head(head), request(framing))
    assert settled(head, framing) == (judged if judged.certain else None)


@pytest.mark.parametrize(
    ("framing", "media"),
    [
        ("sse", b"text/event-stream"),
        ("sse", b"Text/Event-Stream ; charset=utf-8"),
        ("ndjson", b"application/x-ndjson"),
        ("ndjson", b"application/jsonl"),
        ("json_array", b"application/json"),
        ("aws", b"application/vnd.amazon.eventstream"),
        ("document", b"application/json; charset=utf-8"),
    ],
)
def test_a_head_of_the_type_that_was_asked_for_is_settled(framing, media):
    assert settled(b"HTTP/1.1 200 OK\r\nContent-Type: " + media + b"\r\nContent-Length: 1\r\n\r\n", framing) is not None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 429 Slow down\r\nContent-Type: text/event-stream\r\nContent-Length: 1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n",
        b"HTTP/1.1 200 OK\nContent-Type: text/event-stream\nContent-Length: 1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1, 1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1\r\nX: caf\xc3\xa9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n",
        USUAL + b"Content-Length: 1\r\n",
        USUAL + b"Content-Encoding: gzip\r\n",
        USUAL + b"Connection: close\r\n",
        USUAL + b"Content-Type: application/json\r\n",
        USUAL + b"X: folded\r\n line\r\n",
        USUAL + b"X : space\r\n",
        USUAL + b"X: bare\rreturn\r\n",
        USUAL + b"X: nul\x00\r\n",
    ],
)
def test_what_is_unusual_is_left_to_h11(head):
    assert settled(head + b"\r\n") is None


@pytest.mark.parametrize("cut", range(len(USUAL) + 2))
def test_a_usual_head_may_come_in_two_pieces(cut):
    assert settled(USUAL + b"\r\n", cut=cut) == interpret_head(parse_head(USUAL + b"\r\n"), request())


NAMES = st.sampled_from([
    "Content-Type", "content-length", "Transfer-Encoding", "Connection", "Content-Encoding", "X-a.b", "x y", "",
])  # fmt: skip
TEXTS = st.text(st.sampled_from(string.printable + "\x00\x7f\xe9"), max_size=12)
VALUES = st.sampled_from([
    "chunked", "Chunked", "7", "007", "-1", "1e3", "text/event-stream", "application/json;x", "keep-alive", "close",
    "identity", "gzip", "", " \t7 ",
]) | TEXTS  # fmt: skip
ENDS = st.sampled_from(["\r\n"] * 8 + ["\n", "\r"])
FIRST = st.sampled_from(
    ["HTTP/1.1 200 OK"] * 6 + ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 OK", "HTTP/1.1 500 x"]
)


@settings(max_examples=400)
@given(FIRST | TEXTS, ENDS, st.lists(st.tuples(NAMES | TEXTS, st.sampled_from([":", ": ", " : "]), VALUES, ENDS)))
def test_no_head_means_one_thing_to_the_core_and_another_to_h11(first, end, fields):
    text = first + end + "".join(f"{name}{colon}{value}{stop}" for name, colon, value, stop in fields) + "\r\n"
    head = text.encode("latin-1")
    stream = Stream(-1)
    stream.begin(usual_events="sse")
    stream.feed(head, 1, 1)
    usual = read_usual_head(stream)
    if usual is None:
        return
    head = stream.head  # a blank line may have come early
    try:
        judged = interpret_head(parse_head(head), request())
    except ProtocolError as error:
        raise AssertionError(head) from error
    assert describe_usual_head(usual) == judged


def test_a_settled_body_begins_at_once_and_with_its_own_bytes():
    stream = Stream(-1)
    tape = stream.begin(usual_events="sse")
    stream.feed(USUAL + b"\r\nb\r\ndata: {}\n\n\r\n0\r\n\r\n", 5, 6)
    assert stream.ended
    assert not stream.surplus
    assert stream.head_end_ns == stream.end_ns == 5
    assert tape.columns(0)[0].tolist() == [5]


def test_a_length_of_nothing_ends_with_its_head():
    stream = Stream(-1)
    stream.begin(usual_events="sse")
    stream.feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n", 5, 6)
    assert stream.ended
    assert stream.end_ns == 5


NAMES = st.text(alphabet="aZ-9_ :\r\né", min_size=0, max_size=6).map(lambda text: text.encode("latin-1"))
VALUES = st.text(alphabet="aZ~ \t\r\n\x00é:,", max_size=8).map(lambda text: text.encode("latin-1"))


@given(
    method=st.sampled_from(["POST", "GET", "M-SEARCH", "PO ST", "", "é"]),
    path=st.text(alphabet="/a?%é \n~", min_size=0, max_size=6),
    rows=st.lists(st.tuples(NAMES | st.sampled_from([b"Host", b"host"]), VALUES), max_size=4),
)
@example(method="POST", path="/v1", rows=[(b"Accept", b"text/event-stream"), (b"HOST", b"a:1"), (b"x", b"")])
def test_a_plain_request_head_is_what_h11_writes(method, path, rows):
    try:
        want = h11.Connection(h11.CLIENT).send(h11.Request(method=method, target=path, headers=rows))
    except (h11.LocalProtocolError, UnicodeEncodeError):
        want = None
    assert _plain_head(method, path, rows) in (want, None)


def test_the_heads_of_requests_are_plain():
    rows = [(b"host", b"a:1"), (b"authorization", b"Bearer sk-x"), (b"content-type", b"application/json"), (b"x", b"")]
    head = _plain_head("POST", "/v1/chat/completions?a=b", rows)
    assert head == h11.Connection(h11.CLIENT).send(
        h11.Request(method="POST", target="/v1/chat/completions?a=b", headers=rows)
    )


def test_a_head_is_rendered_once_and_signed_each_time():
    writer, times = HeadWriter(), []

    def sign(request):
        times.append(request)
        return ((b"X-Date", b"%d" % len(times)),)

    plain = WireRequest(method="POST", path="/v1", headers=((b"x-date", b"0"),), body=b"{}", signals=SignalRules(()))
    signed = msgspec.structs.replace(plain, sign=sign)
    assert writer.render(plain, "a:1") is writer.render(plain, "a:1")
    assert [b"X-Date: %d" % n in writer.render(signed, "a:1") for n in (1, 2)] == [True, True]
    assert b"x-date: 0" not in writer.render(signed, "a:1")


def test_a_relay_is_asked_for_the_whole_address():
    head = HeadWriter().render(request(), "a:1", Proxy("p", 2, Secret("me:it")))
    assert head.startswith(b"POST http://a:1/ HTTP/1.1\r\n")
    assert b"proxy-authorization: Basic bWU6aXQ=\r\n" in head


@pytest.mark.parametrize(
    ("path", "headers", "names"),
    [("/", ((b"x-key", b"a\r\nb: c"),), "header 'x-key'"), ("/a b", (), "method or path")],
    ids=["header", "path"],
)
def test_what_no_head_may_have_is_named_without_its_value(path, headers, names):
    wrong = WireRequest(method="POST", path=path, headers=headers, body=b"{}", signals=SignalRules(()))
    with pytest.raises(ConfigError, match=names) as caught:
        HeadWriter().render(wrong, "a:1")
    assert "b: c" not in str(caught.value)


@pytest.mark.parametrize(
    ("framing", "start", "events"),
    [
        ("sse", b"\xef\xbb\xbfdata: {}", "sse"),
        ("json_array", b"[{}", "json_array"),
        ("sse", b"[{}", "document"),
        ("ndjson", b'{"a": 1}\n', "ndjson"),
        ("sse", b'{"delta": 1}\n', "ndjson"),
        ("sse", b"{\n", "document"),
        ("aws", b"\0\0", "aws"),
    ],
)
def test_the_first_bytes_say_what_the_type_does_not(framing, start, events):
    head = interpret_head(parse_head(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"), request(framing))
    found = decide_by_bytes(head, start, request(framing))
    assert found.events == events
    assert (found.warnings == head.warnings) == (events == head.events)
