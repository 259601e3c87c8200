"""Frames: bodies end where HTTP says, server-sent events are what the WHATWG says, and no cut changes either."""

import pytest
import twin_frames as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_signals import CHAT, DONE, MALFORMED, TEXT

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape


def decode(data, *cuts, body="close", length=0, events="sse", rules=CHAT, done=b"[DONE]", close=False, **options):
    return twin.run(data, cuts, body, length, events, rules, done, close=close, **options)


def decoded(data: bytes, **options) -> list[tuple[bytes, bytes]]:
    """(name, data) of each event."""
    return [(name, event) for _, name, event in decode(data, **options).frames]


# Server-sent events.

SSE = [
    (b"data: a\n\n", [(b"", b"a")]),
    (b"data:a\n\n", [(b"", b"a")]),
    (b"data:  a\n\n", [(b"", b" a")]),
    (b"data: a \n\n", [(b"", b"a ")]),
    (b"data\n\n", [(b"", b"")]),
    (b"data:\n\n", [(b"", b"")]),
    (b"data\ndata\n\n", [(b"", b"\n")]),
    (b"data: a\ndata\ndata: b\n\n", [(b"", b"a\n\nb")]),
    (b"data: a\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    (b"data: a\n", []),
    (b"data: a\n\ndata: b", [(b"", b"a")]),
    (b"data: a\n\ndata: b\n", [(b"", b"a")]),
    (b"\n\n\n", []),
    (b"event: e\ndata: a\n\ndata: b\n\n", [(b"e", b"a"), (b"", b"b")]),
    (b"event: e\n\ndata: b\n\n", [(b"", b"b")]),
    (b"event: e\nevent: f\ndata: a\n\n", [(b"f", b"a")]),
    (b"event: e\nevent\ndata: a\n\n", [(b"", b"a")]),
    (b"data: a\nevent: e\n\n", [(b"e", b"a")]),
    (b"id: 7\nretry: 10\n\ndata: b\n\n", [(b"", b"b")]),
    (b"id: 7\ndata: b\nfoo: x\n\n", [(b"", b"b")]),
    (b": data: a\n\ndata: b\n\n", [(b"", b"b")]),
    (b":\ndata: b\n:\n\n", [(b"", b"b")]),
    (b" data: a\n\n", []),
    (b"Data: a\n\n", []),
    (b"datax: a\n\ndat: a\n\n", []),
    (b"data : a\n\n", []),
    (b"data: a:b: c\n\n", [(b"", b"a:b: c")]),
    (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    (b"\xef\xbbdata: a\n\ndata: b\n\n", [(b"", b"b")]),
    (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
    ("data: a\u2028b\u2029c\u0085d\x0b\x0c\n\n".encode(), [(b"", "a\u2028b\u2029c\u0085d\x0b\x0c".encode())]),
    (b"data: a\x00b\n\n", [(b"", b"a\x00b")]),
    (b"data: \xff\xfe\n\n", [(b"", b"\xff\xfe")]),
]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(("data", "events"), SSE)
def test_events_are_what_the_whatwg_says_whatever_ends_a_line(data, events, newline):
    changed = data.replace(b"\n", newline)
    assert decoded(changed) == events
    assert [(name, event) for name, event, _ in twin.sse(changed).events] == events


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\n\r\n", b"\r\n\n", b"\r\n\r"])
def test_line_ends_may_be_mixed(blank):
    assert decoded(b"data: a" + blank + b"data: b" + blank) == [(b"", b"a"), (b"", b"b")]


def test_a_carriage_return_at_the_end_of_a_read_dispatches_at_once():
    tape = Tape()
    decoder = Decoder(tape)
    decoder.begin("close", 0, "sse", None)
    decoder.feed(b"data: a\r\n\r", 10, 10)
    assert len(tape) == 1
    decoder.feed(b"\ndata: b\r", 20, 20)
    decoder.feed(b"\r", 30, 30)
    decoder.feed(b"\n\n", 40, 40)
    assert tape.frames() == [(0, b"", b"a"), (1, b"", b"b")]
    assert tape.columns(0)[0].tolist() == [10, 20]


def test_the_stamp_is_of_the_last_data_line_and_not_of_the_blank_line():
    got = decode(b"data: a\ndata: b\nevent: e\n: c\n\n", 3, 8, 16, 20, 28)
    assert got.columns[0] == [twin.arrived(2)]
    assert got.columns[4] == [2]


def test_comments_are_counted_and_are_no_events():
    got = decode(b": keep-alive\n\n: OPENROUTER PROCESSING\n\ndata: {}\n\n:\n")
    assert (got.decoder.comments, len(got.frames)) == (3, 1)


def test_a_field_named_error_is_kept():
    got = decode(b'error: {"code":500}\n\nerror: later\n\n')
    assert (got.decoder.error_field, got.frames) == (b'{"code":500}', [])


def test_nothing_is_cut_after_the_end_marker():
    got = decode(b"data: {}\n\ndata: [DONE]\n\ndata: {}\n\n\x00garbage", 14, 30, body="length", length=42)
    assert [event for _, _, event in got.frames] == [b"{}", b"[DONE]"]
    assert (got.decoder.done, got.decoder.ended, got.columns[2]) == (True, True, [0, DONE])


def test_malformed_events_are_marked_and_the_stream_goes_on():
    got = decode(b'data: {"choices"\n\ndata: {"choices":[{"delta":{"content":"ab"}}]}\n\n')
    assert (got.columns[2], got.columns[3]) == ([MALFORMED, TEXT], [0, 2])
    assert got.decoder.last_content_ns == twin.arrived(0)


lines = st.one_of(
    st.sampled_from(
        [b"data: a", b"data:{}", b"data", b"data: [DONE]", b"event: e", b": c", b"", b"", b"id: 1", b"error: x", b"x"]
    ),
    st.text(max_size=8).map(
        lambda t: b'data: {"choices":[{"delta":{"content":"' + t.encode(errors="replace") + b'"}}]}'
    ),
    st.binary(max_size=6),
)
payloads = st.builds(
    lambda bom, parts: bom + b"".join(line + end for line, end in parts),
    st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xef\xbb"]),
    st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b""])), max_size=14),
)
places = st.lists(st.integers(0, 400), max_size=12)


@settings(max_examples=500)
@given(payloads, places)
def test_any_cut_of_an_event_stream_gives_the_same_events_and_its_own_stamps(payload, cuts):
    cuts = [c for c in cuts if c < len(payload)]
    truth = twin.sse(payload)
    got = decode(payload, *cuts, done=b"", close=True)
    assert [(name, event) for _, name, event in got.frames] == [(name, event) for name, event, _ in truth.events]
    assert got.columns == twin.expected(truth.events, range(len(payload)), cuts, CHAT)
    assert (got.decoder.comments, got.decoder.error_field) == (truth.comments, truth.error_field)
    assert (got.decoder.ended, got.decoder.error) == (True, None)


def test_an_endless_line_is_refused_and_costs_no_more_than_its_length():
    decoder = Decoder(Tape(), max_event_bytes=1 << 20)
    decoder.begin("close", 0, "sse", None)
    for _ in range(16):
        decoder.feed(b"data:" + b"x" * 65531, 1, 1)
    assert decoder.error is None
    decoder.feed(b"x", 1, 1)
    assert decoder.error == "event too long"


@pytest.mark.parametrize("cuts", [(), (5,), (11, 20), range(1, 60)])
@pytest.mark.parametrize(
    ("data", "needed"),
    [(b"data: 0123456789\n\n", 16), (b"data: 01234\n" * 4 + b"\n", 23), (b"data: a\n\n: 0123456789\n", 12)],
)
def test_an_event_longer_than_allowed_is_an_error_however_it_is_cut(data, needed, cuts):
    """Neither a line nor the joined data may be longer."""
    cuts = [c for c in cuts if c < len(data)]
    assert decode(data, *cuts, max_event_bytes=needed).decoder.error is None
    assert decode(data, *cuts, max_event_bytes=needed - 1).decoder.error == "event too long"


# HTTP bodies.


def test_a_body_with_a_length_ends_there_and_what_follows_is_not_taken():
    got = decode(b"data: a\n\nHTTP/1.1", 4, body="length", length=9)
    assert (got.taken, got.decoder.ended, got.decoder.end_ns) == ([4, 5], True, twin.arrived(1))
    assert (got.decoder.body_bytes, len(got.frames)) == (9, 1)


@pytest.mark.parametrize(("body", "length"), [("none", 0), ("length", 0)])
def test_a_body_without_bytes_is_over_before_it_begins(body, length):
    got = decode(b"HTTP/1.1", body=body, length=length)
    assert (got.taken, got.decoder.ended, got.decoder.error, got.decoder.end_ns) == ([0], True, None, -1)


@pytest.mark.parametrize(
    "framed",
    [
        b"9\r\ndata: a\n\n\r\n0\r\n\r\n",
        b"0009\r\ndata: a\n\n\r\n000\r\n\r\n",
        b"9;name=value\r\ndata: a\n\n\r\n0;last\r\n\r\n",
        b'9 ; a="b;c"\r\ndata: a\n\n\r\n0\r\n\r\n',
        b"9  \r\ndata: a\n\n\r\n0\r\n\r\n",
        b"9\ndata: a\n\n\n0\n\n",
        b"1\r\nd\r\n1\r\na\r\n3\r\nta:\r\n4\r\n a\n\n\r\n0\r\n\r\n",
        b"9\r\ndata: a\n\n\r\n0\r\nX-Time: 1\r\nServer-Timing: t;dur=2\r\n\r\n",
    ],
)
def test_chunks_are_taken_apart_and_the_rest_is_left(framed):
    for cuts in ((), range(1, len(framed))):
        got = decode(framed + b"HTTP", *cuts, len(framed), body="chunked")
        assert got.decoder.error is None
        assert (sum(got.taken), got.decoder.ended, got.decoder.body_bytes) == (len(framed), True, 9)
        assert got.decoder.end_ns == twin.arrived(len(cuts))
        assert [event for _, _, event in got.frames] == [b"a"]
        found: list[bytes] = []
        twin.chunked(framed, trailers=found)
        assert got.decoder.trailers == b"".join(found)


@pytest.mark.parametrize("digits", ["a", "A", "fF", "00Ff"])
def test_sizes_are_hexadecimal_in_any_case(digits):
    size = int(digits, 16)
    framed = digits.encode() + b"\r\n" + b"x" * size + b"\r\n0\r\n\r\n"
    got = decode(framed, body="chunked", events="document")
    assert got.decoder.document == b"x" * size


@pytest.mark.parametrize(
    ("framed", "error"),
    [
        (b"\r\n", "bad chunk size"),
        (b";x\r\n", "bad chunk size"),
        (b"-1\r\n", "bad chunk size"),
        (b"0x5\r\n", "bad chunk size"),
        (b"g\r\n", "bad chunk size"),
        (b"5\rx", "bad chunk size"),
        (b"7fffffffffffffff0\r\n", "bad chunk size"),
        (b"ffffffffffffffffff\r\n", "bad chunk size"),
        (b"HTTP/1.1 200 OK\r\n", "bad chunk size"),
        (b"1\r\nx\r\n\r\n", "bad chunk size"),
        (b"1\r\nxy\r\n", "bad chunk end"),
        (b"1\r\nx\rx", "bad chunk end"),
        (b"0\r\n\rx", "bad trailers"),
        (b"1;" + b"x" * 65536, "chunk extension too long"),
        (b"0" * 65537, "chunk extension too long"),
        (b"0\r\nX: " + b"x" * 65536, "trailers too long"),
        (b"0\r\n" + b"X: y\r\n" * 11000, "trailers too long"),
    ],
)
def test_broken_chunks_are_named(framed, error):
    for cuts in ((), range(1, min(len(framed), 30))):
        got = decode(framed, *cuts, body="chunked")
        assert (got.decoder.error, got.decoder.ended) == (error, False)
        assert sum(got.taken) == len(framed)


def test_the_largest_size_that_fits_is_taken():
    assert decode(b"7fffffffffffffff\r\nxyz", body="chunked").decoder.error is None


@pytest.mark.parametrize("body", ["length", "chunked"])
def test_a_body_that_stops_early_is_incomplete(body):
    got = decode(b"9\r\ndata: a\n\n", body=body, length=100, close=True)
    assert (got.decoder.error, got.decoder.ended, got.decoder.end_ns) == ("incomplete body", False, -1)


def test_a_body_without_framing_ends_when_the_peer_closes():
    got = decode(b"data: a\n\n", close=True)
    assert (got.decoder.error, got.decoder.ended, got.decoder.end_ns) == (None, True, twin.arrived(1))


@settings(max_examples=300)
@given(payloads, st.lists(st.integers(1, 60), max_size=12), places, st.booleans())
def test_chunks_and_reads_may_be_cut_anywhere(payload, sizes, cuts, extended):
    framed, at = b"", 0
    for size in [*sizes, len(payload)]:
        piece = payload[at : at + size]
        at += len(piece)
        if piece:
            framed += b"%x" % len(piece) + (b";e=1" if extended else b"") + b"\r\n" + piece + b"\r\n"
    framed += b"0\r\n" + (b"A: b\r\n" if extended else b"") + b"\r\n"
    cuts = [c for c in cuts if c < len(framed)]
    whole, where, end = twin.chunked(framed)
    truth = twin.sse(whole)
    got = decode(framed, *cuts, body="chunked", done=b"")
    assert got.columns == twin.expected(truth.events, where, cuts, CHAT)
    assert [event for _, _, event in got.frames] == [event for _, event, _ in truth.events]
    assert (got.decoder.ended, got.decoder.end_ns) == (True, twin.arrived(twin.feed_of(end, cuts)))
    assert got.decoder.body_bytes == len(payload)


# What is kept.


def test_only_events_that_someone_will_read_are_kept():
    chunk = b'data: {"choices":[{"delta":{"content":"ab"},"finish_reason":%s}]}\n\n'
    stream = chunk % b"null" + b"data: {}\n\n" + chunk % b'"stop"' + b"data: {\n\n" + b"data: [DONE]\n\n"
    got = decode(stream, keep_all=False)
    assert [index for index, _, _ in got.frames] == [1, 2, 3, 4]
    assert [index for index, _, _ in decode(stream).frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("data", [b"data: {}\n\n", b"data: {\n\n"])
def test_a_stream_of_nothing_known_fills_no_memory(data):
    got = decode(data * 3000, keep_all=False)
    assert (len(got.frames), got.decoder.unkept, len(got.columns[0])) == (1024, 1976, 3000)
    assert decode(data * 3000).decoder.unkept == 0


def test_the_beginning_of_a_body_without_events_is_kept():
    page = b"<html>" + b"x" * 70000
    assert decode(page, 3, 40000, 68000).decoder.document == page[:65536]
    assert decode(page + b"\ndata: a\n\n").decoder.document == b""


def test_a_document_is_collected_whole_and_within_bounds():
    got = decode(b'{"a":1}' * 3, 3, 9, events="document", close=True, max_event_bytes=21)
    assert (got.decoder.document, got.columns[0], got.decoder.error) == (b'{"a":1}' * 3, [], None)
    assert decode(b"x" * 22, 5, events="document", max_event_bytes=21).decoder.error == "body too long"


def test_an_encoded_body_waits_for_its_decoder():
    tape = Tape()
    decoder = Decoder(tape, keep_all=True)
    decoder.begin("chunked", 0, "ndjson", None, encoded=True)
    decoder.feed(b"2\r\nab\r\n1\r\nc", 10, 11)
    decoder.feed(b"\r\n1\r\nd\r\n0\r\n\r\n", 20, 21)
    assert (decoder.ended, decoder.end_ns, len(tape)) == (True, 20, 0)
    assert decoder.take_encoded() == [(b"ab", 10, 11), (b"c", 10, 11), (b"d", 20, 21)]
    assert decoder.take_encoded() == []
    decoder.feed_payload(b'{"a":1}\n{"b"', 10, 11)
    decoder.feed_payload(b":1}\n", 10, 11)
    decoder.feed_payload(b"{}", 20, 21)
    decoder.finish(30)
    assert tape.frames() == [(0, b"", b'{"a":1}'), (1, b"", b'{"b":1}'), (2, b"", b"{}")]
    assert [c.tolist() for c in tape.columns(0)][::4] == [[10, 10, 20], [0, 0, 1]]
    assert decoder.end_ns == 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gzip", 0, "sse"), "body framing 'gzip' is not one of none, length"),
        (("close", 0, "xml"), "event framing 'xml' is not one of sse"),
        (("length", -1, "sse"), "0 and more work"),
    ],
)
def test_a_framing_that_does_not_exist_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        Decoder(Tape()).begin(*arguments, SignalSet([]))


def test_a_decoder_that_is_begun_again_has_forgotten_everything():
    decoder = Decoder(Tape())
    decoder.begin("length", 5, "sse", None)
    decoder.feed(b"error", 1, 1)
    decoder.begin("chunked", 0, "sse", None)
    decoder.feed(b"x", 1, 1)
    assert decoder.error == "bad chunk size"
    decoder.begin("close", 0, "sse", None)
    assert (decoder.error, decoder.ended, decoder.document) == (None, False, b"")
