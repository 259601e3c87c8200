"""Read an answer: one walk over status, stream or whole document to outcome, text, finish, usage and tool calls.

A protocol subclasses AnswerReader and says what one of its events means. What holds for every protocol
(where a stream ends, which failure counts, what makes an answer empty or truncated) is decided here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from lens.model import Failure, ToolCall, Usage
from lens.providers.headers import kept_headers, rate_limits, request_id, server_timing_ms
from lens.providers.outcomes import (
    CONTENT_BITS,
    DONE_BIT,
    Outcome,
    classify_status,
    classify_stream,
    content_type_failure,
    empty_failure,
    parse_error,
)
from lens.providers.values import parse_json, sum_known
from lens.wire import Exchange, Frame, Reading

# What open_frame() returns for a frame that carries no event: blank data, another kind of frame.
NO_EVENT: Final = object()


class ToolCalls:
    """The tool calls of one answer, each at its place, as far as they came."""

    def __init__(self) -> None:
        self._calls: dict[Any, ToolCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def put(self, place: Any, call: ToolCall) -> None:
        """Set the call at `place`, whatever came before."""
        self._calls[place] = call

    def get(self, place: Any) -> ToolCall:
        """Return the call at `place`, an empty one where none began."""
        return self._calls.get(place, _NO_CALL)

    def extend(self, place: Any, *, name: str = "", arguments: str = "", id_: str | None = None) -> None:
        """Append to the call at `place`; the first id stays."""
        before = self.get(place)
        self._calls[place] = ToolCall(
            name=before.name + name, arguments=before.arguments + arguments, id=before.id or id_ or None
        )

    def in_order(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order of their places."""
        return tuple([self._calls[place] for place in sorted(self._calls)])


_NO_CALL = ToolCall(name="")


class AnswerReader:
    """Read one answer. `AnswerReader(exchange).read()` returns its Reading and never raises.

    A protocol defines take_event() and, where they apply, the other methods of the second group.
    """

    done_marker: bytes | None = None  # an event's whole data that ends the stream ("[DONE]")
    event_type: type = dict  # the type of JSON value that an event must be

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.done = False  # the protocol's own terminator was read
        self.error: Failure | None = None  # the first that the body reports
        self.finish_reason: str | None = None
        self.served_model: str | None = None
        self.refusal: str | None = None
        self.audio_transcript: str | None = None
        self.usage_raw: dict[str, Any] = {}
        self.timings_ms: dict[str, float] = {}
        self.reported_cost_usd: str | None = None
        self.tools = ToolCalls()
        self._texts: dict[int, list[str]] = {}  # pieces, by choice
        self._reasoning: list[str] = []
        self._running: list[int] = []  # output tokens after each content event that reports them

    # What every protocol shares.

    def read(self) -> Reading:
        """Return what the answer means."""
        category, failure = self.classify_response()
        return make_reading(
            self.exchange,
            category,
            failure,
            usage=self.usage(),
            timings_ms=self.timings_ms,
            usage_raw=self.usage_raw or None,
            tokens_per_event=self.tokens_per_event(),
            finish_reason=self.finish_reason,
            served_model=self.served_model,
            text=self.text,
            reasoning=self.reasoning,
            refusal=self.refusal,
            audio_transcript=self.audio_transcript,
            choices=self._choices(),
            tool_calls=self.tool_calls(),
            reported_cost_usd=self.reported_cost_usd,
        )

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return "".join(self._texts.get(0, ()))

    @property
    def reasoning(self) -> str:
        """The reasoning of all choices."""
        return "".join(self._reasoning)

    def add_text(self, text: str, choice: int = 0) -> None:
        """Append to the text of a choice; one that is named exists, also where its text is empty."""
        self._texts.setdefault(choice, []).append(text)

    def add_reasoning(self, text: str) -> None:
        """Append to the reasoning."""
        self._reasoning.append(text)

    def add_refusal(self, text: str) -> None:
        """Append to the refusal."""
        self.refusal = (self.refusal or "") + text

    def add_transcript(self, text: str) -> None:
        """Append to the transcript of the audio."""
        self.audio_transcript = (self.audio_transcript or "") + text

    def fail(self, failure: Failure | None) -> None:
        """Keep the first failure that the body reports."""
        if failure is not None and self.error is None:
            self.error = replace(failure, where="stream")

    def _choices(self) -> tuple[str, ...] | None:
        """Return the text of each choice where there are several."""
        return tuple(["".join(self._texts[i]) for i in sorted(self._texts)]) if len(self._texts) > 1 else None

    def classify_response(self) -> Outcome:
        """Return (category, Failure): by the status where it is an error, else by what the body says."""
        category, failure = classify_status(self.exchange)
        if category is not None:
            return category, failure
        if self.exchange.framing != "document":
            return self._classify_stream()
        if not self.exchange.ended:
            return self.exchange.category or "truncated", self.exchange.failure
        return self._classify_document()

    def _classify_stream(self) -> Outcome:
        malformed = not self._take_frames()
        return classify_stream(
            self.exchange,
            done=self.is_done(),
            finish=self.finish_reason,
            error=self.error,
            malformed=malformed,
            blocked=self.blocked(),
        )

    def _take_frames(self) -> bool:
        """Take the events up to the end marker; return False where one is malformed."""
        signals = self.exchange.events.signals
        for frame in self.exchange.frames:
            if frame.data == self.done_marker:
                self.done = True
                break
            event = self.open_frame(frame)
            if event is NO_EVENT:
                continue
            if event is None:
                return False
            self.fail(self.failure_in(event))
            self.take_event(event, frame.name)
            if frame.index < len(signals) and signals[frame.index] & CONTENT_BITS:
                count = self.running_tokens(event)
                if count is not None:
                    self._running.append(count)
        return True

    def _classify_document(self) -> Outcome:
        document = parse_json(self.exchange.document)
        parts = self.document_parts(document)
        for part in parts:
            self.fail(self.failure_in(part))
        if self.error is None and not (parts and all(self.is_answer(part) for part in parts)):
            return "protocol_error", content_type_failure(self.exchange)
        for part in parts:
            self.take_document(part)
        if self.error is not None:
            return "stream_error", replace(self.error, where="body")
        if (blocked := self.blocked()) is not None:
            return "content_filtered", blocked
        if (missing := self.missing_part(document)) is not None:
            return "empty", empty_failure(f"the answer holds no {missing}")
        return "success", None

    # What a protocol says.

    def take_event(self, event: Any, name: str) -> None:
        """Take one event. `name` is that of its frame: an SSE event name, or "event:TYPE" in an AWS stream."""
        raise NotImplementedError

    def take_document(self, document: Any) -> None:
        """Take an answer that came whole; by default it is read as one event."""
        self.take_event(document, "")

    def open_frame(self, frame: Frame) -> Any:
        """Return the event in a frame; NO_EVENT where it carries none, None where it is malformed."""
        if not frame.data.strip():
            return NO_EVENT
        event = parse_json(frame.data)
        return event if isinstance(event, self.event_type) else None

    def document_parts(self, document: Any) -> Sequence[Any]:
        """Return the answers in a document: one object; more where a protocol collects its events in an array."""
        return [document] if isinstance(document, dict) else []

    def is_answer(self, document: dict[str, Any]) -> bool:
        """Return whether a whole document is an answer of this protocol, not just any JSON."""
        raise NotImplementedError

    def failure_in(self, event: Any) -> Failure | None:
        """Return the failure that an event or a whole document reports; None where it reports none."""
        if isinstance(event, dict) and event.get("error"):
            return parse_error(event) or Failure(message="")
        return None

    def is_done(self) -> bool:
        """Return whether the protocol's own terminator was seen."""
        return self.done or any(bits & DONE_BIT for bits in self.exchange.events.signals)

    def blocked(self) -> Failure | None:
        """Return the failure of a prompt that a filter blocked."""
        return None

    def missing_part(self, document: Any) -> str | None:  # noqa: ARG002
        """Return what a whole answer lacks ("choice", "content"), which makes it empty; None where it lacks nothing."""
        return None

    def usage(self) -> Usage | None:
        """Return the counts that were reported."""
        return None

    def running_tokens(self, event: Any) -> int | None:  # noqa: ARG002
        """Return the output tokens so far, where a content event reports them."""
        return None

    def tokens_per_event(self) -> tuple[int, ...] | None:
        """Return the tokens of each content event; None unless every one of them reports the running total."""
        if not self._running:
            return None
        content = sum(1 for bits in self.exchange.events.signals if bits & CONTENT_BITS)
        return increments(self._running) if len(self._running) == content else None

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls in their order."""
        return self.tools.in_order()


def make_usage(given: int | None, generated: int | None, *, total: int | None, **details: int | None) -> Usage | None:
    """Return the counts of an answer; None where neither input nor output was counted."""
    if given is None and generated is None:
        return None
    return Usage(input_tokens=given, output_tokens=generated, total_tokens=total, **details)


def make_usage_beside_cache(
    uncached: int | None, generated: int | None, *, read: int | None, written: int | None, **details: int | None
) -> Usage | None:
    """Return the counts of a protocol that counts cached input apart; our input_tokens holds all of it."""
    given = sum_known(uncached, read, written)
    total = sum_known(given, generated)
    return make_usage(given, generated, total=total, cache_read_tokens=read, cache_write_tokens=written, **details)


def increments(totals: Sequence[int]) -> tuple[int, ...] | None:
    """Return the step to each of the running totals; None where they ever fall."""
    steps = tuple([after - before for before, after in zip((0, *totals), totals, strict=False)])
    return steps if all(step >= 0 for step in steps) else None


def make_reading(
    exchange: Exchange,
    category: str,
    failure: Failure | None,
    *,
    usage: Usage | None = None,
    timings_ms: Mapping[str, float] | None = None,
    **fields: Any,
) -> Reading:
    """Return a Reading of this outcome, with all that the response headers report; `fields` are its other fields."""
    headers = dict(exchange.headers)
    return Reading(
        category=category,
        failure=failure,
        usage=usage,
        token_source="usage" if usage is not None else None,
        headers=kept_headers(exchange.headers),
        rate_limits=rate_limits(headers),
        server_timing_ms={**server_timing_ms(headers), **(timings_ms or {})},
        provider_request_id=request_id(headers),
        **fields,
    )
