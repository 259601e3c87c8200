"""Anthropic's Messages API, and servers that speak it; Vertex and Bedrock reuse its body, rules and reader.

Thinking is part of the output. A signature, a ping and a block that opens are no tokens; a tool's name
is. Event types and delta types that are not known are passed over.

Source: https://docs.claude.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lens.model import Failure, Signal, ToolCall, Usage, UsageItem
from lens.providers import fragments
from lens.providers.answers import AnswerReader, make_usage_beside_cache
from lens.providers.base import (
    Body,
    Header,
    bearer,
    encode_json,
    max_tokens_of,
    owns_address,
    path_ends_with,
    path_under,
    select_api,
    with_extra_body,
)
from lens.providers.error_shapes import parse_error
from lens.providers.messages import (
    Message,
    group_tool_results,
    is_system,
    is_tool_result,
    parse_data_url,
    parts_of,
    text_of,
    tool_calls_of,
)
from lens.providers.presets import Preset
from lens.providers.values import as_count, as_dict, as_list, as_name, as_number, as_str, json_text
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, When, WireRequest

VERSION = "2026-10-21"
# The last version that takes a temperature and its like; asked for only where there is one.
VERSION_WITH_SAMPLING = "2023-06-01"
# The protocol has no answer without a bound; this one is ours.
MAX_TOKENS = 1024
# The text in each type of delta, and what it counts as.
_DELTAS = {
    "text_delta": ("text", Signal.TEXT),
    "thinking_delta": ("thinking", Signal.REASONING),
    "input_json_delta": ("partial_json", Signal.TOOL),
}
_TOOL_BLOCKS = ("tool_use", "server_tool_use", "mcp_tool_use")
_THINKING_BLOCKS = ("thinking", "redacted_thinking")
# Steps of an answer that its totals hold; a compaction and an advisor's message are counted apart.
_STEPS_IN_TOTALS = ("message", "fallback_message")
PRESET = Preset(
    name="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com/v1",
    key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    aliases=("claude",),
    quirks=(
        "ANTHROPIC_AUTH_TOKEN is a token, sent as a bearer where there is no key",
        "thinking is billed as output; where its text is omitted, it is silence before the first token",
        f"an answer is at most {MAX_TOKENS} tokens unless --max-tokens says otherwise",
    ),
)


def rules_with_prefix(prefix: str = "") -> SignalRules:
    """Return the rules of the events, where they stand under `prefix` (with its dot) of a frame."""
    scope = prefix.removesuffix(".")
    delta, block = f"{prefix}delta", f"{prefix}content_block"

    def of(kind: str, path: str, signal: Signal) -> SignalRule:
        return SignalRule(prefix + path, signal, takes="value", when=When(scope, "type", kind))

    return SignalRules(
        rules=(
            *[
                SignalRule(f"{delta}.{key}", signal, when=When(delta, "type", kind))
                for kind, (key, signal) in _DELTAS.items()
            ],
            SignalRule(f"{block}.text", Signal.TEXT, when=When(block, "type", "text")),
            SignalRule(f"{block}.thinking", Signal.REASONING, when=When(block, "type", "thinking")),
            *[SignalRule(f"{block}.name", Signal.TOOL, when=When(block, "type", kind)) for kind in _TOOL_BLOCKS],
            of("message_start", "message.usage", Signal.USAGE),
            of("message_delta", "usage", Signal.USAGE),
            of("message_delta", "delta.stop_reason", Signal.FINISH),
            of("message_stop", "type", Signal.DONE),
            of("error", "error", Signal.ERROR),
        ),
        blocks=(f"{prefix}index",),
    )


RULES = rules_with_prefix()


class BearerToken(Secret):
    """A token for the Authorization header, whatever it looks like."""

    __slots__ = ()


class Anthropic:
    """The codec."""

    name = PRESET.name
    base_url = PRESET.base_url
    key_variables = ("ANTHROPIC_API_KEY",)
    apis = ("messages",)
    preset = PRESET

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """Return ANTHROPIC_BASE_URL."""
        return environ.get("ANTHROPIC_BASE_URL") or None

    def default_key(self, environ: Mapping[str, str], base_url: str) -> Secret | None:
        """Return the token in ANTHROPIC_AUTH_TOKEN, where it belongs to the address."""
        token = environ.get("ANTHROPIC_AUTH_TOKEN") if owns_address(self, base_url, environ) else None
        return BearerToken(token) if token else None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        select_api(self, ask)
        body = {"model": ask.model, **build_body(prompt, ask), **({"stream": True} if ask.stream else {})}
        version = VERSION_WITH_SAMPLING if has_sampling(with_extra_body(body, prompt, ask)) else VERSION
        return encode_json(
            prompt,
            ask,
            body,
            path=path_under(base_url, "messages" if path_ends_with(base_url, "v1") else "v1/messages"),
            signals=RULES,
            auth=_auth(key),
            headers=[(b"anthropic-version", version.encode())],
        )

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return AnthropicReader(exchange).read()


def _auth(key: Secret | None) -> Header | None:
    """Return the x-api-key header for a key, the bearer header for an OAuth token."""
    if key is None:
        return None
    value = key.reveal()
    if isinstance(key, BearerToken) or value.startswith("sk-ant-oat"):
        return bearer(key)
    return b"x-api-key", value.encode("utf-8")


def has_sampling(body: Body) -> bool:
    """Return whether the body says how to sample, which newer versions refuse."""
    return any(name in body for name in ("temperature", "top_p", "top_k"))


def build_body(prompt: Prompt, ask: Ask) -> Body:
    """Return the request body without model and stream."""
    messages = prompt.as_messages()
    turns = group_tool_results(message for message in messages if not is_system(message))
    max_tokens = max_tokens_of(prompt, ask)
    body: Body = {
        "max_tokens": MAX_TOKENS if max_tokens is None else max_tokens,
        "messages": [_turn(turn) for turn in turns],
    }
    system = _system([message.get("content") for message in messages if is_system(message)])
    if system:
        body["system"] = system
    if ask.temperature is not None:
        body["temperature"] = ask.temperature
    return body


def _system(contents: list[Any]) -> str | list[Body]:
    """Return a text, or blocks where one holds more than its text (what to cache)."""
    blocks = [part for content in contents for part in parts_of(content)]
    if all(set(block) <= {"type", "text"} for block in blocks):
        return "\n".join([text_of(content) for content in contents])
    return blocks


def _turn(run: list[Message]) -> Body:
    message = run[0]
    if is_tool_result(message):
        return {"role": "user", "content": [_tool_result(result) for result in run]}
    calls = tool_calls_of(message)
    if isinstance(message.get("content"), str) and not calls:
        return {"role": message.get("role", "user"), "content": message["content"]}
    blocks = [_block(part) for part in parts_of(message.get("content"))]
    blocks += [{"type": "tool_use", "id": id_, "name": name, "input": arguments} for id_, name, arguments in calls]
    return {"role": message.get("role", "user"), "content": blocks}


def _tool_result(message: Message) -> Body:
    content = message.get("content")
    blocks = content if isinstance(content, str) else [_block(part) for part in parts_of(content)]
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": blocks}


def _block(part: dict[str, Any]) -> Body:
    if part.get("type") != "image_url":
        return part
    url = as_dict(part.get("image_url")).get("url")
    embedded = parse_data_url(url)
    if embedded is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": embedded[0], "data": embedded[1]}}


class AnthropicReader(AnswerReader):
    """Read a message, event by event or whole."""

    read_fragment = staticmethod(fragments.read_messages)
    content_scopes = ("delta.*", "content_block.*", "*")

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        kind = event.get("type")
        place = as_count(event.get("index")) or 0
        if kind == "message_start":
            self._take_message(as_dict(event.get("message")))
        elif kind == "content_block_start":
            self._open_block(place, as_dict(event.get("content_block")))
        elif kind == "content_block_stop":
            self.close_thinking(place)
        elif kind == "content_block_delta":
            self._extend_block(place, as_dict(event.get("delta")))
        elif kind == "message_delta":
            self.finish_reason = as_name(as_dict(event.get("delta")).get("stop_reason")) or self.finish_reason
            self._take_usage(event.get("usage"))
            self._take_diagnostics(event)
            self._take_diagnostics(as_dict(event.get("delta")))
            if as_count(as_dict(event.get("usage")).get("output_tokens")) == 0 and not self.has_content():
                self.usage_raw["output_tokens"] = 0  # what message_start says of output is a placeholder
        elif kind == "message_stop":
            self.timings_ms = bedrock_timings_ms(as_dict(event.get("amazon-bedrock-invocationMetrics")))

    def take_document(self, document: Any) -> None:
        self._take_message(document)
        for place, block in enumerate(as_list(document.get("content"))):
            self._open_block(place, as_dict(block))

    def is_answer(self, document: dict[str, Any]) -> bool:
        return "content" in document

    def missing_part(self, document: Any) -> str | None:
        return None if as_list(document.get("content")) or self.finish_reason else "content"

    def failure_in(self, event: Any) -> Failure | None:
        if event.get("type") == "error":
            return parse_error(event) or Failure(message="")
        return super().failure_in(event)

    def usage(self) -> Usage | None:
        return parse_usage(self.usage_raw)

    def _take_message(self, message: dict[str, Any]) -> None:
        self.served_model = as_name(message.get("model")) or self.served_model
        self.finish_reason = as_name(message.get("stop_reason")) or self.finish_reason
        self._take_usage(message.get("usage"))
        self._take_diagnostics(message)

    def _take_diagnostics(self, message: dict[str, Any]) -> None:
        """Take why the prompt was not read from the cache, where the request named the one before it."""
        missed = as_dict(as_dict(message.get("diagnostics")).get("cache_miss_reason"))
        self.take_cache_miss(missed.get("type"), missed.get("cache_missed_input_tokens"))

    def _take_usage(self, usage: Any) -> None:
        """Take counts, which are running totals, and how they are billed."""
        self.add_usage(usage)
        told = as_dict(usage)
        self.bill.take_tier(told.get("service_tier"))
        self.bill.speed = as_name(told.get("speed")) or self.bill.speed
        self.bill.region = as_name(told.get("inference_geo")) or self.bill.region
        self.bill.take_usage_fees(told)
        if steps := [as_dict(step) for step in as_list(told.get("iterations"))]:
            self._take_steps(steps)

    def _take_steps(self, steps: list[dict[str, Any]]) -> None:
        """Take the steps that are billed by themselves: those that the totals leave out, all where models changed."""
        fallback = [as_name(step.get("model")) for step in steps if step.get("type") == "fallback_message"]
        self.bill.itemized = bool(fallback)
        self.served_model = next(iter(fallback), None) or self.served_model
        self.bill.items = tuple(
            [
                UsageItem(kind=as_str(step.get("type")), usage=usage, model=as_name(step.get("model")))
                for step in steps
                if (fallback or step.get("type") not in _STEPS_IN_TOTALS) and (usage := parse_usage(step)) is not None
            ]
        )

    def _open_block(self, place: int, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind in _THINKING_BLOCKS:
            self.open_thinking(place)
        if kind in _TOOL_BLOCKS:
            arguments = json_text(block["input"]) if block.get("input") else ""
            id_ = as_name(block.get("id"))
            at = self.tools.locate(place, id_)
            self.tools.put(at, ToolCall(name=as_str(block.get("name")), arguments=arguments, id=id_))
        elif kind == "text":
            self.add_text(as_str(block.get("text")))
        elif kind == "thinking":
            self.add_reasoning(as_str(block.get("thinking")))

    def _extend_block(self, place: int, delta: dict[str, Any]) -> None:
        key, signal = _DELTAS.get(as_str(delta.get("type")), ("", None))
        text = as_str(delta.get(key))
        if signal is Signal.TEXT:
            self.add_text(text)
        elif signal is Signal.REASONING:
            self.add_reasoning(text)
        elif signal is Signal.TOOL:
            self.tools.extend(self.tools.locate(place, None), arguments=text)


def parse_usage(raw: dict[str, Any]) -> Usage | None:
    """Return the counts of a message or of one of its steps; None where neither input nor output was counted."""
    return make_usage_beside_cache(
        as_count(raw.get("input_tokens")),
        as_count(raw.get("output_tokens")),
        read=as_count(raw.get("cache_read_input_tokens")),
        written=as_count(raw.get("cache_creation_input_tokens")),
        cache_write_1h_tokens=as_count(as_dict(raw.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        reasoning_tokens=as_count(as_dict(raw.get("output_tokens_details")).get("thinking_tokens")),
    )


def bedrock_timings_ms(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the timings in Bedrock's invocation metrics, under our names."""
    names = {"invocationLatency": "bedrock_invocation", "firstByteLatency": "bedrock_first_byte"}
    return {name: took for key, name in names.items() if (took := as_number(metrics.get(key))) is not None}
