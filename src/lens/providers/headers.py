"""Read response headers: rate limits, Retry-After, the server's own timings, request ids.

Only the listed headers are kept; cookies and names of organisations never are.

Sources: RFC 9110, section 10.2.3 (Retry-After); https://www.w3.org/TR/server-timing/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from lens.model import Limit
from lens.patterns import lazy_pattern
from lens.providers.values import MAX_NUMBER, as_dict, as_list, parse_json

_KEPT = frozenset(
    {
        "date", "server", "via", "x-request-id", "request-id", "apim-request-id", "x-generation-id", "server-timing",
        "x-envoy-upstream-service-time", "cf-ray", "cf-cache-status", "x-cache", "alt-svc", "connection",
        "content-encoding", "content-type", "transfer-encoding", "deprecation", "sunset", "retry-after",
        "retry-after-ms", "x-should-retry", "openai-processing-ms", "openai-version", "x-ms-region",
        "x-amzn-requestid", "x-amzn-errortype", "x-compute-time", "x-queue-time", "x-inference-time", "x-total-time",
        "x-validation-time", "x-time-per-token", "ratelimit", "x-litellm-call-id", "x-litellm-model-id",
        "x-litellm-model-group", "x-litellm-version", "x-litellm-response-cost",
    }
)  # fmt: skip
_KEPT_STARTS = (
    "x-ratelimit-", "anthropic-ratelimit-", "x-amzn-bedrock-", "fireworks-", "x-tokenlimit-", "x-token-limit-",
    "x-rate-limit-", "ratelimit-", "llm_provider-x-ratelimit-", "x-litellm-attempted-",
)  # fmt: skip
_LIMIT = lazy_pattern(
    r"(?:x-|anthropic-)?ratelimit-(?:(limit|remaining|reset)-([a-z-]+)|([a-z-]+)-(limit|remaining|reset))"
)
# Without a name of what is counted: requests, or Together's tokens.
_PLAIN_LIMIT = lazy_pattern(r"(?:x-)?(rate|token)-?limit-(limit|remaining|reset)")
_LITELLM_LIMIT = "llm_provider-"  # before the upstream's own headers, as LiteLLM's proxy passes them on
# What follows a limit in its own header, and the parameters of one header for all (IETF drafts of RateLimit fields).
_POLICY = lazy_pattern(r",\s*\d+\s*;.*\Z", re.DOTALL)
_POLICY_FIELDS = {"q": "limit", "r": "remaining", "t": "reset"}
_POLICY_NAMES = {"tokens": "tokens"}
# From here on a number of seconds or milliseconds is an instant, not a duration: 2001 in either unit.
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
_REQUEST_IDS = ("x-request-id", "request-id", "x-generation-id", "x-amzn-requestid", "apim-request-id")
_GO_PART = lazy_pattern(r"(\d+(?:\.\d+)?)(d|h|ms|us|µs|ns|m|s)")
_GO_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
# Headers that hold a duration: the name of each timing, and the milliseconds of its unit.
_DURATIONS = {
    "openai-processing-ms": ("openai_processing", 1),
    "x-envoy-upstream-service-time": ("envoy_upstream", 1),
    "x-compute-time": ("tgi_compute", 1),
    "x-queue-time": ("tgi_queue", 1),
    "x-inference-time": ("tgi_inference", 1),
    "x-total-time": ("tgi_total", 1),
    "x-amzn-bedrock-invocation-latency": ("bedrock_invocation", 1),
    "x-litellm-response-duration-ms": ("litellm_response", 1),
    "x-litellm-overhead-duration-ms": ("litellm_overhead", 1),
    "x-litellm-callback-duration-ms": ("litellm_callback", 1),
    "fireworks-server-time-to-first-token": ("fireworks_ttft", 1000),
    "fireworks-server-processing-time": ("fireworks_processing", 1000),
}
_NO_LIMIT = Limit()
_COMBINED_LIMITS = ("ratelimit-policy", "ratelimit")
# Sets of names that are remembered; an endpoint has one, and some for its errors.
_MOST_SETS = 32
_TIMING_NAME = lazy_pattern(r"[\w.-]+")
# An entry of Server-Timing or a parameter of it; what stands in quotes is one value, commas too;
# without its last quote it goes to the end, so that no place is tried twice.
_TIMING_ENTRY = lazy_pattern(r'(?:"(?:[^"\\]|\\.?)*(?:"|\Z)|[^,"])+')
_TIMING_PARAMETER = lazy_pattern(r'(?:"(?:[^"\\]|\\.?)*(?:"|\Z)|[^;"])+')
# An amount of so many digits is below MAX_NUMBER.
_PLAIN_DIGITS = 12
# Longer than any duration; a longer text would make the pattern try every place of it.
_DURATION_CHARS = 64


class _Names(msgspec.Struct, frozen=True):
    """Which of the headers of an answer say what; found out once, as all answers of an endpoint have the same names."""

    dropped: tuple[str, ...]  # no record keeps them
    ids: tuple[str, ...]  # the first that is not empty counts
    durations: tuple[tuple[str, str, int], ...]  # (header, name of the timing, milliseconds of its unit)
    limits: tuple[tuple[str, str | None, str | None, str | None], ...]  # what is counted, headers of Limit's fields
    has_combined_limits: bool
    has_end: bool  # one announces the end of the endpoint or the model


@lru_cache(maxsize=_MOST_SETS)
def _names_of(names: tuple[str, ...]) -> _Names:
    limits: dict[str, dict[str, str]] = {}
    for name in names:
        if (limit := _limit_of(name)) is not None:
            limits.setdefault(limit[0], {})[limit[1]] = name
    return _Names(
        dropped=tuple([name for name in names if not _is_kept(name)]),
        ids=tuple([name for name in _REQUEST_IDS if name in names]),
        durations=tuple([(name, *timing) for name, timing in _DURATIONS.items() if name in names]),
        limits=tuple(
            [(what, found.get("limit"), found.get("remaining"), found.get("reset")) for what, found in limits.items()]
        ),
        has_combined_limits=any(name in names for name in _COMBINED_LIMITS),
        has_end="deprecation" in names or "sunset" in names,
    )


def _is_kept(name: str) -> bool:
    of_litellm = name.startswith("x-litellm-") and name.removeprefix("x-litellm-").endswith("-duration-ms")
    return name in _KEPT or name.startswith(_KEPT_STARTS) or of_litellm


def _limit_of(name: str) -> tuple[str, str] | None:
    """Return (what is counted, "limit" or "remaining" or "reset"); None for another header."""
    if "limit-" not in name:
        return None
    name = name.removeprefix(_LITELLM_LIMIT)
    if (plain := _PLAIN_LIMIT.fullmatch(name)) is not None:
        return "requests" if plain[1] == "rate" else "tokens", plain[2]
    match = _LIMIT.fullmatch(name)
    return ((match[2] or match[3]).replace("-", "_"), match[1] or match[4]) if match else None


def merge_headers(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return headers by name: the last value of each, but all lines of Server-Timing as one list."""
    found = dict(headers)
    if "server-timing" in found:
        found["server-timing"] = ", ".join([value for name, value in headers if name == "server-timing"])
    return found


def header_fields(headers: dict[str, str]) -> dict[str, Any]:
    """Return the fields of a Reading that are the headers'."""
    names = _names_of(tuple(headers))
    return {
        "headers": kept_headers(headers, names),
        "rate_limits": rate_limits(headers, names),
        "server_timing_ms": server_timing_ms(headers, names),
        "provider_request_id": request_id(headers, names),
        "warnings": tuple(deprecation_warnings(headers)) if names.has_end else (),
    }


def kept_headers(headers: dict[str, str], names: _Names | None = None) -> dict[str, str]:
    """Return the headers that a record keeps."""
    kept = headers.copy()
    for name in (names or _names_of(tuple(headers))).dropped:
        del kept[name]
    return kept


def request_id(headers: dict[str, str], names: _Names | None = None) -> str | None:
    """Return the provider's id of this request."""
    for name in (names or _names_of(tuple(headers))).ids:
        if headers[name]:
            return headers[name]
    return None


@lru_cache(maxsize=1024)
def go_duration_s(text: str) -> float | None:
    """Return the seconds of a Go duration ("6m0s", "8.64s", "120ms"), also with days, or None if it is not one."""
    parts = list(_GO_PART.finditer(text)) if len(text) <= _DURATION_CHARS else []
    if not parts or "".join(part.group(0) for part in parts) != text:
        return None
    return _bounded(sum(float(part.group(1)) * _GO_SECONDS[part.group(2)] for part in parts))


def _number(text: str | None) -> float | None:
    try:
        return _bounded(float(text)) if text is not None else None
    except ValueError:
        return None


def _bounded(value: float | None) -> float | None:
    """Return `value`, or None where it is out of any sensible range."""
    return value if value is not None and 0 <= value < MAX_NUMBER else None


def _reset_s(text: str, headers: dict[str, str]) -> float | None:
    """Return the seconds until a reset: a duration, or an instant (RFC 3339, HTTP's, epoch seconds or milliseconds).

    Instants are counted from the answer's Date, whose clock wrote both; where there is none, from ours.
    """
    if (seconds := go_duration_s(text)) is not None:
        return seconds
    try:
        plain = float(text)
        if plain < _EPOCH_S:
            return _bounded(plain)
        at = datetime.fromtimestamp(plain / 1000 if plain >= _EPOCH_MS else plain, UTC)
    except (ValueError, OverflowError, OSError):
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = _date({"date": text}) or datetime.min
    if at.tzinfo is None:
        return None
    return max((at - (_date(headers) or datetime.now(UTC))).total_seconds(), 0.0)


def _date(headers: dict[str, str]) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def rate_limits(headers: dict[str, str], names: _Names | None = None) -> dict[str, Limit]:
    """Return every rate limit in the headers, by what it counts: "requests", "tokens", "input_tokens", ..."""
    names = names or _names_of(tuple(headers))
    found = _combined_limits(headers) if names.has_combined_limits else {}
    for what, limit, remaining, reset in names.limits:
        before = found.get(what, _NO_LIMIT)
        found[what] = Limit(
            limit=_amount(headers[limit]) if limit else before.limit,
            remaining=_amount(headers[remaining]) if remaining else before.remaining,
            reset_s=_reset_s(headers[reset], headers) if reset else before.reset_s,
        )
    return found


def _amount(text: str) -> int | None:
    """Return the number that a limit begins with; policies may follow it ("100, 100;w=60")."""
    if len(text) <= _PLAIN_DIGITS and text.isdecimal():  # as nearly all are
        return int(text)
    return _whole(_number(_POLICY.sub("", text).replace(",", "") if "," in text else text))


def _combined_limits(headers: dict[str, str]) -> dict[str, Limit]:
    """Return the limits of one header for all: `RateLimit: "name";r=50;t=30` (IETF draft 08) or `limit=100, ...`."""
    found: dict[str, dict[str, float | None]] = {}
    for header in _COMBINED_LIMITS:
        for entry in headers.get(header, "").split(",") if ";" in headers.get(header, "") else ():
            name, *parameters = [part.strip() for part in entry.split(";")]
            fields = found.setdefault(_POLICY_NAMES.get(name.strip('"'), "requests"), {})
            for parameter in parameters:
                key, _, value = parameter.partition("=")
                if key in _POLICY_FIELDS:
                    fields[_POLICY_FIELDS[key]] = _number(value)
    for part in headers.get("ratelimit", "").split(","):
        key, _, value = part.strip().partition("=")
        if key in ("limit", "remaining", "reset"):
            found.setdefault("requests", {})[key] = _number(value)
    return {
        what: Limit(
            limit=_whole(fields.get("limit")),
            remaining=_whole(fields.get("remaining")),
            reset_s=fields.get("reset"),
        )
        for what, fields in found.items()
    }


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None else None


def deprecation_warnings(headers: dict[str, str]) -> Iterator[str]:
    """Yield what Deprecation (RFC 9745) and Sunset (RFC 8594) announce."""
    said = headers.get("deprecation", "").strip()
    if said and said.lower() not in ("false", "?0"):
        since = _day(said.removeprefix("@"))
        when = f" since {since}" if since else ""
        yield f"the provider calls this endpoint or model deprecated{when} (Deprecation header): look for its successor"
    if sunset := headers.get("sunset", "").strip():
        day = _day(sunset) or sunset[:_DURATION_CHARS]
        yield f"the provider will stop answering here on {day} (Sunset header): change over before"


def _day(text: str) -> str | None:
    """Return the day of a date, in seconds since 1970 or as HTTP writes it; None where it is neither."""
    try:
        at = datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        found = _date({"date": text})
        if found is None:
            return None
        at = found
    return f"{at:%Y-%m-%d}"


def should_retry(headers: dict[str, str]) -> bool | None:
    """Return what x-should-retry says; None where it is absent."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


def retry_after_s(headers: dict[str, str], body: bytes = b"") -> float | None:
    """Return the seconds to wait before a retry: of retry-after-ms, Retry-After (seconds or a date), or RetryInfo."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    if text:
        now = _date(headers)
        until = _date({"date": text})
        if until is not None:
            return max((until - (now or datetime.now(UTC))).total_seconds(), 0.0)
    return _retry_info_s(body) if b"RetryInfo" in body else None


def _retry_info_s(body: bytes) -> float | None:
    data = parse_json(body)
    first = data[0] if isinstance(data, list) and data else data
    for detail in as_list(as_dict(as_dict(first).get("error")).get("details")):
        delay = as_dict(detail).get("retryDelay")
        if isinstance(delay, str):
            return go_duration_s(delay)
    return None


def server_timing_ms(headers: dict[str, str], names: _Names | None = None) -> dict[str, float]:
    """Return the server's own timings in the headers, in milliseconds, each under its source's name."""
    found: dict[str, float] = {}
    for name, label, unit_ms in (names or _names_of(tuple(headers))).durations:
        if (value := _number(headers[name])) is not None:
            found[label] = value * unit_ms
    if "server-timing" not in headers:
        return found
    for entry in _TIMING_ENTRY.findall(headers["server-timing"]):
        name, *parameters = [part.strip() for part in _TIMING_PARAMETER.findall(entry)]
        durations = [text.partition("=")[2].strip(' "') for text in parameters if text.lower().startswith("dur=")]
        if durations and _TIMING_NAME.fullmatch(name) and (value := _number(durations[0])) is not None:
            found[f"server_timing_{name}"] = value
    return found
