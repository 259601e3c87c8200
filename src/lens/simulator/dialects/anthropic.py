"""Anthropic Messages, at Anthropic's own path and as streamRawPredict on Vertex (WIRE 7 and 8.3).

The same event bodies travel inside Bedrock's frames, so they are made here once.
"""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from lens.simulator.dialects.base import Dialect, Failure, Pace, dumps, named_sse, retry_headers
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, OPENING, TOOL_NAME, Job, Turn, prompt_tokens_of
from lens.simulator.job import Event as WireEvent

FINISH = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}

ERRORS = {
    "invalid": ("invalid_request_error", "The request is not valid."),
    "auth": ("authentication_error", "invalid x-api-key"),
    "billing": ("billing_error", "Your credit balance is too low."),
    "permission": ("permission_error", "Your API key may not use this resource."),
    "not_found": ("not_found_error", "model: simulated"),
    "timeout": ("timeout_error", "The request took too long."),
    "too_large": ("request_too_large", "The request is too large."),
    "rate_limit": ("rate_limit_error", "This request would exceed your rate limit."),
    "quota": ("rate_limit_error", "This request would exceed the spend limit of your workspace."),
    "context": ("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "overloaded": ("overloaded_error", "Overloaded"),
    "server": ("api_error", "Internal server error"),
}

# (slot, kind, event name, body, tokens)
Body = tuple[int, str, str, dict[str, Any], int]


def error_body(kind: str, request_id: str) -> dict[str, Any]:
    """Anthropic's error object."""
    name, message = ERRORS.get(kind, ERRORS["invalid"])
    error: dict[str, Any] = {"type": name, "message": message}
    if kind == "quota":
        error["details"] = {"error_code": "enforced_spend_limit_reached"}
    return {"type": "error", "error": error, "request_id": request_id}


def start_usage(job: Job) -> dict[str, Any]:
    """What message_start says: cached tokens stand beside input_tokens, not in them."""
    return {
        "input_tokens": job.prompt_tokens - job.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": job.cached_tokens,
        "output_tokens": 1,
        "service_tier": "standard",
    }


def end_usage(job: Job) -> dict[str, Any]:
    """What message_delta says: cumulative output."""
    usage: dict[str, Any] = {"output_tokens": job.output_tokens}
    if job.script.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": job.script.reasoning_tokens}
    return usage


def message(job: Job, content: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    """A message object."""
    head = {"model": job.turn.model, "id": job.id("msg_"), "type": "message", "role": "assistant", "content": content}
    return {**head, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def block(job: Job, kind: str, text: str) -> dict[str, Any]:
    """A content block; a tool's arguments are parsed by the caller."""
    if kind == "reasoning":
        return {"type": "thinking", "thinking": text, "signature": job.id("sig", 32) if text else ""}
    if kind == "text":
        return {"type": "text", "text": text}
    return {"type": "tool_use", "id": job.id("toolu_"), "name": TOOL_NAME, "input": {}}


def delta_of(kind: str, text: str) -> dict[str, Any]:
    """A piece of a content block."""
    if kind == "reasoning":
        return {"type": "thinking_delta", "thinking": text}
    return (
        {"type": "text_delta", "text": text} if kind == "text" else {"type": "input_json_delta", "partial_json": text}
    )


def stream_bodies(job: Job, *, pings: bool) -> Iterator[Body]:
    """Every event of a streamed message, not framed yet."""
    usage = start_usage(job) if job.reports_usage else {"input_tokens": 0, "output_tokens": 0}
    yield OPENING, "meta", "message_start", {"message": message(job, [], None, usage)}, 0
    index = -1
    for slot in job.slots:
        if slot.first:
            index += 1
            # A tool block names the tool, which is output: it comes with its first arguments.
            at = OPENING if slot.index == 0 and slot.kind != "tool" else slot.index
            kind = "tool" if slot.kind == "tool" else "meta"
            yield at, kind, "content_block_start", {"index": index, "content_block": block(job, slot.kind, "")}, 0
            if index == 0 and pings:
                yield at, "ping", "ping", {}, 0
        delta = {"index": index, "delta": delta_of(slot.kind, slot.text)}
        yield slot.index, slot.kind, "content_block_delta", delta, slot.tokens
        if slot.last:
            at = CLOSING if slot.final else slot.index
            if slot.kind == "reasoning":
                signature = {"type": "signature_delta", "signature": job.id("sig", 32)}
                yield at, "meta", "content_block_delta", {"index": index, "delta": signature}, 0
            yield at, "meta", "content_block_stop", {"index": index}, 0
    stop = {"stop_reason": FINISH[job.finish], "stop_sequence": None}
    done = {"delta": stop, "usage": end_usage(job) if job.reports_usage else {"output_tokens": 0}}
    yield CLOSING, "usage" if job.reports_usage else "finish", "message_delta", done, 0
    yield CLOSING, "done", "message_stop", {}, 0


def whole_message(job: Job) -> dict[str, Any]:
    """The answer in one piece."""
    blocks = []
    for kind in dict.fromkeys(slot.kind for slot in job.slots):
        whole = block(job, kind, job.said(kind))
        blocks.append({**whole, "input": json.loads(job.said("tool"))} if kind == "tool" else whole)
    usage = start_usage(job) | end_usage(job) if job.reports_usage else {"input_tokens": 0, "output_tokens": 0}
    return message(job, blocks, FINISH[job.finish], usage)


class Anthropic(Dialect):
    """POST /v1/messages, and .../publishers/anthropic/models/M:streamRawPredict or :rawPredict."""

    name = "anthropic"

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        vertex = "/publishers/anthropic/models/" in request.path
        model = request.path.rpartition("/models/")[2].rpartition(":")[0] if vertex else body.get("model")
        return Turn(
            dialect=self.name,
            model=str(model or "simulated"),
            stream=bool(body.get("stream", request.path.endswith(":streamRawPredict"))),
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=body.get("max_tokens"),
        )

    def events(self, job: Job) -> Iterator[WireEvent]:
        for slot, kind, name, body, tokens in stream_bodies(job, pings=True):
            yield WireEvent(slot, kind, named_sse(name, {"type": name, **body}), tokens)

    def document(self, job: Job) -> bytes:
        return dumps(whole_message(job))

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        reset = (datetime.now(UTC) + timedelta(seconds=pace.reset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = [("requests", pace.limit, pace.remaining), ("tokens", 10_000_000, 9_999_000)]
        rows += [("input-tokens", 5_000_000, 4_999_500), ("output-tokens", 5_000_000, 4_999_500)]
        headers = []
        for what, limit, remaining in rows:
            values = {"limit": str(limit), "remaining": str(remaining), "reset": reset}
            headers += [(f"anthropic-ratelimit-{what}-{name}", value) for name, value in values.items()]
        service = ("x-envoy-upstream-service-time", str(pace.server_ms))
        return [*headers, ("request-id", pace.request_id), service]

    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        return dumps(error_body(failure.kind, request_id)), retry_headers(failure)

    def error_event(self, job: Job) -> bytes:
        return named_sse("error", error_body(job.script.error or "overloaded", job.id("req_")))

    def malformed_event(self) -> bytes:
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"cut o\n\n'

    def key(self, request: Request) -> str:
        return request.headers.get("x-api-key") or super().key(request)
