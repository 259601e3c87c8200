"""The skeleton that every protocol fills in: how a request is read, and how its answer and its errors are written.

A protocol holds no state and knows no sockets and no clock. Its shapes stand in its code as plain dictionaries.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import msgspec

from lens.simulator.http import Request
from lens.simulator.protocols.completion import Completion, Event, Params, count_prompt_tokens
from lens.simulator.protocols.framing import dumps

# HTTP status -> the usual kind of error behind it; the script's option `error` overrides it.
ERROR_KINDS = {
    400: "invalid", 401: "auth", 402: "billing", 403: "permission", 404: "not_found", 408: "timeout", 413: "too_large",
    424: "model", 429: "rate_limit", 500: "server", 502: "server", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip

Headers = list[tuple[str, str]]


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


def retry_headers(error: ErrorStatus) -> Headers:
    """Return Retry-After in whole seconds, rounded up (RFC 9110, 10.2.3)."""
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
        """Return what this request asks for."""
        return Params(
            protocol=self.name,
            model=self.model_of(request, body),
            stream=self.wants_stream(request, body),
            prompt_tokens=count_prompt_tokens(body),
            max_tokens=self.token_limit(body),
            variant=self.variant_of(request, body),
        )

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        """Return the model that is asked for."""
        return str(body.get("model") or "simulated")

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        """Return whether a stream is asked for."""
        return bool(body.get("stream"))

    def token_limit(self, body: dict[str, Any]) -> Any:
        """Return the limit of output tokens that the request sets; None when it sets none. Not checked yet."""
        return body.get("max_tokens")

    def variant_of(self, request: Request, body: dict[str, Any]) -> str:
        """Return the variant of the protocol that is asked for."""
        return ""

    @abstractmethod
    def events(self, completion: Completion) -> Iterator[Event]:
        """Yield the whole stream, in order."""

    @abstractmethod
    def document(self, completion: Completion) -> bytes:
        """Return the answer to a request that did not ask for a stream."""

    def headers(self, facts: HeaderFacts) -> Headers:
        """Return the protocol's own response headers."""
        return [("x-request-id", facts.request_id)]

    @abstractmethod
    def error_event(self, completion: Completion) -> bytes:
        """Return a failure in mid-stream."""

    @abstractmethod
    def malformed_event(self) -> bytes:
        """Return an event that cannot be parsed."""

    def error_document(self, error: ErrorStatus, params: Params, request_id: str) -> bytes:
        """Return the body of an error response."""
        return dumps(self.error_object(error, params, request_id))

    @abstractmethod
    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        """Return the JSON object of an error response."""

    def error_headers(self, error: ErrorStatus) -> Headers:
        """Return headers that only error responses have."""
        return retry_headers(error)

    def key(self, request: Request) -> str:
        """Return the API key that the request presents."""
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    def auth_status(self, request: Request) -> int:
        """Return the status of the response to a wrong key."""
        return 401
