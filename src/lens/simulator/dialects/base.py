"""What every dialect can do, and the two helpers that make events cheap to write.

A dialect holds no state. Its shapes stand in the code as plain dictionaries, with MARK
where the text of a token goes.
"""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import msgspec

from lens.simulator.http import Request
from lens.simulator.job import Event, Job, Turn

MARK = "\x00text\x00"

# The usual kind of error behind a status; the script's `error` says another.
KIND_OF_STATUS = {
    400: "invalid", 401: "auth", 402: "billing", 403: "permission", 404: "not_found", 408: "timeout", 413: "too_large",
    424: "model", 429: "rate_limit", 500: "server", 502: "server", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip


class Failure(msgspec.Struct, frozen=True):
    """An answer that is an error from its first byte."""

    status: int
    kind: str
    retry_after_s: float | None = None


class Pace(msgspec.Struct, frozen=True):
    """What a head may tell about time and limits."""

    request_id: str
    server_ms: int
    limit: int  # requests a window
    remaining: int
    reset_s: float


def dumps(value: Any, *, ascii_only: bool = False) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()


def splice(wrap: Callable[[bytes], bytes], shape: Any, *, ascii_only: bool = False) -> Callable[[str], bytes]:
    """A function from text to the event that holds it where the shape has MARK.

    `wrap` frames the JSON as an event; it must not depend on the JSON's length.
    """
    before, after = wrap(dumps(shape, ascii_only=ascii_only)).split(dumps(MARK))
    quote = encode_basestring_ascii if ascii_only else encode_basestring
    return lambda text: before + quote(text).encode() + after


def sse(data: bytes) -> bytes:
    """One SSE event without a name."""
    return b"data: " + data + b"\n\n"


def named_sse(name: str, value: Any) -> bytes:
    """One SSE event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + dumps(value) + b"\n\n"


def ndjson(data: bytes) -> bytes:
    """One line."""
    return data + b"\n"


def retry_headers(failure: Failure) -> list[tuple[str, str]]:
    """Retry-After in whole seconds, rounded up (RFC 9110, 10.2.3)."""
    if failure.retry_after_s is None:
        return []
    return [("retry-after", str(math.ceil(failure.retry_after_s)))]


class Dialect(ABC):
    """The base: a dialect says how each of these is written on its wire."""

    name = ""
    media_type = "text/event-stream; charset=utf-8"
    comment = b": keep-alive\n\n"  # empty where a dialect has no comments
    crlf = False  # its SSE lines always end in CR LF
    document_only = False  # it never streams

    @abstractmethod
    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        """What of this request shows in the answer."""

    @abstractmethod
    def events(self, job: Job) -> Iterator[Event]:
        """The whole stream, in order."""

    @abstractmethod
    def document(self, job: Job) -> bytes:
        """The answer to a request that did not ask for a stream."""

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        """Its own response headers."""
        return [("x-request-id", pace.request_id)]

    def error_event(self, job: Job) -> bytes:
        """A failure in mid-stream."""
        return sse(dumps({"error": {"message": "The simulated server failed.", "type": "server_error"}}))

    def malformed_event(self) -> bytes:
        """An event whose JSON is cut off."""
        return sse(b'{"choices":[{"index":0,"delta":{"content":"cut o')

    @abstractmethod
    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        """The body of an error answer, and headers that only errors have."""

    def key(self, request: Request) -> str:
        """The key that the request presents."""
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    def auth_status(self, request: Request) -> int:
        """The status of an answer to a wrong key."""
        return 401
