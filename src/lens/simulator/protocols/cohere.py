"""Cohere v2: events with dashes in their names, and [DONE] at the end.

https://docs.cohere.com/reference/chat-stream
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lens.simulator.protocols.base import ErrorStatus, HeaderFacts, Headers, WireProtocol
from lens.simulator.protocols.completion import (
    CLOSING,
    OPENING,
    TOOL_NAME,
    Completion,
    Delta,
    Event,
    Params,
    with_usage,
)
from lens.simulator.protocols.framing import dumps, named_sse, sse, typed_event

FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool": "TOOL_CALL"}

MESSAGES = {
    "auth": "invalid api token",
    "not_found": "model 'simulated' not found",
    "rate_limit": "You are using a Trial key, which is limited to 20 API calls / minute.",
    "context": "too many tokens: the maximum context length is exceeded",
    "overloaded": "the service is overloaded",
    "server": "internal server error",
}


def usage_of(completion: Completion) -> dict[str, Any]:
    """Return all tokens, and those that are billed."""
    tokens = {"input_tokens": completion.prompt_tokens, "output_tokens": completion.output_tokens}
    return {"billed_units": dict(tokens), "tokens": tokens, "cached_tokens": completion.cached_tokens}


class Cohere(WireProtocol):
    """POST /v2/chat."""

    name = "cohere"
    media_type = "text/event-stream"

    def events(self, completion: Completion) -> Iterator[Event]:
        head = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield typed_event(
            OPENING, "role", "message-start", {"id": completion.make_id("", 32), "delta": {"message": head}}
        )
        for delta in completion.deltas:
            yield from self._delta_events(completion, delta)
        end: dict[str, Any] = {"finish_reason": FINISH[completion.finish]}
        if completion.reports_usage:
            end["usage"] = usage_of(completion)
        yield typed_event(CLOSING, "usage", "message-end", {"delta": end})
        yield Event(CLOSING, "done", sse(b"[DONE]"))

    def _delta_events(self, completion: Completion, delta: Delta) -> Iterator[Event]:
        if delta.kind == "tool":
            if delta.first:
                call = {
                    "id": completion.make_id("call_", 10),
                    "type": "function",
                    "function": {"name": TOOL_NAME, "arguments": ""},
                }
                yield self._message(delta.index, "tool", "tool-call-start", delta.block, {"tool_calls": call})
            call = {"function": {"arguments": delta.text}}
            yield self._message(delta.index, "tool", "tool-call-delta", delta.block, {"tool_calls": call}, delta.tokens)
        else:
            name = "thinking" if delta.kind == "reasoning" else "text"
            if delta.first:
                yield self._message(
                    delta.opens_at, "meta", "content-start", delta.block, {"content": {"type": name, name: ""}}
                )
            content = {"content": {name: delta.text}}
            yield self._message(delta.index, delta.kind, "content-delta", delta.block, content, delta.tokens)
        if delta.last:
            end = "tool-call-end" if delta.kind == "tool" else "content-end"
            yield typed_event(delta.closes_at, "meta", end, {"index": delta.block})

    @staticmethod
    def _message(at: int, kind: str, name: str, index: int, message: dict[str, Any], tokens: int = 0) -> Event:
        return typed_event(at, kind, name, {"index": index, "delta": {"message": message}}, tokens)

    def document(self, completion: Completion) -> bytes:
        names = {"reasoning": "thinking", "text": "text"}
        kinds = completion.kinds
        content = [{"type": names[kind], names[kind]: completion.text_of(kind)} for kind in kinds if kind != "tool"]
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if "tool" in kinds:
            function = {"name": TOOL_NAME, "arguments": completion.text_of("tool")}
            message["tool_calls"] = [{"id": completion.make_id("call_", 10), "type": "function", "function": function}]
        whole = {"id": completion.make_id("", 32), "finish_reason": FINISH[completion.finish], "message": message}
        return dumps(with_usage(whole, completion, usage_of(completion)))

    def headers(self, facts: HeaderFacts) -> Headers:
        return [("x-debug-trace-id", facts.request_id), ("x-envoy-upstream-service-time", str(facts.server_ms))]

    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        return {"id": request_id, "message": MESSAGES.get(error.kind, "invalid request")}

    def error_event(self, completion: Completion) -> bytes:
        end = {"finish_reason": "ERROR", "error": MESSAGES.get(completion.script.error, MESSAGES["server"])}
        return named_sse("message-end", {"type": "message-end", "delta": end}) + sse(b"[DONE]")

    def malformed_event(self) -> bytes:
        return b'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":{"message":{"content":{"te\n\n'
