"""Bedrock's Converse as body, rules and reader: one schema for every model.

The stream is AWS event frames; the type of a frame is the first key of a rule's path. An exception or an
error frame ends the answer.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.answers import NO_EVENT, AnswerReader, make_usage_beside_cache
from lens.providers.base import Body, max_tokens_of
from lens.providers.error_shapes import parse_error
from lens.providers.messages import Message, is_tool_result, parse_data_url, parts_of, split_system, tool_calls_of
from lens.providers.values import (
    as_count,
    as_dict,
    as_list,
    as_name,
    as_number,
    as_str,
    json_text,
    parse_json,
    sum_known,
    text_at,
    without_none,
)
from lens.secrets import mask_secrets
from lens.wire import Ask, Frame, Prompt, SignalRule, SignalRules

_DELTA = "contentBlockDelta.delta."
# Where a delta holds each kind of content.
_TEXT, _REASONING, _ARGUMENTS = "text", "reasoningContent.text", "toolUse.input"
RULES = SignalRules(
    rules=(
        SignalRule(_DELTA + _TEXT, Signal.TEXT),
        SignalRule(_DELTA + _REASONING, Signal.REASONING),
        SignalRule(_DELTA + _ARGUMENTS, Signal.TOOL),
        SignalRule("contentBlockStart.start.toolUse.name", Signal.TOOL),
        SignalRule(_DELTA + "image.source.bytes", Signal.AUDIO),  # media of either kind
        SignalRule("messageStop.stopReason", Signal.FINISH, takes="value"),
        SignalRule("metadata.usage", Signal.USAGE, takes="value"),
        SignalRule("metadata.metrics", Signal.DONE, takes="value"),
        SignalRule("metadata.usage", Signal.DONE, takes="value"),
    ),
    blocks=tuple([f"contentBlock{kind}.contentBlockIndex" for kind in ("Start", "Delta", "Stop")]),
)
# The image formats of the protocol.
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def build_body(prompt: Prompt, ask: Ask) -> Body:
    """Return the request body; the model stands in the path."""
    system, turns = split_system(prompt)
    body: Body = {"messages": _alternate([_turn(turn) for turn in turns])}
    if system:
        body["system"] = [{"text": system}]
    config = without_none(maxTokens=max_tokens_of(prompt, ask), temperature=ask.temperature)
    if config:
        body["inferenceConfig"] = config
    return body


def _alternate(turns: list[Body]) -> list[Body]:
    """Join neighbours of one role: the protocol wants the roles to take turns, and all tool results at once."""
    return [
        {"role": role, "content": [block for turn in run for block in turn["content"]]}
        for role, run in groupby(turns, key=itemgetter("role"))
    ]


def _turn(message: Message) -> Body:
    if is_tool_result(message):
        return {"role": "user", "content": [{"toolResult": _tool_result(message)}]}
    blocks = [_block(part) for part in parts_of(message.get("content"))]
    blocks += [
        {"toolUse": {"toolUseId": id_, "name": name, "input": arguments}}
        for id_, name, arguments in tool_calls_of(message)
    ]
    return {"role": message.get("role", "user"), "content": blocks}


def _tool_result(message: Message) -> Body:
    blocks = [_block(part) for part in parts_of(message.get("content"))]
    return {"toolUseId": message.get("tool_call_id"), "content": blocks}


def _block(part: dict[str, Any]) -> Body:
    if part.get("type") == "text":
        return {"text": part.get("text")}
    embedded = parse_data_url(as_dict(part.get("image_url")).get("url"))
    if embedded is None:
        return part
    media, data = embedded
    return {"image": {"format": _IMAGES.get(media, media.rpartition("/")[2]), "source": {"bytes": data}}}


class EventStreamReader(AnswerReader):
    """Read AWS event frames: exceptions and errors are failures, frames of other types than events are passed over."""

    def open_frame(self, frame: Frame) -> Any:
        self.fail(frame_failure(frame))
        return super().open_frame(frame) if frame.name.startswith("event:") else NO_EVENT


def frame_failure(frame: Frame) -> Failure | None:
    """Return the failure that an exception or an error frame reports; None for any other frame."""
    kind, _, name = frame.name.partition(":")
    if kind == "exception":
        found = parse_error(parse_json(frame.data))
        return Failure(message=found.message if found else "", type=name)
    if kind == "error":
        return Failure(message=mask_secrets(frame.data.decode("utf-8", "replace")), type=name)
    return None


class ConverseReader(EventStreamReader):
    """Read a conversation turn, frame by frame or whole."""

    content_scopes = ("delta.*",)

    def take_event(self, event: Any, name: str) -> None:
        place = as_count(event.get("contentBlockIndex")) or 0
        match name:
            case "event:contentBlockStart":
                self._open_block(place, as_dict(event.get("start")))
            case "event:contentBlockDelta":
                self._extend_block(place, as_dict(event.get("delta")))
            case "event:messageStop":
                self.finish_reason = as_name(event.get("stopReason")) or self.finish_reason
            case "event:metadata":
                self._take_metadata(event)

    def take_document(self, document: Any) -> None:
        for place, block in enumerate(as_list(_message_in(document).get("content"))):
            self._open_block(place, as_dict(block))
        self.finish_reason = as_name(document.get("stopReason"))
        self._take_metadata(document)

    def is_answer(self, document: dict[str, Any]) -> bool:
        return bool(_message_in(document))

    def missing_part(self, document: Any) -> str | None:
        return None if _message_in(document).get("content") or self.finish_reason else "content"

    def usage(self) -> Usage | None:
        raw = self.usage_raw
        return make_usage_beside_cache(
            as_count(raw.get("inputTokens")),
            as_count(raw.get("outputTokens")),
            read=as_count(raw.get("cacheReadInputTokens")),
            written=as_count(raw.get("cacheWriteInputTokens")),
            cache_write_1h_tokens=sum_known(
                *[
                    as_count(written.get("inputTokens"))
                    for written in map(as_dict, as_list(raw.get("cacheDetails")))
                    if written.get("ttl") == "1h"
                ]
            ),
        )

    def _open_block(self, place: int, block: dict[str, Any]) -> None:
        self.add_text(as_str(block.get("text")))
        self.add_reasoning(as_str(as_dict(as_dict(block.get("reasoningContent")).get("reasoningText")).get("text")))
        if isinstance(block.get("toolUse"), dict):
            call = block["toolUse"]
            arguments, id_ = json_text(call["input"]) if call.get("input") else "", as_name(call.get("toolUseId"))
            at = self.tools.locate(place, id_)
            self.tools.put(at, ToolCall(name=as_str(call.get("name")), arguments=arguments, id=id_))

    def _extend_block(self, place: int, delta: dict[str, Any]) -> None:
        self.add_text(text_at(delta, _TEXT))
        self.add_reasoning(text_at(delta, _REASONING))
        if arguments := text_at(delta, _ARGUMENTS):
            self.tools.extend(self.tools.locate(place, None), arguments=arguments)

    def _take_metadata(self, event: dict[str, Any]) -> None:
        self.add_usage(event.get("usage"))
        self.bill.take_tier(as_dict(event.get("serviceTier")).get("type"))
        self.bill.speed = as_name(as_dict(event.get("performanceConfig")).get("latency")) or self.bill.speed
        latency_ms = as_number(as_dict(event.get("metrics")).get("latencyMs"))
        if latency_ms is not None:
            self.timings_ms["bedrock_latency"] = latency_ms


def _message_in(document: dict[str, Any]) -> dict[str, Any]:
    return as_dict(as_dict(document.get("output")).get("message"))
