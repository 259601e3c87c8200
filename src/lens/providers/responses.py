"""OpenAI's Responses API: typed events, and the whole answer once more at the end (WIRE 5.3).

Only deltas count. What a `.done` or `.completed` event repeats is no token; a type that is not known
is no token either, and does no harm.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.base import Body, as_dict, as_list, as_name, as_str, json_text, parsed
from lens.providers.failures import error_of
from lens.providers.outcomes import judged, not_a_stream, outcome
from lens.providers.readings import reading
from lens.providers.usage import count, responses_usage
from lens.wire import Ask, Exchange, Prompt, Reading, SignalRule, SignalRules, When

_TEXT = "response.output_text.delta"
_REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ARGUMENTS = (
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
)
_REFUSAL = "response.refusal.delta"
_TRANSCRIPT = "response.audio.transcript.delta"
_ITEM_ADDED, _ITEM_DONE = "response.output_item.added", "response.output_item.done"
_LAST = ("response.completed", "response.incomplete", "response.failed")


def _of(kind: str, path: str, signal: Signal, **more: Any) -> SignalRule:
    return SignalRule(path, signal, when=When("", "type", kind), **more)


RULES = SignalRules(
    rules=(
        _of(_TEXT, "delta", Signal.TEXT),
        *[_of(kind, "delta", Signal.REASONING) for kind in _REASONING],
        *[_of(kind, "delta", Signal.TOOL) for kind in _ARGUMENTS],
        _of(_ITEM_ADDED, "item.name", Signal.TOOL),
        _of(_REFUSAL, "delta", Signal.REFUSAL),
        _of(_TRANSCRIPT, "delta", Signal.AUDIO),
        _of("response.audio.delta", "delta", Signal.AUDIO, takes="value"),
        *[_of(kind, "response.status", Signal.FINISH, takes="value") for kind in _LAST],
        *[_of(kind, "response.usage", Signal.USAGE, takes="value") for kind in _LAST],
        SignalRule("response.error", Signal.ERROR, takes="value"),
        _of("error", "type", Signal.ERROR, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    done=b"[DONE]",  # not OpenAI's, but some servers send it after the last event
)


def body_of(prompt: Prompt, ask: Ask) -> Body:
    """The request's body, but for the stream options."""
    body: Body = {"model": ask.model}
    if prompt.messages:
        body["input"] = [item for message in prompt.messages for item in _items(message)]
    else:
        body["input"] = prompt.text
        if prompt.system:
            body["instructions"] = prompt.system
    return body


def _items(message: dict[str, Any]) -> list[Body]:
    """Input items of one message as the chat API writes it."""
    role = str(message.get("role") or "user")
    if role == "tool":
        answer = {"call_id": message.get("tool_call_id"), "output": message.get("content") or ""}
        return [{"type": "function_call_output", **answer}]
    items: list[Body] = []
    if message.get("content"):
        items.append({"role": role, "content": _content(message["content"], role)})
    for call in as_list(message.get("tool_calls")):
        function = as_dict(as_dict(call).get("function"))
        told = {"name": function.get("name"), "arguments": function.get("arguments") or ""}
        items.append({"type": "function_call", "call_id": as_dict(call).get("id"), **told})
    return items


def _content(content: Any, role: str) -> Any:
    if not isinstance(content, list):
        return content
    parts: list[Any] = []
    for part in content:
        kind = as_dict(part).get("type")
        if kind == "text":
            parts.append({"type": "output_text" if role == "assistant" else "input_text", "text": part.get("text")})
        elif kind == "image_url":
            image = as_dict(part.get("image_url"))
            detail = {"detail": image["detail"]} if "detail" in image else {}
            parts.append({"type": "input_image", "image_url": image.get("url"), **detail})
        else:
            parts.append(part)
    return parts


def reading_of(exchange: Exchange) -> Reading:
    """What the answer means."""
    answer = _Answer()
    category, failure = judged(exchange, answer)
    return reading(
        exchange,
        category,
        failure,
        usage=answer.usage,
        usage_raw=answer.usage_raw,
        finish_reason=answer.finish,
        served_model=answer.model,
        text=answer.text,
        reasoning=answer.reasoning,
        refusal=answer.refusal,
        audio_transcript=answer.transcript,
        tool_calls=answer.tool_calls(),
    )


class _Answer:
    """What has been read of one answer, event by event."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.refusal: str | None = None
        self.transcript: str | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.usage_raw: Any = None
        self.error: Failure | None = None
        self._tools: dict[int, ToolCall] = {}

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        malformed = False
        for frame in exchange.frames:
            if frame.data == RULES.done or not frame.data.strip():
                continue
            event = parsed(frame.data)
            if not isinstance(event, dict):
                malformed = True
                break
            self._take(event)
        return outcome(
            exchange,
            done=self.finish is not None,
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        if not isinstance(data, dict):
            return "protocol_error", not_a_stream(exchange)
        self._take_whole(data)
        if self.error is not None:
            return "stream_error", msgspec.structs.replace(self.error, where="body")
        if "output" not in data:
            return "protocol_error", not_a_stream(exchange)
        for place, item in enumerate(as_list(data["output"])):
            self._take_item(place, as_dict(item), whole=True)
        if not as_list(data["output"]):
            return "empty", Failure(message="the answer holds no output", type="empty", where="protocol")
        return "success", None

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        delta = event.get("delta")
        if kind in _LAST or kind == "response.created":
            self._take_whole(as_dict(event.get("response")))
        elif kind in (_ITEM_ADDED, _ITEM_DONE):
            self._take_item(count(event.get("output_index")) or 0, as_dict(event.get("item")), whole=False)
        elif kind == "error" or "error" in event:
            self.error = self.error or _failure(event)
        elif not isinstance(delta, str):
            return
        elif kind == _TEXT:
            self.text += delta
        elif kind in _REASONING:
            self.reasoning += delta
        elif kind == _REFUSAL:
            self.refusal = (self.refusal or "") + delta
        elif kind == _TRANSCRIPT:
            self.transcript = (self.transcript or "") + delta
        elif kind in _ARGUMENTS:
            place = count(event.get("output_index")) or 0
            call = self._tools.get(place, ToolCall(name=""))
            self._tools[place] = msgspec.structs.replace(call, arguments=call.arguments + delta)

    def _take_whole(self, response: dict[str, Any]) -> None:
        """The response as it stands: who answers, and at the end why it ended and what was counted."""
        self.model = self.model or as_name(response.get("model"))
        status = response.get("status")
        if status in ("completed", "incomplete", "failed", "cancelled"):
            why = as_name(as_dict(response.get("incomplete_details")).get("reason"))
            self.finish = f"{status}:{why}" if why else status
        if response.get("error"):
            self.error = self.error or _failure(response)
        usage = responses_usage(response.get("usage"))
        if usage is not None:
            self.usage, self.usage_raw = usage, response["usage"]

    def _take_item(self, place: int, item: dict[str, Any], *, whole: bool) -> None:
        if isinstance(item.get("name"), str):
            before = self._tools.get(place, ToolCall(name=""))
            arguments = item.get("arguments") or item.get("input") or before.arguments
            told = arguments if isinstance(arguments, str) else json_text(arguments)
            called = as_name(item.get("call_id")) or as_name(item.get("id"))
            self._tools[place] = ToolCall(name=item["name"], arguments=told, id=called)
        if not whole:
            return
        for part in [*as_list(item.get("content")), *as_list(item.get("summary"))]:
            piece = as_dict(part)
            said = piece.get("text")
            if piece.get("type") == "refusal":
                self.refusal = (self.refusal or "") + as_str(piece.get("refusal"))
            elif not isinstance(said, str):
                continue
            elif piece.get("type") in ("summary_text", "reasoning_text"):
                self.reasoning += said
            else:
                self.text += said

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple([self._tools[place] for place in sorted(self._tools) if self._tools[place].name])


def _failure(said: dict[str, Any]) -> Failure:
    """Of an `error` event, or of a response that failed."""
    found = error_of(said) if said.get("error") else None
    if found is None:
        found = error_of({"error": said}) or Failure(message="")
    return msgspec.structs.replace(found, where="stream")
