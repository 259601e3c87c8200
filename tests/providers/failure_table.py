"""What each protocol makes of each way in which an answer ends: the one source of its test and of docs/answers.md.

python tests/providers/failure_table.py > docs/answers.md

Every answer is bytes of HTTP, brought to the codec as the transport brings them: the head by its own reader, the
body through the core. The words of a server must come back in the failure.
"""

# ruff: noqa: UP031 - the braces of JSON and those of format() do not go together.

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from lens._core.signals import SignalSet
from lens._core.stream import Stream
from lens.model import Events, Failure, Stamps
from lens.providers.registry import get_provider
from lens.simulator.protocols.bedrock import event as aws_event
from lens.transport.faults import make_body_error
from lens.transport.head import decide_by_bytes, interpret_head, parse_head
from lens.wire import Ask, Exchange, Frame, Prompt, Reading, Secret, WireRequest

WORDS = "the model fell over"


class Protocol(NamedTuple):
    """A protocol: how one piece of text, the reason to stop and the terminator are written."""

    title: str
    provider: str
    api: str
    media: str
    text: Callable[[str], str]  # JSON of an event that brings this JSON string's content
    stop: Callable[[str], list[str]]  # of those that give this reason to stop and the token counts
    end: list[str]  # of those that end the protocol
    model: str = "m"

    def write(self, data: str | bytes, name: str = "") -> bytes:
        """Return one event as it is framed."""
        raw = data.encode() if isinstance(data, str) else data
        if self.media == "text/event-stream":
            return (b"event: %s\n" % name.encode() if name else b"") + b"data: " + raw + b"\n\n"
        if self.media == "application/x-ndjson":
            return raw + b"\n"
        kind, _, payload = raw.partition(b" ")  # AWS: the type of the event stands before its JSON
        return aws_event(kind.decode(), payload) if kind[:1].isalpha() else aws_event("metadata", raw)

    def answer(self, *events: str | bytes) -> bytes:
        """Return these events, framed."""
        return b"".join([self.write(event) for event in events])

    def whole(self, reason: str | None = None) -> list[str]:
        """Return the events of a good answer of two tokens."""
        return [self.text("a"), self.text("b"), *self.stop(reason or self.good_reason), *self.end]

    @property
    def good_reason(self) -> str:
        return {"cohere": "COMPLETE", "google": "STOP", "openai-responses": "completed"}.get(self.title, "stop")


def _chat(text: str) -> str:
    return '{"model":"m","choices":[{"index":0,"delta":{"content":"%s"}}]}' % text


def _responses_last(reason: str) -> list[str]:
    usage = '{"input_tokens":3,"output_tokens":2,"total_tokens":5}'
    status = f"response.{reason if reason in ('failed', 'incomplete') else 'completed'}"
    return [f'{{"type":"{status}","response":{{"status":"{reason}","usage":{usage}}}}}']


SSE, NDJSON, AWS = "text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream"
PROTOCOLS = (
    Protocol(
        "openai",
        "vllm",
        "chat",
        SSE,
        _chat,
        lambda reason: [
            f'{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}],'
            '"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
        ],
        ["[DONE]"],
    ),
    Protocol(
        "openai-responses",
        "openai",
        "responses",
        SSE,
        lambda text: '{"type":"response.output_text.delta","output_index":0,"delta":"%s"}' % text,
        _responses_last,
        [],
    ),
    Protocol(
        "anthropic",
        "anthropic",
        "messages",
        SSE,
        lambda text: '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}' % text,
        lambda reason: [
            f'{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}},'
            '"usage":{"input_tokens":3,"output_tokens":2}}'
        ],
        ['{"type":"message_stop"}'],
    ),
    Protocol(
        "google",
        "google",
        "gemini",
        SSE,
        lambda text: '{"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}' % text,
        lambda reason: [
            f'{{"candidates":[{{"finishReason":"{reason}"}}],'
            '"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}'
        ],
        [],
    ),
    Protocol(
        "cohere",
        "cohere",
        "chat",
        SSE,
        lambda text: '{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"%s"}}}}' % text,
        lambda reason: [
            f'{{"type":"message-end","delta":{{"finish_reason":"{reason}",'
            '"usage":{"tokens":{"input_tokens":3,"output_tokens":2}}}}'
        ],
        [],
    ),
    Protocol(
        "ollama",
        "ollama",
        "chat",
        NDJSON,
        lambda text: '{"model":"m","message":{"role":"assistant","content":"%s"},"done":false}' % text,
        lambda reason: [
            f'{{"model":"m","message":{{"content":""}},"done":true,"done_reason":"{reason}",'
            '"prompt_eval_count":3,"eval_count":2}'
        ],
        [],
    ),
    Protocol(
        "bedrock",
        "bedrock",
        "converse",
        AWS,
        lambda text: 'contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"%s"}}' % text,
        lambda reason: [f'messageStop {{"stopReason":"{reason}"}}'],
        ['metadata {"usage":{"inputTokens":3,"outputTokens":2},"metrics":{"latencyMs":7}}'],
    ),
)  # fmt: skip


class Shape(NamedTuple):
    """A way in which an answer comes: its bytes, and what is right."""

    name: str
    body: Callable[[Protocol], bytes]
    category: str = "success"
    says: str = ""  # in the failure's message
    text: str | None = "ab"  # None: not looked at
    head: str = "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\n"
    broken: bool = False  # the connection breaks at the end of these bytes
    only: tuple[str, ...] = ()  # media in which it can be written; all where empty


def _after_two(*events: str) -> Callable[[Protocol], bytes]:
    """Return the body of two tokens and these events, with [DONE] behind, which servers add whatever happened."""
    return lambda p: p.answer(p.text("a"), p.text("b"), *events) + (p.write("[DONE]") if p.media == SSE else b"")


TEXTS = (SSE, NDJSON)
SHAPES = (
    Shape("a good answer", lambda p: p.answer(*p.whole())),
    Shape("`[DONE]` behind the terminator", lambda p: p.answer(*p.whole()) + p.write("[DONE]"), only=TEXTS),
    Shape("blanks around `[DONE]`", lambda p: p.answer(*p.whole()) + p.write(" [DONE]\t"), only=TEXTS),
    Shape("an error behind the terminator", lambda p: p.answer(*p.whole()) + p.write('{"error":"late"}'),
          only=TEXTS),
    Shape("text behind the terminator", lambda p: p.answer(*p.whole()) + (p.write(p.text("c")) if p.title != "google"
          else b"")),
    Shape("`{\"error\":{...}}`", _after_two('{"error":{"message":"%s","type":"server_error"}}' % WORDS),
          "stream_error", WORDS, only=TEXTS),
    Shape("`{\"error\":\"...\"}`", _after_two('{"error":"%s"}' % WORDS), "stream_error", WORDS, only=TEXTS),
    Shape("`{\"object\":\"error\",...}`", _after_two('{"object":"error","message":"%s"}' % WORDS), "stream_error",
          WORDS, only=TEXTS),
    Shape("`{\"code\",\"message\"}`", _after_two('{"code":"Busy","message":"%s"}' % WORDS), "stream_error", WORDS,
          only=TEXTS),
    Shape("`{\"detail\":\"...\"}`", _after_two('{"detail":"%s"}' % WORDS), "stream_error", WORDS, only=TEXTS),
    Shape("`{\"type\":\"error\",...}`", _after_two('{"type":"error","message":"%s"}' % WORDS), "stream_error", WORDS,
          only=TEXTS),
    Shape("`base_resp`", _after_two('{"base_resp":{"status_code":1004,"status_msg":"%s"}}' % WORDS), "stream_error",
          WORDS, only=TEXTS),
    Shape("`{\"errors\":[...]}`", _after_two('{"success":false,"errors":[{"code":7,"message":"%s"}]}' % WORDS),
          "stream_error", WORDS, only=TEXTS),
    Shape("`{\"error_code\",\"error_msg\"}`", _after_two('{"error_code":17,"error_msg":"%s"}' % WORDS), "stream_error",
          WORDS, only=TEXTS),
    Shape("`{\"message\":\"...\"}` alone", _after_two('{"message":"%s"}' % WORDS), "stream_error", WORDS, only=TEXTS),
    Shape("`event: error` with JSON", lambda p: p.answer(p.text("a"), p.text("b"))
          + p.write('{"message":"%s"}' % WORDS, "error"), "stream_error", WORDS, only=(SSE,)),
    Shape("`event: error` with words", lambda p: p.answer(p.text("a"), p.text("b")) + p.write(WORDS, "error"),
          "stream_error", WORDS, only=(SSE,)),
    Shape("`event: exception`", lambda p: p.answer(p.text("a"), p.text("b")) + p.write(WORDS, "exception"),
          "stream_error", WORDS, only=(SSE,)),
    Shape("JSON without `data:` over several lines", lambda p: p.answer(p.text("a"), p.text("b"))
          + b'{\n  "error": "%s"\n}\n' % WORDS.encode(), "truncated", "several lines", only=(SSE,)),
    Shape("JSON without `data:`", lambda p: p.answer(p.text("a"), p.text("b"))
          + b'{"error":{"message":"%s"}}\n' % WORDS.encode(), "truncated", WORDS, only=(SSE,)),
    Shape("finish reason `error`", lambda p: p.answer(*p.whole("error")), "stream_error", "finish reason"),
    Shape("finish reason `abort`", lambda p: p.answer(*p.whole("abort")), "stream_error", "finish reason"),
    Shape("an event that is no JSON", lambda p: p.answer(p.text("a"), "{oops", p.text("b")), "protocol_error",
          "not valid JSON", "a", only=TEXTS),
    Shape("`null` as an event", lambda p: p.answer(p.text("a"), "null", *p.whole()[1:]), only=TEXTS),
    Shape("NaN and Infinity", lambda p: p.answer(p.text("a")[:-1] + ',"x":[NaN,-Infinity]}', *p.whole()[1:])),
    Shape("bytes that are not UTF-8", lambda p: p.answer(p.text("a\udcff").encode("utf-8", "surrogateescape"),
          *p.whole()[1:]), text="a\ufffdb"),
    Shape("a lone surrogate", lambda p: p.answer(p.text("a\\ud83d"), *p.whole()[1:]), text="a\ufffdb"),
    Shape("CR LF at the end of each line", lambda p: p.answer(*p.whole()).replace(b"\n", b"\r\n"), only=TEXTS),
    Shape("status 201", lambda p: p.answer(*p.whole()), head="HTTP/1.1 201 Created\r\nContent-Type: {media}\r\n"),
    Shape("a stream as text/plain", lambda p: p.answer(*p.whole()), only=TEXTS,
          head="HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"),
    Shape("a stream as application/json", lambda p: p.answer(*p.whole()), only=TEXTS,
          head="HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"),
    Shape("Content-Encoding: none", lambda p: p.answer(*p.whole()),
          head="HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Encoding: none\r\n"),
    Shape("an HTTP body without a terminator", lambda p: p.answer(p.text("a"), p.text("b")), "truncated",
          "the HTTP body ended whole"),
    Shape("a connection that broke", lambda p: p.answer(p.text("a"), p.text("b")), "truncated",
          "closed the connection inside the body", broken=True),
    Shape("a connection that broke behind the terminator", lambda p: p.answer(*p.whole()), broken=True),
    Shape("status 500 with a stream", lambda p: b'data: {"error":{"message":"%s"}}\n\n' % WORDS.encode(),
          "server_error", WORDS, "", head="HTTP/1.1 500 Oops\r\nContent-Type: text/event-stream\r\n"),
)  # fmt: skip
# What cannot be told apart there: Gemini has no terminator, the body ends.
EXCEPT = {
    ("google", "`[DONE]` behind the terminator"): {},
    ("google", "an error behind the terminator"): {"category": "stream_error", "says": "late"},
    ("google", "a connection that broke behind the terminator"): {"category": "truncated", "says": "inside the body"},
}


def request_of(protocol: Protocol) -> WireRequest:
    ask = Ask(model=protocol.model, api=protocol.api)
    return get_provider(protocol.provider).encode(Prompt(text="hi"), ask, "http://x/v1", Secret("k"))


def exchange_of(request: WireRequest, raw: bytes, *, broken: bool = False, reads: int = 1) -> Exchange:
    """Return the answer in these bytes of HTTP as the transport hands it out; the stamp of a read is its number."""
    stream = Stream(-1)
    tape = stream.begin(keep_all=True)
    step = max(-(-len(raw) // reads), 1)
    for number, at in enumerate(range(0, len(raw), step)):
        stream.feed(raw[at : at + step], number, number)
    head = interpret_head(parse_head(stream.head), request)
    if not head.certain:
        head = decide_by_bytes(head, stream.held, request)
    stream.begin_body(head.body, head.length, head.events, SignalSet(*request.signals.compiled_form()), head.encoding)
    if broken or head.body == "close":
        stream.eof(reads)
    error = make_body_error(stream, "POST x") if stream.state == "failed" else None
    arrived, lag, signals, chars, read = tape.columns(0)
    return Exchange(
        stamps=Stamps(start=0),
        status=head.status,
        reason=head.reason,
        headers=head.headers,
        framing=head.events,
        events=Events(arrived_ns=arrived, lag_ns=lag, signals=signals, chars=chars, read=read),
        frames=tuple([Frame(i, name.decode(), data) for i, name, data in tape.frames()]),
        document=stream.document,
        ended=stream.ended,
        failure=Failure(message=str(error)) if error is not None else None,
        category=error.category if error is not None else None,
        error_field=stream.error_field.decode("utf-8", "replace") or None,
        warnings=head.warnings,
    )


def read(protocol: Protocol, shape: Shape) -> tuple[Exchange, Reading]:
    """Return what the codec makes of an answer of this shape."""
    body = shape.body(protocol)
    length = len(body) + (1 if shape.broken else 0)
    head = shape.head.format(media=protocol.media) + f"Content-Length: {length}\r\n\r\n"
    request = request_of(protocol)
    exchange = exchange_of(request, head.encode() + body, broken=shape.broken)
    return exchange, get_provider(protocol.provider).decode(request, exchange)


def cases() -> list[tuple[Protocol, Shape]]:
    """Return each shape in each protocol that can have it, with what is right there."""
    return [
        (protocol, shape._replace(**EXCEPT.get((protocol.title, shape.name), {})))
        for shape in SHAPES
        for protocol in PROTOCOLS
        if not shape.only or protocol.media in shape.only
    ]


def page() -> str:
    """Return docs/answers.md."""
    found = {(protocol.title, shape.name): read(protocol, shape)[1] for protocol, shape in cases()}
    titles = [protocol.title for protocol in PROTOCOLS]
    lines = [
        "# Answers and failures", "",
        "Which category a request gets, by the way in which its answer comes, in each protocol. Made by",
        "`make faults` from `tests/providers/failure_table.py`; each cell is a test. Failures carry the server's",
        "own words. `-`: the protocol cannot write it so.", "",
        f"| the answer | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|",
    ]  # fmt: skip
    for shape in SHAPES:
        readings = [found.get((title, shape.name)) for title in titles]
        cells = [reading.category if reading is not None else "-" for reading in readings]
        lines.append(f"| {shape.name} | {' | '.join(cells)} |")
    lines += [
        "", "`openai` stands for chat completions of every server that speaks them. Gemini has no terminator: its",
        "answer is over where the HTTP body is, so what comes behind its last event belongs to it.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
