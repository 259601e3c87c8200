"""Cohere's chat, version 2: named events, thinking and a plan before a tool is called (WIRE 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lens.errors import ConfigError
from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.base import (
    Body,
    as_dict,
    as_list,
    as_name,
    as_str,
    bearer,
    json_headers,
    merged,
    parsed,
    path_under,
)
from lens.providers.failures import error_of, masked
from lens.providers.outcomes import judged, not_a_stream, outcome
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.providers.usage import count, total
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

_MESSAGE = "delta.message."
RULES = SignalRules(
    rules=(
        SignalRule(_MESSAGE + "content.text", Signal.TEXT),
        SignalRule(_MESSAGE + "content.thinking", Signal.REASONING),
        SignalRule(_MESSAGE + "tool_plan", Signal.REASONING),
        SignalRule(_MESSAGE + "tool_calls.function.name", Signal.TOOL),
        SignalRule(_MESSAGE + "tool_calls.function.arguments", Signal.TOOL),
        SignalRule("delta.finish_reason", Signal.FINISH, takes="value"),
        SignalRule("delta.usage", Signal.USAGE, takes="value"),
        SignalRule("delta.error", Signal.ERROR, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    done=b"[DONE]",
)
PRESET = Preset(
    name="cohere",
    title="Cohere",
    base_url="https://api.cohere.com/v2",
    key_variables=("CO_API_KEY", "COHERE_API_KEY"),
    quirks=("bills other counts than it uses (billed_units)",),
)


class Cohere:
    """The codec."""

    name = PRESET.name
    base_url = PRESET.base_url
    key_variables = PRESET.key_variables
    apis = ("chat",)
    preset = PRESET

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        return environ.get("CO_API_URL") or None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        if ask.api not in (None, *self.apis):
            raise ConfigError(f"provider {self.name}: no api {ask.api!r}; there is {self.apis[0]}")
        body: Body = {"model": ask.model, "messages": prompt.as_messages(), "stream": ask.stream}
        most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
        wished = {"max_tokens": most, "temperature": ask.temperature, "seed": ask.seed}
        body |= {name: value for name, value in wished.items() if value is not None}
        under_v2 = urlsplit(base_url).path.rstrip("/").endswith("/v2")
        return WireRequest(
            path=path_under(base_url, "chat" if under_v2 else "v2/chat"),
            headers=json_headers(ask, auth=bearer(key)),
            body=msgspec.json.encode(merged(merged(body, ask.extra_body), prompt.extra_body)),
            signals=RULES,
            framing="sse" if ask.stream else "document",
            stream=ask.stream,
        )

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        answer = _Answer()
        category, failure = judged(exchange, answer)
        return reading(
            exchange,
            category,
            failure,
            usage=answer.usage(),
            usage_raw=answer.usage_raw or None,
            finish_reason=answer.finish,
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=tuple([answer.tools[place] for place in sorted(answer.tools)]),
        )


class _Answer:
    """What has been read of one answer, event by event."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.usage_raw: dict[str, Any] = {}
        self.error: Failure | None = None
        self.tools: dict[int, ToolCall] = {}

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        malformed = done = False
        for frame in exchange.frames:
            if frame.data == RULES.done:
                done = True
                break
            if not frame.data.strip():
                continue
            event = parsed(frame.data)
            if not isinstance(event, dict):
                malformed = True
                break
            self._take(event)
            done = done or event.get("type") == "message-end"
        return outcome(
            exchange,
            done=done,
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        if not isinstance(data, dict) or not isinstance(data.get("message"), dict):
            return "protocol_error", not_a_stream(exchange)
        message = data["message"]
        for part in as_list(message.get("content")):
            self._grow(as_dict(part))
        self.reasoning += as_str(message.get("tool_plan"))
        for place, call in enumerate(as_list(message.get("tool_calls"))):
            self._take_tool(place, as_dict(call))
        self._end(data)
        return "success", None

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("error") and self.error is None:
            said = error_of(event) or Failure(message="")
            self.error = msgspec.structs.replace(said, where="stream")
        delta = as_dict(event.get("delta"))
        message = as_dict(delta.get("message"))
        self._grow(as_dict(message.get("content")))
        self.reasoning += as_str(message.get("tool_plan"))
        if isinstance(message.get("tool_calls"), dict):
            self._take_tool(count(event.get("index")) or 0, message["tool_calls"])
        if event.get("type") == "message-end":
            self._end(delta)

    def _grow(self, content: dict[str, Any]) -> None:
        self.text += as_str(content.get("text"))
        self.reasoning += as_str(content.get("thinking"))

    def _take_tool(self, place: int, call: dict[str, Any]) -> None:
        before = self.tools.get(place, ToolCall(name=""))
        function = as_dict(call.get("function"))
        self.tools[place] = ToolCall(
            name=before.name + as_str(function.get("name")),
            arguments=before.arguments + as_str(function.get("arguments")),
            id=before.id or as_name(call.get("id")),
        )

    def _end(self, told: dict[str, Any]) -> None:
        self.finish = as_name(told.get("finish_reason")) or self.finish
        self.usage_raw = as_dict(told.get("usage")) or self.usage_raw
        if self.finish == "ERROR" or told.get("error"):
            said = told.get("error")
            message = masked(said) if isinstance(said, str) else "the answer ended with finish reason ERROR"
            self.error = self.error or Failure(message=message, type="ERROR", where="stream")

    def usage(self) -> Usage | None:
        tokens = as_dict(self.usage_raw.get("tokens")) or as_dict(self.usage_raw.get("billed_units"))
        given, made = count(tokens.get("input_tokens")), count(tokens.get("output_tokens"))
        if given is None and made is None:
            return None
        cached = count(self.usage_raw.get("cached_tokens"))
        return Usage(input_tokens=given, output_tokens=made, total_tokens=total(given, made), cache_read_tokens=cached)
