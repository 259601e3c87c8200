"""The script: what the simulator is to do, as data, and how its options are written.

Every option stands once, in OPTIONS; the command line, script files and the request header
`x-lens-script` all read it there. Times are nanoseconds inside; a bare number is seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from lens.simulator.words import make_arguments, make_text

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

Usage = Literal["asked", "always", "never"]
Framing = Literal["chunked", "length", "close"]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """How the simulator answers, and how it treats connections. Hashable, so that a response is laid out once."""

    # Timing. Offsets count from the last byte of the request.
    ttft_ns: int = 200 * NS_PER_MS  # to the first event with content
    itl_ns: int = 20 * NS_PER_MS  # per token; a chunk of k tokens comes k of these after the one before
    prefill_ns: int = 0  # for each prompt token that is not cached, before all else
    cached_prefill_ns: int = 0  # for each prompt token that is cached, likewise
    jitter_ns: int = 0  # each gap is drawn evenly from itl - jitter to itl + jitter, by seed and request
    stalls: tuple[tuple[int, int], ...] = ()  # (after this many tokens, extra wait)
    head_ns: int | None = 0  # when the response head leaves; None: together with the first event
    role_lead_ns: int = 0  # how long before the first content the opening events leave
    tail_ns: int = 0  # from the last content to the closing events
    comment_ns: int = 0  # an SSE comment every so often until the first content; 0: none

    # Content.
    tokens: int = 100  # of visible text
    from_request: bool = False  # the request's own limit takes the place of `tokens`
    tokens_per_chunk: int = 1
    reasoning_tokens: int = 0  # sent before the text
    tool_tokens: int = 0  # fragments of one tool call's arguments, after the text
    tool_buffered: bool = False  # the call is held back until its arguments are complete
    cached_tokens: int = 0  # prompt tokens reported as read from a cache
    cache_tokens: int = 0  # size of the prefix cache, which then says how many were; 0: there is none
    cache_ttl_ns: int = 0  # a cached block is dropped when it was not used for so long; 0: never
    cache_block: int = 1  # prompt tokens that are cached together
    usage: Usage = "asked"
    seed: int = 0

    # Transfer.
    framing: Framing = "chunked"
    gzip: bool = False
    coalesce: int = 1  # events held back and sent in one write, as a buffering proxy does
    cut: int = 0  # HTTP chunks of 1..cut bytes, so that events are cut at odd places; 0: one chunk a write
    trickle: bool = False  # one byte a write
    crlf: bool = False  # SSE lines end in CR LF
    flood: bool = False  # no pacing after the first content; large writes, logged as such
    close: bool = False  # the connection ends with the answer
    keep_alive_ns: int = 0  # an idle connection is closed after this; 0: never
    tls_delay_ns: int = 0  # between ClientHello and ServerHello

    # Faults. `fail_first` and `fail_rate` choose the requests; without them, all.
    status: int = 200
    retry_after_s: float | None = None
    error: str = ""  # the kind of the error, where the status alone does not say: "quota", "context", ...
    error_at: int | None = None  # an error event after so many tokens
    reset_at: int | None = None  # TCP RST after so many tokens
    truncate_at: int | None = None  # FIN after so many tokens, without a terminator
    malformed_at: int | None = None  # an event that is not JSON after so many tokens
    html: bool = False  # 200 with a web page
    fail_first: int = 0  # only the first N requests
    fail_rate: float = 0.0  # a share of the requests, chosen by seed

    # Load.
    cold_start_ns: int = 0  # extra wait of the first request, and after idle_ns without any
    idle_ns: int = 0  # 0: it never cools down again
    rate_limit: int = 0  # requests in one window, then 429; 0: no limit
    rate_window_ns: int = NS_PER_S
    slots: int = 0  # answers at a time, the others queue; 0: no limit
    session_header: str = "x-session-id"  # request header whose value the log has as the session
    key: str = ""  # the one key that is accepted; empty: any
    root: str = ""  # only paths under this exist; empty: any
    models: tuple[str, ...] = ()  # the models there are; empty: any, and one is listed

    def has_fault(self) -> bool:
        """Return whether the script names any fault of its own."""
        marks = (self.error_at, self.reset_at, self.truncate_at, self.malformed_at)
        return self.status != 200 or self.html or any(m is not None for m in marks)

    def selects_requests(self) -> bool:
        """Return whether only some requests are to fail."""
        return self.fail_first > 0 or self.fail_rate > 0

    def expected_text(self, max_tokens: int | None = None) -> str:
        """Return the visible text of a complete answer; max_tokens counts where tokens=request."""
        return make_text("text", self.seed, self.token_count(max_tokens))

    def expected_reasoning(self) -> str:
        """Return the reasoning text of a complete answer."""
        return make_text("reasoning", self.seed, self.reasoning_tokens)

    def expected_arguments(self) -> str:
        """Return the tool call's arguments, a JSON text; empty when there is no tool call."""
        return "".join(make_arguments(self.seed, self.tool_tokens))

    def token_count(self, max_tokens: int | None = None) -> int:
        """Return how many tokens of text an answer has."""
        return min(max_tokens, MOST_TOKENS) if self.from_request and max_tokens is not None else self.tokens


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|ms|min|s|m|h)")
_UNIT_NS = {"ns": 1, "us": 1000, "ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "min": 60 * NS_PER_S}
_UNIT_NS["h"] = 3600 * NS_PER_S


# An answer is made before it is sent: more than this is no answer of a model, and would keep others waiting.
MOST_TOKENS = 100_000
MOST_DURATION_NS = 31 * 24 * 3600 * NS_PER_S
# Longer texts are a slip of the hand, or no duration at all.
MAX_DURATION_CHARACTERS = 40


def parse_duration_ns(text: str) -> int:
    """Return nanoseconds from "50ms", "1m30s" or "2" (seconds).

    Raises:
        ValueError: the text is not a duration.
    """
    compact = text.replace(" ", "")
    if len(compact) > MAX_DURATION_CHARACTERS:
        raise ValueError(f"{compact[:20]!r}... is not a valid duration")
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", compact):
        return _bounded_ns(float(compact) * NS_PER_S, text)
    parts = _DURATION.findall(compact)
    if not parts or "".join(n + u for n, u in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write 50ms, 1.5s or 2 (seconds)")
    return _bounded_ns(sum(float(n) * _UNIT_NS[u] for n, u in parts), text)


def _bounded_ns(duration_ns: float, text: str) -> int:
    if duration_ns > MOST_DURATION_NS:
        raise ValueError(f"{text!r} is longer than 31 days")
    return round(duration_ns)


def parse_count(text: str) -> int | None:
    """Return a whole number of at most 18 digits 0 to 9; None if the text is anything else."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _parse_count(text: str) -> int:
    count = parse_count(text)
    if count is None:
        raise ValueError(f"{text!r} is not a count; write 0, 1, 2, ...")
    return count


def _parse_tokens(text: str) -> int:
    count = _parse_count(text)
    if count > MOST_TOKENS:
        raise ValueError(f"{text!r} is too many for one answer; write up to {MOST_TOKENS:,}")
    return count


def _parse_status(text: str) -> int:
    status = _parse_count(text)
    if status and not 200 <= status <= 599:
        raise ValueError(f"{text!r} is not a status of an answer; write 200 to 599, or 0 for a reset")
    return status


def _parse_switch(text: str) -> bool:
    value = {"": True, "1": True, "yes": True, "true": True, "on": True}.get(text.strip().lower())
    if value is None and text.strip().lower() not in ("0", "no", "false", "off"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return bool(value)


def _parse_number(text: str) -> float:
    number = float(text.removesuffix("s"))
    if not 0 <= number < float("inf"):
        raise ValueError(f"{text!r} is not a number of zero or more")
    return number


def _parse_share(text: str) -> float:
    share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r} is not a share; write 0.1 or 10%")
    return share


def _parse_stalls(text: str) -> tuple[tuple[int, int], ...]:
    pairs = [part.partition(":") for part in text.split("+") if part]
    if not all(parse_count(after) is not None and wait for after, _, wait in pairs):
        raise ValueError(f"{text!r} is not a list of stalls; write 10:500ms, or 10:500ms+20:1s for two")
    return tuple((int(after), parse_duration_ns(wait)) for after, _, wait in pairs)


def _parse_choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return parse


def _parse_rate(text: str) -> tuple[int, int]:
    count, _, per = text.partition("/")
    window = {"": NS_PER_S, "s": NS_PER_S, "m": 60 * NS_PER_S, "min": 60 * NS_PER_S}.get(per) or parse_duration_ns(per)
    return _parse_count(count), window


class Option(NamedTuple):
    """One option: the field or fields that it sets, how its value is read, and one line of help."""

    fields: tuple[str, ...]
    read: Callable[[str], Any]
    help: str


OPTIONS: dict[str, Option] = {
    "ttft": Option(("ttft_ns",), parse_duration_ns, "time from the request to the first content (default: 200ms)"),
    "itl": Option(("itl_ns",), parse_duration_ns, "time per token after the first (default: 20ms)"),
    "prefill": Option(("prefill_ns",), parse_duration_ns, "extra wait per uncached word of the prompt (default: 0)"),
    "cached-prefill": Option(
        ("cached_prefill_ns",), parse_duration_ns, "extra wait per cached word of the prompt (default: 0)"
    ),
    "jitter": Option(
        ("jitter_ns",), parse_duration_ns, "jitter: each gap is drawn uniformly from itl +- this (default: 0)"
    ),
    "stall": Option(
        ("stalls",), _parse_stalls, "extra wait after a token: 10:500ms, or 10:500ms+20:1s (default: none)"
    ),
    "head": Option(
        ("head_ns",),
        lambda t: None if t == "first" else parse_duration_ns(t),
        "when the response head is sent, or 'first': with the first event (default: 0)",
    ),
    "role-lead": Option(
        ("role_lead_ns",), parse_duration_ns, "lead of the role event before the first content (default: 0)"
    ),
    "tail": Option(("tail_ns",), parse_duration_ns, "time from the last content to the closing events (default: 0)"),
    "comment": Option(
        ("comment_ns",), parse_duration_ns, "interval of SSE comments until the first content (default: never)"
    ),
    "tokens": Option(
        ("tokens", "from_request"),
        lambda t: (100, True) if t == "request" else (_parse_tokens(t), False),
        "tokens of text, or 'request' for the limit of the request (default: 100)",
    ),
    "per-chunk": Option(("tokens_per_chunk",), _parse_count, "tokens per event (default: 1)"),
    "reasoning": Option(("reasoning_tokens",), _parse_tokens, "reasoning tokens before the text (default: 0)"),
    "tool": Option(("tool_tokens",), _parse_tokens, "fragments of a tool call's arguments after the text (default: 0)"),
    "tool-buffered": Option(
        ("tool_buffered",), _parse_switch, "hold a tool call back until its arguments are complete"
    ),
    "cached": Option(("cached_tokens",), _parse_count, "prompt tokens reported as cached (default: 0)"),
    "cache": Option(("cache_tokens",), _parse_count, "size of a prefix cache in words of prompts (default: no cache)"),
    "cache-ttl": Option(
        ("cache_ttl_ns",), parse_duration_ns, "drop cached words that were not used for this long (default: never)"
    ),
    "cache-block": Option(("cache_block",), _parse_count, "words that are cached together (default: 1)"),
    "usage": Option(
        ("usage",), _parse_choice("asked", "always", "never"), "send usage: asked, always or never (default: asked)"
    ),
    "seed": Option(("seed",), _parse_count, "seed of words, jitter and failing requests (default: 0)"),
    "framing": Option(
        ("framing",),
        _parse_choice("chunked", "length", "close"),
        "body framing: chunked, length or close (default: chunked)",
    ),
    "gzip": Option(("gzip",), _parse_switch, "compress the body, flushed per write"),
    "coalesce": Option(("coalesce",), _parse_count, "events per write, as a buffering proxy sends them (default: 1)"),
    "cut": Option(
        ("cut",), _parse_count, "split HTTP chunks to at most this many bytes (default: one chunk per write)"
    ),
    "trickle": Option(("trickle",), _parse_switch, "write byte by byte"),
    "crlf": Option(("crlf",), _parse_switch, "SSE lines end in CR LF"),
    "flood": Option(("flood",), _parse_switch, "no pacing after the first content"),
    "close": Option(("close",), _parse_switch, "close the connection after each answer"),
    "keep-alive": Option(("keep_alive_ns",), parse_duration_ns, "close an idle connection after this (default: never)"),
    "tls-delay": Option(("tls_delay_ns",), parse_duration_ns, "wait between ClientHello and ServerHello (default: 0)"),
    "status": Option(("status",), _parse_status, "HTTP status of the answer; 0 resets the connection (default: 200)"),
    "retry-after": Option(
        ("retry_after_s",), _parse_number, "Retry-After of a failed answer, in seconds (default: none)"
    ),
    "error": Option(("error",), str, "error kind: quota, context, permission and others"),
    "error-at": Option(("error_at",), _parse_count, "send an error event after this many tokens"),
    "reset-at": Option(("reset_at",), _parse_count, "reset the TCP connection after this many tokens"),
    "truncate-at": Option(("truncate_at",), _parse_count, "close the connection after this many tokens"),
    "malformed-at": Option(("malformed_at",), _parse_count, "send an event that is not JSON after this many tokens"),
    "html": Option(("html",), _parse_switch, "answer 200 with an HTML page"),
    "fail-first": Option(("fail_first",), _parse_count, "fail only the first N requests (default: all)"),
    "fail-rate": Option(("fail_rate",), _parse_share, "fail only this share of the requests (default: all)"),
    "cold-start": Option(
        ("cold_start_ns",), parse_duration_ns, "cold start: extra wait of the first request (default: 0)"
    ),
    "idle": Option(("idle_ns",), parse_duration_ns, "cold again after this long without a request (default: never)"),
    "rate-limit": Option(
        ("rate_limit", "rate_window_ns"),
        _parse_rate,
        "rate limit, then 429: 10 (per second), 600/m or 5/200ms (default: no limit)",
    ),
    "slots": Option(("slots",), _parse_count, "concurrent answers; other requests queue (default: no limit)"),
    "session-header": Option(
        ("session_header",), str.lower, "request header with the id of a session, for the log (default: x-session-id)"
    ),
    "key": Option(("key",), str, "the only API key accepted (default: any)"),
    "root": Option(("root",), str, "serve only paths under this, like /v1 (default: any)"),
    "models": Option(("models",), lambda t: tuple(t.split("+")), "the only models served: a+b (default: any)"),
}


class ScriptError(ValueError):
    """An option is unknown or its value does not fit; the message names both."""


def parse_options(options: Mapping[str, object]) -> dict[str, Any]:
    """Return the script fields that these options set; values may be text, numbers or booleans.

    Raises:
        ScriptError: an unknown option or a value that does not fit.
    """
    fields: dict[str, Any] = {}
    for name, value in options.items():
        option = OPTIONS.get(name.strip().replace("_", "-"))
        if option is None:
            raise ScriptError(f"script option {name!r}: unknown; there are {', '.join(OPTIONS)}")
        text = ("yes" if value else "no") if isinstance(value, bool) else str(value).strip()
        try:
            read = option.read(text)
        except ValueError as wrong:
            raise ScriptError(f"script option {name}={text}: {wrong}") from None
        fields.update(zip(option.fields, read if len(option.fields) > 1 else (read,), strict=True))
    if 0 in [fields.get(name) for name in ("tokens_per_chunk", "coalesce", "cache_block")]:
        raise ScriptError("script options per-chunk, coalesce and cache-block: write 1 or more")
    return fields


@lru_cache(maxsize=512)
def apply_options(script: Script, text: str) -> Script:
    """Return the script changed by "ttft=50ms,itl=5ms,gzip", the form of `x-lens-script`."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return msgspec.structs.replace(script, **parse_options({name: value for name, _, value in pairs}))


def make_script(**options: object) -> Script:
    """Return the script of these options: make_script(ttft="50ms", itl="5ms", tokens=10)."""
    return Script(**parse_options(options))
