"""Anthropic Messages, at Anthropic's own path and as streamRawPredict on Vertex.

https://docs.anthropic.com/en/docs/build-with-claude/streaming

The same event bodies travel inside Bedrock's frames, so they are made here once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from lens.simulator.http import Request
from lens.simulator.protocols.base import ErrorStatus, HeaderFacts, Headers, WireProtocol
from lens.simulator.protocols.completion import CLOSING, OPENING, TOOL_NAME, Completion, Event, Params
from lens.simulator.protocols.framing import dumps, named_sse, typed_event

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

NO_USAGE: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}

# (at, kind, event name, body, tokens)
Body = tuple[int, str, str, dict[str, Any], int]


def error_body(kind: str, request_id: str) -> dict[str, Any]:
    """Anthropic's error object."""
    name, message = ERRORS.get(kind, ERRORS["invalid"])
    error: dict[str, Any] = {"type": name, "message": message}
    if kind == "quota":
        error["details"] = {"error_code": "enforced_spend_limit_reached"}
    return {"type": "error", "error": error, "request_id": request_id}


def start_usage(completion: Completion) -> dict[str, Any]:
    """Return what message_start says: cached tokens stand beside input_tokens, not in them."""
    return {
        "input_tokens": completion.prompt_tokens - completion.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": completion.cached_tokens,
        "output_tokens": 1,
        "service_tier": "standard",
    }


def end_usage(completion: Completion) -> dict[str, Any]:
    """Return what message_delta says: cumulative output."""
    usage: dict[str, Any] = {"output_tokens": completion.output_tokens}
    if completion.script.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": completion.script.reasoning_tokens}
    return usage


def message(
    completion: Completion, content: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    """Return a message object."""
    head = {
        "model": completion.params.model,
        "id": completion.make_id("msg_"),
        "type": "message",
        "role": "assistant",
        "content": content,
    }
    return {**head, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def block(completion: Completion, kind: str, text: str) -> dict[str, Any]:
    """Return a content block; a tool's arguments are parsed by the caller."""
    if kind == "reasoning":
        return {"type": "thinking", "thinking": text, "signature": completion.make_id("sig", 32) if text else ""}
    if kind == "text":
        return {"type": "text", "text": text}
    return {"type": "tool_use", "id": completion.make_id("toolu_"), "name": TOOL_NAME, "input": {}}


def delta_of(kind: str, text: str) -> dict[str, Any]:
    """Return a piece of a content block."""
    if kind == "reasoning":
        return {"type": "thinking_delta", "thinking": text}
    return (
        {"type": "text_delta", "text": text} if kind == "text" else {"type": "input_json_delta", "partial_json": text}
    )


def stream_bodies(completion: Completion, *, pings: bool) -> Iterator[Body]:
    """Yield every event of a streamed message, not framed yet."""
    usage = start_usage(completion) if completion.reports_usage else NO_USAGE
    yield OPENING, "meta", "message_start", {"message": message(completion, [], None, usage)}, 0
    for delta in completion.deltas:
        place = {"index": delta.block}
        if delta.first:
            # A tool block names the tool, which is output: it comes with its first arguments.
            tool = delta.kind == "tool"
            at, kind = (delta.index, "tool") if tool else (delta.opens_at, "meta")
            start = {**place, "content_block": block(completion, delta.kind, "")}
            yield at, kind, "content_block_start", start, 0
            if delta.block == 0 and pings:
                yield at, "ping", "ping", {}, 0
        body = {**place, "delta": delta_of(delta.kind, delta.text)}
        yield delta.index, delta.kind, "content_block_delta", body, delta.tokens
        if delta.last:
            if delta.kind == "reasoning":
                signature = {"type": "signature_delta", "signature": completion.make_id("sig", 32)}
                yield delta.closes_at, "meta", "content_block_delta", {**place, "delta": signature}, 0
            yield delta.closes_at, "meta", "content_block_stop", place, 0
    stop = {"stop_reason": FINISH[completion.finish], "stop_sequence": None}
    done = {"delta": stop, "usage": end_usage(completion) if completion.reports_usage else {"output_tokens": 0}}
    yield CLOSING, "usage" if completion.reports_usage else "finish", "message_delta", done, 0
    yield CLOSING, "done", "message_stop", {}, 0


def whole_message(completion: Completion) -> dict[str, Any]:
    """Return the answer in one piece."""
    blocks = []
    for kind in completion.kinds:
        whole = block(completion, kind, completion.text_of(kind))
        blocks.append({**whole, "input": json.loads(completion.text_of("tool"))} if kind == "tool" else whole)
    usage = start_usage(completion) | end_usage(completion) if completion.reports_usage else NO_USAGE
    return message(completion, blocks, FINISH[completion.finish], usage)


class Anthropic(WireProtocol):
    """POST /v1/messages, and .../publishers/anthropic/models/M:streamRawPredict or :rawPredict."""

    name = "anthropic"

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        if "/publishers/anthropic/models/" in request.path:
            return request.path.rpartition("/models/")[2].rpartition(":")[0] or "simulated"
        return super().model_of(request, body)

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        return bool(body.get("stream", request.path.endswith(":streamRawPredict")))

    def events(self, completion: Completion) -> Iterator[Event]:
        for parts in stream_bodies(completion, pings=True):
            yield typed_event(*parts)

    def document(self, completion: Completion) -> bytes:
        return dumps(whole_message(completion))

    def headers(self, facts: HeaderFacts) -> Headers:
        reset = (datetime.now(UTC) + timedelta(seconds=facts.reset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = [("requests", facts.limit, facts.remaining), ("tokens", 10_000_000, 9_999_000)]
        rows += [("input-tokens", 5_000_000, 4_999_500), ("output-tokens", 5_000_000, 4_999_500)]
        headers = []
        for what, limit, remaining in rows:
            values = {"limit": str(limit), "remaining": str(remaining), "reset": reset}
            headers += [(f"anthropic-ratelimit-{what}-{name}", value) for name, value in values.items()]
        service = ("x-envoy-upstream-service-time", str(facts.server_ms))
        return [*headers, ("request-id", facts.request_id), service]

    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        return error_body(error.kind, request_id)

    def error_event(self, completion: Completion) -> bytes:
        return named_sse("error", error_body(completion.script.error or "overloaded", completion.make_id("req_")))

    def malformed_event(self) -> bytes:
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"cut o\n\n'

    def key(self, request: Request) -> str:
        return request.headers.get("x-api-key") or super().key(request)
