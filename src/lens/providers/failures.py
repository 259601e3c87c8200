"""From a status and an error body to an outcome (WIRE 3), for every provider alike.

Errors come in a dozen shapes; they are tried in one order and end as one Failure with a category.
A message never repeats a key: what looks like one is masked, also when the server echoed it.
"""

from __future__ import annotations

import re
from typing import Any

from lens.model import Failure
from lens.providers.base import as_dict, as_list, parsed
from lens.providers.headers import retry_after_s, retry_wanted
from lens.secrets import mask_secrets
from lens.wire import Exchange

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
# Amazon says 403 of a key that is wrong, too.
_WRONG_KEY = ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")
_COLD = ("ModelNotReadyException", "overloaded")
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
MESSAGE_CHARS = 500


masked = mask_secrets


def error_of(data: Any) -> Failure | None:
    """The error in a parsed body, by the shapes that are in use; None where there is none."""
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


def _failure(message: Any, kind: Any, code: Any) -> Failure:
    text = masked(message if isinstance(message, str) else "")[:MESSAGE_CHARS]
    return Failure(message=text, type=named_kind(kind), code=named_code(code))


def named_kind(kind: Any) -> str | None:
    """What an error calls its type; some write a number."""
    return masked(str(kind))[:MESSAGE_CHARS] if isinstance(kind, str) or named_code(kind) is not None else None


def named_code(code: Any) -> str | int | None:
    """What an error calls its code: a string, or a number that fits a record."""
    if isinstance(code, str):
        return masked(code[:MESSAGE_CHARS])
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**63 else None


def http_failure(status: int, reason: str, headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[str, Failure]:
    """(category, Failure) of an answer that is no success."""
    named = dict(headers)
    said = error_of(parsed(body)) or Failure(message="")
    kind = said.type or named.get("x-amzn-errortype", "").partition(":")[0] or None
    message = said.message or _words_of(status, reason, named, body)
    category = _category(status, kind, said.code, message)
    wanted = retry_wanted(named)
    retryable = status in _RETRYABLE_STATUS and category != "quota_exceeded" if wanted is None else wanted
    return category, Failure(
        message=message,
        type=kind,
        code=said.code,
        where="http",
        retryable=retryable,
        retry_after_s=retry_after_s(named, body),
    )


def http_outcome(exchange: Exchange) -> tuple[str | None, Failure | None]:
    """(category, Failure) of an answer that never came or whose status is no success; else (None, None)."""
    if exchange.status is None:
        return exchange.category or "network_error", exchange.failure
    if exchange.status != 200:
        return http_failure(exchange.status, exchange.reason, exchange.headers, exchange.document)
    return None, None


def _words_of(status: int, reason: str, headers: dict[str, str], body: bytes) -> str:
    """A message for an answer whose body holds none: a redirect's goal, or a page's words."""
    first = f"HTTP {status} {reason}".strip()
    if 300 <= status < 400 and headers.get("location"):
        return f"{first}: it points to {headers['location'].partition('?')[0]}; give that as --base-url"
    page = body[:4096].decode("utf-8", "replace")
    words = " ".join(_MARKUP.sub(" ", page).split())
    return masked(f"{first}: {words[:200]}" if words else first)


def _category(status: int, kind: str | None, code: Any, message: str) -> str:
    told = " ".join(str(part) for part in (kind, code, message) if part is not None)
    if status == 400 and any(mark in told for mark in _BAD_KEY):
        return "auth"
    if status in (400, 413) and any(mark in told for mark in _TOO_LONG) and code != "rate_limit_exceeded":
        return "context_length"
    if status == 400 and code == "content_filter":
        return "content_filtered"
    if status == 429:
        if any(mark in told for mark in _QUOTA):
            return "quota_exceeded"
        return "overloaded" if kind in _COLD else "rate_limited"
    if status == 503 and not (kind or code):
        return "server_error"  # nobody said that it was load
    if status == 403 and kind in _WRONG_KEY:
        return "auth"
    if status in _CATEGORY_OF_STATUS:
        return _CATEGORY_OF_STATUS[status]
    if 400 <= status < 500:
        return "invalid_request"
    return "server_error" if status >= 500 else "protocol_error"
