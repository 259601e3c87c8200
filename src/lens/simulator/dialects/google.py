"""Gemini and Vertex generateContent: SSE with CRLF or a JSON array, no terminator but the body's end (WIRE 8)."""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lens.simulator.dialects.base import Dialect, Failure, Pace, dumps, sse
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, CREATED_TEXT, TOOL_NAME, Event, Job, Slot, Turn, prompt_tokens_of

FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP"}

# kind -> (canonical status, message)
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


def usage_of(job: Job, said: int, thought: int) -> dict[str, Any]:
    """Cumulative counts; thoughts stand beside the candidates' tokens, not in them."""
    usage: dict[str, Any] = {"promptTokenCount": job.prompt_tokens, "candidatesTokenCount": said}
    usage["totalTokenCount"] = job.prompt_tokens + said + thought
    if thought:
        usage["thoughtsTokenCount"] = thought
    if job.cached_tokens:
        usage["cachedContentTokenCount"] = job.cached_tokens
    if job.turn.variant.startswith("vertex"):
        usage["trafficType"] = "ON_DEMAND"
    return usage


def part_of(kind: str, text: str) -> dict[str, Any]:
    """One part of a candidate's content."""
    if kind == "tool":
        return {"functionCall": {"name": TOOL_NAME, "args": json.loads(text)}}
    return {"text": text, "thought": True} if kind == "reasoning" else {"text": text}


class Google(Dialect):
    """.../models/M:streamGenerateContent?alt=sse, the same without alt, and :generateContent.

    A turn's variant is "gemini" or "vertex", with " array" where no SSE was asked for.
    """

    name = "google"
    media_type = "text/event-stream"
    comment = b""
    crlf = True

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        config = body.get("generationConfig") or body.get("generation_config") or {}
        host = "vertex" if "/projects/" in request.path or "/publishers/" in request.path else "gemini"
        stream = ":stream" in request.path
        return Turn(
            dialect=self.name,
            model=request.path.rpartition("/models/")[2].rpartition(":")[0],
            stream=stream,
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=config.get("maxOutputTokens"),
            variant=host + (" array" if stream and request.query.get("alt") != "sse" else ""),
        )

    def events(self, job: Job) -> Iterator[Event]:
        said = thought = 0
        first = True
        for slot in job.slots or (Slot(0, "text", "", 0, True, True, True),):
            thought += slot.tokens if slot.kind == "reasoning" else 0
            said += slot.tokens if slot.kind != "reasoning" else 0
            if slot.kind == "tool" and not slot.last:
                continue  # a function call comes whole, in one part
            text = job.said("tool") if slot.kind == "tool" else slot.text
            tokens = job.script.tool_tokens if slot.kind == "tool" else slot.tokens
            finish = FINISH[job.finish] if slot.final else None
            chunk = self._chunk(job, [part_of(slot.kind, text)], finish, usage_of(job, said, thought))
            at, kind = (slot.index, slot.kind) if job.slots else (CLOSING, "finish")
            yield Event(at, kind, self._framed(job, chunk, first), tokens)
            first = False

    def _framed(self, job: Job, chunk: dict[str, Any], first: bool) -> bytes:
        if not job.turn.variant.endswith("array"):
            return sse(json.dumps(chunk, ensure_ascii=False).encode())
        return (b"[" if first else b",\r\n") + json.dumps(chunk, ensure_ascii=False, indent=2).encode()

    def _chunk(
        self, job: Job, parts: list[dict[str, Any]], finish: str | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        chunk: dict[str, Any] = {"candidates": [candidate]}
        if job.reports_usage:
            chunk["usageMetadata"] = usage
        chunk |= {"modelVersion": job.turn.model, "responseId": job.id("", 22)}
        return chunk | ({"createTime": CREATED_TEXT} if job.turn.variant.startswith("vertex") else {})

    def document(self, job: Job) -> bytes:
        parts = [part_of(kind, job.said(kind)) for kind in dict.fromkeys(slot.kind for slot in job.slots)]
        thought = job.script.reasoning_tokens
        usage = usage_of(job, job.output_tokens - thought, thought)
        return dumps(self._chunk(job, parts, FINISH[job.finish], usage))

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        return [("Server-Timing", f"gfet4t7; dur={pace.server_ms}"), ("Vary", "Origin")]

    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        status, message = ERRORS.get(failure.kind, ERRORS["invalid"])
        details: list[dict[str, Any]] = []
        if failure.kind == "auth" and failure.status == 400:
            status, message = "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            details.append({**info, "domain": "googleapis.com"})
        if failure.retry_after_s is not None:
            delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{failure.retry_after_s:g}s"}
            details.append(delay)
        error: dict[str, Any] = {"code": failure.status, "message": message, "status": status}
        body: Any = {"error": error | ({"details": details} if details else {})}
        return json.dumps([body] if turn.variant.endswith("array") else body, indent=2).encode(), []

    def error_event(self, job: Job) -> bytes:
        status, message = ERRORS.get(job.script.error, ERRORS["overloaded"])
        body = {"error": {"code": 503, "message": message, "status": status}}
        if not job.turn.variant.endswith("array"):
            return sse(dumps(body))
        return (b"," if job.script.error_at else b"[") + dumps(body) + b"]"

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

    def events(self, job: Job) -> Iterator[Event]:
        yield from super().events(job)
        yield Event(CLOSING, "bracket", b"\r\n]", counted=False)

    def malformed_event(self) -> bytes:
        return b',\r\n{"candidates": [{"content": }'
