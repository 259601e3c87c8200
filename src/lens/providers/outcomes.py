"""How an answer with a good status ended: the decision order of WIRE 3, once for all protocols."""

from __future__ import annotations

from typing import Protocol

from lens.model import CONTENT, Failure
from lens.providers.base import parsed
from lens.providers.failures import error_of, http_outcome, masked
from lens.wire import Exchange


class Answer(Protocol):
    """What a protocol reads of the body of an answer with a good status: (category, Failure)."""

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]: ...
    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        """One that has come whole."""


def judged(exchange: Exchange, answer: Answer) -> tuple[str, Failure | None]:
    """(category, Failure): what the status says, or else what the body does."""
    category, failure = http_outcome(exchange)
    if category is not None:
        return category, failure
    if exchange.framing != "document":
        return answer.take_stream(exchange)
    if not exchange.ended:
        return exchange.category or "truncated", exchange.failure
    return answer.take_document(exchange)


def outcome(
    exchange: Exchange,
    *,
    done: bool,
    finish: str | None,
    error: Failure | None,
    malformed: bool,
    blocked: Failure | None = None,
) -> tuple[str, Failure | None]:
    """(category, Failure) of a stream whose status was good.

    `done`: the protocol's own end was seen; then what became of the HTTP framing no longer matters.
    `malformed`: an event was not what the protocol promises.
    """
    if malformed:
        return "protocol_error", Failure(
            message="an event of the stream is not valid JSON", type="invalid_json", where="protocol"
        )
    if error is not None:
        return "stream_error", error
    if blocked is not None:
        return "content_filtered", blocked
    if done:
        if finish or has_content(exchange):
            return "success", None
        return "empty", Failure(message="the stream ended without any content", type="empty", where="protocol")
    if exchange.category is not None and exchange.category != "truncated":
        return exchange.category, exchange.failure
    if exchange.ended and finish:
        return "success", None
    if exchange.failure is not None:
        return "truncated", exchange.failure
    return "truncated", truncation(exchange)


def truncation(exchange: Exchange) -> Failure:
    """The stream ended without its end; an SSE field named "error" may say why (old llama.cpp)."""
    if exchange.error_field:
        told = parsed(exchange.error_field.encode("utf-8", "replace"))
        said = error_of({"error": told}) if told is not None else Failure(message=masked(exchange.error_field))
        if said is not None and said.message:
            return Failure(message=said.message, type=said.type, code=said.code, where="stream")
    return Failure(
        message="the stream ended without a finish reason or its end marker", type="truncated", where="protocol"
    )


def not_a_stream(exchange: Exchange) -> Failure:
    """A page or a document where a stream was asked for."""
    media = dict(exchange.headers).get("content-type", "none").partition(";")[0]
    return Failure(
        message=f"the answer is {media}, not an event stream; is the base URL that of an API?",
        type="content_type",
        where="body",
    )


def has_content(exchange: Exchange) -> bool:
    """An event carried text, reasoning, a tool call, a refusal or audio."""
    return any(bits & CONTENT for bits in exchange.events.signals)
