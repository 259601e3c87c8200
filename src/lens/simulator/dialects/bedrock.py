"""Bedrock: Converse, and InvokeModel with Anthropic's events in it, both as AWS event streams (WIRE 9).

Text is written with JSON's \\u escapes here, so that clients meet surrogate pairs too.
"""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from lens.simulator.dialects import anthropic
from lens.simulator.dialects.base import Dialect, Failure, Pace, dumps
from lens.simulator.dialects.eventstream import event, exception
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, OPENING, TOOL_NAME, Event, Job, Turn, prompt_tokens_of

FINISH = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"

# kind -> (error type, message)
ERRORS = {
    "invalid": ("ValidationException", "The request is not valid."),
    "auth": ("UnrecognizedClientException", "The security token included in the request is invalid."),
    "permission": ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "not_found": ("ResourceNotFoundException", "Could not resolve the foundation model."),
    "timeout": ("ModelTimeoutException", "Model is timed out in processing the request."),
    "model": ("ModelErrorException", "The model failed."),
    "rate_limit": ("ThrottlingException", "Too many requests, please wait before trying again."),
    "quota": ("ServiceQuotaExceededException", "You have exceeded your quota."),
    "not_ready": ("ModelNotReadyException", "The model is not ready to serve inference requests."),
    "context": ("ValidationException", "Input is too long for requested model."),
    "overloaded": ("ServiceUnavailableException", "Bedrock is unable to process your request."),
    "server": ("InternalServerException", "The server encountered an unexpected error."),
}


def model_of(request: Request) -> str:
    """The model of /model/ID/operation; the ID may hold slashes (an ARN)."""
    return request.path.rpartition("/")[0].partition("/model/")[2]


class Bedrock(Dialect):
    """What Converse and Invoke share."""

    media_type = "application/vnd.amazon.eventstream"
    comment = b""

    def headers(self, pace: Pace) -> list[tuple[str, str]]:
        return [("x-amzn-RequestId", pace.request_id)]

    def failure(self, failure: Failure, turn: Turn, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
        name, message = ERRORS.get(failure.kind, ERRORS["invalid"])
        more = [("x-amzn-ErrorType", f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/")]
        return dumps({"message": message}), more

    def error_event(self, job: Job) -> bytes:
        name, message = ERRORS.get(job.script.error, ERRORS["rate_limit"])
        return exception(name[0].lower() + name[1:], dumps({"message": message}))

    def malformed_event(self) -> bytes:
        """A frame whose last byte, and so its checksum, is wrong."""
        good = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"broken"}}')
        return good[:-1] + bytes([good[-1] ^ 0xFF])

    def auth_status(self, request: Request) -> int:
        return 403


class Converse(Bedrock):
    """POST /model/ID/converse-stream and /converse."""

    name = "bedrock_converse"

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        return Turn(
            dialect=self.name,
            model=model_of(request),
            stream=request.path.endswith("-stream"),
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=(body.get("inferenceConfig") or {}).get("maxTokens"),
        )

    def events(self, job: Job) -> Iterator[Event]:
        yield self._event(OPENING, "role", "messageStart", {"role": "assistant"})
        index = -1
        for slot in job.slots:
            if slot.first:
                index += 1
                if slot.kind == "tool":
                    start = {"toolUse": {"toolUseId": job.id("tooluse_", 22), "name": TOOL_NAME}}
                    body = {"contentBlockIndex": index, "start": start}
                    yield self._event(slot.index, "tool", "contentBlockStart", body)
            body = {"contentBlockIndex": index, "delta": self._delta(slot.kind, slot.text)}
            yield self._event(slot.index, slot.kind, "contentBlockDelta", body, slot.tokens)
            if slot.last:
                at = CLOSING if slot.final else slot.index
                if slot.kind == "reasoning":
                    signed = {"reasoningContent": {"signature": job.id("sig", 32)}}
                    body = {"contentBlockIndex": index, "delta": signed}
                    yield self._event(at, "meta", "contentBlockDelta", body)
                yield self._event(at, "meta", "contentBlockStop", {"contentBlockIndex": index})
        yield self._event(CLOSING, "finish", "messageStop", {"stopReason": FINISH[job.finish]})
        yield self._event(CLOSING, "usage", "metadata", self._metadata(job))

    @staticmethod
    def _delta(kind: str, text: str) -> dict[str, Any]:
        if kind == "reasoning":
            return {"reasoningContent": {"text": text}}
        return {"text": text} if kind == "text" else {"toolUse": {"input": text}}

    @staticmethod
    def _event(slot: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
        """Every payload is padded by a length that depends on what it holds, as Bedrock's are."""
        plain = dumps(body, ascii_only=True)
        padded = {**body, "p": PADDING[: 2 + len(plain) * 7 % (len(PADDING) - 2)]}
        return Event(slot, kind, event(name, dumps(padded, ascii_only=True)), tokens)

    @staticmethod
    def _metadata(job: Job) -> dict[str, Any]:
        """Cached tokens stand beside inputTokens, not in them."""
        fresh = job.prompt_tokens - job.cached_tokens
        usage = {"inputTokens": fresh, "outputTokens": job.output_tokens}
        usage["totalTokens"] = job.prompt_tokens + job.output_tokens
        if job.cached_tokens:
            usage |= {"cacheReadInputTokens": job.cached_tokens, "cacheWriteInputTokens": 0}
        tokens = max(0, job.output_tokens - 1)
        latency_ms = (job.script.ttft_ns + job.script.itl_ns * tokens) // 1_000_000
        return {"metrics": {"latencyMs": latency_ms}} | ({"usage": usage} if job.reports_usage else {})

    def document(self, job: Job) -> bytes:
        content: list[dict[str, Any]] = []
        for kind in dict.fromkeys(slot.kind for slot in job.slots):
            text = job.said(kind)
            if kind == "tool":
                call = {"toolUseId": job.id("tooluse_", 22), "name": TOOL_NAME, "input": json.loads(text)}
                content.append({"toolUse": call})
            elif kind == "reasoning":
                content.append({"reasoningContent": {"reasoningText": {"text": text, "signature": job.id("sig", 32)}}})
            else:
                content.append({"text": text})
        output = {"message": {"role": "assistant", "content": content}}
        whole = {"output": output, "stopReason": FINISH[job.finish], **self._metadata(job)}
        return dumps(whole, ascii_only=True)


class Invoke(Bedrock):
    """POST /model/ID/invoke-with-response-stream and /invoke, with Anthropic's bodies."""

    name = "bedrock_invoke"

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        return Turn(
            dialect=self.name,
            model=model_of(request),
            stream=request.path.endswith("-stream"),
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=body.get("max_tokens"),
        )

    def events(self, job: Job) -> Iterator[Event]:
        for slot, kind, name, body, tokens in anthropic.stream_bodies(job, pings=False):
            inner = {"type": name, **body}
            if name == "message_stop":
                inner["amazon-bedrock-invocationMetrics"] = self._metrics(job)
            padding = PADDING[: 2 + len(str(inner)) % 30]
            payload = {"bytes": base64.b64encode(dumps(inner)).decode(), "p": padding}
            yield Event(slot, kind, event("chunk", dumps(payload)), tokens)

    @staticmethod
    def _metrics(job: Job) -> dict[str, int]:
        tokens = max(0, job.output_tokens - 1)
        return {
            "inputTokenCount": job.prompt_tokens,
            "outputTokenCount": job.output_tokens,
            "invocationLatency": (job.script.ttft_ns + job.script.itl_ns * tokens) // 1_000_000,
            "firstByteLatency": job.script.ttft_ns // 1_000_000,
        }

    def document(self, job: Job) -> bytes:
        return dumps(anthropic.whole_message(job))
