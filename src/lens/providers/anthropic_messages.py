"""Anthropic's Messages as a body, as rules and as an answer: for Anthropic itself, Vertex and Bedrock (WIRE 7).

Thinking is part of the output. A signature, a ping and a block that opens are no tokens; a tool's name
is. Event types and delta types that are not known are passed over.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.base import Body, as_dict, as_list, as_name, as_number, as_str, json_text, parsed
from lens.providers.failures import error_of
from lens.providers.messages import answers_together, calls_of, data_url, is_system, is_tool_answer, parts_of, text_of
from lens.providers.outcomes import not_a_stream, outcome
from lens.providers.usage import count, total
from lens.wire import Ask, Exchange, Prompt, SignalRule, SignalRules, When

# The protocol has no answer without a bound; this one is ours.
MAX_TOKENS = 1024
_TOOL_BLOCKS = ("tool_use", "server_tool_use", "mcp_tool_use")


def rules_under(prefix: str = "") -> SignalRules:
    """The rules of the events, where they stand under `prefix` (with its dot) of a frame."""
    scope = prefix.removesuffix(".")
    inside = {name: f"{prefix}{name}" for name in ("delta", "content_block", "message")}

    def in_delta(kind: str, field: str, signal: Signal) -> SignalRule:
        return SignalRule(f"{inside['delta']}.{field}", signal, when=When(inside["delta"], "type", kind))

    def of(kind: str, path: str, signal: Signal) -> SignalRule:
        return SignalRule(prefix + path, signal, takes="value", when=When(scope, "type", kind))

    block = inside["content_block"]
    return SignalRules(
        rules=(
            in_delta("text_delta", "text", Signal.TEXT),
            in_delta("thinking_delta", "thinking", Signal.REASONING),
            in_delta("input_json_delta", "partial_json", Signal.TOOL),
            SignalRule(f"{block}.text", Signal.TEXT, when=When(block, "type", "text")),
            *[SignalRule(f"{block}.name", Signal.TOOL, when=When(block, "type", kind)) for kind in _TOOL_BLOCKS],
            of("message_start", "message.usage", Signal.USAGE),
            of("message_delta", "usage", Signal.USAGE),
            of("message_delta", "delta.stop_reason", Signal.FINISH),
            of("message_stop", "type", Signal.DONE),
            of("error", "error", Signal.ERROR),
        )
    )


def body_of(prompt: Prompt, ask: Ask) -> Body:
    """The request's body without model and stream."""
    messages = prompt.as_messages()
    turns = answers_together(message for message in messages if not is_system(message))
    most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
    body: Body = {"max_tokens": MAX_TOKENS if most is None else most, "messages": [_turn(turn) for turn in turns]}
    system = _system([message.get("content") for message in messages if is_system(message)])
    if system:
        body["system"] = system
    if ask.temperature is not None:
        body["temperature"] = ask.temperature
    return body


def _system(contents: list[Any]) -> str | list[Body]:
    """A text; blocks where one says more than its text (a mark of what to cache)."""
    blocks = [part for content in contents for part in parts_of(content)]
    if all(set(block) <= {"type", "text"} for block in blocks):
        return "\n".join([text_of(content) for content in contents])
    return blocks


def _turn(run: list[dict[str, Any]]) -> Body:
    message = run[0]
    if is_tool_answer(message):
        return {"role": "user", "content": [_tool_result(answer) for answer in run]}
    calls = calls_of(message)
    if isinstance(message.get("content"), str) and not calls:
        return {"role": message.get("role", "user"), "content": message["content"]}
    blocks = [_block(part) for part in parts_of(message.get("content"))]
    blocks += [{"type": "tool_use", "id": id_, "name": name, "input": given} for id_, name, given in calls]
    return {"role": message.get("role", "user"), "content": blocks}


def _tool_result(message: dict[str, Any]) -> Body:
    content = message.get("content")
    told = content if isinstance(content, str) else [_block(part) for part in parts_of(content)]
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": told}


def _block(part: dict[str, Any]) -> Body:
    if part.get("type") != "image_url":
        return part
    url = as_dict(part.get("image_url")).get("url")
    packed = data_url(url)
    if packed is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": packed[0], "data": packed[1]}}


class Answer:
    """What has been read of one answer, event by event."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.model: str | None = None
        self.usage_raw: dict[str, Any] = {}
        self.error: Failure | None = None
        self.timings_ms: dict[str, float] = {}
        self._tools: dict[int, ToolCall] = {}

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        """All kept frames of a server-sent stream."""
        malformed = False
        for frame in exchange.frames:
            if not frame.data.strip():
                continue
            event = parsed(frame.data)
            if not isinstance(event, dict):
                malformed = True
                break
            self.take(event)
        return self.outcome(exchange, malformed=malformed)

    def outcome(self, exchange: Exchange, *, malformed: bool = False) -> tuple[str, Failure | None]:
        return outcome(
            exchange,
            done=any(bits & Signal.DONE for bits in exchange.events.signals),
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        """A whole message in one piece."""
        data = parsed(exchange.document)
        if not isinstance(data, dict) or not ("content" in data or data.get("error")):
            return "protocol_error", not_a_stream(exchange)
        if data.get("error"):
            said = error_of(data) or Failure(message="")
            return "stream_error", msgspec.structs.replace(said, where="body")
        self._take_message(data)
        content = as_list(data.get("content"))
        for place, block in enumerate(content):
            self._open(place, as_dict(block))
        if not content and not self.finish:
            return "empty", Failure(message="the answer holds no content", type="empty", where="protocol")
        return "success", None

    def take(self, event: dict[str, Any]) -> None:
        """One event."""
        kind = event.get("type")
        place = count(event.get("index")) or 0
        if kind == "message_start":
            self._take_message(as_dict(event.get("message")))
        elif kind == "content_block_start":
            self._open(place, as_dict(event.get("content_block")))
        elif kind == "content_block_delta":
            self._grow(place, as_dict(event.get("delta")))
        elif kind == "message_delta":
            self._finished(as_dict(event.get("delta")).get("stop_reason"))
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.timings_ms = server_times_ms(as_dict(event.get("amazon-bedrock-invocationMetrics")))
        elif kind == "error" and self.error is None:
            said = error_of(event) or Failure(message="")
            self.error = msgspec.structs.replace(said, where="stream")

    def _take_message(self, message: dict[str, Any]) -> None:
        self.model = as_name(message.get("model")) or self.model
        self._finished(message.get("stop_reason"))
        self._count(message.get("usage"))

    def _finished(self, reason: Any) -> None:
        self.finish = as_name(reason) or self.finish

    def _count(self, usage: Any) -> None:
        """Counts are running totals: what is said later, and is said, replaces."""
        self.usage_raw.update({key: value for key, value in as_dict(usage).items() if value is not None})

    def _open(self, place: int, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind in _TOOL_BLOCKS:
            given = json_text(block["input"]) if block.get("input") else ""
            self._tools[place] = ToolCall(name=as_str(block.get("name")), arguments=given, id=as_name(block.get("id")))
        elif kind == "text":
            self.text += as_str(block.get("text"))
        elif kind == "thinking":
            self.reasoning += as_str(block.get("thinking"))

    def _grow(self, place: int, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            self.text += as_str(delta.get("text"))
        elif kind == "thinking_delta":
            self.reasoning += as_str(delta.get("thinking"))
        elif kind == "input_json_delta":
            tool = self._tools.get(place, ToolCall(name=""))
            more = tool.arguments + as_str(delta.get("partial_json"))
            self._tools[place] = msgspec.structs.replace(tool, arguments=more)

    def usage(self) -> Usage | None:
        """Cached tokens are counted outside of input_tokens here; ours holds them all."""
        raw = self.usage_raw
        plain, made = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
        if plain is None and made is None:
            return None
        read, written = count(raw.get("cache_read_input_tokens")), count(raw.get("cache_creation_input_tokens"))
        given = total(plain, read, written)
        return Usage(
            input_tokens=given,
            output_tokens=made,
            total_tokens=total(given, made),
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=count(as_dict(raw.get("cache_creation")).get("ephemeral_1h_input_tokens")),
            reasoning_tokens=count(as_dict(raw.get("output_tokens_details")).get("thinking_tokens")),
        )

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple([self._tools[place] for place in sorted(self._tools)])

    def fields(self) -> dict[str, Any]:
        """The fields of a Reading that this answer fills."""
        usage = self.usage()
        return {
            "usage": usage,
            "usage_raw": self.usage_raw or None,
            "finish_reason": self.finish,
            "served_model": self.model,
            "text": self.text,
            "reasoning": self.reasoning,
            "tool_calls": self.tool_calls(),
            "timings_ms": self.timings_ms,
        }


def server_times_ms(told: dict[str, Any]) -> dict[str, float]:
    """What Bedrock says of its own times, under our names."""
    names = {"invocationLatency": "bedrock_invocation", "firstByteLatency": "bedrock_first_byte"}
    return {name: took for key, name in names.items() if (took := as_number(told.get(key))) is not None}
