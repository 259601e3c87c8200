"""Cohere's chat, version 2: named events, thinking and a plan before a tool is called.

Source: https://docs.cohere.com/reference/chat-stream
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lens.model import Failure, Signal, Usage
from lens.providers.answers import AnswerReader, make_usage
from lens.providers.base import Body, bearer, encode_json, max_tokens_of, path_ends_with, path_under, select_api
from lens.providers.presets import Preset
from lens.providers.values import as_count, as_dict, as_list, as_name, as_str, sum_known, text_at, without_none
from lens.secrets import mask_secrets
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, When, WireRequest

_MESSAGE = "delta.message."
# Where a message holds each kind of content; in a whole answer its content is a list.
_TEXT = ("content.text",)
_REASONING = ("content.thinking", "tool_plan")
RULES = SignalRules(
    rules=(
        *[SignalRule(_MESSAGE + path, Signal.TEXT) for path in _TEXT],
        *[SignalRule(_MESSAGE + path, Signal.REASONING) for path in _REASONING],
        SignalRule(_MESSAGE + "tool_calls.function.name", Signal.TOOL),
        SignalRule(_MESSAGE + "tool_calls.function.arguments", Signal.TOOL),
        SignalRule("delta.finish_reason", Signal.FINISH, takes="value"),
        SignalRule("delta.usage", Signal.USAGE, takes="value"),
        SignalRule("type", Signal.DONE, takes="value", when=When("", "type", "message-end")),
        SignalRule("delta.error", Signal.ERROR, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    done=b"[DONE]",
    blocks=("index",),
)
_BILLED_UNITS = {"search_units": "search_unit", "classifications": "classification"}
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
        """Return CO_API_URL, as Cohere's own client reads it."""
        return environ.get("CO_API_URL") or None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        select_api(self, ask)
        body: Body = {"model": ask.model, "messages": prompt.as_messages(), "stream": ask.stream}
        body |= without_none(max_tokens=max_tokens_of(prompt, ask), temperature=ask.temperature, seed=ask.seed)
        path = path_under(base_url, "chat" if path_ends_with(base_url, "v2") else "v2/chat")
        return encode_json(prompt, ask, body, path=path, signals=RULES, auth=bearer(key))

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return CohereReader(exchange).read()


class CohereReader(AnswerReader):
    """Read a chat answer, event by event or whole."""

    content_scopes = (_MESSAGE + "*",)

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        delta = as_dict(event.get("delta"))
        message = as_dict(delta.get("message"))
        self.add_text(text_at(message, *_TEXT))
        self.add_reasoning(text_at(message, *_REASONING))
        if isinstance(message.get("tool_calls"), dict):
            self._take_tool_call(as_count(event.get("index")) or 0, message["tool_calls"])
        if event.get("type") == "message-end":
            self._take_end(delta)

    def take_document(self, document: Any) -> None:
        message = as_dict(document.get("message"))
        self.add_text(text_at(message, *map(_path_in_list, _TEXT)))
        self.add_reasoning(text_at(message, *map(_path_in_list, _REASONING)))
        for place, call in enumerate(as_list(message.get("tool_calls"))):
            self._take_tool_call(place, as_dict(call))
        self._take_end(document)

    def is_answer(self, document: dict[str, Any]) -> bool:
        return isinstance(document.get("message"), dict)

    def usage(self) -> Usage | None:
        tokens = as_dict(self.usage_raw.get("tokens")) or as_dict(self.usage_raw.get("billed_units"))
        given, generated = as_count(tokens.get("input_tokens")), as_count(tokens.get("output_tokens"))
        cached = as_count(self.usage_raw.get("cached_tokens"))
        billed = as_dict(self.usage_raw.get("billed_units"))
        return make_usage(
            given,
            generated,
            total=sum_known(given, generated),
            cache_read_tokens=cached,
            billed_input_tokens=as_count(billed.get("input_tokens")),
            billed_output_tokens=as_count(billed.get("output_tokens")),
        )

    def _take_tool_call(self, place: int, call: dict[str, Any]) -> None:
        function = as_dict(call.get("function"))
        name, arguments = as_str(function.get("name")), as_str(function.get("arguments"))
        id_ = as_name(call.get("id"))
        self.tools.extend(self.tools.locate(place, id_), name=name, arguments=arguments, id_=id_)

    def _take_end(self, end: dict[str, Any]) -> None:
        self.done = True
        self.finish_reason = as_name(end.get("finish_reason")) or self.finish_reason
        self.add_usage(end.get("usage"))
        for name, unit in _BILLED_UNITS.items():
            self.bill.take_fee(unit, as_dict(self.usage_raw.get("billed_units")).get(name))
        error = end.get("error")
        if self.finish_reason == "ERROR" or error:
            message = mask_secrets(error) if isinstance(error, str) else "the answer ended with finish reason ERROR"
            self.fail(Failure(message=message, type="ERROR"))


def _path_in_list(path: str) -> str:
    return path.replace("content.", "content[].")
