"""Bedrock: Converse, and InvokeModel with Anthropic's events in it, both as AWS event streams.

Text is written with JSON's \\u escapes here, so that clients meet surrogate pairs too.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from lens.simulator.http import Request
from lens.simulator.protocols.anthropic import FINISH, stream_bodies, whole_message
from lens.simulator.protocols.base import ErrorStatus, HeaderFacts, Headers, WireProtocol
from lens.simulator.protocols.completion import CLOSING, OPENING, TOOL_NAME, Completion, Event, Params, with_usage
from lens.simulator.protocols.framing import dumps

PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"

STRING = 7  # the frame header type of all that Bedrock sends

# kind of error -> (error type, message)
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


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one frame of application/vnd.amazon.eventstream: lengths, headers, payload and two CRC-32s.

    https://smithy.io/2.0/aws/amazon-eventstream.html
    """
    block = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", STRING, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    total = 12 + len(block) + len(payload) + 4
    prelude = struct.pack(">II", total, len(block))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(name: str, payload: bytes) -> bytes:
    """Return a frame of message type event."""
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """Return a frame of message type exception."""
    return frame({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)


def latency_ms(completion: Completion) -> int:
    """Return the time from the request to the last token, as the script has it."""
    return (completion.script.ttft_ns + completion.generation_ns) // 1_000_000


class Bedrock(WireProtocol):
    """What Converse and Invoke have in common."""

    media_type = "application/vnd.amazon.eventstream"
    comment = b""

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        """Return the model of /model/ID/operation; the ID may hold slashes (an ARN)."""
        return request.path.rpartition("/")[0].partition("/model/")[2]

    def wants_stream(self, request: Request, body: dict[str, Any]) -> bool:
        return request.path.endswith("-stream")

    def headers(self, facts: HeaderFacts) -> Headers:
        return [("x-amzn-RequestId", facts.request_id)]

    def error_object(self, error: ErrorStatus, params: Params, request_id: str) -> dict[str, Any]:
        return {"message": ERRORS.get(error.kind, ERRORS["invalid"])[1]}

    def error_headers(self, error: ErrorStatus) -> Headers:
        name, _ = ERRORS.get(error.kind, ERRORS["invalid"])
        return [("x-amzn-ErrorType", f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/")]

    def error_event(self, completion: Completion) -> bytes:
        name, message = ERRORS.get(completion.script.error, ERRORS["rate_limit"])
        return exception(name[0].lower() + name[1:], dumps({"message": message}))

    def malformed_event(self) -> bytes:
        """Return a frame whose last byte, and so its checksum, is wrong."""
        good = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"broken"}}')
        return good[:-1] + bytes([good[-1] ^ 0xFF])

    def auth_status(self, request: Request) -> int:
        return 403


class Converse(Bedrock):
    """POST /model/ID/converse-stream and /converse."""

    name = "bedrock_converse"

    def token_limit(self, body: dict[str, Any]) -> Any:
        return (body.get("inferenceConfig") or {}).get("maxTokens")

    def events(self, completion: Completion) -> Iterator[Event]:
        yield self._event(OPENING, "role", "messageStart", {"role": "assistant"})
        for delta in completion.deltas:
            place = {"contentBlockIndex": delta.block}
            if delta.first and delta.kind == "tool":
                start = {"toolUse": {"toolUseId": completion.make_id("tooluse_", 22), "name": TOOL_NAME}}
                yield self._event(delta.index, "tool", "contentBlockStart", {**place, "start": start})
            body = {**place, "delta": self._delta(delta.kind, delta.text)}
            yield self._event(delta.index, delta.kind, "contentBlockDelta", body, delta.tokens)
            if delta.last:
                if delta.kind == "reasoning":
                    signed = {"reasoningContent": {"signature": completion.make_id("sig", 32)}}
                    yield self._event(delta.closes_at, "meta", "contentBlockDelta", {**place, "delta": signed})
                yield self._event(delta.closes_at, "meta", "contentBlockStop", place)
        yield self._event(CLOSING, "finish", "messageStop", {"stopReason": FINISH[completion.finish]})
        yield self._event(CLOSING, "usage", "metadata", self._metadata(completion))

    @staticmethod
    def _delta(kind: str, text: str) -> dict[str, Any]:
        if kind == "reasoning":
            return {"reasoningContent": {"text": text}}
        return {"text": text} if kind == "text" else {"toolUse": {"input": text}}

    @staticmethod
    def _event(at: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
        """Every payload is padded by a length that depends on what it holds, as Bedrock's are."""
        plain = dumps(body, ascii_only=True)
        padded = {**body, "p": PADDING[: 2 + len(plain) * 7 % (len(PADDING) - 2)]}
        return Event(at, kind, event(name, dumps(padded, ascii_only=True)), tokens)

    @staticmethod
    def _metadata(completion: Completion) -> dict[str, Any]:
        """Cached tokens stand beside inputTokens, not in them."""
        fresh = completion.prompt_tokens - completion.cached_tokens
        usage = {"inputTokens": fresh, "outputTokens": completion.output_tokens}
        usage["totalTokens"] = completion.prompt_tokens + completion.output_tokens
        if completion.cached_tokens:
            usage |= {"cacheReadInputTokens": completion.cached_tokens, "cacheWriteInputTokens": 0}
        return with_usage({"metrics": {"latencyMs": latency_ms(completion)}}, completion, usage)

    def document(self, completion: Completion) -> bytes:
        content: list[dict[str, Any]] = []
        for kind in completion.kinds:
            text = completion.text_of(kind)
            if kind == "tool":
                call = {"toolUseId": completion.make_id("tooluse_", 22), "name": TOOL_NAME, "input": json.loads(text)}
                content.append({"toolUse": call})
            elif kind == "reasoning":
                content.append(
                    {"reasoningContent": {"reasoningText": {"text": text, "signature": completion.make_id("sig", 32)}}}
                )
            else:
                content.append({"text": text})
        output = {"message": {"role": "assistant", "content": content}}
        whole = {"output": output, "stopReason": FINISH[completion.finish], **self._metadata(completion)}
        return dumps(whole, ascii_only=True)


class Invoke(Bedrock):
    """POST /model/ID/invoke-with-response-stream and /invoke, with Anthropic's bodies."""

    name = "bedrock_invoke"

    def events(self, completion: Completion) -> Iterator[Event]:
        for at, kind, name, body, tokens in stream_bodies(completion, pings=False):
            inner = {"type": name, **body}
            if name == "message_stop":
                inner["amazon-bedrock-invocationMetrics"] = self._metrics(completion)
            padding = PADDING[: 2 + len(str(inner)) % 30]
            payload = {"bytes": base64.b64encode(dumps(inner)).decode(), "p": padding}
            yield Event(at, kind, event("chunk", dumps(payload)), tokens)

    @staticmethod
    def _metrics(completion: Completion) -> dict[str, int]:
        return {
            "inputTokenCount": completion.prompt_tokens,
            "outputTokenCount": completion.output_tokens,
            "invocationLatency": latency_ms(completion),
            "firstByteLatency": completion.script.ttft_ns // 1_000_000,
        }

    def document(self, completion: Completion) -> bytes:
        return dumps(whole_message(completion))
