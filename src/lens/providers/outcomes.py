"""Classify an answer: from a status, an error body or the end of a stream to (category, Failure), for every provider.

Errors come in a dozen shapes; they are tried in one order and end as one Failure with a category.
A message never repeats a key: what looks like one is masked, also when the server echoed it.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from lens.model import CONTENT, Failure, Signal
from lens.patterns import lazy_pattern
from lens.providers.error_shapes import (
    MESSAGE_CHARS,
    error_type,
    find_error,
    parse_error,
    parse_error_body,
)
from lens.providers.headers import retry_after_s, should_retry
from lens.providers.values import (
    NOT_JSON,
    parse_json_or,
)
from lens.secrets import bare_url, mask_secrets
from lens.wire import Exchange

# As plain ints: `&` of an int with a flag enum takes many times as long, and every event is asked.
CONTENT_BITS, DONE_BIT = int(CONTENT), int(Signal.DONE)
Outcome = tuple[str, Failure | None]  # category, and what went wrong

_CATEGORY_OF_STATUS = {
    401: "auth",
    402: "quota_exceeded",
    403: "permission",
    404: "not_found",
    408: "timeout",
    424: "server_error",  # Bedrock: the model failed
    429: "rate_limited",
    503: "overloaded",
    504: "server_error",
    529: "overloaded",
}
_RETRYABLE_STATUS = frozenset({408, 409, 429, 498})
# Of 5xx, also Cloudflare's 520 to 530: only what stays unsupported is not worth another attempt.
_LASTING_STATUS = frozenset({501, 505})
# A prompt beyond the model's context, in the words of each server.
_TOO_LONG = lazy_pattern(
    r"context_length_exceeded|context_window_exceeded|ContextWindowExceeded|exceed_context_size"  # types and codes
    r"|(?:prompt|inputs?|request|conversation)(?: \([^)]*\))? (?:is|are|was) too long"  # Anthropic, Bedrock, Fireworks
    r"|maximum (?:context|prompt|model|input) length|max(?:imum)? sequence length"  # OpenAI, vLLM, xAI, Mistral
    r"|model'?s? context (?:length|window)|context (?:window|length) of (?:this|the) model"  # SGLang, vLLM, OpenAI
    r"|exceeds? (?:the )?(?:available )?context (?:size|limit|length|window)"  # llama.cpp, Anthropic, Ollama
    r"|too long to fit into the model"  # vLLM
    r"|input length \(\d+ tokens\) exceeds|requested token count exceeds"  # SGLang
    r"|`inputs` (?:tokens \+ `max_new_tokens` )?must (?:be <=|have less than)"  # TGI
    r"|too many (?:input )?tokens(?!\s*per\b)|exceeds the maximum number of tokens"  # Cohere, Bedrock, Gemini
    r"|context (?:size|length|window|limit) (?:is |was )?exceeded|max(?:imum)? context size"  # llama.cpp, LM Studio
    r"|\(\d+ tokens\) is too large to process|exceeded model token limit|range of input length",  # Moonshot, DashScope
    re.IGNORECASE,
)
_TOO_LONG_STATUS = (400, 413, 422, 500)
# Finish reasons that say the server gave the answer up.
_FAILED_FINISH = frozenset(
    {"failed", "cancelled", "canceled", "user_cancel", "timeout", "network", "insufficient_system_resource"}
)
_FAILED_WORDS = lazy_pattern(r"error|abort|exception")  # also in "internal_error", "ERROR_TOXIC"
_QUOTA = ("insufficient_quota", "enforced_spend_limit_reached", "billing_hard_limit_reached")
_BAD_KEY = ("API_KEY_INVALID", "invalid_api_key", "Incorrect API key", "API key not valid", "Invalid API key")
# Amazon answers 403 to a wrong key, too.
_BAD_AWS_KEY = ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")
_COLD = ("ModelNotReadyException", "overloaded")
# Headers of a body that says itself where it ends.
_WITH_END = frozenset({"content-length", "transfer-encoding"})
_MARKUP = lazy_pattern(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
EXCERPT_CHARS = 100


def classify_status(exchange: Exchange) -> tuple[str | None, Failure | None]:
    """Return the outcome of an answer that never came or whose status is an error; else (None, None)."""
    if exchange.status is None:
        return exchange.category or "network_error", exchange.failure
    if not is_success(exchange.status):
        return http_failure(exchange.status, exchange.reason, exchange.headers, exchange.document)
    return None, None


def is_success(status: int) -> bool:
    """Return whether a status promises an answer: any 2xx that has content (RFC 9110, section 15.3)."""
    return 200 <= status < 300 and status not in (204, 205)


def classify_stream(
    exchange: Exchange,
    *,
    done: bool,
    finish: str | None,
    error: Failure | None,
    malformed: bytes | None = None,
    blocked: Failure | None = None,
    remark: Failure | None = None,
) -> Outcome:
    """Return the outcome of a stream whose status was good.

    `done`: the protocol's own terminator was read; then how the HTTP framing ended no longer matters.
    `malformed`: the data of an event that is not what the protocol promises.
    `remark`: a sentence that the last event held in place of an answer: why it stopped, where no reason to stop came.
    """
    if error is not None:
        return "stream_error", error
    if malformed is not None:
        said = mask_secrets(" ".join(malformed[:4096].decode("utf-8", "replace").split()))[:EXCERPT_CHARS]
        return "protocol_error", Failure(
            message=f"an event of the stream is not valid JSON: {said}", type="invalid_json", where="protocol"
        )
    if (failure := finish_failure(finish)) is not None:
        return "stream_error", failure
    if blocked is not None:
        return "content_filtered", blocked
    if remark is not None and not finish and (exchange.ended or done):
        return "stream_error", remark
    if done:
        if finish or has_content(exchange):
            return "success", None
        return "empty", empty_failure("the stream ended without any content")
    if exchange.category is not None and exchange.category != "truncated":
        return exchange.category, exchange.failure
    # Where nothing failed and the body has not ended, the transport waited long enough after the finish reason.
    if finish and (exchange.ended or exchange.category is None):
        return "success", None
    if exchange.failure is not None:
        return "truncated", stray_failure(exchange) or exchange.failure
    return "truncated", truncation_failure(exchange)


def has_content(exchange: Exchange) -> bool:
    """Return whether an event carried text, reasoning, a tool call, a refusal or audio."""
    return any(bits & CONTENT_BITS for bits in exchange.events.signals)


def empty_failure(message: str) -> Failure:
    """Return the failure of an answer that ended well and holds nothing."""
    return Failure(message=message, type="empty", where="protocol")


def finish_failure(reason: str | None) -> Failure | None:
    """Return the failure of a finish reason that says so ("error", "abort"); None for any other."""
    kind = (reason or "").partition(":")[0].lower()
    if reason is None or not (kind in _FAILED_FINISH or _FAILED_WORDS.search(kind)):
        return None
    return Failure(message=f"the answer ended with finish reason {reason}", type=error_type(reason), where="stream")


def truncation_failure(exchange: Exchange) -> Failure:
    """Return why a stream has no terminator although its HTTP body ended well: the protocol was cut, or said why."""
    if (said := stray_failure(exchange)) is not None:
        return said
    names = {name for name, _ in exchange.headers}
    how = "the HTTP body ended whole" if names & _WITH_END else "the connection was closed, which ends this body"
    words = "ended without a finish reason or its end marker"
    return Failure(
        message=f"{how}, but the event stream in it {words}: the server or a proxy stopped, the network did not break",
        type="truncated",
        where="protocol",
    )


def stray_failure(exchange: Exchange, *, finished: bool = False) -> Failure | None:
    """Return the error beside the events: in an SSE field named "error" (old llama.cpp), or a line of bare JSON.

    `finished`: the answer came with a reason to stop, so that bare JSON over several lines need be no error.
    """
    text = exchange.error_field
    if not text:
        return None
    error = parse_json_or(text.encode("utf-8", "replace"), NOT_JSON)
    if error is NOT_JSON:
        said = mask_secrets(text)[:MESSAGE_CHARS]
        if not text.startswith("{"):
            return Failure(message=said, where="stream")
        words = f"the stream holds JSON over several lines without `data:`, as servers write errors: {said}"
        return None if finished else Failure(message=words, type="stray_json", where="stream")
    # The field holds the error itself, the bare line an event with the error in it.
    found = find_error(error) or (parse_error({"error": error}) if isinstance(error, str) else parse_error(error))
    return replace(found, where="stream") if found is not None and found.message else None


def content_type_failure(exchange: Exchange) -> Failure:
    """Return the failure of a page or a document where an answer of the protocol was asked for."""
    media = dict(exchange.headers).get("content-type", "none").partition(";")[0]
    return Failure(
        message=f"the answer is {media}, not an event stream; is the base URL that of an API?",
        type="content_type",
        where="body",
    )


def http_failure(status: int, reason: str, headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[str, Failure]:
    """Return (category, Failure) of an error status."""
    named = dict(headers)
    found = parse_error_body(body) or Failure(message="")
    kind = found.type or named.get("x-amzn-errortype", "").partition(":")[0] or None
    message = found.message or _page_message(status, reason, named, body)
    category = _category(status, kind, found.code, message)
    retry = should_retry(named)
    passing = status in _RETRYABLE_STATUS or (status >= 500 and status not in _LASTING_STATUS)
    retryable = passing and category not in ("quota_exceeded", "context_length") if retry is None else retry
    return category, Failure(
        message=message,
        type=kind,
        code=found.code,
        where="http",
        retryable=retryable,
        retry_after_s=retry_after_s(named, body),
    )


def _page_message(status: int, reason: str, headers: dict[str, str], body: bytes) -> str:
    """Return a message for an answer whose body holds no error: a redirect's target, or a page's text."""
    first = f"HTTP {status} {reason}".strip()
    if 300 <= status < 400 and headers.get("location"):
        return mask_secrets(f"{first}: it points to {bare_url(headers['location'])}; give that as --base-url")
    page = mask_secrets(body[:4096].decode("utf-8", "replace"))
    text = " ".join(_MARKUP.sub(" ", page).split())
    return f"{mask_secrets(first)}: {text[:200]}" if text else mask_secrets(first)


def _category(status: int, kind: str | None, code: Any, message: str) -> str:
    text = " ".join(str(part) for part in (kind, code, message) if part is not None)
    if status == 400 and any(mark in text for mark in _BAD_KEY):
        return "auth"
    if status in _TOO_LONG_STATUS and _TOO_LONG.search(text) and code != "rate_limit_exceeded":
        return "context_length"
    if status == 400 and code == "content_filter":
        return "content_filtered"
    if status == 429:
        if any(mark in text for mark in _QUOTA):
            return "quota_exceeded"
        return "overloaded" if kind in _COLD else "rate_limited"
    if status == 503 and not (kind or code):
        return "server_error"  # nobody said that it was load
    if status == 403 and kind in _BAD_AWS_KEY:
        return "auth"
    if status in _CATEGORY_OF_STATUS:
        return _CATEGORY_OF_STATUS[status]
    if 400 <= status < 500:
        return "invalid_request"
    return "server_error" if status >= 500 else "protocol_error"
