"""Ollama's own API: /api/chat and /api/generate, one JSON object a line (WIRE 10)."""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from lens.simulator.dialects.base import MARK, Dialect, Failure, Pace, dumps, ndjson, retry_headers, splice
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, CREATED_TEXT, TOOL_NAME, Event, Job, Turn, prompt_tokens_of

FINISH = {"stop": "stop", "length": "length", "tool": "stop"}
LOAD_NS = 12_000_000  # of a model that is loaded already

ERRORS = {
    "not_found": "model 'simulated' not found",
    "overloaded": "server busy, please try again. maximum pending requests exceeded",
    "rate_limit": "too many requests",
    "auth": "unauthorized",
    "context": "the prompt exceeds the model's context length",
}


class Ollama(Dialect):
    """What the two have in common."""

    media_type = "application/x-ndjson"
    comment = b""

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        return Turn(
            dialect=self.name,
            model=str(body.get("model") or "simulated"),
            stream=body.get("stream") is not False,
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=(body.get("options") or {}).get("num_predict"),
        )

    def events(self, job: Job) -> Iterator[Event]:
        write = {kind: splice(ndjson, self._line(job, self._said(kind, MARK))) for kind in ("text", "reasoning")}
        for slot in job.slots:
            if slot.kind == "tool" and not slot.last:
                continue  # a tool call comes whole
            if slot.kind == "tool":
                line = self._line(job, self._said("tool", job.said("tool")))
                yield Event(slot.index, "tool", ndjson(dumps(line)), job.script.tool_tokens)
            else:
                yield Event(slot.index, slot.kind, write[slot.kind](slot.text), slot.tokens)
        yield Event(CLOSING, "done", ndjson(dumps(self._line(job, self._said("text", "")) | self._end(job))))

    def document(self, job: Job) -> bytes:
        said: dict[str, Any] = self._said("text", "")
        for kind in dict.fromkeys(slot.kind for slot in job.slots):
            part = self._said(kind, job.said(kind))
            if "message" in said:
                said["message"] |= {k: v for k, v in part["message"].items() if v or k not in said["message"]}
            else:
                said |= {k: v for k, v in part.items() if v or k not in said}
        return dumps(self._line(job, said) | self._end(job))

    @abstractmethod
    def _said(self, kind: str, text: str) -> dict[str, Any]:
        """The part of a line that holds text; /api/generate says it flat."""

    @staticmethod
    def _line(job: Job, said: dict[str, Any]) -> dict[str, Any]:
        return {"model": job.turn.model, "created_at": CREATED_TEXT, **said, "done": False}

    @staticmethod
    def _end(job: Job) -> dict[str, Any]:
        """Ollama's durations are nanoseconds; a cold start shows as load_duration."""
        load_ns = LOAD_NS + job.script.cold_start_ns
        eval_ns = job.script.itl_ns * max(0, job.output_tokens - 1)
        end: dict[str, Any] = {"done": True, "done_reason": FINISH[job.finish]}
        end |= {"total_duration": load_ns + job.script.ttft_ns + eval_ns, "load_duration": load_ns}
        if job.reports_usage:
            end |= {"prompt_eval_count": job.prompt_tokens, "prompt_eval_duration": job.script.ttft_ns}
            end |= {"eval_count": job.output_tokens, "eval_duration": eval_ns}
        return end

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        return []

    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        return dumps({"error": ERRORS.get(failure.kind, "internal server error")}), retry_headers(failure)

    def error_event(self, job: Job) -> bytes:
        return ndjson(dumps({"error": "an error was encountered while running the model"}))

    def malformed_event(self) -> bytes:
        return ndjson(b'{"model":"simulated","message":{"role":"assistant","content":"cut o')


class OllamaChat(Ollama):
    """POST /api/chat."""

    name = "ollama_chat"

    def _said(self, kind: str, text: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text if kind == "text" else ""}
        if kind == "reasoning":
            message["thinking"] = text
        if kind == "tool":
            message["tool_calls"] = [{"function": {"name": TOOL_NAME, "arguments": json.loads(text)}}]
        return {"message": message}


class OllamaGenerate(Ollama):
    """POST /api/generate; it knows no tools, their arguments come as text."""

    name = "ollama_generate"

    def _said(self, kind: str, text: str) -> dict[str, Any]:
        return {"response": "", "thinking": text} if kind == "reasoning" else {"response": text}
