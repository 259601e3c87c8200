"""OpenAI chat completions, legacy completions, embeddings and models, and Azure's variants of them.

Azure (variant "azure") adds a first event with prompt filter results, a filter result on
each choice, and its own headers; the rest is the same.
https://platform.openai.com/docs/api-reference/chat, https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from lens.simulator.http import Request
from lens.simulator.protocols.base import ErrorStatus, HeaderFacts, Headers, WireProtocol, retry_headers
from lens.simulator.protocols.completion import (
    CLOSING,
    CREATED_S,
    OPENING,
    TOOL_NAME,
    Completion,
    Event,
    Params,
    with_usage,
)
from lens.simulator.protocols.framing import TEXT, compile_event, dumps, sse
from lens.simulator.words import hash_fraction

# The most inputs of a request for embeddings.
# https://platform.openai.com/docs/api-reference/embeddings/create
MAX_INPUTS = 2048
AZURE_PATH = "/openai/deployments/"
FINISH = {"stop": "stop", "length": "length", "tool": "tool_calls"}
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}

# kind of error -> (type, code, message), as api.openai.com words them.
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


def usage_of(completion: Completion) -> dict[str, Any]:
    """Return token counts in OpenAI's names."""
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.output_tokens,
        "total_tokens": completion.prompt_tokens + completion.output_tokens,
        "prompt_tokens_details": {"cached_tokens": completion.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": completion.script.reasoning_tokens, "audio_tokens": 0},
    }


class OpenAI(WireProtocol):
    """What OpenAI's protocols have in common: the request's fields, headers, errors and keys."""

    def parse_request(self, request: Request, body: dict[str, Any]) -> Params:
        params = super().parse_request(request, body)
        options, inputs = body.get("stream_options") or {}, body.get("input")
        return msgspec.structs.replace(
            params,
            include_usage=bool(options.get("include_usage")),
            count=len(inputs) if isinstance(inputs, list) else 1,
        )

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        deployment = request.path.split("/")[3] if request.path.startswith(AZURE_PATH) else ""
        return str(body.get("model") or deployment or "simulated")

    def token_limit(self, body: dict[str, Any]) -> Any:
        return body.get("max_completion_tokens") or body.get("max_tokens")

    def variant_of(self, request: Request, body: dict[str, Any]) -> str:
        azure = request.path.startswith(AZURE_PATH) or "api-key" in request.headers
        return "azure" if azure else str(body.get("encoding_format") or "")

    def headers(self, facts: HeaderFacts) -> Headers:
        return [
            ("openai-processing-ms", str(facts.server_ms)),
            ("openai-version", "2020-10-01"),
            ("x-envoy-upstream-service-time", str(facts.server_ms)),
            ("x-ratelimit-limit-requests", str(facts.limit)),
            ("x-ratelimit-remaining-requests", str(facts.remaining)),
            ("x-ratelimit-reset-requests", f"{round(facts.reset_s * 1000)}ms"),
            ("x-ratelimit-limit-tokens", "10000000"),
            ("x-ratelimit-remaining-tokens", "9999000"),
            ("x-ratelimit-reset-tokens", "6ms"),
            ("x-request-id", facts.request_id),
        ]

    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        kind, code, message = ERRORS.get(error.kind, ERRORS["invalid"])
        if params.variant != "azure":
            return {"error": {"message": message, "type": kind, "param": None, "code": code}}
        if error.kind != "content_filter":
            return {"error": {"code": str(error.status), "message": message}}
        policy = {"code": "ResponsibleAIPolicyViolation"}
        head = {"code": "content_filter", "message": message}
        return {"error": {**head, "status": error.status, "innererror": policy}}

    def error_headers(self, error: ErrorStatus) -> Headers:
        if error.retry_after_s is None:
            return []
        return [("retry-after-ms", str(round(error.retry_after_s * 1000))), *retry_headers(error)]

    def key(self, request: Request) -> str:
        return request.headers.get("api-key") or super().key(request)

    def error_event(self, completion: Completion) -> bytes:
        kind, code, message = ERRORS.get(completion.script.error, ERRORS["server"])
        return sse(dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}))

    def malformed_event(self) -> bytes:
        return sse(b'{"choices":[{"index":0,"delta":{"content":"cut o')


class Chat(OpenAI):
    """POST /chat/completions."""

    name = "openai_chat"

    def events(self, completion: Completion) -> Iterator[Event]:
        if completion.params.variant == "azure":
            filters = [{"prompt_index": 0, "content_filter_results": SAFE}]
            head = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": filters}
            yield Event(OPENING, "meta", sse(dumps(head)))
        yield Event(
            OPENING, "role", sse(dumps(self._chunk(completion, {"role": "assistant", "content": "", "refusal": None})))
        )
        write = {
            "text": compile_event(sse, self._chunk(completion, {"content": TEXT})),
            "reasoning": compile_event(sse, self._chunk(completion, {"reasoning_content": TEXT})),
            "tool": compile_event(
                sse, self._chunk(completion, {"tool_calls": [{"index": 0, "function": {"arguments": TEXT}}]})
            ),
        }
        for delta in completion.deltas:
            if delta.kind == "tool" and delta.first:
                yield Event(
                    delta.index,
                    "tool",
                    sse(dumps(self._chunk(completion, {"tool_calls": [self._call(completion, "")]}))),
                )
            yield Event(delta.index, delta.kind, write[delta.kind](delta.text), delta.tokens)
        yield Event(CLOSING, "finish", sse(dumps(self._chunk(completion, {}, FINISH[completion.finish]))))
        if completion.wants_usage:
            yield Event(CLOSING, "usage", sse(dumps(self._chunk(completion, None) | {"usage": usage_of(completion)})))
        yield Event(CLOSING, "done", sse(b"[DONE]"))

    def _chunk(self, completion: Completion, delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        if completion.params.variant == "azure" and delta is not None:
            choice["content_filter_results"] = {} if not delta else SAFE
        head = {"id": completion.make_id("chatcmpl-"), "object": "chat.completion.chunk", "created": CREATED_S}
        head |= {"model": completion.params.model, "service_tier": "default", "system_fingerprint": "fp_simulated"}
        chunk = {**head, "choices": [] if delta is None else [choice]}
        return {**chunk, "usage": None} if completion.wants_usage else chunk

    def _call(self, completion: Completion, arguments: str) -> dict[str, Any]:
        function = {"name": TOOL_NAME, "arguments": arguments}
        return {"index": 0, "id": completion.make_id("call_"), "type": "function", "function": function}

    def document(self, completion: Completion) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": completion.text_of("text") or None, "refusal": None}
        if completion.script.reasoning_tokens:
            message["reasoning_content"] = completion.text_of("reasoning")
        if completion.script.tool_tokens:
            call = self._call(completion, completion.text_of("tool"))
            message["tool_calls"] = [{name: call[name] for name in ("id", "type", "function")}]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[completion.finish]}
        whole = self._chunk(completion, None) | {"object": "chat.completion", "choices": [choice]}
        return dumps(with_usage(whole, completion, usage_of(completion)))


class Completions(OpenAI):
    """POST /completions: no role event, so event 0 is content."""

    name = "openai_completions"

    def events(self, completion: Completion) -> Iterator[Event]:
        write = compile_event(sse, self._chunk(completion, TEXT))
        for delta in completion.deltas:
            yield Event(delta.index, "text", write(delta.text), delta.tokens)
        yield Event(CLOSING, "finish", sse(dumps(self._chunk(completion, "", FINISH[completion.finish]))))
        if completion.wants_usage:
            yield Event(CLOSING, "usage", sse(dumps(self._chunk(completion, None) | {"usage": usage_of(completion)})))
        yield Event(CLOSING, "done", sse(b"[DONE]"))

    def _chunk(self, completion: Completion, text: str | None, finish: str | None = None) -> dict[str, Any]:
        choices = [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}] if text is not None else []
        head = {
            "id": completion.make_id("cmpl-"),
            "object": "text_completion",
            "created": CREATED_S,
            "model": completion.params.model,
        }
        return {**head, "choices": choices}

    def document(self, completion: Completion) -> bytes:
        text = "".join(delta.text for delta in completion.deltas)
        whole = self._chunk(completion, text, FINISH[completion.finish])
        return dumps(with_usage(whole, completion, usage_of(completion)))


class Document(OpenAI):
    """What is answered in one piece, whatever the request asks for."""

    document_only = True

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        return False

    def events(self, completion: Completion) -> Iterator[Event]:
        return iter(())


class Embeddings(Document):
    """POST /embeddings: vectors of eight numbers."""

    name = "openai_embeddings"

    def parse_request(self, request: Request, body: dict[str, Any]) -> Params:
        """
        Raises:
            ValueError: more inputs than are embedded at once.
        """
        params = super().parse_request(request, body)
        if params.count > MAX_INPUTS:
            raise ValueError(f"there are {params.count} inputs; at most {MAX_INPUTS} are embedded at once")
        return params

    def document(self, completion: Completion) -> bytes:
        rows = []
        for row in range(completion.params.count):
            vector = [round(hash_fraction(completion.script.seed, row, k) * 2 - 1, 6) for k in range(8)]
            packed = base64.b64encode(struct.pack("<8f", *vector)).decode()
            value = packed if completion.params.variant == "base64" else vector
            rows.append({"object": "embedding", "index": row, "embedding": value})
        usage = {"prompt_tokens": completion.prompt_tokens, "total_tokens": completion.prompt_tokens}
        return dumps({"object": "list", "data": rows, "model": completion.params.model, "usage": usage})


class Models(Document):
    """GET /models."""

    name = "openai_models"

    def document(self, completion: Completion) -> bytes:
        names = completion.script.models or ("simulated",)
        rows = [{"id": name, "object": "model", "created": CREATED_S, "owned_by": "simulator"} for name in names]
        return dumps({"object": "list", "data": rows})
