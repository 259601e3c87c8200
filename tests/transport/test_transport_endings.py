"""Where an answer ends on the wire, on real sockets: held-open bodies, surplus bytes, blank lines, odd labels."""

import socket
import sys
from pathlib import Path

import pytest
import trio
from waiting import HANG_S

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from fault_server import Close, Taken, Wait, serving

from lens._core.clock import now_ns
from lens._core.stream import Stream
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ProtocolError
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.transport.exchange_builder import ExchangeBuilder
from lens.transport.faults import CLOSING_NS, GIVING_UP_NS, ends_idle_time, was_unread
from lens.transport.head import interpret_head, parse_head, sniff_framing
from lens.units import NS_PER_MS, NS_PER_S
from lens.wire import SignalRules, WireRequest

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
HELD_S = 30  # longer than any test may take


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text):
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


async def measure(port, *, count=1, fallback=False, **load):
    """The records of `count` requests, one after the other."""
    target = TargetConfig(provider="openai-compatible", model="m", base_url=f"http://127.0.0.1:{port}/v1", proxy="")
    config = RunConfig(
        targets=(target,),
        load=LoadConfig(iterations=count, concurrency=1, **load),
        prompts=PromptConfig(texts=("hi",)),
    )
    records = []
    with trio.fail_after(HANG_S):
        await run_plan(make_plan(config, {}), on_record=records.append, fallback=fallback)
    return records


@pytest.mark.parametrize("fallback", [False, True])
async def test_a_body_held_open_behind_its_terminator_ends_the_request_there(fallback):
    with serving((HEAD + chunk(event("a")), Wait(0.05), chunk(STOP + DONE), Wait(HELD_S), Close)) as port:
        (record,) = await measure(port, fallback=fallback)
    assert record.category == "success"
    assert record.stamps.end == record.stamps.start + record.events.arrived_ns[-1]


async def test_the_end_of_the_framing_soon_behind_the_terminator_keeps_the_connection(monkeypatch):
    monkeypatch.setattr("lens.transport.http1.DRAIN_NS", HANG_S * NS_PER_S)  # on a busy machine soon is late
    with serving((HEAD + chunk(event("a") + STOP + DONE), Wait(0.02), LAST)) as port:
        records = await measure(port, count=2)
    assert [record.category for record in records] == ["success", "success"]
    assert records[1].connection.reused


async def test_a_finish_reason_with_counts_and_then_heartbeats_is_a_success():
    beats = [step for _ in range(60) for step in (chunk(b": beat\n\n"), Wait(0.1))]
    with serving((HEAD + chunk(event("a") + STOP), *beats, Close)) as port:
        (record,) = await measure(port, idle_timeout_ns=300_000_000)
    assert record.category == "success"
    assert record.stamps.end == record.stamps.start + record.events.arrived_ns[-1]
    assert any("no end came" in warning for warning in record.warnings)


async def test_an_error_event_and_then_silence_is_that_error():
    broke = b'data: {"error":{"message":"it fell over"}}\n\n'
    with serving((HEAD + chunk(event("a") + broke), Wait(HELD_S), Close)) as port:
        (record,) = await measure(port, idle_timeout_ns=100_000_000)
    assert (record.category, record.failure.message) == ("stream_error", "it fell over")


async def test_silence_without_a_finish_reason_is_still_a_timeout():
    with serving((HEAD + chunk(event("a")), Wait(HELD_S), Close)) as port:
        (record,) = await measure(port, idle_timeout_ns=100_000_000)
    assert record.category == "timeout"


async def test_bytes_behind_an_answer_are_told_and_its_connection_is_not_used_again():
    surplus = HEAD + chunk(event("a") + STOP + DONE) + LAST + b"more than was promised"
    with serving((surplus,)) as port:
        records = await measure(port, count=2)
    assert [record.category for record in records] == ["success", "success"]
    assert not any(record.connection.reused for record in records[1:])
    assert any("its connection is not used again" in warning for warning in records[0].warnings)


async def test_an_answer_of_no_bytes_does_not_leave_its_stream_to_the_next_request():
    empty = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n"
    with serving((empty, Wait(0.05), event("a") + STOP + DONE)) as port:
        records = await measure(port, count=3)
    assert {record.category for record in records} == {"truncated"}


@pytest.mark.parametrize("blank", [b"\r\n", b"\n", b"\r\n\r\n"])
async def test_blank_lines_before_a_head_are_passed_over(blank):
    with serving((blank + HEAD + chunk(event("a") + STOP + DONE) + LAST,)) as port:
        (record,) = await measure(port)
    assert record.category == "success"


@pytest.mark.parametrize(
    "media", ["text/plain", "text/html; charset=utf-8", "application/json", "application/octet-stream"]
)
@pytest.mark.parametrize("fallback", [False, True])
async def test_a_stream_under_another_type_keeps_its_first_token_time(media, fallback):
    head = HEAD.replace(b"text/event-stream", media.encode())
    first, last = chunk(event("a")), chunk(event("b") + STOP + DONE) + LAST
    with serving((head, Taken, Wait(0.05), first, Taken, Wait(0.05), last)) as port:
        (record,) = await measure(port, fallback=fallback)
    assert record.category == "success"
    assert [chars for chars in record.events.chars if chars] == [1, 1]
    assert record.events.arrived_ns[1] - record.events.arrived_ns[0] > 20_000_000
    assert any(f"labelled {media.partition(';')[0]}" in warning for warning in record.warnings)


async def test_chunked_wins_over_a_content_length_and_the_connection_is_closed():
    both = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\n")
    with serving((both + chunk(event("a") + STOP + DONE) + LAST,)) as port:
        records = await measure(port, count=2)
    assert [record.category for record in records] == ["success", "success"]
    assert not records[1].connection.reused
    assert any("both Transfer-Encoding and Content-Length" in warning for warning in records[0].warnings)


REQUEST = WireRequest(path="/", headers=(), body=b"{}", signals=SignalRules(rules=()))


def head_of(*lines, status="200 OK"):
    raw = "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()
    return interpret_head(parse_head(raw), REQUEST)


@pytest.mark.parametrize(
    ("value", "encoding", "warned"),
    [("gzip", "gzip", False), ("identity, gzip", "gzip", False), ("identity", "", False), ("none", "", True),
     ("utf-8", "", True), ("", "", False)],
)  # fmt: skip
def test_a_coding_that_is_none_leaves_the_body_as_it_is(value, encoding, warned):
    head = head_of("Content-Type: text/event-stream", f"Content-Encoding: {value}")
    assert (head.encoding, bool(head.warnings)) == (encoding, warned)


@pytest.mark.parametrize("value", ["br", "zstd", "gzip, br", "gzip, gzip"])
def test_a_coding_that_cannot_be_undone_is_named(value):
    with pytest.raises(ProtocolError, match=value):
        head_of(f"Content-Encoding: {value}")


@pytest.mark.parametrize(
    ("start", "declared", "expected", "found"),
    [
        (b"data: {}\n", "document", "sse", "sse"),
        (b"\xef\xbb\xbf\n: hello\n", "document", "sse", "sse"),
        (b"event: x\n", "ndjson", "ndjson", "sse"),
        (b'{"a":1}\n', "document", "ndjson", "ndjson"),
        (b'{\n  "a": 1}', "ndjson", "ndjson", "document"),
        (b'{"a":1}\n', "sse", "document", "document"),
        (b"[{}]", "sse", "json_array", "json_array"),
        (b'{"choices":[{"delta":{}}]}\n', "document", "sse", "ndjson"),
        (b'{"choices":[{"message":{}}]}\n', "document", "sse", "document"),
        (b"\0\0\0\x7b", "document", "aws", "aws"),
        (b"[1]", "sse", "sse", "document"),
        (b"<html>", "document", "sse", "document"),
        (b"", "sse", "document", "sse"),
    ],
)
def test_the_first_bytes_say_what_a_body_is(start, declared, expected, found):
    assert sniff_framing(start, declared, expected) == found


@pytest.mark.parametrize(
    ("status", "events"), [("201 Created", "sse"), ("299 Odd", "sse"), ("300 Choices", "document")]
)
def test_any_status_of_success_may_stream(status, events):
    assert head_of("Content-Type: text/event-stream", status=status).events == events


def test_only_an_end_that_was_under_way_leaves_a_request_unread():
    ours, theirs = socket.socketpair()
    far_ns = 100 * NS_PER_MS
    with ours, theirs:
        stream = Stream(ours.fileno())
        stream.begin()
        assert was_unread(stream, now_ns(), 0, acked=None), "nothing was sent"
        stream.send(b"request")
        sent = stream.send_end_ns
        assert was_unread(stream, stream.send_start_ns, 0, acked=True)
        for acked in (True, None):
            assert was_unread(stream, sent + CLOSING_NS, 0, acked=acked)
            assert not was_unread(stream, sent + CLOSING_NS + 1, 0, acked=acked)
            assert was_unread(stream, sent + far_ns * 3 // 2, far_ns, acked=acked)
            assert not was_unread(stream, sent + far_ns * 3 // 2 + 1, far_ns, acked=acked)
        assert was_unread(stream, sent + far_ns, 0, acked=False), "nobody ever had it"


@pytest.mark.parametrize(("after_ns", "idle"), [(0, True), (GIVING_UP_NS - 1, True), (GIVING_UP_NS, False)])
def test_a_408_after_a_second_is_the_answer_of_a_server_that_gave_up(after_ns, idle):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = Stream(ours.fileno())
        stream.begin()
        assert ends_idle_time(stream), "nothing was sent"
        stream.send(b"request")
        came = stream.send_end_ns + after_ns
        stream.feed(b"HTTP/1.1 408 Request Timeout\r\n", came, came)
        assert ends_idle_time(stream) is idle


def test_a_request_without_room_for_its_events_is_a_failure_and_no_more():
    exchange = ExchangeBuilder().build_without_events("out of memory")
    assert (exchange.category, exchange.failure.message, len(exchange.events)) == ("protocol_error", "out of memory", 0)
