"""What a protocol is given (Params, Delta, Completion), what it makes (Event), and the skeleton that each one fills in.

A protocol holds no state and knows no sockets and no clock. Its shapes stand in the code as plain dictionaries, with
TEXT where the text of a delta goes. Everything here is hashable, so a response is laid out once and sent often.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import msgspec

from lens.simulator.http import Request
from lens.simulator.script import Script
from lens.simulator.words import hash_bits, make_arguments, make_tokens

# Positions of events that are no content: before the first delta, and after the last.
OPENING = -1
CLOSING = 1 << 40

# When every simulated answer was made; fixed, so that answers are equal byte for byte.
CREATED_S = 1_795_440_000
CREATED_TEXT = "2026-11-23T13:20:00.000000Z"

TOOL_NAME = "get_weather"
TEXT = "\x00text\x00"

# The largest token limit that a request may set; each token costs memory here.
MAX_TOKENS = 1_000_000

# HTTP status -> the usual kind of error behind it; the script's option `error` overrides it.
ERROR_KINDS = {
    400: "invalid", 401: "auth", 402: "billing", 403: "permission", 404: "not_found", 408: "timeout", 413: "too_large",
    424: "model", 429: "rate_limit", 500: "server", 502: "server", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip

Headers = list[tuple[str, str]]


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, as far as the answer shows it."""

    protocol: str
    model: str
    stream: bool
    prompt_tokens: int  # words of the prompt
    max_tokens: int | None = None
    include_usage: bool = False
    variant: str = ""  # of the protocol: "azure", "vertex array", "base64", ...
    count: int = 1  # inputs of an embeddings request


def check_params(params: Params) -> None:
    """Refuse a token limit that no answer can be made for.

    Raises:
        ValueError: the limit is not an integer of 0 to MAX_TOKENS.
    """
    limit = params.max_tokens
    if limit is not None and not (isinstance(limit, int) and 0 <= limit <= MAX_TOKENS):
        raise ValueError(f"the token limit must be an integer of at most {MAX_TOKENS}")


class Delta(msgspec.Struct, frozen=True):
    """A piece of content, all of which leaves at one moment."""

    index: int
    block: int  # which content block it belongs to; each kind of content is one block
    kind: str  # "reasoning", "text" or "tool"
    text: str
    tokens: int
    first: bool  # of its block
    last: bool  # of its block
    final: bool  # of the answer

    @property
    def opens_at(self) -> int:
        """Position of the events that open its block."""
        return OPENING if self.index == 0 else self.index

    @property
    def closes_at(self) -> int:
        """Position of the events that close its block."""
        return CLOSING if self.final else self.index


class Event(msgspec.Struct, frozen=True):
    """One event in the bytes of its protocol. A comment is sent but is not counted as an event."""

    at: int  # OPENING, the index of a delta, or CLOSING
    kind: str
    data: bytes
    tokens: int = 0
    counted: bool = True


class Completion(msgspec.Struct, frozen=True):
    """All that a protocol needs to write one answer."""

    script: Script
    params: Params
    deltas: tuple[Delta, ...]

    @property
    def wants_usage(self) -> bool:
        """Whether usage is sent by a protocol that leaves it to the request."""
        return self.script.usage == "always" or (self.script.usage == "asked" and self.params.include_usage)

    @property
    def reports_usage(self) -> bool:
        """Whether usage is sent by a protocol that always does."""
        return self.script.usage != "never"

    @property
    def output_tokens(self) -> int:
        """All billed output: reasoning, text and tool arguments."""
        return sum(delta.tokens for delta in self.deltas)

    @property
    def prompt_tokens(self) -> int:
        """Words of the prompt."""
        return self.params.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from the cache."""
        return min(self.script.cached_tokens, self.params.prompt_tokens)

    @property
    def generation_ns(self) -> int:
        """From the first token to the last, as the script has it."""
        return self.script.itl_ns * max(0, self.output_tokens - 1)

    @property
    def finish(self) -> str:
        """Why the answer ends: "tool", "length" or "stop"."""
        if self.script.tool_tokens:
            return "tool"
        return "length" if self.script.from_request and self.params.max_tokens is not None else "stop"

    @property
    def kinds(self) -> list[str]:
        """The kinds of content in it, one for each block."""
        return [delta.kind for delta in self.deltas if delta.first]

    def text_of(self, kind: str) -> str:
        """The whole text of one kind."""
        return "".join(delta.text for delta in self.deltas if delta.kind == kind)

    def make_id(self, prefix: str, length: int = 24) -> str:
        """An identifier, the same for equal completions."""
        salt = sum(prefix.encode())
        bits = "".join(f"{hash_bits(self.script.seed, salt, k):016x}" for k in range(1 + length // 16))
        return prefix + bits[:length]


@lru_cache(maxsize=256)
def make_deltas(script: Script, max_tokens: int | None) -> tuple[Delta, ...]:
    """The content of one answer, cut into what leaves together."""
    parts = (
        ("reasoning", make_tokens("reasoning", script.seed, script.reasoning_tokens)),
        ("text", make_tokens("text", script.seed, script.token_count(max_tokens))),
        ("tool", make_arguments(script.seed, script.tool_tokens)),
    )
    size = script.tokens_per_chunk
    blocks = enumerate((kind, tokens) for kind, tokens in parts if tokens)
    cut = [
        (block, kind, tokens[a : a + size], a == 0, a + size >= len(tokens))
        for block, (kind, tokens) in blocks
        for a in range(0, len(tokens), size)
    ]
    return tuple(
        Delta(k, block, kind, "".join(tokens), len(tokens), first, last, k == len(cut) - 1)
        for k, (block, kind, tokens, first, last) in enumerate(cut)
    )


def make_completion(script: Script, params: Params) -> Completion:
    """The completion that the script gives to this request."""
    return Completion(script, params, make_deltas(script, params.max_tokens))


# Where the request bodies of all protocols keep what a person wrote.
_TEXT_KEYS = ("text", "content", "contents", "parts", "prompt", "input", "inputs", "messages", "message", "system",
              "systemInstruction", "system_instruction", "instructions")  # fmt: skip


def iter_texts(body: Any) -> Iterator[str]:
    """Every text of a request's prompt, at whatever depth its protocol keeps it."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for part in body:
            yield from iter_texts(part)
    elif isinstance(body, dict):
        for key in _TEXT_KEYS:
            if key in body:
                yield from iter_texts(body[key])


def count_prompt_tokens(body: Any) -> int:
    """The prompt's length in the simulator's tokens: its words between white space."""
    return sum(len(text.split()) for text in iter_texts(body))


class ErrorStatus(msgspec.Struct, frozen=True):
    """An answer that is an error from its first byte."""

    status: int  # 0: a TCP reset without any byte
    kind: str
    retry_after_s: float | None = None


class HeaderFacts(msgspec.Struct, frozen=True):
    """What the headers of one response say of time and limits."""

    request_id: str
    server_ms: int
    limit: int  # requests a window
    remaining: int
    reset_s: float


def dumps(value: Any, *, ascii_only: bool = False) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()


def compile_event(wrap: Callable[[bytes], bytes], shape: Any, *, ascii_only: bool = False) -> Callable[[str], bytes]:
    """A function from a text to the event that holds it where the shape has TEXT.

    `wrap` frames the JSON as an event; it must not depend on the JSON's length.
    """
    before, after = wrap(dumps(shape, ascii_only=ascii_only)).split(dumps(TEXT))
    quote = encode_basestring_ascii if ascii_only else encode_basestring
    return lambda text: before + quote(text).encode() + after


def sse(data: bytes) -> bytes:
    """One SSE event without a name."""
    return b"data: " + data + b"\n\n"


def named_sse(name: str, value: Any) -> bytes:
    """One SSE event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + dumps(value) + b"\n\n"


def typed_event(at: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
    """A named SSE event whose JSON repeats the name as `type`."""
    return Event(at, kind, named_sse(name, {"type": name, **body}), tokens)


def ndjson(data: bytes) -> bytes:
    """One line."""
    return data + b"\n"


def with_usage(document: dict[str, Any], completion: Completion, usage: dict[str, Any]) -> dict[str, Any]:
    """The document, and the usage in it unless the script sends none."""
    return {**document, "usage": usage} if completion.reports_usage else document


def retry_headers(error: ErrorStatus) -> Headers:
    """Retry-After in whole seconds, rounded up (RFC 9110, 10.2.3)."""
    if error.retry_after_s is None:
        return []
    return [("retry-after", str(math.ceil(error.retry_after_s)))]


class WireProtocol(ABC):
    """One protocol of one provider: how its requests are read and its answers are written."""

    name = ""
    media_type = "text/event-stream; charset=utf-8"
    comment = b": keep-alive\n\n"  # empty where a protocol has no comments
    crlf = False  # its SSE lines always end in CR LF
    document_only = False  # it never streams

    def parse_request(self, request: Request, body: dict[str, Any]) -> Params:
        """What this request asks for."""
        return Params(
            protocol=self.name,
            model=self.model_of(request, body),
            stream=self.wants_stream(request, body),
            prompt_tokens=count_prompt_tokens(body),
            max_tokens=self.token_limit(body),
            variant=self.variant_of(request, body),
        )

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        """The model that is asked for."""
        return str(body.get("model") or "simulated")

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        """Whether a stream is asked for."""
        return bool(body.get("stream"))

    def token_limit(self, body: dict[str, Any]) -> Any:
        """The limit of output tokens that the request sets; None when it sets none. Not checked yet."""
        return body.get("max_tokens")

    def variant_of(self, request: Request, body: dict[str, Any]) -> str:
        """The variant of the protocol that is asked for."""
        return ""

    @abstractmethod
    def events(self, completion: Completion) -> Iterator[Event]:
        """The whole stream, in order."""

    @abstractmethod
    def document(self, completion: Completion) -> bytes:
        """The answer to a request that did not ask for a stream."""

    def headers(self, facts: HeaderFacts) -> Headers:
        """The protocol's own response headers."""
        return [("x-request-id", facts.request_id)]

    @abstractmethod
    def error_event(self, completion: Completion) -> bytes:
        """A failure in mid-stream."""

    @abstractmethod
    def malformed_event(self) -> bytes:
        """An event that cannot be parsed."""

    def error_document(self, error: ErrorStatus, params: Params, request_id: str) -> bytes:
        """The body of an error response."""
        return dumps(self.error_object(error, params, request_id))

    @abstractmethod
    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        """The JSON object of an error response."""

    def error_headers(self, error: ErrorStatus) -> Headers:
        """Headers that only error responses have."""
        return retry_headers(error)

    def key(self, request: Request) -> str:
        """The API key that the request presents."""
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    def auth_status(self, request: Request) -> int:
        """The status of the response to a wrong key."""
        return 401
