"""Ollama's own API: /api/chat and /api/generate, one JSON object a line.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from lens.simulator.http import Request
from lens.simulator.protocols.base import ErrorStatus, HeaderFacts, Headers, WireProtocol
from lens.simulator.protocols.completion import CLOSING, CREATED_TEXT, TOOL_NAME, Completion, Event, Params
from lens.simulator.protocols.framing import TEXT, compile_event, dumps, ndjson

FINISH = {"stop": "stop", "length": "length", "tool": "stop"}
LOAD_NS = 12_000_000  # of a model that is loaded already

ERRORS = {
    "not_found": "model 'simulated' not found",
    "overloaded": "server busy, please try again. maximum pending requests exceeded",
    "rate_limit": "too many requests",
    "auth": "unauthorized",
    "context": "the prompt exceeds the model's context length",
}


class Ollama(WireProtocol):
    """What the two have in common."""

    media_type = "application/x-ndjson"
    comment = b""

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        return body.get("stream") is not False

    def token_limit(self, body: dict[str, Any]) -> Any:
        return (body.get("options") or {}).get("num_predict")

    def events(self, completion: Completion) -> Iterator[Event]:
        write = {
            kind: compile_event(ndjson, self._line(completion, self._content(kind, TEXT)))
            for kind in ("text", "reasoning")
        }
        for delta in completion.deltas:
            if delta.kind == "tool" and not delta.last:
                continue  # a tool call comes whole
            if delta.kind == "tool":
                line = self._line(completion, self._content("tool", completion.text_of("tool")))
                yield Event(delta.index, "tool", ndjson(dumps(line)), completion.script.tool_tokens)
            else:
                yield Event(delta.index, delta.kind, write[delta.kind](delta.text), delta.tokens)
        yield Event(
            CLOSING, "done", ndjson(dumps(self._line(completion, self._content("text", "")) | self._end(completion)))
        )

    def document(self, completion: Completion) -> bytes:
        content: dict[str, Any] = self._content("text", "")
        for kind in completion.kinds:
            part = self._content(kind, completion.text_of(kind))
            if "message" in content:
                content["message"] |= {k: v for k, v in part["message"].items() if v or k not in content["message"]}
            else:
                content |= {k: v for k, v in part.items() if v or k not in content}
        return dumps(self._line(completion, content) | self._end(completion))

    @abstractmethod
    def _content(self, kind: str, text: str) -> dict[str, Any]:
        """Return the part of a line that holds text; /api/generate says it flat."""

    @staticmethod
    def _line(completion: Completion, content: dict[str, Any]) -> dict[str, Any]:
        return {"model": completion.params.model, "created_at": CREATED_TEXT, **content, "done": False}

    @staticmethod
    def _end(completion: Completion) -> dict[str, Any]:
        """Ollama's durations are nanoseconds; a cold start shows as load_duration."""
        load_ns = LOAD_NS + completion.script.cold_start_ns
        eval_ns = completion.generation_ns
        end: dict[str, Any] = {"done": True, "done_reason": FINISH[completion.finish]}
        end |= {"total_duration": load_ns + completion.script.ttft_ns + eval_ns, "load_duration": load_ns}
        if completion.reports_usage:
            end |= {"prompt_eval_count": completion.prompt_tokens, "prompt_eval_duration": completion.script.ttft_ns}
            end |= {"eval_count": completion.output_tokens, "eval_duration": eval_ns}
        return end

    def headers(self, facts: HeaderFacts) -> Headers:
        return []

    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        return {"error": ERRORS.get(error.kind, "internal server error")}

    def error_event(self, completion: Completion) -> bytes:
        return ndjson(dumps({"error": "an error was encountered while running the model"}))

    def malformed_event(self) -> bytes:
        return ndjson(b'{"model":"simulated","message":{"role":"assistant","content":"cut o')


class OllamaChat(Ollama):
    """POST /api/chat."""

    name = "ollama_chat"

    def _content(self, kind: str, text: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text if kind == "text" else ""}
        if kind == "reasoning":
            message["thinking"] = text
        if kind == "tool":
            message["tool_calls"] = [{"function": {"name": TOOL_NAME, "arguments": json.loads(text)}}]
        return {"message": message}


class OllamaGenerate(Ollama):
    """POST /api/generate; it knows no tools, their arguments come as text."""

    name = "ollama_generate"

    def _content(self, kind: str, text: str) -> dict[str, Any]:
        return {"response": "", "thinking": text} if kind == "reasoning" else {"response": text}
