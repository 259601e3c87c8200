"""From a request to the response that is sent: keys, limits, cold starts, which requests fail, and what is answered.

AdmissionControl is the only part that remembers anything from one request to the next; the time is handed in.
"""

from __future__ import annotations

import json
from collections import deque
from functools import lru_cache
from time import monotonic_ns
from typing import Any

import msgspec

from lens.simulator.cache import PrefixCache
from lens.simulator.connection import PendingResponse
from lens.simulator.http import Request, encode_head
from lens.simulator.log import LogEntry
from lens.simulator.protocols import WireProtocol, find_protocol
from lens.simulator.protocols.base import ERROR_KINDS, ErrorStatus, HeaderFacts
from lens.simulator.protocols.completion import Params, check_params, prompt_words
from lens.simulator.response import (
    Response,
    due_times,
    make_document_response,
    make_error_response,
    make_page_response,
    make_plain_response,
    make_stream_response,
)
from lens.simulator.script import NS_PER_MS, NS_PER_S, Script, apply_options
from lens.simulator.words import hash_bits, hash_fraction

# The limit that headers name when the script has none.
NO_LIMIT = 10_000


class Admission(msgspec.Struct, frozen=True):
    """How one request is to be treated."""

    script: Script  # without the faults of other requests
    error: ErrorStatus | None
    cold_ns: int  # wait before anything is sent
    limit: int
    remaining: int
    reset_s: float


@lru_cache(maxsize=256)
def without_faults(script: Script) -> Script:
    """Return the script without its faults."""
    return msgspec.structs.replace(
        script, status=200, error_at=None, reset_at=None, truncate_at=None, malformed_at=None, html=False
    )


class AdmissionControl:
    """Counts requests, and decides which are limited, refused, cold or failing."""

    def __init__(self) -> None:
        self.count = 0  # requests so far
        self.busy = 0  # requests being answered
        self.idle_since_ns: int | None = None  # None before the first request
        self._admitted: deque[int] = deque()  # when the requests of the current window came

    def admit(self, script: Script, key: str, auth_status: int, now_ns: int, model: str = "") -> Admission:
        """Decide on the next request; it is counted whatever is decided."""
        number, self.count = self.count, self.count + 1
        cold_ns = self._cold_ns(script, now_ns)
        wrong_key = bool(script.key) and key != script.key
        error = ErrorStatus(auth_status, "auth") if wrong_key else self._check_rate_limit(script, now_ns)
        if error is None and model and script.models and model not in script.models:
            error = ErrorStatus(404, "not_found")
        limit = script.rate_limit or NO_LIMIT
        remaining = max(0, limit - len(self._admitted)) if script.rate_limit else limit - 1
        reset_s = (self._admitted[0] + script.rate_window_ns - now_ns) / NS_PER_S if self._admitted else 0.006
        if error is None and script.selects_requests() and not self._is_selected(script, number):
            script = without_faults(script)
        elif error is None and script.selects_requests() and not script.has_fault():
            error = ErrorStatus(503, script.error or "overloaded", script.retry_after_s)
        elif error is None and script.status != 200:
            kind = script.error or ERROR_KINDS.get(script.status, "invalid")
            error = ErrorStatus(script.status, kind, script.retry_after_s)
        return Admission(script, error, cold_ns if error is None else 0, limit, remaining, reset_s)

    def start(self) -> None:
        """Count a request as being answered."""
        self.busy += 1

    def finish(self, now_ns: int) -> None:
        """Count a request as answered."""
        self.busy -= 1
        self.idle_since_ns = now_ns

    def _cold_ns(self, script: Script, now_ns: int) -> int:
        first = self.idle_since_ns is None and self.busy == 0
        since = self.idle_since_ns
        cooled = script.idle_ns > 0 and self.busy == 0 and since is not None and now_ns - since >= script.idle_ns
        return script.cold_start_ns if first or cooled else 0

    def _check_rate_limit(self, script: Script, now_ns: int) -> ErrorStatus | None:
        if not script.rate_limit:
            return None
        while self._admitted and now_ns - self._admitted[0] >= script.rate_window_ns:
            self._admitted.popleft()
        if len(self._admitted) < script.rate_limit:
            self._admitted.append(now_ns)
            return None
        free_in_s = (self._admitted[0] + script.rate_window_ns - now_ns) / NS_PER_S
        return ErrorStatus(429, "rate_limit", free_in_s if script.retry_after_s is None else script.retry_after_s)

    @staticmethod
    def _is_selected(script: Script, number: int) -> bool:
        return number < script.fail_first or hash_fraction(script.seed, 77, number) < script.fail_rate


class Responder:
    """Finds the response to each request, by the script and by what admission control says."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.admission = AdmissionControl()
        self.caches: dict[str, PrefixCache] = {}  # of each model

    def reset(self) -> None:
        """Forget what limits and faults have counted, and what is cached."""
        self.admission, self.caches = AdmissionControl(), {}

    def respond(self, request: Request, entry: LogEntry) -> PendingResponse:
        """Return the response to this request, ready to be sent; the log entry says which one it is."""
        protocol = find_protocol(request)
        if protocol is None or not request.path.startswith(self.script.root):
            return refuse_request(404, {"message": f"no provider has {request.method} {request.path}"}, entry)
        try:
            script = apply_options(self.script, request.headers.get("x-lens-script", ""))
            body = json.loads(request.body) if request.body else {}
            params = protocol.parse_request(request, body)
            check_params(params)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as wrong:
            why = f"the simulator cannot read this request: {wrong}"
            return refuse_request(400, {"message": why, "type": "invalid_request_error"}, entry)
        model = "" if protocol.name == "openai_models" else params.model
        key, auth_status = protocol.key(request), protocol.auth_status(request)
        admission = self.admission.admit(script, key, auth_status, entry.complete_ns, model)
        if script.cache_tokens and admission.error is None:
            params = self._read_cache(params, prompt_words(body), script, entry.complete_ns)
        facts = _header_facts(entry, admission)
        response = _choose_response(protocol, params, admission, facts)
        _describe(entry, protocol, params, response)
        entry.base_ns = entry.complete_ns + admission.cold_ns + response.prefill_ns
        close = response.close or request.headers.get("connection", "").lower() == "close"
        connection = ("Connection", "close" if close else "keep-alive")
        headers = [*response.headers, connection, *protocol.headers(facts)]
        head = encode_head(response.status, headers) if response.status else b""
        due_ns = due_times(admission.script, response, entry.number)
        pending = PendingResponse(response, head, entry.base_ns, due_ns, entry)
        pending.trickle, pending.close = admission.script.trickle, close
        pending.timed = not (response.unpaced or admission.script.flood)
        return pending

    def _read_cache(self, params: Params, prompt: list[str], script: Script, now_ns: int) -> Params:
        """Return the params with how many tokens of the prompt the model's cache had; it has all of them now."""
        cache = self.caches.setdefault(params.model, PrefixCache())
        cached = cache.read(
            prompt, now_ns, size=script.cache_tokens, ttl_ns=script.cache_ttl_ns, block=script.cache_block
        )
        return msgspec.structs.replace(params, cached_tokens=cached)


def refuse_request(
    status: int, error: dict[str, str], entry: LogEntry | None, *, close: bool = False
) -> PendingResponse:
    """Return an error in no provider's protocol, to be sent at once."""
    return send_json(status, {"error": error}, entry, close=close)


def send_json(status: int, value: Any, entry: LogEntry | None = None, *, close: bool = False) -> PendingResponse:
    """Return a JSON document in no provider's protocol, to be sent at once."""
    body = json.dumps(value, separators=(",", ":")).encode()
    response = make_plain_response(status, body, "document", close=close)
    now = monotonic_ns()
    if entry:
        entry.status, entry.writes, entry.base_ns = status, response.writes, now
    return PendingResponse(response, encode_head(status, response.headers), now, (0,), entry)


def _choose_response(protocol: WireProtocol, params: Params, admission: Admission, facts: HeaderFacts) -> Response:
    if admission.error:
        return make_error_response(admission.script, protocol, params, admission.error, facts.request_id)
    if admission.script.html:
        return make_page_response(admission.script)
    make = make_stream_response if params.stream else make_document_response
    return make(admission.script, protocol, params)


def _header_facts(entry: LogEntry, admission: Admission) -> HeaderFacts:
    script = admission.script
    server_ms = 1 if admission.error else (script.ttft_ns + admission.cold_ns) // NS_PER_MS
    request_id = f"req_{hash_bits(script.seed, entry.number):016x}"
    return HeaderFacts(request_id, server_ms, admission.limit, admission.remaining, max(0.0, admission.reset_s))


def _describe(entry: LogEntry, protocol: WireProtocol, params: Params, response: Response) -> None:
    """Say in the log entry what is answered."""
    entry.protocol, entry.model, entry.stream = protocol.name, params.model, params.stream
    entry.status, entry.writes = response.status, response.writes
    entry.tokens = {
        "prompt": params.prompt_tokens,
        "cached": response.cached_tokens,
        "output": sum(delta.tokens for delta in response.deltas),
        "reasoning": sum(delta.tokens for delta in response.deltas if delta.kind == "reasoning"),
    }
