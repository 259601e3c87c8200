"""What goes on the wire, and what came off it: the two ends of a codec meet here.

No sockets, no clock. A provider encodes a Prompt to a WireRequest and decodes an Exchange
to a Reading; the transport turns one into the other and knows nothing of either's meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from lens.model import Billing, CacheMiss, Connection, Events, Failure, Limit, Signal, Stamps, ToolCall, Usage
from lens.secrets import remember_secret

# Scheme -> port of a URL that names none.
DEFAULT_PORTS = {"http": 80, "https": 443}
# How the body is cut into events. "document" is one JSON value, not streamed.
EventFraming = Literal["sse", "ndjson", "json_array", "aws", "document"]


class When(msgspec.Struct, frozen=True):
    """A rule counts only where the key `key` of the object `scope` has a value.

    `scope` is a prefix of the rule's path ("" is the root). `equals` is compared with a JSON
    string, true or false; with `negate` the rule counts where it differs or is absent.
    """

    scope: str
    key: str
    equals: str | bool
    negate: bool = False


class SignalRule(msgspec.Struct, frozen=True):
    """Where in an event's JSON a signal stands; data, compiled once by the core.

    `path` is keys joined by dots, `[]` after a key (or alone, at the root) for every element:
    "choices[].delta.content". "(base64)" after a key stands for the JSON inside that string; in an
    AWS event stream the first key is the event type: "chunk.bytes(base64).delta.text".
    `takes`: "string" wants a string of one character or more and counts its characters; "value"
    wants anything but null, false, "", {} and [], and counts none.
    Characters of one signal are summed within a group; of several groups the largest
    counts, so that two names for the same text do not count twice.
    """

    path: str
    signal: Signal
    takes: Literal["string", "value"] = "string"
    when: When | None = None
    group: int = 0


class SignalRules(msgspec.Struct, frozen=True):
    """All that a protocol's events can signal.

    `done` is an event's whole data that ends the protocol ("[DONE]"), where there is one. `blocks` are the paths of
    the number of the block or call that an event belongs to; of several that an event names the last counts.
    """

    rules: tuple[SignalRule, ...]
    done: bytes | None = None
    blocks: tuple[str, ...] = ()

    def compiled_form(self) -> tuple[list[tuple[Any, ...]], bytes, tuple[str, ...]]:
        """Plain tuples, as lens._core.signals.SignalSet takes them."""
        rows: list[tuple[Any, ...]] = []
        for r in self.rules:
            w = r.when
            guard = (w.scope, w.key, w.equals, w.negate) if w else None
            rows.append((r.path, int(r.signal), r.takes == "string", r.group, guard))
        return rows, self.done or b"", self.blocks


class Secret:
    """A key or token; only reveal() shows it, so that no repr, log or traceback can.

    Its value is masked from now on in whatever a server sends back and in whatever is shown.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        remember_secret(value)

    def reveal(self) -> str:
        """Return the text itself; for sending alone."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: a text, or messages as the chat APIs write them."""

    text: str = ""
    messages: tuple[dict[str, Any], ...] = ()  # takes the place of text
    system: str | None = None
    id: str | None = None
    max_tokens: int | None = None  # of this prompt; before Ask.max_tokens
    extra_body: dict[str, Any] = {}  # of this prompt; over Ask.extra_body

    def as_messages(self) -> list[dict[str, Any]]:
        """Return the prompt as OpenAI-style messages."""
        if self.messages:
            return [dict(m) for m in self.messages]
        head = [{"role": "system", "content": self.system}] if self.system else []
        return [*head, {"role": "user", "content": self.text}]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """How every prompt of a target is asked."""

    model: str
    api: str | None = None  # "chat", "completions", "responses", "messages", "embeddings", ...
    stream: bool = True
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    extra_body: dict[str, Any] = {}  # laid over the body last
    headers: tuple[tuple[str, str], ...] = ()  # laid over the headers last


class WireRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, encoded ahead of time. Header names and values are bytes, Host excluded."""

    method: str = "POST"
    path: str  # origin-form, with the query
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    signals: SignalRules
    framing: EventFraming = "sse"  # expected; the answer's Content-Type decides
    stream: bool = True
    # Called just before sending, where a header depends on the time (AWS SigV4).
    sign: Any = None  # Callable[[WireRequest], tuple[tuple[bytes, bytes], ...]] | None

    def __repr__(self) -> str:
        """Without headers and body: they hold the key and the prompt."""
        return f"WireRequest({self.method} {self.path}, {len(self.body)} bytes)"


class Frame(msgspec.Struct, frozen=True):
    """An event that was kept whole: its number among all events, SSE event name, data."""

    index: int
    name: str
    data: bytes


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """What came off the wire for one request; complete on failure too, as far as it got."""

    stamps: Stamps
    status: int | None = None  # HTTP status of the final response
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case
    framing: EventFraming | None = None  # how the body was cut
    events: Events
    frames: tuple[Frame, ...] = ()  # kept events, in order
    document: bytes = b""  # the whole body where framing is "document"
    ended: bool = False  # the HTTP body ended as its framing promised
    failure: Failure | None = None  # of the transport or of HTTP
    category: str | None = None  # of that failure
    connection: Connection | None = None
    comments: int = 0
    wire_bytes: int = 0
    content_encoding: str | None = None
    error_field: str | None = None  # an SSE field named "error" (old llama.cpp), or a line of bare JSON
    warnings: tuple[str, ...] = ()  # what was against the rules of HTTP and did no harm
    stamp_kind: Literal["kernel", "read"] = "read"
    send_stamp: Literal["kernel", "call", "bound"] | None = None  # see Record
    clock_stepped: bool = False
    goes_on: Callable[[], bool] | None = None  # asked before each kept event is read: False ends the reading


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider reads in an Exchange."""

    category: str
    failure: Failure | None = None
    usage: Usage | None = None
    usage_raw: Any = None
    token_source: str | None = None
    tokens_per_event: tuple[int, ...] | None = None
    finish_reason: str | None = None
    served_model: str | None = None
    text: str = ""
    reasoning: str = ""
    refusal: str | None = None
    audio_transcript: str | None = None
    choices: tuple[str, ...] | None = None  # text by choice, where n > 1
    tool_calls: tuple[ToolCall, ...] = ()
    headers: dict[str, str] = {}
    rate_limits: dict[str, Limit] = {}
    server_timing_ms: dict[str, float] = {}
    provider_request_id: str | None = None
    reported_cost_usd: str | None = None
    events_read: int | None = None  # events up to the protocol's terminator; None where nothing follows it
    warnings: tuple[str, ...] = ()  # why a figure of this answer may be wrong
    billing: Billing | None = None
    chars_per_event: tuple[int, ...] | None = None  # where events repeat what came before; None: as they were counted
    cache_miss: CacheMiss | None = None
    hidden_thinking_ns: int | None = None
