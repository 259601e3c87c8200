"""The nouns that flow: what one request did, and the circumstances of a run.

Times are int nanoseconds on CLOCK_MONOTONIC of the machine that measured; what was not measured is None, never 0.
"""

from __future__ import annotations

import enum
from array import array
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from lens.clocks import Machine, WallClock, WorkerClock

if TYPE_CHECKING:
    Column = array[int]
else:
    Column = array  # not subscriptable before Python 3.12, and msgspec asks for the type when it runs

# Layout of run files. 2: columns of MessagePack are raw integers, were lists. 3: `target` is a name, was an index.
SCHEMA = 3


class Signal(enum.IntFlag):
    """What an event carries, as bits. The core sets them from the provider's rules."""

    TEXT = 1  # visible text
    REASONING = 2  # thinking a reader may see before the answer
    TOOL = 4  # a tool's name or arguments
    REFUSAL = 8  # visible text that declines
    AUDIO = 16
    USAGE = 32  # token counts
    FINISH = 64  # a reason to stop
    ERROR = 128  # an error object inside the stream
    DONE = 256  # the protocol's own end
    MALFORMED = 512  # not what the protocol promises (bad JSON, bad checksum)


# An event is a token event when it has one of these, and one character at least.
CONTENT = Signal.TEXT | Signal.REASONING | Signal.TOOL | Signal.REFUSAL | Signal.AUDIO
# What a reader sees as the answer: everything but the thinking.
OUTPUT = CONTENT & ~Signal.REASONING


class Status(enum.StrEnum):
    """How a request ended."""

    SUCCESS = "Success"
    RATE_LIMITED = "RateLimited"
    NETWORK_ERROR = "NetworkError"
    AUTH_ERROR = "AuthError"
    SERVER_ERROR = "ServerError"
    INVALID_REQUEST = "InvalidRequest"  # a 4xx that the caller caused
    CANCELLED = "Cancelled"  # stopped by us


RequestStatus = Status  # the other name under which programs look for it

# The finer outcome, and the status it belongs to.
STATUS_OF_CATEGORY: dict[str, Status] = {
    "success": Status.SUCCESS,
    "rate_limited": Status.RATE_LIMITED,
    "quota_exceeded": Status.RATE_LIMITED,
    "auth": Status.AUTH_ERROR,
    "permission": Status.AUTH_ERROR,
    "not_found": Status.INVALID_REQUEST,
    "invalid_request": Status.INVALID_REQUEST,
    "context_length": Status.INVALID_REQUEST,
    "content_filtered": Status.INVALID_REQUEST,
    "overloaded": Status.SERVER_ERROR,
    "server_error": Status.SERVER_ERROR,
    "stream_error": Status.SERVER_ERROR,
    "protocol_error": Status.SERVER_ERROR,
    "empty": Status.SERVER_ERROR,
    "timeout": Status.NETWORK_ERROR,
    "network_error": Status.NETWORK_ERROR,
    "truncated": Status.NETWORK_ERROR,
    "cancelled": Status.CANCELLED,
    "interrupted": Status.CANCELLED,  # cut by the end of the run; in no figure
}


class Noun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything here: immutable, fields by name, absent when not measured."""


# What a clock can say; anything else in a file is no stamp.
Ns = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
Place = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
Tokens = Annotated[int, msgspec.Meta(ge=0)]


class Stamps(Noun, frozen=True):
    """When each step of one request happened, as absolute nanoseconds."""

    start: Ns  # work on it began, before a connection was asked for
    intended: Ns | None = None  # when the schedule wanted it to start, its first attempt if it was retried
    dns_start: Ns | None = None
    dns_end: Ns | None = None
    tcp_start: Ns | None = None  # of the attempt that won
    tcp_end: Ns | None = None
    proxy_start: Ns | None = None
    proxy_end: Ns | None = None
    tls_start: Ns | None = None
    tls_end: Ns | None = None
    send_start: Ns | None = None  # first byte of the request handed to the kernel
    send_end: Ns | None = None  # last byte left for the network; Record.send_stamp says how that is known
    first_byte: Ns | None = None  # of the final response; a 1xx has its own stamp
    informational: Ns | None = None  # first byte of a 1xx response, where one came
    head_end: Ns | None = None
    end: Ns | None = None  # the protocol's terminator or the byte that ends the body, or when it was given up


def _column(code: str) -> Any:
    return msgspec.field(default_factory=lambda: array(code))


class Events(Noun, frozen=True):
    """Every dispatched event of the body; columns of one length, which numpy reads without a copy."""

    arrived_ns: Column = _column("q")  # after Stamps.start; of the read that completed the data line
    lag_ns: Column = _column("q")  # seen - arrived: how late this client read it
    signals: Column = _column("H")  # Signal bits
    chars: Column = _column("I")  # characters of content
    read: Column = _column("I")  # number of the read; equal numbers came together
    # 1 + the number of the block or call that the event belongs to, 0 where it names none; None: no event names one
    block: Column | None = None

    def __post_init__(self) -> None:
        n = len(self.arrived_ns)
        blocks = n if self.block is None else len(self.block)
        if not n == len(self.lag_ns) == len(self.signals) == len(self.chars) == len(self.read) == blocks:
            raise ValueError("the columns of events have different lengths")

    def __len__(self) -> int:
        return len(self.arrived_ns)


class Attempt(Noun, frozen=True):
    """One try to connect to one address."""

    address: str
    family: Literal["ipv4", "ipv6", "unix"]
    start_ns: int
    end_ns: int
    error: str | None = None  # None: it connected
    resent: bool = False  # a request that was sent over it was sent again over another


class TcpInfo(Noun, frozen=True):
    """What the kernel knows of the connection (Linux TCP_INFO), in microseconds."""

    rtt_us: int
    min_rtt_us: int | None = None
    rttvar_us: int | None = None
    retransmits: int = 0  # since the connection began


class Connection(Noun, frozen=True):
    """The connection that carried the request."""

    reused: bool
    peer: str | None = None  # address:port, or the path of a unix socket
    family: str | None = None
    addresses: tuple[str, ...] = ()  # every address the name had
    attempts: tuple[Attempt, ...] = ()
    via_proxy: str | None = None  # without credentials
    tls_version: str | None = None
    tls_cipher: str | None = None
    alpn: str | None = None
    tls_resumed: bool | None = None
    verified: bool | None = None  # False under --insecure
    tcp_at_send: TcpInfo | None = None
    tcp_at_end: TcpInfo | None = None


class Usage(Noun, frozen=True):
    """Token counts, in the same fields for every provider. A count that is absent is None, never zero or a guess."""

    input_tokens: Tokens | None = None  # all of the prompt, cached or not
    output_tokens: Tokens | None = None  # everything billed as output, thinking too
    total_tokens: Tokens | None = None
    cache_read_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None  # a part of output_tokens
    cache_write_1h_tokens: Tokens | None = None  # a part of cache_write_tokens, to be kept for an hour
    audio_input_tokens: Tokens | None = None
    audio_output_tokens: Tokens | None = None
    cache_write_12h_tokens: Tokens | None = None  # a part of cache_write_tokens, to be kept for twelve hours
    audio_cache_read_tokens: Tokens | None = None  # a part of cache_read_tokens and of audio_input_tokens
    image_input_tokens: Tokens | None = None
    image_output_tokens: Tokens | None = None
    billed_input_tokens: Tokens | None = None  # where the provider bills other counts than it used (Cohere)
    billed_output_tokens: Tokens | None = None


class ToolFee(Noun, frozen=True):
    """Calls or units of one tool that the provider runs and bills beside the tokens."""

    tool: str  # "web_search", "file_search", "code_interpreter", ...
    count: int


class UsageItem(Noun, frozen=True):
    """Tokens of one step of an answer that are billed by themselves."""

    kind: str  # "compaction", "advisor_message", "fallback_message", "message", "image_generation"
    usage: Usage
    model: str | None = None  # None: that of the answer


class Billing(Noun, frozen=True):
    """What an answer says about its bill beside the token counts."""

    service_tier: str | None = None  # as the server says it: "flex", "priority", "default", ...
    speed: str | None = None  # Anthropic: "fast", "standard"
    region: str | None = None  # where the model ran (Anthropic's inference_geo)
    fees: tuple[ToolFee, ...] = ()
    items: tuple[UsageItem, ...] = ()  # not part of Record.usage
    itemized: bool = False  # the items are the whole bill: Record.usage is their sum


class CacheMiss(Noun, frozen=True):
    """Why a prompt was not read from the provider's cache, in its words."""

    reason: str  # "tools_changed", "system_changed", ...
    tokens: int | None = None  # that would have been read from it


class Failure(Noun, frozen=True):
    """What went wrong, in the words of whoever said it. Never holds a secret."""

    message: str
    type: str | None = None
    code: str | int | None = None
    where: Literal["http", "stream", "body", "protocol", "transport", "client"] = "transport"
    retryable: bool = False
    retry_after_s: float | None = None


class ToolCall(Noun, frozen=True):
    """A tool call as assembled from its fragments; arguments is the JSON text."""

    name: str
    arguments: str = ""
    id: str | None = None
    first_ns: int | None = None  # after Stamps.start: of the event that brought its first fragment
    last_ns: int | None = None  # of the event that brought its last
    silence_ns: int | None = None  # from the content event before it to its first fragment
    deltas: int | None = None  # events that brought a fragment of it
    gap_ns: int | None = None  # longest time between two of them; None where there is one only
    valid: bool | None = None  # its arguments are complete JSON; None where they are a text, or unknown


class TextMarks(Noun, frozen=True):
    """When the text of an answer had come so far, ns after Stamps.start; None where it never did."""

    sentence_ns: int | None = None  # its first sentence was whole
    line_ns: int | None = None  # its first line that is not blank
    code_block_ns: int | None = None  # its first block of code between fences


class Judgement(Noun, frozen=True):
    """Whether an answer is what was expected of it."""

    valid: bool
    usable_ns: int | None = None  # after Stamps.start: all that was expected had come
    reason: str | None = None  # why it is not valid; without any text of the answer


class Limit(Noun, frozen=True):
    """One rate limit that the provider's headers told of."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


class Try(Noun, frozen=True):
    """An earlier attempt of a retried request."""

    start_ns: int
    end_ns: int
    category: str
    http_status: int | None = None
    message: str | None = None
    wait_ns: int = 0  # waited before the next one; part of no latency but those from the schedule
    resent: int = 0  # how often it was sent before, over connections that died


class SessionTurn(Noun, frozen=True):
    """Which turn of which session a request is, and what it waited for."""

    session_id: str
    turn: Place  # within its session, from 0
    turns: Place  # of the session
    after: tuple[Place, ...] = ()  # turns that had to end before it
    think_ns: Ns = 0  # pause of the person before it, once these had ended
    tool_ns: Ns = 0  # time that tools took before it, likewise
    planned_ns: Ns | None = None  # when the schedule wanted the session to start; None: when a lane was free


class Record(Noun, frozen=True):
    """Everything that was measured of one request, whatever became of it."""

    request_id: str  # UUID
    index: Ns  # place in the schedule
    provider: str
    model: str
    timestamp: str  # RFC 3339, UTC, of Stamps.start
    stamps: Stamps
    status: Status
    category: str  # key of STATUS_OF_CATEGORY
    events: Events = msgspec.field(default_factory=Events)
    connection: Connection | None = None
    target: str = ""  # name of its target; "" in files that had none
    target_index: Place = 0  # into RunInfo.targets
    http_status: int | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    token_source: str | None = None  # who counted: "usage", "deltas", "estimated:NAME", "usage+estimated:NAME"
    tokens_per_event: Column | None = None  # per content event, where the server or a tokenizer told
    finish_reason: str | None = None
    served_model: str | None = None  # what the answer said it was
    stream: bool = True
    stamp_kind: Literal["kernel", "read"] = "read"
    send_stamp: Literal["kernel", "call", "bound"] | None = None  # of send_end; bound: by the first byte, if earlier
    clock_stepped: bool = False  # the wall clock was set meanwhile; read times were used
    comments: int = 0  # keep-alive comment lines of the stream
    wire_bytes: int = 0  # received, head and framing included
    content_encoding: str | None = None  # a compressed stream may batch its tokens
    headers: dict[str, str] = {}  # response headers worth keeping; redacted
    rate_limits: dict[str, Limit] = {}
    server_timing_ms: dict[str, float] = {}  # name of the source -> milliseconds
    provider_request_id: str | None = None
    reported_cost_usd: str | None = None  # exact decimal, where the provider says what it billed
    text: str | None = None  # saved on request only
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    prompt_id: str | None = None
    tries: tuple[Try, ...] = ()  # earlier attempts; stamps are those of the last
    labels: dict[str, str] = {}
    warmup: bool = False  # sent before the measured window; not part of the results
    stage: str | None = None  # of a run with several settings: under which one
    choices: tuple[str, ...] | None = None  # text by choice, where n > 1; saved with the text
    warnings: tuple[str, ...] = ()  # why a figure of this request may be wrong
    billing: Billing | None = None  # how it is billed, where the answer says
    hidden_thinking_ns: Ns | None = None  # from start to stop of thinking blocks whose text the server left out
    session: SessionTurn | None = None  # of a conversation or an agent's task
    cache_miss: CacheMiss | None = None  # why the prompt was not read from the cache, where the request asked
    text_marks: TextMarks | None = None  # how far the text had come when; where the text was read
    judged: Judgement | None = None  # where something was expected of the answer


class Target(Noun, frozen=True):
    """What was measured, without its secrets."""

    provider: str
    model: str
    url: str
    api: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    name: str = ""  # as records carry it; "" in files that had none
    named: bool = False  # by the user: the name says which target it is, wherever that is


class RunInfo(Noun, frozen=True):
    """The circumstances of a run: the header of a run file."""

    schema: int
    version: str  # of this program
    run_id: str
    started_at: str  # RFC 3339, UTC
    started_ns: int  # the same instant on CLOCK_MONOTONIC
    targets: tuple[Target, ...]
    command: str = ""
    config: dict[str, Any] = {}  # the settings of the run, secrets removed
    machine: Machine | None = None
    ended_at: str | None = None
    ended_ns: int | None = None
    stopped_by: str | None = None  # why it ended early: a signal's name, a reason; None: it ran to its end
    calibration: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    worker_clocks: tuple[WorkerClock, ...] = ()  # of workers on other machines, or of the shards of a merged run
    wall_clock: WallClock | None = None  # how well the machine's time was kept
    prices: dict[str, Any] = {}  # those that were given for the run; see pricing.run_prices
    requests: int | None = None  # how many its file holds, TOLD_AT_END before they are counted; for who reads the file
    unrecorded: int = 0  # requests that were open when a run was killed, of which no record tells; at least


def resends_of(record: Any) -> int:
    """Return how often a request, or an earlier attempt of it, was sent over a connection that died.

    record: a Record, or what a table reads of one.
    """
    attempts = record.connection.attempts if record.connection is not None else ()
    return int(sum([one.resent for one in (*attempts, *record.tries)]))
