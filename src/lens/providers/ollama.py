"""Ollama's own API: a JSON object a line, and its own clock in the last one (WIRE 10).

load_duration is the cold start as the server saw it; it is kept as ollama_load.
"""

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
    as_number,
    as_str,
    bearer,
    json_headers,
    json_text,
    merged,
    parsed,
    path_under,
)
from lens.providers.failures import error_of
from lens.providers.messages import calls_of, data_url, is_tool_answer, parts_of, text_of, with_tool_names
from lens.providers.outcomes import judged, not_a_stream, outcome
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.providers.usage import count
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

CHAT, GENERATE = "chat", "generate"
RULES = SignalRules(
    rules=(
        SignalRule("message.content", Signal.TEXT),
        SignalRule("message.thinking", Signal.REASONING),
        SignalRule("message.tool_calls[].function.name", Signal.TOOL),
        SignalRule("response", Signal.TEXT),
        SignalRule("thinking", Signal.REASONING),
        SignalRule("done_reason", Signal.FINISH, takes="value"),
        SignalRule("eval_count", Signal.USAGE, takes="value"),
        SignalRule("done", Signal.DONE, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    )
)
_DURATIONS = ("total", "load", "prompt_eval", "eval")
_NS_PER_MS = 1e6
_MOST_NS = 1e18
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
        """OLLAMA_HOST as its own client reads it: a scheme and a port may be left out."""
        host = environ.get("OLLAMA_HOST")
        if not host:
            return None
        url = host if "://" in host else f"http://{host}"
        return url if urlsplit(url).port or url.startswith("https:") else f"{url.rstrip('/')}:11434"

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = ask.api or CHAT
        if api not in self.apis:
            raise ConfigError(f"provider {self.name}: no api {api!r}; there are {', '.join(self.apis)}")
        body: Body = {"model": ask.model, "stream": ask.stream}
        if api == CHAT:
            body["messages"] = [_turn(message) for message in with_tool_names(prompt.as_messages())]
        else:
            body["prompt"] = prompt.text or "\n".join(text_of(m.get("content")) for m in prompt.messages)
            if prompt.system:
                body["system"] = prompt.system
        most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
        wished = {"num_predict": most, "temperature": ask.temperature, "seed": ask.seed}
        options = {name: value for name, value in wished.items() if value is not None}
        if options:
            body["options"] = options
        return WireRequest(
            path=path_under(base_url, f"api/{api}"),
            headers=json_headers(ask, auth=bearer(key)),
            body=msgspec.json.encode(merged(merged(body, ask.extra_body), prompt.extra_body)),
            signals=RULES,
            framing="ndjson" if ask.stream else "document",
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
            timings_ms=answer.timings_ms(),
            usage_raw=answer.last or None,
            finish_reason=as_name(answer.last.get("done_reason")),
            served_model=answer.model,
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=tuple(answer.tools),
        )


def _turn(message: dict[str, Any]) -> Body:
    """A message as Ollama takes it: a text, images beside it, arguments as objects."""
    turn: Body = {"role": message.get("role", "user"), "content": text_of(message.get("content"))}
    urls = [as_dict(part.get("image_url")).get("url") for part in parts_of(message.get("content"))]
    images = [packed[1] for url in urls if (packed := data_url(url))]
    if images:
        turn["images"] = images
    calls = calls_of(message)
    if calls:
        turn["tool_calls"] = [{"function": {"name": name, "arguments": given}} for _, name, given in calls]
    if is_tool_answer(message) and message.get("name"):
        turn["tool_name"] = message["name"]
    return turn


class _Answer:
    """What has been read of one answer, line by line."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.model: str | None = None
        self.tools: list[ToolCall] = []
        self.last: dict[str, Any] = {}  # the line that ends the answer
        self.error: Failure | None = None

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        malformed = False
        for frame in exchange.frames:
            if not frame.data.strip():
                continue
            line = parsed(frame.data)
            if not isinstance(line, dict):
                malformed = True
                break
            self._take(line)
        return outcome(
            exchange,
            done=bool(self.last),
            finish=as_name(self.last.get("done_reason")),
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        if not isinstance(data, dict) or not ("message" in data or "response" in data or "error" in data):
            return "protocol_error", not_a_stream(exchange)
        self._take(data)
        if self.error is not None:
            return "stream_error", msgspec.structs.replace(self.error, where="body")
        return "success", None

    def _take(self, line: dict[str, Any]) -> None:
        if line.get("error") and self.error is None:
            said = error_of(line) or Failure(message="")
            self.error = msgspec.structs.replace(said, where="stream")
        self.model = as_name(line.get("model")) or self.model
        message = as_dict(line.get("message"))
        self.text += as_str(message.get("content")) or as_str(line.get("response"))
        self.reasoning += as_str(message.get("thinking")) or as_str(line.get("thinking"))
        for call in as_list(message.get("tool_calls")):
            function = as_dict(as_dict(call).get("function"))
            given = json_text(function.get("arguments") or {})
            called = as_name(as_dict(call).get("id"))
            self.tools.append(ToolCall(name=as_str(function.get("name")), arguments=given, id=called))
        if line.get("done"):
            told = ("done_reason", "prompt_eval_count", "eval_count", *[f"{name}_duration" for name in _DURATIONS])
            self.last = {key: line[key] for key in told if key in line} or {"done": True}

    def usage(self) -> Usage | None:
        """prompt_eval_count is absent where the whole prompt lay in the cache."""
        given, made = count(self.last.get("prompt_eval_count")), count(self.last.get("eval_count"))
        if given is None and made is None:
            return None
        whole = None if given is None or made is None else given + made
        return Usage(input_tokens=given, output_tokens=made, total_tokens=whole)

    def timings_ms(self) -> dict[str, float]:
        found = {name: as_number(self.last.get(f"{name}_duration"), most=_MOST_NS) for name in _DURATIONS}
        return {f"ollama_{name}": took / _NS_PER_MS for name, took in found.items() if took is not None}
