"""Cohere v2: events with dashes in their names, and [DONE] at the end (WIRE 11)."""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lens.simulator.dialects.base import Dialect, Failure, Pace, dumps, named_sse, retry_headers, sse
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, OPENING, TOOL_NAME, Event, Job, Slot, Turn, prompt_tokens_of

FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool": "TOOL_CALL"}

MESSAGES = {
    "auth": "invalid api token",
    "not_found": "model 'simulated' not found",
    "rate_limit": "You are using a Trial key, which is limited to 20 API calls / minute.",
    "context": "too many tokens: the maximum context length is exceeded",
    "overloaded": "the service is overloaded",
    "server": "internal server error",
}


def usage_of(job: Job) -> dict[str, Any]:
    """All tokens, and those that are billed."""
    tokens = {"input_tokens": job.prompt_tokens, "output_tokens": job.output_tokens}
    return {"billed_units": dict(tokens), "tokens": tokens, "cached_tokens": job.cached_tokens}


class Cohere(Dialect):
    """POST /v2/chat."""

    name = "cohere"
    media_type = "text/event-stream"

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        return Turn(
            dialect=self.name,
            model=str(body.get("model") or "simulated"),
            stream=bool(body.get("stream")),
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=body.get("max_tokens"),
        )

    def events(self, job: Job) -> Iterator[Event]:
        head = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield self._event(OPENING, "role", "message-start", {"id": job.id("", 32), "delta": {"message": head}})
        index = -1
        for slot in job.slots:
            index += slot.first
            yield from self._slot_events(job, slot, index)
        end: dict[str, Any] = {"finish_reason": FINISH[job.finish]}
        if job.reports_usage:
            end["usage"] = usage_of(job)
        yield self._event(CLOSING, "usage", "message-end", {"delta": end})
        yield Event(CLOSING, "done", sse(b"[DONE]"))

    def _slot_events(self, job: Job, slot: Slot, index: int) -> Iterator[Event]:
        if slot.kind == "tool":
            if slot.first:
                call = {"id": job.id("call_", 10), "type": "function", "function": {"name": TOOL_NAME, "arguments": ""}}
                yield self._message(slot.index, "tool", "tool-call-start", index, {"tool_calls": call})
            call = {"function": {"arguments": slot.text}}
            yield self._message(slot.index, "tool", "tool-call-delta", index, {"tool_calls": call}, slot.tokens)
        else:
            name = "thinking" if slot.kind == "reasoning" else "text"
            if slot.first:
                at = OPENING if slot.index == 0 else slot.index
                yield self._message(at, "meta", "content-start", index, {"content": {"type": name, name: ""}})
            content = {"content": {name: slot.text}}
            yield self._message(slot.index, slot.kind, "content-delta", index, content, slot.tokens)
        if slot.last:
            at = CLOSING if slot.final else slot.index
            end = "tool-call-end" if slot.kind == "tool" else "content-end"
            yield self._event(at, "meta", end, {"index": index})

    def _message(self, at: int, kind: str, name: str, index: int, message: dict[str, Any], tokens: int = 0) -> Event:
        return self._event(at, kind, name, {"index": index, "delta": {"message": message}}, tokens)

    @staticmethod
    def _event(slot: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
        return Event(slot, kind, named_sse(name, {"type": name, **body}), tokens)

    def document(self, job: Job) -> bytes:
        names = {"reasoning": "thinking", "text": "text"}
        kinds = dict.fromkeys(slot.kind for slot in job.slots)
        content = [{"type": names[kind], names[kind]: job.said(kind)} for kind in kinds if kind != "tool"]
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if "tool" in kinds:
            function = {"name": TOOL_NAME, "arguments": job.said("tool")}
            message["tool_calls"] = [{"id": job.id("call_", 10), "type": "function", "function": function}]
        whole = {"id": job.id("", 32), "finish_reason": FINISH[job.finish], "message": message}
        return dumps(whole | ({"usage": usage_of(job)} if job.reports_usage else {}))

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        return [("x-debug-trace-id", pace.request_id), ("x-envoy-upstream-service-time", str(pace.server_ms))]

    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        message = MESSAGES.get(failure.kind, "invalid request")
        return dumps({"id": request_id, "message": message}), retry_headers(failure)

    def error_event(self, job: Job) -> bytes:
        end = {"finish_reason": "ERROR", "error": MESSAGES.get(job.script.error, MESSAGES["server"])}
        return named_sse("message-end", {"type": "message-end", "delta": end}) + sse(b"[DONE]")

    def malformed_event(self) -> bytes:
        return b'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":{"message":{"content":{"te\n\n'
