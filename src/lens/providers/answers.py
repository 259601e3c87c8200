"""Read an answer: one walk over status, stream or whole document to outcome, text, finish, usage and tool calls.

A protocol subclasses AnswerReader and says what one of its events means. What holds for every protocol
(where a stream ends, which failure counts, what makes an answer empty or truncated) is decided here, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, Final

from msgspec.structs import replace

from lens.model import CacheMiss, Failure, Signal, ToolCall, Usage
from lens.providers.billing import BillingReader, cost_in_headers_usd
from lens.providers.error_shapes import find_error, find_remark, is_error_event, parse_error_event
from lens.providers.fragments import ReadFragment
from lens.providers.headers import header_fields, merge_headers
from lens.providers.outcomes import (
    CONTENT_BITS,
    DONE_BIT,
    Outcome,
    classify_status,
    classify_stream,
    content_type_failure,
    empty_failure,
    finish_failure,
    stray_failure,
)
from lens.providers.tool_calls import ToolCalls
from lens.providers.unread import UnreadFields
from lens.providers.values import (
    NOT_JSON,
    as_count,
    as_dict,
    as_name,
    increments,
    merge_counts,
    parse_json,
    parse_json_or,
    sum_known,
    without_done,
)
from lens.wire import Exchange, Frame, Reading

# What open_frame() returns for a frame without an event: blank data, null, another kind of frame.
NO_EVENT: Final = object()
# OpenAI's end marker; many servers and proxies send it after the end of other protocols too.
DONE_MARKER = b"[DONE]"
_REASONING_BIT, _TOOL_BIT = int(Signal.REASONING), int(Signal.TOOL)


class AnswerReader:
    """Read one answer. `AnswerReader(exchange).read()` returns its Reading and never raises.

    A protocol defines take_event() and, where they apply, the other methods of the second group.
    """

    done_marker: bytes | None = DONE_MARKER  # an event's whole data that ends the stream, blanks around it aside
    event_type: type = dict  # the type of JSON value that an event must be
    read_fragment: ReadFragment | None = None  # of an event of nothing but tool arguments, where there are many
    content_scopes: tuple[str, ...] = ()  # paths of the objects whose strings are content, also under unknown names

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.done = False  # the protocol's own terminator was read
        self.events_read = len(exchange.events)  # up to the terminator; what came after it is no part of the answer
        self.unread = UnreadFields()
        self.error: Failure | None = None  # the first that the body reports
        self.remark: Failure | None = None  # the sentence of the last event, where it was nothing else
        self.finish_reason: str | None = None
        self.served_model: str | None = None
        self.refusal: str | None = None
        self.audio_transcript: str | None = None
        self.usage_raw: dict[str, Any] = {}
        self.timings_ms: dict[str, float] = {}
        self.reported_cost_usd: str | None = None
        self.bill = BillingReader()
        self.cache_miss: CacheMiss | None = None
        self.tools = ToolCalls()
        self._texts: dict[int, list[str]] = {}  # pieces, by choice
        self._reasoning: list[str] = []
        self.hidden_thinking_ns: int | None = None  # time in blocks of thinking whose text was left out
        self._thinking: dict[int, int | None] = {}  # open blocks of thinking -> the event that opened each
        self._running: list[int] = []  # output tokens after each content event that reports them

    # What every protocol shares.

    def read(self) -> Reading:
        """Return what the answer means."""
        category, failure = self.classify_response()
        usage = self.usage()
        headers = merge_headers(self.exchange.headers)
        return make_reading(
            headers,
            category,
            failure,
            usage=usage,
            timings_ms=self.timings_ms,
            usage_raw=self.usage_raw or None,
            tokens_per_event=self.tokens_per_event(),
            chars_per_event=self.chars_per_event(),
            finish_reason=self.finish_reason,
            served_model=self.served_model,
            text=self.text,
            reasoning=self.reasoning,
            refusal=self.refusal,
            audio_transcript=self.audio_transcript,
            choices=self._choices(),
            tool_calls=self.tool_calls(),
            hidden_thinking_ns=self.hidden_thinking_ns,
            reported_cost_usd=self.reported_cost_usd or cost_in_headers_usd(headers),
            billing=self.bill.billing(headers),
            cache_miss=self.cache_miss,
            events_read=self.events_read if self.events_read < len(self.exchange.events) else None,
            warnings=(*self.exchange.warnings, *self.unread.warnings(), *self._count_warnings(usage)),
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

    def open_thinking(self, place: int) -> None:
        """Take the beginning of a block of thinking."""
        self._thinking[place] = self.tools.event

    def close_thinking(self, place: int) -> None:
        """Take the time of a block of thinking that had no text: its display was omitted, or it is redacted."""
        began, ended, events = self._thinking.pop(place, None), self.tools.event, self.exchange.events
        if began is None or ended is None or not began <= ended < len(events):
            return
        if not any(bits & _REASONING_BIT for bits in events.signals[began:ended]):
            took = events.arrived_ns[ended] - events.arrived_ns[began]
            self.hidden_thinking_ns = (self.hidden_thinking_ns or 0) + took

    def add_refusal(self, text: str) -> None:
        """Append to the refusal."""
        self.refusal = (self.refusal or "") + text

    def add_transcript(self, text: str) -> None:
        """Append to the transcript of the audio."""
        self.audio_transcript = (self.audio_transcript or "") + text

    def add_usage(self, counts: Any) -> None:
        """Take counts that were reported; null and 0 never replace a count of an earlier event."""
        self.usage_raw = merge_counts(self.usage_raw, as_dict(counts))

    def take_cache_miss(self, reason: Any, tokens: Any) -> None:
        """Take why the prompt was not read from the cache; an answer that does not say why says nothing."""
        if (told := as_name(reason)) is not None:
            self.cache_miss = CacheMiss(reason=told, tokens=as_count(tokens))

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
        return self._classify_document(parse_json(without_done(self.exchange.document)))

    def _classify_stream(self) -> Outcome:
        malformed = self._take_frames()
        if self.is_done():
            self.fail(stray_failure(self.exchange, finished=self.finish_reason is not None))
        if (whole := self._unframed_document()) is not None:
            return self._classify_document(whole)
        return classify_stream(
            self.exchange,
            done=self.is_done(),
            finish=self.finish_reason,
            error=self.error,
            malformed=malformed.data if malformed is not None else None,
            blocked=self.blocked(),
            remark=self.remark,
        )

    def _take_frames(self) -> Frame | None:
        """Take the events up to the one that ends the answer; return that one where it is malformed.

        The terminator ends it, a failure and an event that is malformed: what follows is no part of the answer.
        """
        signals, goes_on, frames = self.exchange.events.signals, self.exchange.goes_on, self.exchange.frames
        for frame in frames if goes_on is None else takewhile(lambda _: goes_on(), frames):
            bits = signals[frame.index] if frame.index < len(signals) else 0
            well_formed = True
            self.tools.event = frame.index
            if self.done_marker is not None and frame.data.strip() == self.done_marker:
                self.done = True
            else:
                well_formed = self._take_frame(frame, bits)
            self.done = self.done or bool(bits & DONE_BIT)
            if self.done or self.error is not None or not well_formed:
                self.events_read = min(frame.index + 1, self.events_read)
                return None if well_formed else frame
        return None

    def _take_frame(self, frame: Frame, bits: int) -> bool:
        """Take one event; return False where it is malformed."""
        if failed := frame.name != "" and is_error_event(frame.name):
            self.fail(parse_error_event(frame.data))
        read = self.read_fragment if bits == _TOOL_BIT and not failed else None
        if read is not None and self.tools.take_fragment(read(frame.data)):
            return True
        event = self.open_frame(frame)
        if event is NO_EVENT:
            return True
        if event is None:
            return failed  # its message need not be JSON
        self.fail(self.failure_in(event))
        self.take_event(event, frame.name)
        if bits & CONTENT_BITS:
            self.remark = None
            if (count := self.running_tokens(event)) is not None:
                self._running.append(count)
        elif self.content_scopes:
            self.remark = find_remark(event)
            self.unread.take(event, self.scopes_of(event))
        return True

    def _unframed_document(self) -> Any:
        """Return an answer that came whole though it was labelled an event stream; None where there is none.

        It stands there as it is, or as the one event of the stream.
        """
        data = without_done(self.exchange.document) or (self.exchange.error_field or "").encode()
        if not data and self.finish_reason is None:
            events = [*islice((one.data for one in self.exchange.frames if one.data.strip() != DONE_MARKER), 2)]
            data = events[0] if len(events) == 1 else b""
        if not data.lstrip().startswith((b"{", b"[")) or self.error is not None or self.has_content() or self.text:
            return None
        document = parse_json(data)
        parts = self.document_parts(document)
        return document if parts and all(self.is_answer(part) for part in parts) else None

    def has_content(self) -> bool:
        """Return whether an event carried text, reasoning, a tool call, a refusal or media."""
        return any(bits & CONTENT_BITS for bits in self.exchange.events.signals[: self.events_read])

    def _count_warnings(self, usage: Usage | None) -> Iterator[str]:
        """Yield a sentence where the server's counts cannot be true, and where the answer has no time of its own."""
        if self.text and self.exchange.events.signals and not self.has_content():
            yield "the text came only in the last event, with all that the answer is: no first token was measured"
        if usage is not None and usage.output_tokens == 0 and (self.text or self.has_content()):
            yield "the server counted 0 output tokens of an answer that has text: do not trust its token counts"

    def _classify_document(self, document: Any) -> Outcome:
        parts = self.document_parts(document)
        for part in parts:
            self.fail(self.failure_in(part))
        if self.error is None and not (parts and all(self.is_answer(part) for part in parts)):
            return "protocol_error", content_type_failure(self.exchange)
        for part in parts:
            self.take_document(part)
        if (failure := self.error or finish_failure(self.finish_reason)) is not None:
            return "stream_error", replace(failure, where="body")
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
        event = parse_json_or(frame.data, NOT_JSON)
        if event is None:
            return NO_EVENT
        if isinstance(event, list) and len(event) == 1:
            event = event[0]  # Google's way of writing an error
        return event if event is not NOT_JSON and isinstance(event, self.event_type) else None

    def document_parts(self, document: Any) -> Sequence[Any]:
        """Return the answers in a document: one object; more where a protocol collects its events in an array."""
        return [document] if isinstance(document, dict) else []

    def is_answer(self, document: dict[str, Any]) -> bool:
        """Return whether a whole document is an answer of this protocol, not just any JSON."""
        raise NotImplementedError

    def failure_in(self, event: Any) -> Failure | None:
        """Return the failure that an event or a whole document reports; None where it reports none."""
        return find_error(event)

    def scopes_of(self, event: Any) -> Sequence[str]:  # noqa: ARG002
        """Return where an event without content may hold some under a name that is not known."""
        return self.content_scopes

    def is_done(self) -> bool:
        """Return whether the protocol's own terminator was seen."""
        return self.done

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
        signals = self.exchange.events.signals[: self.events_read]
        content = sum(1 for bits in signals if bits & CONTENT_BITS)
        return increments(self._running) if len(self._running) == content else None

    def chars_per_event(self) -> tuple[int, ...] | None:
        """Return the characters that each event added, where events repeat what came before; else None."""
        return None

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls in their order."""
        return self.tools.in_order(self.exchange.events)


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


def make_reading(
    headers: dict[str, str],
    category: str,
    failure: Failure | None,
    *,
    usage: Usage | None = None,
    timings_ms: Mapping[str, float] | None = None,
    warnings: tuple[str, ...] = (),
    **fields: Any,
) -> Reading:
    """Return a Reading of this outcome, with all that the headers (merged) report; `fields` are its other fields."""
    of_headers = header_fields(headers)
    of_headers["server_timing_ms"].update(timings_ms or {})
    of_headers["warnings"] = (*warnings, *of_headers["warnings"])
    return Reading(
        category=category,
        failure=failure,
        usage=usage,
        token_source="usage" if usage is not None else None,
        **of_headers,
        **fields,
    )
