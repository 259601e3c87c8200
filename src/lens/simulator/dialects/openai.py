"""OpenAI chat completions, legacy completions, embeddings and models, and Azure's variants of them.

Azure (variant "azure") adds a first event with prompt filter results, a filter result on
each choice, and its own headers; the rest is the same (WIRE 5 and 6).
"""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from lens.simulator.dialects.base import MARK, Dialect, Failure, Pace, dumps, retry_headers, splice, sse
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, CREATED_S, OPENING, TOOL_NAME, Event, Job, Turn, prompt_tokens_of
from lens.simulator.words import share

FINISH = {"stop": "stop", "length": "length", "tool": "tool_calls"}
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}

# status kind -> (type, code, message), as api.openai.com words them (WIRE 5.5).
ERRORS = {
    "invalid": ("invalid_request_error", None, "The request is not valid."),
    "auth": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "billing": ("insufficient_quota", "insufficient_quota", "This account has no credit left."),
    "permission": ("invalid_request_error", "unsupported_country_region_territory", "Region not supported."),
    "not_found": ("invalid_request_error", "model_not_found", "The model does not exist or you have no access to it."),
    "timeout": ("timeout", None, "The request took too long."),
    "too_large": ("invalid_request_error", None, "The request is too large."),
    "rate_limit": ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "quota": ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "context": ("invalid_request_error", "context_length_exceeded", "This model's maximum context length is exceeded."),
    "content_filter": ("invalid_request_error", "content_filter", "The prompt was filtered."),
    "overloaded": ("server_error", "overloaded", "That model is currently overloaded. Please slow down."),
    "server": ("server_error", None, "The server had an error while processing your request."),
}


def usage_of(job: Job) -> dict[str, Any]:
    """Token counts in OpenAI's names."""
    return {
        "prompt_tokens": job.prompt_tokens,
        "completion_tokens": job.output_tokens,
        "total_tokens": job.prompt_tokens + job.output_tokens,
        "prompt_tokens_details": {"cached_tokens": job.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": job.script.reasoning_tokens, "audio_tokens": 0},
    }


class OpenAI(Dialect):
    """What the four have in common: the request's fields, headers, errors and keys."""

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        azure = request.path.startswith("/openai/deployments/")
        options = body.get("stream_options") or {}
        return Turn(
            dialect=self.name,
            model=str(body.get("model") or (request.path.split("/")[3] if azure else "simulated")),
            stream=bool(body.get("stream")) and not self.document_only,
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            include_usage=bool(options.get("include_usage")),
            variant="azure" if azure or "api-key" in request.headers else str(body.get("encoding_format") or ""),
            count=len(body["input"]) if isinstance(body.get("input"), list) else 1,
        )

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        return [
            ("openai-processing-ms", str(pace.server_ms)),
            ("openai-version", "2020-10-01"),
            ("x-envoy-upstream-service-time", str(pace.server_ms)),
            ("x-ratelimit-limit-requests", str(pace.limit)),
            ("x-ratelimit-remaining-requests", str(pace.remaining)),
            ("x-ratelimit-reset-requests", f"{round(pace.reset_s * 1000)}ms"),
            ("x-ratelimit-limit-tokens", "10000000"),
            ("x-ratelimit-remaining-tokens", "9999000"),
            ("x-ratelimit-reset-tokens", "6ms"),
            ("x-request-id", pace.request_id),
        ]

    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        kind, code, message = ERRORS.get(failure.kind, ERRORS["invalid"])
        if turn.variant == "azure":
            code = "content_filter" if failure.kind == "content_filter" else str(failure.status)
            body: dict[str, Any] = {"code": code, "message": message}
            if failure.kind == "content_filter":
                body |= {"status": failure.status, "innererror": {"code": "ResponsibleAIPolicyViolation"}}
        else:
            body = {"message": message, "type": kind, "param": None, "code": code}
        hints = retry_headers(failure)
        if failure.retry_after_s is not None:
            hints.insert(0, ("retry-after-ms", str(round(failure.retry_after_s * 1000))))
        return dumps({"error": body}), hints

    def key(self, request: Request) -> str:
        return request.headers.get("api-key") or super().key(request)

    def error_event(self, job: Job) -> bytes:
        kind, code, message = ERRORS.get(job.script.error, ERRORS["server"])
        return sse(dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}))


class Chat(OpenAI):
    """POST /chat/completions."""

    name = "openai_chat"

    def events(self, job: Job) -> Iterator[Event]:
        if job.turn.variant == "azure":
            filters = [{"prompt_index": 0, "content_filter_results": SAFE}]
            head = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": filters}
            yield Event(OPENING, "meta", sse(dumps(head)))
        yield Event(
            OPENING, "role", sse(dumps(self._chunk(job, {"role": "assistant", "content": "", "refusal": None})))
        )
        write = {
            "text": splice(sse, self._chunk(job, {"content": MARK})),
            "reasoning": splice(sse, self._chunk(job, {"reasoning_content": MARK})),
            "tool": splice(sse, self._chunk(job, {"tool_calls": [{"index": 0, "function": {"arguments": MARK}}]})),
        }
        for slot in job.slots:
            if slot.kind == "tool" and slot.first:
                yield Event(slot.index, "tool", sse(dumps(self._chunk(job, {"tool_calls": [self._call(job, "")]}))))
            yield Event(slot.index, slot.kind, write[slot.kind](slot.text), slot.tokens)
        yield Event(CLOSING, "finish", sse(dumps(self._chunk(job, {}, FINISH[job.finish]))))
        if job.wants_usage:
            yield Event(CLOSING, "usage", sse(dumps(self._chunk(job, None) | {"usage": usage_of(job)})))
        yield Event(CLOSING, "done", sse(b"[DONE]"))

    def _chunk(self, job: Job, delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        if job.turn.variant == "azure" and delta is not None:
            choice["content_filter_results"] = {} if not delta else SAFE
        head = {"id": job.id("chatcmpl-"), "object": "chat.completion.chunk", "created": CREATED_S}
        head |= {"model": job.turn.model, "service_tier": "default", "system_fingerprint": "fp_simulated"}
        chunk = {**head, "choices": [] if delta is None else [choice]}
        return {**chunk, "usage": None} if job.wants_usage else chunk

    def _call(self, job: Job, arguments: str) -> dict[str, Any]:
        function = {"name": TOOL_NAME, "arguments": arguments}
        return {"index": 0, "id": job.id("call_"), "type": "function", "function": function}

    def document(self, job: Job) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": job.said("text") or None, "refusal": None}
        if job.script.reasoning_tokens:
            message["reasoning_content"] = job.said("reasoning")
        if job.script.tool_tokens:
            call = self._call(job, job.said("tool"))
            message["tool_calls"] = [{name: call[name] for name in ("id", "type", "function")}]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[job.finish]}
        whole = self._chunk(job, None) | {"object": "chat.completion", "choices": [choice]}
        return dumps(whole | ({"usage": usage_of(job)} if job.reports_usage else {}))


class Completions(OpenAI):
    """POST /completions: no role event, so event 0 is content."""

    name = "openai_completions"

    def events(self, job: Job) -> Iterator[Event]:
        write = splice(sse, self._chunk(job, MARK))
        for slot in job.slots:
            yield Event(slot.index, "text", write(slot.text), slot.tokens)
        yield Event(CLOSING, "finish", sse(dumps(self._chunk(job, "", FINISH[job.finish]))))
        if job.wants_usage:
            yield Event(CLOSING, "usage", sse(dumps(self._chunk(job, None) | {"usage": usage_of(job)})))
        yield Event(CLOSING, "done", sse(b"[DONE]"))

    def _chunk(self, job: Job, text: str | None, finish: str | None = None) -> dict[str, Any]:
        choices = [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}] if text is not None else []
        head = {"id": job.id("cmpl-"), "object": "text_completion", "created": CREATED_S, "model": job.turn.model}
        return {**head, "choices": choices}

    def document(self, job: Job) -> bytes:
        text = "".join(slot.text for slot in job.slots)
        whole = self._chunk(job, text, FINISH[job.finish])
        return dumps(whole | ({"usage": usage_of(job)} if job.reports_usage else {}))


class Embeddings(OpenAI):
    """POST /embeddings: one document, vectors of eight numbers."""

    name = "openai_embeddings"
    document_only = True

    def events(self, job: Job) -> Iterator[Event]:
        return iter(())

    def document(self, job: Job) -> bytes:
        rows = []
        for row in range(job.turn.count):
            vector = [round(share(job.script.seed, row, k) * 2 - 1, 6) for k in range(8)]
            packed = base64.b64encode(struct.pack("<8f", *vector)).decode()
            value = packed if job.turn.variant == "base64" else vector
            rows.append({"object": "embedding", "index": row, "embedding": value})
        usage = {"prompt_tokens": job.prompt_tokens, "total_tokens": job.prompt_tokens}
        return dumps({"object": "list", "data": rows, "model": job.turn.model, "usage": usage})


class Models(OpenAI):
    """GET /models."""

    name = "openai_models"
    document_only = True

    def events(self, job: Job) -> Iterator[Event]:
        return iter(())

    def document(self, job: Job) -> bytes:
        names = job.script.models or ("simulated",)
        rows = [{"id": name, "object": "model", "created": CREATED_S, "owned_by": "simulator"} for name in names]
        return dumps({"object": "list", "data": rows})
