"""Recorded answers through the core and a provider, held to what their expectation says.

The stamp of a read is its number, so a test can tell which read completed an event.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import h11
import pytest

from lens._core.signals import SignalSet
from lens._core.stream import Stream
from lens.model import CONTENT, STATUS_OF_CATEGORY, Events, Signal, Stamps
from lens.providers.registry import get_provider
from lens.wire import Ask, Exchange, Frame, Prompt, Reading, Secret, WireRequest

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXPECTED = {
    path.name.removesuffix(".expected.json"): json.loads(path.read_text())
    for path in sorted(FIXTURES.glob("*.expected.json"))
}
# Which provider and API a protocol is measured with.
CODECS = {
    "openai_chat": ("openai", "chat"),
    "openai_completions": ("openai", "completions"),
    "openai_responses": ("openai", "responses"),
    "openai_embeddings": ("openai", "embeddings"),
    "anthropic_messages": ("anthropic", "messages"),
    "bedrock_converse": ("bedrock", "converse"),
    "anthropic_bedrock": ("bedrock", "invoke"),
    "cohere_v2": ("cohere", "chat"),
    "ollama_chat": ("ollama", "chat"),
    "ollama_generate": ("ollama", "generate"),
    "groq_chat": ("groq", "chat"),
    "mistral_chat": ("mistral", "chat"),
    "gemini_sse": ("google", "gemini"),
    "gemini_json": ("google", "gemini-array"),
}
OBJECT_ARGUMENTS = ("gemini_sse", "gemini_json", "ollama_chat")
MEDIA = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/vnd.amazon.eventstream": "aws",
}


def names_of(*protocols: str) -> list[str]:
    """The fixtures of these protocols."""
    return [name for name, expected in EXPECTED.items() if expected["protocol"] in protocols]


def request_of(name: str) -> WireRequest:
    provider, api = CODECS[EXPECTED[name]["protocol"]]
    ask = Ask(model="anthropic.claude", api=api, stream=EXPECTED[name]["streaming_requested"], max_tokens=100)
    return get_provider(provider).encode(Prompt(text="hi"), ask, "http://x/v1", Secret("k"))


def head_of(raw: bytes) -> h11.Response | h11.InformationalResponse:
    conn = h11.Connection(h11.CLIENT)
    conn.send(h11.Request(method="POST", target="/", headers=[("host", "x")]))
    conn.send(h11.EndOfMessage())
    conn.receive_data(raw)
    head = conn.next_event()
    assert isinstance(head, h11.Response | h11.InformationalResponse)
    return head


def framing_of(request: WireRequest, headers: dict[str, str], status: int) -> tuple[str, int, str, str]:
    """(body, length, events, encoding), as the transport decides it."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body, length = "chunked", -1
    elif "content-length" in headers:
        body, length = "length", int(headers["content-length"])
    else:
        body, length = "close", -1
    media = headers.get("content-type", "").partition(";")[0]
    events = MEDIA.get(media, "document") if status == 200 else "document"
    if status == 200 and media == "application/json" and request.framing == "json_array":
        events = "json_array"
    return body, length, events, headers.get("content-encoding", "")


def exchange_of(
    name: str, pieces: list[bytes], *, keep_all: bool, stamps: Sequence[int] | None = None
) -> tuple[Exchange, Stream]:
    """The answer through the core as the transport would read it; the stamp of a read is its number, or of `stamps`."""
    expected = EXPECTED[name]
    request = request_of(name)
    signals = SignalSet(*request.signals.compiled_form())
    stream = Stream(-1)
    tape = stream.begin(keep_all=keep_all)
    status, headers, reason = None, (), ""
    for number, piece in enumerate(pieces):
        at = number if stamps is None else stamps[number]
        stream.feed(piece, at, at)
        while stream.state == "parked":
            head = head_of(stream.head)
            if isinstance(head, h11.InformationalResponse):
                stream.informational()
                continue
            status, reason = head.status_code, head.reason.decode()
            headers = tuple((n.decode().lower(), v.decode()) for n, v in head.headers)
            body, length, events, encoding = framing_of(request, dict(headers), status)
            stream.begin_body(body, length, events, signals, encoding)
    if expected["delivery"]["end"] != "keepalive":
        stream.eof(len(pieces), 104 if expected["delivery"]["end"] == "rst" else 0)
    arrived, lag, bits, chars, read = tape.columns(0)
    broken = stream.state == "failed"
    incomplete = stream.error in (
        "incomplete body",
        "incomplete event",
        "incomplete compressed data",
        "reset by the peer",
    )
    exchange = Exchange(
        stamps=Stamps(start=0),
        status=status,
        reason=reason,
        headers=headers,
        framing=framing_of(request, dict(headers), status)[2] if status else None,
        events=Events(arrived_ns=arrived, lag_ns=lag, signals=bits, chars=chars, read=read, block=tape.blocks()),
        frames=tuple(Frame(i, n.decode(), d) for i, n, d in tape.frames()),
        document=stream.document,
        ended=stream.ended,
        category=None
        if not broken
        else "network_error"
        if status is None
        else "truncated"
        if incomplete
        else "protocol_error",
        comments=stream.comments,
        error_field=stream.error_field.decode() or None,
    )
    return exchange, stream


def reading_of(name: str, exchange: Exchange) -> Reading:
    return get_provider(CODECS[EXPECTED[name]["protocol"]][0]).decode(request_of(name), exchange)


def check(name: str, pieces: list[bytes], *, keep_all: bool = True) -> Exchange:
    expected = EXPECTED[name]
    exchange, _ = exchange_of(name, pieces, keep_all=keep_all)
    reading = reading_of(name, exchange)
    assert reading.category == expected["outcome"]["category"], reading.failure
    assert STATUS_OF_CATEGORY[reading.category] == expected["outcome"]["plan_status"]
    assert reading.finish_reason == expected["finish_reason"]
    usage = expected["usage"]
    assert (reading.usage is None) == (usage is None)
    for key, value in (usage or {}).items():
        assert getattr(reading.usage, key) == value, key
    if keep_all:
        check_text(reading, expected)
    check_error(reading, expected)
    check_events(exchange, expected)
    check_headers(reading, expected)
    return exchange


def check_text(reading, expected) -> None:
    if expected.get("choices"):
        assert list(reading.choices) == [c["text"] if isinstance(c, dict) else c for c in expected["choices"]]
    elif expected["text"] is not None:
        assert reading.text == expected["text"]
    assert reading.reasoning == (expected["reasoning"] or "")
    assert (reading.refusal or None) == expected["refusal"]
    assert (reading.audio_transcript or None) == expected["audio_transcript"]
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in reading.tool_calls]
    if expected["protocol"] in OBJECT_ARGUMENTS:  # an object on the wire: its text has no one spelling
        calls, told = (
            [{**c, "arguments": json.loads(c["arguments"])} for c in side] for side in (calls, expected["tool_calls"])
        )
        assert calls == told
    else:
        assert calls == expected["tool_calls"]


def check_error(reading, expected) -> None:
    error = expected["error"]
    if error is None:
        assert reading.failure is None or expected["outcome"]["category"] == "content_filtered"
    elif error["where"] in ("http", "stream", "body") and error["type"] != "content_type":
        assert reading.failure.type == error["type"] or error["type"] is None
        assert reading.failure.code == error["code"] or error["code"] is None
        assert error["message"] is None or reading.failure.message == without_keys(error["message"])
        assert reading.failure.retryable == error.get("retryable", False)
        if error.get("retry_after_s") is not None:
            assert reading.failure.retry_after_s == error["retry_after_s"]


def without_keys(message: str) -> str:
    """The recorded messages echo a part of the key; ours never do."""
    return (
        message if "key provided: sk-" not in message else message.split("sk-")[0] + "sk-***. " + message.split(". ")[1]
    )


def check_events(exchange: Exchange, expected) -> None:
    if not expected["streaming_requested"] or exchange.framing in (None, "document"):
        return
    signals = exchange.events.signals.tolist()
    bad = next((i for i, bits in enumerate(signals) if bits & Signal.MALFORMED), len(signals))
    signals = signals[: bad + 1]
    counts = expected["counts"]
    assert len(signals) == counts["wire_events"]
    assert exchange.comments == (counts["sse_comment_lines"] or 0)
    content = [i for i, bits in enumerate(signals) if bits & CONTENT]
    assert len(content) == counts["content_events"]
    assert sum(1 for bits in signals if bits & Signal.REASONING) == counts["reasoning_events"]
    assert sum(1 for bits in signals if bits & Signal.TOOL) == counts["tool_events"]
    if content:
        assert content[0] == expected["first"]["content"]
        assert content[-1] == expected["first"]["last_content"]


def check_headers(reading, expected) -> None:
    told = expected["headers"]
    if told.get("request_id"):
        assert reading.provider_request_id == told["request_id"]
    if "processing_ms" in told:
        assert reading.server_timing_ms["openai_processing"] == told["processing_ms"]
    for what, limit in told.get("ratelimit", {}).items():
        ours = reading.rate_limits[what]
        for field in ("limit", "remaining"):
            assert limit.get(field) is None or getattr(ours, field) == limit[field]
        assert limit.get("reset_s") is None or ours.reset_s == pytest.approx(limit["reset_s"])


def raw(name: str) -> bytes:
    return (FIXTURES / f"{name}.http").read_bytes()


def check_random_cuts(name: str) -> None:
    """The same at a few cuts that are random, and the same each time."""
    data = raw(name)
    if len(data) < 2:
        return  # nothing to cut
    seed = random.Random(name)
    for _ in range(2 if len(data) > 100_000 else 5):
        cuts = sorted(seed.sample(range(1, len(data)), min(20, len(data) - 1)))
        check(name, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])


def check_byte_by_byte(name: str) -> None:
    data = raw(name)
    if len(data) < 9000:
        check(name, [data[i : i + 1] for i in range(len(data))])
