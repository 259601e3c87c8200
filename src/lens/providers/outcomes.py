"""Classify an answer: from a status, an error body or the end of a stream to (category, Failure), for every provider.

Errors come in a dozen shapes; they are tried in one order and end as one Failure with a category.
A message never repeats a key: what looks like one is masked, also when the server echoed it.
"""

from __future__ import annotations

import re
from typing import Any

from lens.model import CONTENT, Failure, Signal
from lens.providers.headers import retry_after_s, should_retry
from lens.providers.values import as_dict, as_list, parse_json
from lens.secrets import mask_secrets
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
_RETRYABLE_STATUS = frozenset({408, 409, 429, 498, 500, 502, 503, 504, 529})
_TOO_LONG = (
    "context_length_exceeded",
    "prompt is too long",
    "too long",
    "maximum context length",
    "longer than the model's context length",
    "exceeds the maximum number of tokens",
)
_QUOTA = ("insufficient_quota", "enforced_spend_limit_reached", "billing_hard_limit_reached")
_BAD_KEY = ("API_KEY_INVALID", "invalid_api_key", "Incorrect API key", "API key not valid", "Invalid API key")
# Amazon answers 403 to a wrong key, too.
_BAD_AWS_KEY = ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")
_COLD = ("ModelNotReadyException", "overloaded")
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
MESSAGE_CHARS = 500


def classify_status(exchange: Exchange) -> tuple[str | None, Failure | None]:
    """Return the outcome of an answer that never came or whose status is an error; else (None, None)."""
    if exchange.status is None:
        return exchange.category or "network_error", exchange.failure
    if exchange.status != 200:
        return http_failure(exchange.status, exchange.reason, exchange.headers, exchange.document)
    return None, None


def classify_stream(
    exchange: Exchange,
    *,
    done: bool,
    finish: str | None,
    error: Failure | None,
    malformed: bool,
    blocked: Failure | None = None,
) -> Outcome:
    """Return the outcome of a stream whose status was good.

    `done`: the protocol's own terminator was read; then how the HTTP framing ended no longer matters.
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
        return "empty", empty_failure("the stream ended without any content")
    if exchange.category is not None and exchange.category != "truncated":
        return exchange.category, exchange.failure
    if exchange.ended and finish:
        return "success", None
    if exchange.failure is not None:
        return "truncated", exchange.failure
    return "truncated", truncation_failure(exchange)


def has_content(exchange: Exchange) -> bool:
    """Return whether an event carried text, reasoning, a tool call, a refusal or audio."""
    return any(bits & CONTENT_BITS for bits in exchange.events.signals)


def empty_failure(message: str) -> Failure:
    """Return the failure of an answer that ended well and holds nothing."""
    return Failure(message=message, type="empty", where="protocol")


def truncation_failure(exchange: Exchange) -> Failure:
    """Return why a stream ended without its terminator; an SSE field named "error" may say it (old llama.cpp)."""
    text = exchange.error_field
    if text:
        error = parse_json(text.encode("utf-8", "replace"))
        found = parse_error({"error": error}) if error is not None else Failure(message=mask_secrets(text))
        if found is not None and found.message:
            return Failure(message=found.message, type=found.type, code=found.code, where="stream")
    return Failure(
        message="the stream ended without a finish reason or its end marker", type="truncated", where="protocol"
    )


def content_type_failure(exchange: Exchange) -> Failure:
    """Return the failure of a page or a document where an answer of the protocol was asked for."""
    media = dict(exchange.headers).get("content-type", "none").partition(";")[0]
    return Failure(
        message=f"the answer is {media}, not an event stream; is the base URL that of an API?",
        type="content_type",
        where="body",
    )


def parse_error(data: Any) -> Failure | None:
    """Return the error in a parsed body, by the shapes that are in use; None where there is none."""
    if isinstance(data, list) and len(data) == 1:
        data = data[0]  # Google's streaming endpoint wraps its errors
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    if isinstance(error, dict):
        details = as_dict(error.get("details"))
        code = error.get("code") if error.get("code") is not None else details.get("error_code")
        return _failure(error.get("message"), error.get("type") or error.get("status"), code)
    if isinstance(error, str):
        return _failure(error, data.get("error_type"), data.get("code"))
    if data.get("object") == "error" or "message" in data:
        return _failure(data.get("message"), data.get("type"), data.get("code"))
    detail = data.get("detail")
    if isinstance(detail, str):
        return _failure(detail, None, None)
    if as_list(detail):
        return _failure(as_dict(as_list(detail)[0]).get("msg"), None, None)
    return None


def http_failure(status: int, reason: str, headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[str, Failure]:
    """Return (category, Failure) of an error status."""
    named = dict(headers)
    found = parse_error(parse_json(body)) or Failure(message="")
    kind = found.type or named.get("x-amzn-errortype", "").partition(":")[0] or None
    message = found.message or _page_message(status, reason, named, body)
    category = _category(status, kind, found.code, message)
    retry = should_retry(named)
    retryable = status in _RETRYABLE_STATUS and category != "quota_exceeded" if retry is None else retry
    return category, Failure(
        message=message,
        type=kind,
        code=found.code,
        where="http",
        retryable=retryable,
        retry_after_s=retry_after_s(named, body),
    )


def _failure(message: Any, kind: Any, code: Any) -> Failure:
    text = mask_secrets(message if isinstance(message, str) else "")[:MESSAGE_CHARS]
    return Failure(message=text, type=_error_type(kind), code=_error_code(code))


def _error_type(kind: Any) -> str | None:
    """Return an error's type as text; some servers write a number."""
    return mask_secrets(str(kind))[:MESSAGE_CHARS] if isinstance(kind, str) or _error_code(kind) is not None else None


def _error_code(code: Any) -> str | int | None:
    """Return an error's code: a string, or a number that fits a record."""
    if isinstance(code, str):
        return mask_secrets(code[:MESSAGE_CHARS])
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**63 else None


def _page_message(status: int, reason: str, headers: dict[str, str], body: bytes) -> str:
    """Return a message for an answer whose body holds no error: a redirect's target, or a page's text."""
    first = f"HTTP {status} {reason}".strip()
    if 300 <= status < 400 and headers.get("location"):
        return f"{first}: it points to {headers['location'].partition('?')[0]}; give that as --base-url"
    page = body[:4096].decode("utf-8", "replace")
    text = " ".join(_MARKUP.sub(" ", page).split())
    return mask_secrets(f"{first}: {text[:200]}" if text else first)


def _category(status: int, kind: str | None, code: Any, message: str) -> str:
    text = " ".join(str(part) for part in (kind, code, message) if part is not None)
    if status == 400 and any(mark in text for mark in _BAD_KEY):
        return "auth"
    if status in (400, 413) and any(mark in text for mark in _TOO_LONG) and code != "rate_limit_exceeded":
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
