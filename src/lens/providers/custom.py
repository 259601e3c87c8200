"""A provider defined in a config file: a template for the request, paths for the answer, no code.

What the paths find is measured by the same rules as everywhere: an event counts by its content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from lens.config.settings import CustomConfig
from lens.errors import ConfigError
from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.answers import DONE_MARKER, AnswerReader
from lens.providers.base import bearer, encode_header, encode_json, max_tokens_of, path_under
from lens.providers.error_shapes import MESSAGE_CHARS, parse_error
from lens.providers.messages import plain_text
from lens.providers.presets import Preset
from lens.providers.values import as_count, as_dict, first_at, json_text, merge_counts, sum_known, text_at
from lens.secrets import mask_secrets
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

NAME = "custom"
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ABSENT = object()
PRESET = Preset(
    name=NAME,
    title="a protocol told in a config file",
    quirks=("needs --base-url and a [custom] section in the config file: template, paths, no code",),
)


class Custom:
    """The codec; without settings it can only ask for them."""

    name = NAME
    base_url = None
    key_variables = ()
    apis = (NAME,)
    preset = PRESET

    def __init__(self, config: CustomConfig | None = None) -> None:
        self.config = config

    def with_settings(self, config: CustomConfig | None) -> Custom:
        """Return the codec of these settings.

        Raises:
            ConfigError: no settings, or none of text, reasoning and tool has a path.
        """
        if config is None:
            raise ConfigError("provider custom: the config file has no [custom] section; it tells body and paths")
        if not (config.text or config.reasoning or config.tool):
            raise ConfigError('provider custom: no path to the text; write text = ["path.of[].it"] in [custom]')
        return Custom(config)

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        config = self.config or CustomConfig()
        values = _values(prompt, ask, key)
        body = _fill(config.body, values)
        headers = {name.lower(): str(_fill(value, values)) for name, value in config.headers.items()}
        key_is_placed = any("key" in _PLACEHOLDER.findall(value) for value in (*config.headers.values(), config.path))
        request = encode_json(
            prompt,
            ask,
            body if isinstance(body, dict) else {},
            path=path_under(base_url, str(_fill(config.path, values))),
            signals=rules_of(config),
            auth=None if key_is_placed else bearer(key),
            headers=[encode_header(name, value) for name, value in headers.items()],
            framing=config.framing,
        )
        return replace(request, method=config.method, body=b"" if config.method == "GET" else request.body)

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return CustomReader(exchange, self.config or CustomConfig()).read()


def rules_of(config: CustomConfig) -> SignalRules:
    """Return the paths as rules of the core."""
    strings = ((config.text, Signal.TEXT), (config.reasoning, Signal.REASONING), (config.tool, Signal.TOOL))
    rules = [SignalRule(path, signal) for paths, signal in strings for path in paths]
    values = [(config.finish, Signal.FINISH), (config.error, Signal.ERROR), (config.done_path, Signal.DONE)]
    values += [(path, Signal.USAGE) for path in _count_paths(config).values()]
    rules += [SignalRule(path, signal, takes="value") for path, signal in values if path]
    return SignalRules(rules=tuple(rules), done=config.done.encode() if config.done else None)


def _count_paths(config: CustomConfig) -> dict[str, str]:
    """Return the path of each count that is configured."""
    paths = {
        "input_tokens": config.input_tokens,
        "output_tokens": config.output_tokens,
        "cache_read_tokens": config.cached_tokens,
        "reasoning_tokens": config.reasoning_tokens,
    }
    return {name: path for name, path in paths.items() if path}


def _values(prompt: Prompt, ask: Ask, key: Secret | None) -> dict[str, Any]:
    """Return the value of each placeholder; None where it is absent."""
    return {
        "prompt": plain_text(prompt),
        "messages": prompt.as_messages(),
        "system": prompt.system,
        "model": ask.model,
        "max_tokens": max_tokens_of(prompt, ask),
        "temperature": ask.temperature,
        "seed": ask.seed,
        "stream": ask.stream,
        "key": key.reveal() if key else None,
    }


def _fill(template: Any, values: dict[str, Any]) -> Any:
    """Return the template with its placeholders filled; a field that is nothing but an absent one is left out."""
    if isinstance(template, dict):
        filled = {name: _fill(value, values) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not _ABSENT}
    if isinstance(template, list):
        return [value for item in template if (value := _fill(item, values)) is not _ABSENT]
    if not isinstance(template, str):
        return template
    for name in _PLACEHOLDER.findall(template):
        if name not in values:
            raise ConfigError(f"provider custom: nothing is called {{{{{name}}}}}; there are {', '.join(values)}")
    whole = _PLACEHOLDER.fullmatch(template.strip())
    if whole:
        return _ABSENT if values[whole[1]] is None else values[whole[1]]
    return _PLACEHOLDER.sub(lambda found: "" if values[found[1]] is None else str(values[found[1]]), template)


def _as_text(value: Any) -> str:
    """Return a value as text: a server may write a reason or a name as anything."""
    return value if isinstance(value, str) else json_text(value)


class CustomReader(AnswerReader):
    """Read an answer by the configured paths."""

    event_type = object

    def __init__(self, exchange: Exchange, config: CustomConfig) -> None:
        super().__init__(exchange)
        self.config = config
        self.done_marker = config.done.encode().strip() if config.done else DONE_MARKER
        self.tool_text = ""
        self.counts: dict[str, int] = {}

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        self._take(event, self.config.text)

    def take_document(self, document: Any) -> None:
        self._take(document, self.config.whole_text or self.config.text)

    def document_parts(self, document: Any) -> Sequence[Any]:
        return [document] if isinstance(document, (dict, list)) else []

    def is_answer(self, document: Any) -> bool:  # noqa: ARG002 - any JSON may be one
        return True

    def failure_in(self, event: Any) -> Failure | None:
        error = first_at(event, self.config.error) if self.config.error else None
        if not error:
            return None
        found = parse_error(as_dict(error)) or parse_error({"error": error})
        return found or Failure(message=mask_secrets(_as_text(error))[:MESSAGE_CHARS])

    def is_done(self) -> bool:
        """Return whether the end of the body ends a stream: where nothing else is configured to."""
        has_end = self.config.done or self.config.done_path or self.config.finish
        return super().is_done() or (not has_end and self.exchange.ended)

    def usage(self) -> Usage | None:
        counts = self.counts
        total = sum_known(counts.get("input_tokens"), counts.get("output_tokens"))
        return Usage(**counts, total_tokens=total) if counts else None

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return (ToolCall(name="", arguments=self.tool_text),) if self.tool_text else ()

    def _take(self, event: Any, text: tuple[str, ...]) -> None:
        config = self.config
        self.add_text(text_at(event, *text))
        self.add_reasoning(text_at(event, *config.reasoning))
        self.tool_text += text_at(event, *config.tool)
        if config.finish and (reason := first_at(event, config.finish)):
            self.finish_reason = _as_text(reason)
        if config.served_model and (model := first_at(event, config.served_model)):
            self.served_model = _as_text(model)
        for name, path in _count_paths(config).items():
            count = as_count(first_at(event, path))
            if count is not None:
                self.counts = merge_counts(self.counts, {name: count})
