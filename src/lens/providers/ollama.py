"""Ollama's own API: a JSON object a line, with Ollama's own timings in the last one.

load_duration is the cold start as the server saw it; it is kept as ollama_load.

Source: https://docs.ollama.com/api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lens.model import Signal, ToolCall, Usage
from lens.providers.answers import AnswerReader, make_usage
from lens.providers.base import Body, bearer, encode_json, max_tokens_of, path_under, select_api
from lens.providers.messages import (
    Message,
    is_tool_result,
    parse_data_url,
    parts_of,
    plain_text,
    text_of,
    tool_calls_of,
    with_tool_names,
)
from lens.providers.presets import Preset
from lens.providers.values import (
    as_count,
    as_dict,
    as_list,
    as_name,
    as_number,
    as_str,
    json_text,
    text_at,
    without_none,
)
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

CHAT, GENERATE = "chat", "generate"
# Where a line holds each kind of content: of a chat, of a completion.
_TEXT = ("message.content", "response")
_REASONING = ("message.thinking", "thinking")
RULES = SignalRules(
    rules=(
        *[SignalRule(path, Signal.TEXT) for path in _TEXT],
        *[SignalRule(path, Signal.REASONING) for path in _REASONING],
        SignalRule("message.tool_calls[].function.name", Signal.TOOL),
        SignalRule("done_reason", Signal.FINISH, takes="value"),
        SignalRule("eval_count", Signal.USAGE, takes="value"),
        SignalRule("done", Signal.DONE, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    blocks=("message.tool_calls[].function.index",),
)
_DURATIONS = ("total", "load", "prompt_eval", "eval")
_NS_PER_MS = 1e6
_MAX_NS = 1e18
PRESET = Preset(
    name="ollama",
    title="Ollama, its own API",
    base_url="http://localhost:11434",
    quirks=("reports its load time: the cold start", "--api generate for a plain completion"),
)


class Ollama:
    """The codec."""

    name = PRESET.name
    base_url = PRESET.base_url
    key_variables = ()
    apis = (CHAT, GENERATE)
    preset = PRESET

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """Return OLLAMA_HOST as Ollama's own client reads it: scheme and port may be left out."""
        host = environ.get("OLLAMA_HOST")
        if not host:
            return None
        url = host if "://" in host else f"http://{host}"
        return url if urlsplit(url).port or url.startswith("https:") else f"{url.rstrip('/')}:11434"

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = select_api(self, ask)
        body: Body = {"model": ask.model, "stream": ask.stream}
        if api == CHAT:
            body["messages"] = [_turn(message) for message in with_tool_names(prompt.as_messages())]
        else:
            body["prompt"] = plain_text(prompt)
            if prompt.system:
                body["system"] = prompt.system
        options = without_none(num_predict=max_tokens_of(prompt, ask), temperature=ask.temperature, seed=ask.seed)
        if options:
            body["options"] = options
        path = path_under(base_url, f"api/{api}")
        return encode_json(prompt, ask, body, path=path, signals=RULES, auth=bearer(key), framing="ndjson")

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return OllamaReader(exchange).read()


def _turn(message: Message) -> Body:
    """Return a message as Ollama takes it: a text, images beside it, arguments as objects."""
    turn: Body = {"role": message.get("role", "user"), "content": text_of(message.get("content"))}
    urls = [as_dict(part.get("image_url")).get("url") for part in parts_of(message.get("content"))]
    images = [embedded[1] for url in urls if (embedded := parse_data_url(url))]
    if images:
        turn["images"] = images
    calls = tool_calls_of(message)
    if calls:
        turn["tool_calls"] = [{"function": {"name": name, "arguments": arguments}} for _, name, arguments in calls]
    if is_tool_result(message) and message.get("name"):
        turn["tool_name"] = message["name"]
    return turn


class OllamaReader(AnswerReader):
    """Read a chat or a completion, line by line or whole; the last line, with counts and timings, is usage_raw."""

    content_scopes = ("message.*", "*")

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        self.served_model = as_name(event.get("model")) or self.served_model
        self.add_text(text_at(event, *_TEXT))
        self.add_reasoning(text_at(event, *_REASONING))
        for call in as_list(as_dict(event.get("message")).get("tool_calls")):
            function = as_dict(as_dict(call).get("function"))
            arguments = json_text(function.get("arguments") or {})
            id_ = as_name(as_dict(call).get("id"))
            self.tools.put(len(self.tools), ToolCall(name=as_str(function.get("name")), arguments=arguments, id=id_))
        if event.get("done"):
            self._take_last(event)

    def is_answer(self, document: dict[str, Any]) -> bool:
        return "message" in document or "response" in document

    def usage(self) -> Usage | None:
        """Return the counts; prompt_eval_count is absent where the whole prompt was cached."""
        given, generated = as_count(self.usage_raw.get("prompt_eval_count")), as_count(self.usage_raw.get("eval_count"))
        total = None if given is None or generated is None else given + generated
        return make_usage(given, generated, total=total)

    def _take_last(self, line: dict[str, Any]) -> None:
        self.done = True
        self.finish_reason = as_name(line.get("done_reason"))
        kept = ("done_reason", "prompt_eval_count", "eval_count", *[f"{name}_duration" for name in _DURATIONS])
        self.usage_raw = {key: line[key] for key in kept if key in line} or {"done": True}
        for name in _DURATIONS:
            duration_ns = as_number(line.get(f"{name}_duration"), most=_MAX_NS)
            if duration_ns is not None:
                self.timings_ms[f"ollama_{name}"] = duration_ns / _NS_PER_MS
