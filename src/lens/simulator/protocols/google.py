"""Gemini and Vertex generateContent: SSE with CRLF or a JSON array, no terminator but the body's end.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lens.simulator.http import Request
from lens.simulator.protocols.base import ErrorStatus, HeaderFacts, Headers, WireProtocol
from lens.simulator.protocols.completion import CLOSING, CREATED_TEXT, TOOL_NAME, Completion, Delta, Event, Params
from lens.simulator.protocols.framing import dumps, sse

FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP"}

# kind of error -> (canonical status, message)
ERRORS = {
    "invalid": ("INVALID_ARGUMENT", "The request is not valid."),
    "auth": ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "permission": ("PERMISSION_DENIED", "Permission denied on resource."),
    "not_found": ("NOT_FOUND", "The model is not found for this API version."),
    "rate_limit": ("RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    "quota": ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    "context": ("INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed (1048576)."),
    "overloaded": ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server": ("INTERNAL", "An internal error has occurred."),
    "timeout": ("DEADLINE_EXCEEDED", "The request took too long."),
}


def usage_of(completion: Completion, visible: int, thought: int) -> dict[str, Any]:
    """Return cumulative counts; thoughts stand beside the candidates' tokens, not in them."""
    usage: dict[str, Any] = {"promptTokenCount": completion.prompt_tokens, "candidatesTokenCount": visible}
    usage["totalTokenCount"] = completion.prompt_tokens + visible + thought
    if thought:
        usage["thoughtsTokenCount"] = thought
    if completion.cached_tokens:
        usage["cachedContentTokenCount"] = completion.cached_tokens
    if completion.params.variant.startswith("vertex"):
        usage["trafficType"] = "ON_DEMAND"
    return usage


def part_of(kind: str, text: str) -> dict[str, Any]:
    """Return one part of a candidate's content."""
    if kind == "tool":
        return {"functionCall": {"name": TOOL_NAME, "args": json.loads(text)}}
    return {"text": text, "thought": True} if kind == "reasoning" else {"text": text}


class Google(WireProtocol):
    """.../models/M:streamGenerateContent?alt=sse, the same without alt, and :generateContent.

    The variant of a request is "gemini" or "vertex", with " array" where no SSE was asked for.
    """

    name = "google"
    media_type = "text/event-stream"
    comment = b""
    crlf = True

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        return request.path.rpartition("/models/")[2].rpartition(":")[0]

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        return ":stream" in request.path

    def token_limit(self, body: dict[str, Any]) -> Any:
        return (body.get("generationConfig") or body.get("generation_config") or {}).get("maxOutputTokens")

    def variant_of(self, request: Request, body: dict[str, Any]) -> str:
        host = "vertex" if "/projects/" in request.path or "/publishers/" in request.path else "gemini"
        array = self.wants_stream(request, body) and request.query.get("alt") != "sse"
        return f"{host} array" if array else host

    def events(self, completion: Completion) -> Iterator[Event]:
        visible = thought = 0
        first = True
        for delta in completion.deltas or (Delta(0, 0, "text", "", 0, True, True, True),):
            thought += delta.tokens if delta.kind == "reasoning" else 0
            visible += delta.tokens if delta.kind != "reasoning" else 0
            if delta.kind == "tool" and not delta.last:
                continue  # a function call comes whole, in one part
            text = completion.text_of("tool") if delta.kind == "tool" else delta.text
            tokens = completion.script.tool_tokens if delta.kind == "tool" else delta.tokens
            finish = FINISH[completion.finish] if delta.final else None
            chunk = self._chunk(completion, [part_of(delta.kind, text)], finish, usage_of(completion, visible, thought))
            at, kind = (delta.index, delta.kind) if completion.deltas else (CLOSING, "finish")
            yield Event(at, kind, self._framed(completion, chunk, first), tokens)
            first = False

    def _framed(self, completion: Completion, chunk: dict[str, Any], first: bool) -> bytes:
        if not completion.params.variant.endswith("array"):
            return sse(json.dumps(chunk, ensure_ascii=False).encode())
        return (b"[" if first else b",\r\n") + json.dumps(chunk, ensure_ascii=False, indent=2).encode()

    def _chunk(
        self, completion: Completion, parts: list[dict[str, Any]], finish: str | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        chunk: dict[str, Any] = {"candidates": [candidate]}
        if completion.reports_usage:
            chunk["usageMetadata"] = usage
        chunk |= {"modelVersion": completion.params.model, "responseId": completion.make_id("", 22)}
        return chunk | ({"createTime": CREATED_TEXT} if completion.params.variant.startswith("vertex") else {})

    def document(self, completion: Completion) -> bytes:
        parts = [part_of(kind, completion.text_of(kind)) for kind in completion.kinds]
        thought = completion.script.reasoning_tokens
        usage = usage_of(completion, completion.output_tokens - thought, thought)
        return dumps(self._chunk(completion, parts, FINISH[completion.finish], usage))

    def headers(self, facts: HeaderFacts) -> Headers:
        return [("Server-Timing", f"gfet4t7; dur={facts.server_ms}"), ("Vary", "Origin")]

    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        status, message = ERRORS.get(error.kind, ERRORS["invalid"])
        details: list[dict[str, Any]] = []
        if error.kind == "auth" and error.status == 400:
            status, message = "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            details.append({**info, "domain": "googleapis.com"})
        if error.retry_after_s is not None:
            delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"}
            details.append(delay)
        body: dict[str, Any] = {"code": error.status, "message": message, "status": status}
        return {"error": body | ({"details": details} if details else {})}

    def error_document(self, error: ErrorStatus, params: Params, request_id: str) -> bytes:
        body = self.error_object(error, params, request_id)
        return json.dumps([body] if params.variant.endswith("array") else body, indent=2).encode()

    def error_headers(self, error: ErrorStatus) -> Headers:
        return []  # the delay is in the body

    def error_event(self, completion: Completion) -> bytes:
        status, message = ERRORS.get(completion.script.error, ERRORS["overloaded"])
        body = {"error": {"code": 503, "message": message, "status": status}}
        if not completion.params.variant.endswith("array"):
            return sse(dumps(body))
        return (b"," if completion.script.error_at else b"[") + dumps(body) + b"]"

    def malformed_event(self) -> bytes:
        return sse(b'{"candidates": [{"content": {"parts": [{"text": "cut o')

    def key(self, request: Request) -> str:
        return request.headers.get("x-goog-api-key") or request.query.get("key") or super().key(request)

    def auth_status(self, request: Request) -> int:
        return 401 if "/projects/" in request.path else 400


class GoogleArray(Google):
    """The same stream as one JSON array, element by element."""

    name = "google_array"
    media_type = "application/json; charset=UTF-8"
    crlf = False

    def events(self, completion: Completion) -> Iterator[Event]:
        yield from super().events(completion)
        yield Event(CLOSING, "bracket", b"\r\n]", counted=False)

    def malformed_event(self) -> bytes:
        return b',\r\n{"candidates": [{"content": }'
