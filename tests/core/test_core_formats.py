"""The framings that are not SSE: NDJSON, a streamed JSON array, and the AWS event stream with its checksums."""

import json
import struct
import zlib

import pytest
import twin_frames as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_signals import ERROR, MALFORMED, REASONING, TEXT, USAGE, scan

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape

RULES = [("message.content", TEXT, True, 0, None), ("usage", USAGE, False, 0, None)]
CONVERSE = [
    ("contentBlockDelta.delta.text", TEXT, True, 0, None),
    ("contentBlockDelta.delta.reasoningContent.text", REASONING, True, 0, None),
    ("metadata.usage", USAGE, False, 0, None),
    ("chunk.bytes(base64).delta.text", TEXT, True, 0, ("chunk.bytes(base64)", "type", "text_delta", False)),
]


def decode(data, *cuts, events, rules=RULES, **options):
    return twin.run(data, cuts, "close", 0, events, rules, close=True, **options)


def data_of(got) -> list[bytes]:
    return [data for _, _, data in got.frames]


# NDJSON.


@pytest.mark.parametrize(
    ("payload", "events"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\n\n{"a":1}\n \t\r\n\n', [b'{"a":1}']),
        (b"{}\n  ", [b"{}"]),
        (b"", []),
    ],
)
def test_each_line_that_is_not_blank_is_an_event(payload, events):
    assert data_of(decode(payload, events="ndjson")) == events


def test_a_last_line_without_its_end_has_the_stamp_of_its_last_byte():
    got = decode(b'{"a":1}', 3, 6, events="ndjson")
    assert got.columns[0] == [twin.arrived(2)]


json_lines = st.one_of(
    st.text(max_size=6).map(lambda t: json.dumps({"message": {"content": t}}).encode()),
    st.sampled_from([b"", b" ", b"{", b'{"usage":{"a":1}}', b"\xff", b"a\rb"]),
)
places = st.lists(st.integers(0, 300), max_size=12)


@settings(max_examples=300)
@given(st.lists(st.tuples(json_lines, st.sampled_from([b"\n", b"\r\n", b"\n\n"])), max_size=8), json_lines, places)
def test_any_cut_of_lines_gives_the_same_events_and_its_own_stamps(parts, last, cuts):
    payload = b"".join(line + end for line, end in parts) + last
    cuts = [c for c in cuts if c < len(payload)]
    truth = twin.ndjson(payload)
    got = decode(payload, *cuts, events="ndjson")
    assert data_of(got) == [data for _, data, _ in truth]
    assert got.columns == twin.expected(truth, range(len(payload)), cuts, RULES)


# A JSON array.


@pytest.mark.parametrize(
    ("payload", "events"),
    [
        (b'[{"a":1}\n,\r\n{"b":[2,{}]}]', [b'{"a":1}', b'{"b":[2,{}]}']),
        (b' [ {"a":"]}\\""} , [1] , 7 ,"x,]" ] ', [b'{"a":"]}\\""}', b"[1]", b"7 ", b'"x,]" ']),
        (b"[]", []),
        (b'{"error":{"code":400}}', [b'{"error":{"code":400}}']),
        (b'[{"error":{"code":400}}]\n', [b'{"error":{"code":400}}']),
        (b'[{"a":1},{"b":', [b'{"a":1}']),
        (b"[{}][{}]", [b"{}", b"{}"]),
        (b"<html>[1,2]", [b"<html>[1,2]"]),
        (b"[}", []),
        (b"[},1]", [b"}", b"1"]),
    ],
)
def test_elements_are_cut_by_depth_and_quotes(payload, events):
    for cuts in ((), range(1, len(payload))):
        got = decode(payload, *cuts, events="json_array")
        assert data_of(got) == events
        assert got.columns[2] == [scan(RULES, b"", event)[0] for event in events]


elements = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=6), st.just({"message": {"content": 'a"]}'}})),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.lists(elements, max_size=5), st.sampled_from([",", " , ", "\n,\r\n"]), st.booleans(), places)
def test_any_cut_of_an_array_gives_the_same_elements_and_its_own_stamps(values, comma, pretty, cuts):
    payload = ("[" + comma.join(json.dumps(v, indent=1 if pretty else None) for v in values) + "]").encode()
    cuts = [c for c in cuts if c < len(payload)]
    truth = twin.json_array(payload)
    got = decode(payload, *cuts, events="json_array")
    assert data_of(got) == [data for _, data, _ in truth]
    assert got.columns == twin.expected(truth, range(len(payload)), cuts, RULES)


@pytest.mark.parametrize("events", ["ndjson", "json_array"])
@pytest.mark.parametrize("cuts", [(), (4,), range(1, 13)])
def test_an_event_longer_than_allowed_is_an_error(events, cuts):
    payload = b"[0123456789]\n"
    assert decode(payload, *cuts, events=events, max_event_bytes=12).decoder.error is None
    assert decode(payload, *cuts, events=events, max_event_bytes=9).decoder.error == "event too long"


# AWS event stream.


def text_event(text: str) -> bytes:
    return twin.aws_event("contentBlockDelta", json.dumps({"delta": {"text": text}, "p": "ab"}).encode())


def test_frames_are_named_and_walked_under_their_event_type():
    inner = b'{"bytes":"eyJkZWx0YSI6eyJ0ZXh0IjoiYWJjIn0sInR5cGUiOiJ0ZXh0X2RlbHRhIn0=","p":"x"}'
    stream = text_event("hé") + twin.aws_event("metadata", b'{"usage":{"inputTokens":1}}')
    stream += twin.aws_event("chunk", inner) + twin.aws_event("chunk", b'{"bytes":"e30="}')
    got = decode(stream, events="aws", rules=CONVERSE)
    names = [name for _, name, _ in got.frames]
    assert names == [b"event:contentBlockDelta", b"event:metadata", b"event:chunk", b"event:chunk"]
    assert got.columns[2:4] == [[TEXT, USAGE, TEXT, 0], [2, 0, 3, 0]]


@pytest.mark.parametrize(
    ("headers", "payload", "name", "data", "signals"),
    [
        (
            {":message-type": "exception", ":exception-type": "throttlingException"},
            b'{"message":"slow down"}',
            b"exception:throttlingException",
            b'{"message":"slow down"}',
            ERROR,
        ),
        ({":exception-type": "x", ":message-type": "exception"}, b"plain", b"exception:x", b"plain", ERROR),
        (
            {":message-type": "error", ":error-code": "InternalError", ":error-message": "An error"},
            b"",
            b"error:InternalError",
            b"An error",
            ERROR,
        ),
        ({":message-type": "event", ":event-type": "messageStop"}, b"", b"event:messageStop", b"", 0),
        ({":message-type": "event", ":event-type": "chunk"}, b"{", b"event:chunk", b"{", MALFORMED),
        ({}, b"{}", b"event:", b"{}", 0),
    ],
)
def test_exceptions_and_errors_are_told_by_their_headers(headers, payload, name, data, signals):
    got = decode(twin.aws_frame(headers, payload), events="aws", rules=CONVERSE, keep_all=False)
    assert got.frames == [(0, name, data)]
    assert got.columns[2] == [signals]


# One header of each type: bool, bool, i8, i16, i32, i64, bytes, string, time, uuid.
EVERY_TYPE = b"".join(
    bytes([1, 97 + kind, kind]) + value
    for kind, value in enumerate(
        [b"", b"", b"1", b"12", b"1234", b"12345678", b"\0\3abc", b"\0\2xy", b"12345678", b"0123456789abcdef"]
    )
)


def test_headers_of_every_type_are_stepped_over():
    frame = twin.aws_frame({":event-type": "t", ":message-type": "event"}, b"{}", EVERY_TYPE)
    assert decode(frame, events="aws").frames == [(0, b"event:t", b"{}")]


@pytest.mark.parametrize(
    "extra", [b"\x05ab", b"\x01a\x0a", b"\x01a\x07\x00", b"\x01a\x07\x00\x05abc", b"\x01a\x09123", b"\x01"]
)
def test_headers_that_end_in_the_middle_are_an_error(extra):
    got = decode(text_event("a") + twin.aws_frame({}, b"", extra), events="aws")
    assert (got.decoder.error, len(got.columns[0])) == ("bad event headers", 1)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_each_flipped_bit_is_noticed():
    good, frame = text_event("a"), text_event("b")
    for at in range(len(frame)):
        for cuts in ((), range(1, len(good + frame))):
            got = decode(good + flipped(frame, at), *cuts, events="aws", rules=CONVERSE)
            assert (got.decoder.error, len(got.columns[0])) == ("bad checksum", 1)


def test_a_wrong_prelude_is_not_waited_for():
    decoder = Decoder(Tape())
    decoder.begin("close", 0, "aws", None)
    decoder.feed(flipped(text_event("a"), 0)[:11], 1, 1)
    assert decoder.error is None
    decoder.feed(flipped(text_event("a"), 0)[11:12], 1, 1)
    assert decoder.error == "bad checksum"


@pytest.mark.parametrize(
    ("total", "headers", "error"),
    [
        (15, 0, "bad event length"),
        (100, 85, "bad event length"),
        (1 << 20, 131073, "bad event length"),
        (5000, 0, "event too long"),
    ],
)
def test_a_length_that_cannot_be_is_an_error(total, headers, error):
    prelude = struct.pack(">II", total, headers)
    got = decode(prelude + struct.pack(">I", zlib.crc32(prelude)), events="aws", max_event_bytes=4096)
    assert got.decoder.error == error


def test_a_body_that_ends_inside_a_frame_is_incomplete():
    got = decode(text_event("a") + text_event("b")[:-1], events="aws")
    assert (got.decoder.error, got.decoder.ended, len(got.columns[0])) == ("incomplete event", True, 1)


@settings(max_examples=200)
@given(st.lists(st.text(max_size=9), max_size=6), st.lists(st.integers(0, 900), max_size=12))
def test_any_cut_of_frames_gives_the_same_events_and_its_own_stamps(texts, cuts):
    payload, truth = b"", []
    for text in texts:
        payload += text_event(text)
        data = json.dumps({"delta": {"text": text}, "p": "ab"}).encode()
        truth.append((b"event:contentBlockDelta", data, len(payload) - 1))
    cuts = [c for c in cuts if c < len(payload)]
    got = decode(payload, *cuts, events="aws", rules=CONVERSE)
    assert [(name, data) for _, name, data in got.frames] == [(name, data) for name, data, _ in truth]
    columns = twin.expected(truth, range(len(payload)), cuts)
    columns[2:4] = (
        zip(*[scan(CONVERSE, b"", d, "contentBlockDelta") for _, d, _ in truth], strict=True) if truth else ([], [])
    )
    assert got.columns == [list(column) for column in columns]


@given(
    st.binary(max_size=200),
    places,
    st.sampled_from(["sse", "ndjson", "json_array", "aws", "document"]),
    st.sampled_from(["chunked", "close", "length"]),
)
def test_no_bytes_break_the_decoder_and_no_cut_changes_its_answer(data, cuts, events, body):
    def answer(*cuts):
        got = twin.run(data, cuts, body, 50, events, RULES, close=True, max_event_bytes=64)
        document = None if got.decoder.error else got.decoder.document  # how much of it came before varies
        return got.frames, got.columns[2:4], got.decoder.error, got.decoder.ended, document, sum(got.taken)

    assert answer(*[c for c in cuts if c < len(data)]) == answer() == answer(*range(1, len(data)))


def test_rules_are_asked_through_the_decoder_as_alone():
    tape = Tape()
    decoder = Decoder(tape)
    decoder.begin("close", 0, "ndjson", SignalSet(RULES))
    decoder.feed(bytearray(b'{"message":{"content":"ab"}}\n'), 1, 1)
    assert tape.columns(0)[3].tolist() == [2]
