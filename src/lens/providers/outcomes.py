"""Classify an answer: from a status, an error body or the end of a stream to (category, Failure), for every provider.

Errors come in a dozen shapes; they are tried in one order and end as one Failure with a category.
A message never repeats a key: what looks like one is masked, also when the server echoed it.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from lens.model import CONTENT, Failure, Signal
from lens.providers.headers import retry_after_s, should_retry
from lens.providers.values import (
    NOT_JSON,
    as_count,
    as_dict,
    as_list,
    as_name,
    as_str,
    json_text,
    parse_json,
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
_TOO_LONG = re.compile(
    r"context_length_exceeded|context_window_exceeded|ContextWindowExceeded|exceed_context_size"  # types and codes
    r"|(?:prompt|inputs?|request|conversation)(?: \([^)]*\))? (?:is|are|was) too long"  # Anthropic, Bedrock, Fireworks
    r"|maximum (?:context|prompt|model|input) length|max(?:imum)? sequence length"  # OpenAI, vLLM, xAI, Mistral
    r"|model'?s? context (?:length|window)|context (?:window|length) of (?:this|the) model"  # SGLang, vLLM, OpenAI
    r"|exceeds? (?:the )?(?:available )?context (?:size|limit|length|window)"  # llama.cpp, Anthropic, Ollama
    r"|too long to fit into the model"  # vLLM
    r"|input length \(\d+ tokens\) exceeds|requested token count exceeds"  # SGLang
    r"|`inputs` (?:tokens \+ `max_new_tokens` )?must (?:be <=|have less than)"  # TGI
    r"|too many (?:input )?tokens(?!\s*per\b)|exceeds the maximum number of tokens",  # Cohere, Bedrock, Gemini
    re.IGNORECASE,
)
_TOO_LONG_STATUS = (400, 413, 422, 500)
# Finish reasons that say the server gave the answer up.
_FAILED_FINISH = frozenset(
    {"error", "abort", "aborted", "failed", "cancelled", "canceled", "user_cancel", "error_toxic", "error_limit"}
    | {"model_error", "server_error", "internal_error", "network_error"}
)
_QUOTA = ("insufficient_quota", "enforced_spend_limit_reached", "billing_hard_limit_reached")
_BAD_KEY = ("API_KEY_INVALID", "invalid_api_key", "Incorrect API key", "API key not valid", "Invalid API key")
# Amazon answers 403 to a wrong key, too.
_BAD_AWS_KEY = ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")
_COLD = ("ModelNotReadyException", "overloaded")
# An event with one of these is an answer, whatever it says besides.
_ANSWER_KEYS = frozenset(
    {"choices", "candidates", "delta", "output", "response", "content", "done", "data", "generation"}
)
_GOOD_CODES = (None, "", 0, 200, "0", "200", "ok", "OK", "success", "Success")
_FAILED_WORD = re.compile(r"err|exception|fail|invalid|denied|abort", re.IGNORECASE)
# Headers of a body that says itself where it ends.
_WITH_END = frozenset({"content-length", "transfer-encoding"})
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
MESSAGE_CHARS = 500
EXCERPT_CHARS = 100
MAX_ERROR_LINES = 64
FIRST_ERROR_STATUS = 400


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
) -> Outcome:
    """Return the outcome of a stream whose status was good.

    `done`: the protocol's own terminator was read; then how the HTTP framing ended no longer matters.
    `malformed`: the data of an event that is not what the protocol promises.
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
    if reason is None or reason.partition(":")[0].lower() not in _FAILED_FINISH:
        return None
    return Failure(message=f"the answer ended with finish reason {reason}", type=_error_type(reason), where="stream")


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


def stray_failure(exchange: Exchange) -> Failure | None:
    """Return the error beside the events: in an SSE field named "error" (old llama.cpp), or a line of bare JSON."""
    text = exchange.error_field
    if not text:
        return None
    error = parse_json_or(text.encode("utf-8", "replace"), NOT_JSON)
    if error is NOT_JSON:
        bare = text.startswith("{")
        return None if bare else Failure(message=mask_secrets(text)[:MESSAGE_CHARS], where="stream")
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


def find_error(event: Any) -> Failure | None:
    """Return the error that an event or an answer reports in place of content; None where it reports none.

    Stricter than parse_error(), which knows already that a body is an error: what could be an answer is none.
    """
    if not isinstance(event, dict):
        return None
    if event.get("error"):
        return parse_error(event) or Failure(message="")
    minimax = as_dict(event.get("base_resp"))
    if as_count(minimax.get("status_code")) != 0 and minimax.get("status_code") is not None:
        return _failure(minimax.get("status_msg"), None, minimax.get("status_code"))
    if event.get("object") == "error" or event.get("type") == "error":
        return parse_error(event) or Failure(message="")
    if _ANSWER_KEYS.isdisjoint(event):
        said = as_name(event.get("message")) or as_name(event.get("msg"))
        if said and _says_failed(event):
            return _failure(said, event.get("type") or event.get("error_type"), event.get("code"))
        return parse_error({"detail": event["detail"]}) if event.get("detail") else None
    return None


def _says_failed(event: dict[str, Any]) -> bool:
    """Return whether an object with a message is an error: by its code, type, status or `success`."""
    if event.get("code") not in _GOOD_CODES or event.get("status_code") not in _GOOD_CODES:
        return True
    status = event.get("status")
    kinds = f"{event.get('type')} {event.get('error_type')} {status if isinstance(status, str) else ''}"
    numbered = (as_count(status) or 0) >= FIRST_ERROR_STATUS
    return event.get("success") is False or numbered or _FAILED_WORD.search(kinds) is not None


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
        message = error.get("message") if error.get("message") is not None else error.get("msg")
        return _failure(message, error.get("type") or error.get("status"), code)
    if isinstance(error, str):
        return _failure(as_name(error) or data.get("message"), data.get("error_type"), data.get("code"))
    if data.get("object") == "error" or "message" in data:
        return _failure(data.get("message"), data.get("type"), data.get("code"))
    detail = data.get("detail")
    if isinstance(detail, str):
        return _failure(detail, None, None)
    if isinstance(detail, dict):
        return parse_error(detail) or _failure(json_text(detail), None, None)
    if as_list(detail):
        return _failure(as_dict(as_list(detail)[0]).get("msg"), None, None)
    minimax = as_dict(data.get("base_resp"))
    if minimax:
        return _failure(minimax.get("status_msg"), None, minimax.get("status_code"))
    return _failure(data["msg"], data.get("type"), data.get("code")) if as_str(data.get("msg")) else None


def parse_error_body(body: bytes) -> Failure | None:
    """Return the error in the body of an error status: JSON, or an event stream or JSON lines that hold one."""
    if (value := parse_json_or(body, NOT_JSON)) is not NOT_JSON:
        return parse_error(value)
    for line in body.splitlines()[:MAX_ERROR_LINES]:
        found = parse_error(parse_json(line.removeprefix(b"data:")))
        if found is not None and found.message:
            return found
    return None


def parse_error_event(data: bytes) -> Failure:
    """Return the failure of an SSE event named "error", whatever its data is."""
    found = parse_error_body(data)
    text = data.decode("utf-8", "replace").strip()
    if found is not None and found.message:
        return found
    return _failure(text or "the stream reported an error without words", None, None)


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


def _failure(message: Any, kind: Any, code: Any) -> Failure:
    text = mask_secrets(message if isinstance(message, str) else "")[:MESSAGE_CHARS]
    return Failure(message=text, type=_error_type(kind), code=_error_code(code))


def _error_type(kind: Any) -> str | None:
    """Return an error's type as text; some servers write a number."""
    return mask_secrets(str(kind))[:MESSAGE_CHARS] if isinstance(kind, str) or _error_code(kind) is not None else None


def _error_code(code: Any) -> str | int | None:
    """Return an error's code: a string, or a number that fits a record."""
    if isinstance(code, str):
        return mask_secrets(code)[:MESSAGE_CHARS]
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**63 else None


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
