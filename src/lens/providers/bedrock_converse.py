"""Bedrock's Converse as a body, as rules and as an answer: one schema for every model (WIRE 9).

The stream is AWS event frames; the type of a frame is the first key of a rule's path. An exception or an
error frame ends the answer.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.base import Body, as_dict, as_list, as_name, as_number, as_str, json_text, parsed
from lens.providers.failures import error_of, masked
from lens.providers.messages import calls_of, data_url, is_tool_answer, parts_of, system_and_turns
from lens.providers.outcomes import not_a_stream, outcome
from lens.providers.usage import count, total
from lens.wire import Ask, Exchange, Frame, Prompt, SignalRule, SignalRules

_DELTA = "contentBlockDelta.delta."
RULES = SignalRules(
    rules=(
        SignalRule(_DELTA + "text", Signal.TEXT),
        SignalRule(_DELTA + "reasoningContent.text", Signal.REASONING),
        SignalRule(_DELTA + "toolUse.input", Signal.TOOL),
        SignalRule("contentBlockStart.start.toolUse.name", Signal.TOOL),
        SignalRule("messageStop.stopReason", Signal.FINISH, takes="value"),
        SignalRule("metadata.usage", Signal.USAGE, takes="value"),
        SignalRule("metadata.metrics", Signal.DONE, takes="value"),
        SignalRule("metadata.usage", Signal.DONE, takes="value"),
    )
)
# The images that the protocol names by themselves.
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def body_of(prompt: Prompt, ask: Ask) -> Body:
    """The request's body; the model stands in the path."""
    system, turns = system_and_turns(prompt)
    body: Body = {"messages": _alternating([_turn(turn) for turn in turns])}
    if system:
        body["system"] = [{"text": system}]
    most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
    wished = {"maxTokens": most, "temperature": ask.temperature}
    settings = {name: value for name, value in wished.items() if value is not None}
    if settings:
        body["inferenceConfig"] = settings
    return body


def _alternating(turns: list[Body]) -> list[Body]:
    """Neighbours of one role as one: the protocol wants the roles to take turns, and all tools' answers at once."""
    return [
        {"role": role, "content": [block for turn in run for block in turn["content"]]}
        for role, run in groupby(turns, key=itemgetter("role"))
    ]


def _turn(message: dict[str, Any]) -> Body:
    if is_tool_answer(message):
        return {"role": "user", "content": [{"toolResult": _tool_result(message)}]}
    blocks = [_block(part) for part in parts_of(message.get("content"))]
    blocks += [{"toolUse": {"toolUseId": id_, "name": name, "input": given}} for id_, name, given in calls_of(message)]
    return {"role": message.get("role", "user"), "content": blocks}


def _tool_result(message: dict[str, Any]) -> Body:
    told = [_block(part) for part in parts_of(message.get("content"))]
    return {"toolUseId": message.get("tool_call_id"), "content": told}


def _block(part: dict[str, Any]) -> Body:
    if part.get("type") == "text":
        return {"text": part.get("text")}
    packed = data_url(as_dict(part.get("image_url")).get("url"))
    if packed is None:
        return part
    return {"image": {"format": _IMAGES.get(packed[0], packed[0].rpartition("/")[2]), "source": {"bytes": packed[1]}}}


def error_frame(frame: Frame) -> Failure | None:
    """What an exception or an error frame says; None for any other frame."""
    kind, _, name = frame.name.partition(":")
    if kind == "exception":
        said = error_of(parsed(frame.data))
        return Failure(message=said.message if said else "", type=name, where="stream")
    if kind == "error":
        return Failure(message=masked(frame.data.decode("utf-8", "replace")), type=name, where="stream")
    return None


class Answer:
    """What has been read of one answer, frame by frame."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.usage_raw: dict[str, Any] = {}
        self.error: Failure | None = None
        self.timings_ms: dict[str, float] = {}
        self._tools: dict[int, ToolCall] = {}

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        malformed = False
        for frame in exchange.frames:
            self.error = self.error or error_frame(frame)
            if not frame.name.startswith("event:"):
                continue
            event = parsed(frame.data)
            if not isinstance(event, dict):
                malformed = True
                break
            self._take(frame.name.removeprefix("event:"), event)
        return outcome(
            exchange,
            done=any(bits & Signal.DONE for bits in exchange.events.signals),
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        message = as_dict(as_dict(as_dict(data).get("output")).get("message"))
        if not isinstance(data, dict) or not message:
            return "protocol_error", not_a_stream(exchange)
        for place, block in enumerate(as_list(message.get("content"))):
            self._take_block(place, as_dict(block))
        self._take("messageStop", data)
        self._take("metadata", data)
        if not message.get("content") and not self.finish:
            return "empty", Failure(message="the answer holds no content", type="empty", where="protocol")
        return "success", None

    def _take(self, kind: str, event: dict[str, Any]) -> None:
        place = count(event.get("contentBlockIndex")) or 0
        if kind == "contentBlockStart":
            self._take_block(place, as_dict(event.get("start")))
        elif kind == "contentBlockDelta":
            delta = as_dict(event.get("delta"))
            self.text += as_str(delta.get("text"))
            self.reasoning += as_str(as_dict(delta.get("reasoningContent")).get("text"))
            more = as_dict(delta.get("toolUse")).get("input")
            if isinstance(more, str):
                tool = self._tools.get(place, ToolCall(name=""))
                self._tools[place] = msgspec.structs.replace(tool, arguments=tool.arguments + more)
        elif kind == "messageStop":
            self.finish = as_name(event.get("stopReason")) or self.finish
        elif kind == "metadata":
            self.usage_raw = as_dict(event.get("usage")) or self.usage_raw
            took = as_number(as_dict(event.get("metrics")).get("latencyMs"))
            if took is not None:
                self.timings_ms["bedrock_latency"] = took

    def _take_block(self, place: int, block: dict[str, Any]) -> None:
        self.text += as_str(block.get("text"))
        self.reasoning += as_str(as_dict(as_dict(block.get("reasoningContent")).get("reasoningText")).get("text"))
        if isinstance(block.get("toolUse"), dict):
            call = block["toolUse"]
            given, named = json_text(call["input"]) if call.get("input") else "", as_name(call.get("toolUseId"))
            self._tools[place] = ToolCall(name=as_str(call.get("name")), arguments=given, id=named)

    def usage(self) -> Usage | None:
        """Cached tokens are counted outside of inputTokens here; ours holds them all."""
        raw = self.usage_raw
        read, written = count(raw.get("cacheReadInputTokens")), count(raw.get("cacheWriteInputTokens"))
        given, made = total(count(raw.get("inputTokens")), read, written), count(raw.get("outputTokens"))
        if given is None and made is None:
            return None
        return Usage(
            input_tokens=given,
            output_tokens=made,
            total_tokens=total(given, made),
            cache_read_tokens=read,
            cache_write_tokens=written,
        )

    def fields(self) -> dict[str, Any]:
        """The fields of a Reading that this answer fills."""
        return {
            "usage": self.usage(),
            "usage_raw": self.usage_raw or None,
            "finish_reason": self.finish,
            "text": self.text,
            "reasoning": self.reasoning,
            "tool_calls": tuple([self._tools[place] for place in sorted(self._tools)]),
            "timings_ms": self.timings_ms,
        }
