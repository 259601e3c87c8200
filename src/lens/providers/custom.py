"""A provider told in a config file: a template for the request, paths for the answer, no code.

What the paths find is measured by the same rules as everywhere: an event counts by its content.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lens.config.settings import CustomConfig
from lens.errors import ConfigError
from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.base import Body, as_dict, bearer, json_headers, json_text, merged, parsed, path_under
from lens.providers.failures import MESSAGE_CHARS, error_of, masked
from lens.providers.outcomes import judged, not_a_stream, outcome
from lens.providers.paths import first_at, text_at
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.providers.usage import count, total
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

NAME = "custom"
_BLANK = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_NAMES = ("prompt", "messages", "system", "model", "max_tokens", "temperature", "seed", "stream", "key")
_ABSENT = object()
PRESET = Preset(
    name=NAME,
    title="a protocol told in a config file",
    quirks=("needs --base-url and a [custom] section in the config file: template, paths, no code",),
)


class Custom:
    """The codec; without settings it can only say that it wants some."""

    name = NAME
    base_url = None
    key_variables = ()
    apis = (NAME,)
    preset = PRESET

    def __init__(self, config: CustomConfig | None = None) -> None:
        self.config = config

    def with_settings(self, config: CustomConfig | None) -> Custom:
        """The codec of these settings.

        Raises:
            ConfigError: there are none, or they say nowhere what text is.
        """
        if config is None:
            raise ConfigError("provider custom: the config file has no [custom] section; it tells body and paths")
        if not (config.text or config.reasoning or config.tool):
            raise ConfigError('provider custom: where is the text? write text = ["path.of[].it"] in [custom]')
        return Custom(config)

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        config = self.config or CustomConfig()
        values = _values(prompt, ask, key)
        body = _filled(config.body, values)
        laid = merged(merged(body if isinstance(body, dict) else {}, ask.extra_body), prompt.extra_body)
        own = {name.lower(): str(_filled(value, values)) for name, value in config.headers.items()}
        placed = any("key" in _BLANK.findall(value) for value in (*config.headers.values(), config.path))
        headers = dict(json_headers(ask, auth=None if placed else bearer(key)))
        asked = {name.lower() for name, _ in ask.headers}
        headers |= {n.encode("ascii"): v.encode("utf-8") for n, v in own.items() if n not in asked}
        path = str(_filled(config.path, values))
        return WireRequest(
            method=config.method,
            path=path_under(base_url, path),
            headers=tuple(headers.items()),
            body=b"" if config.method == "GET" else msgspec.json.encode(laid),
            signals=rules_of(config),
            framing=config.framing if ask.stream else "document",
            stream=ask.stream,
        )

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        answer = _Answer(self.config or CustomConfig())
        category, failure = judged(exchange, answer)
        return reading(
            exchange,
            category,
            failure,
            usage=answer.usage(),
            finish_reason=answer.finish,
            served_model=answer.model,
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=(ToolCall(name="", arguments=answer.tool),) if answer.tool else (),
        )


def rules_of(config: CustomConfig) -> SignalRules:
    """The paths as rules of the core."""
    strings = ((config.text, Signal.TEXT), (config.reasoning, Signal.REASONING), (config.tool, Signal.TOOL))
    rules = [SignalRule(path, signal) for paths, signal in strings for path in paths]
    values = [(config.finish, Signal.FINISH), (config.error, Signal.ERROR), (config.done_path, Signal.DONE)]
    values += [(path, Signal.USAGE) for path in _counted(config).values()]
    rules += [SignalRule(path, signal, takes="value") for path, signal in values if path]
    return SignalRules(rules=tuple(rules), done=config.done.encode() if config.done else None)


def _counted(config: CustomConfig) -> dict[str, str]:
    paths = {
        "input_tokens": config.input_tokens,
        "output_tokens": config.output_tokens,
        "cache_read_tokens": config.cached_tokens,
        "reasoning_tokens": config.reasoning_tokens,
    }
    return {name: path for name, path in paths.items() if path}


def _values(prompt: Prompt, ask: Ask, key: Secret | None) -> dict[str, Any]:
    """What may be filled in; None stands for absent."""
    most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
    text = prompt.text or "\n".join(str(message.get("content") or "") for message in prompt.messages)
    said = (text, prompt.as_messages(), prompt.system, ask.model, most, ask.temperature, ask.seed, ask.stream)
    return dict(zip(_NAMES, (*said, key.reveal() if key else None), strict=True))


def _filled(template: Any, values: dict[str, Any]) -> Any:
    """The template with its blanks filled; a field whose whole text is an absent value is left out."""
    if isinstance(template, dict):
        found = {name: _filled(value, values) for name, value in template.items()}
        return {name: value for name, value in found.items() if value is not _ABSENT}
    if isinstance(template, list):
        return [value for one in template if (value := _filled(one, values)) is not _ABSENT]
    if not isinstance(template, str):
        return template
    for name in _BLANK.findall(template):
        if name not in values:
            raise ConfigError(f"provider custom: nothing is called {{{{{name}}}}}; there are {', '.join(_NAMES)}")
    whole = _BLANK.fullmatch(template.strip())
    if whole:
        return _ABSENT if values[whole[1]] is None else values[whole[1]]
    return _BLANK.sub(lambda blank: "" if values[blank[1]] is None else str(values[blank[1]]), template)


def _told(value: Any) -> str:
    """A value as text: a server may say a reason or a name as anything."""
    return value if isinstance(value, str) else json_text(value)


class _Answer:
    """What has been read of one answer, event by event."""

    def __init__(self, config: CustomConfig) -> None:
        self.config = config
        self.text = self.reasoning = self.tool = ""
        self.finish: str | None = None
        self.model: str | None = None
        self.error: Failure | None = None
        self.counts: dict[str, int] = {}

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        malformed = done = False
        marker = self.config.done.encode() if self.config.done else None
        for frame in exchange.frames:
            if marker is not None and frame.data == marker:
                done = True
                break
            if not frame.data.strip():
                continue
            event = parsed(frame.data)
            if event is None:
                malformed = True
                break
            self._take(event, self.config.text)
        done = done or any(bits & Signal.DONE for bits in exchange.events.signals)
        # Where nothing says how a stream ends, the end of the body does.
        says_nothing = not (self.config.done or self.config.done_path or self.config.finish)
        return outcome(
            exchange,
            done=done or (says_nothing and exchange.ended),
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        if not isinstance(data, (dict, list)):
            return "protocol_error", not_a_stream(exchange)
        self._take(data, self.config.whole_text or self.config.text)
        if self.error is not None:
            return "stream_error", msgspec.structs.replace(self.error, where="body")
        return "success", None

    def _take(self, event: Any, text: tuple[str, ...]) -> None:
        config = self.config
        self.text += text_at(event, *text)
        self.reasoning += text_at(event, *config.reasoning)
        self.tool += text_at(event, *config.tool)
        if config.finish and (reason := first_at(event, config.finish)):
            self.finish = _told(reason)
        if config.served_model and (model := first_at(event, config.served_model)):
            self.model = _told(model)
        if config.error and self.error is None and (said := first_at(event, config.error)):
            told = error_of(as_dict(said)) or error_of({"error": said})
            self.error = told or Failure(message=masked(_told(said)[:MESSAGE_CHARS]))
            self.error = msgspec.structs.replace(self.error, where="stream")
        for name, path in _counted(config).items():
            found = count(first_at(event, path))
            if found is not None:
                self.counts[name] = found

    def usage(self) -> Usage | None:
        if not self.counts:
            return None
        whole: Body = {"total_tokens": total(self.counts.get("input_tokens"), self.counts.get("output_tokens"))}
        return Usage(**self.counts, **whole)
