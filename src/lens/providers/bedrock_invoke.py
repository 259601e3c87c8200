"""Bedrock's InvokeModel: each maker's own body and answer, packed as base64 into `chunk` frames.

Anthropic's models speak Messages. For the others the little that is measured stands in FAMILIES as data:
where the text is, where the finish reason is, and how the request is written.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import msgspec

from lens.errors import ConfigError
from lens.model import Signal, Usage
from lens.providers import anthropic, bedrock_converse
from lens.providers.answers import NO_EVENT, AnswerReader, make_usage
from lens.providers.base import Body, max_tokens_of
from lens.providers.messages import plain_text_with_system
from lens.providers.values import (
    as_count,
    as_dict,
    as_name,
    first_at,
    parse_json,
    sum_known,
    text_at,
    without_none,
)
from lens.wire import Ask, Exchange, Frame, Prompt, SignalRule, SignalRules

INSIDE = "chunk.bytes(base64)."
_DIGITS = re.compile(r"[0-9]{1,18}")
METRICS = "amazon-bedrock-invocationMetrics"
# The counts of a whole answer stand in headers.
_COUNT_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
}
ANTHROPIC_VERSION = "bedrock-2023-05-31"
ANTHROPIC_RULES = anthropic.rules_with_prefix(INSIDE)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A maker's models: where text and finish reason are in a chunk of the stream, and in a whole answer."""

    names: tuple[str, ...]  # the model's id holds one of them
    text: tuple[str, ...]
    finish: str
    whole_text: tuple[str, ...]
    whole_finish: str
    build_body: Callable[[Prompt, Ask], Body]
    reasoning: tuple[str, ...] = ()

    def rules(self) -> SignalRules:
        """Return the rules of the chunks."""
        return SignalRules(
            rules=(
                *[SignalRule(INSIDE + path, Signal.TEXT, group=i) for i, path in enumerate(self.text)],
                *[SignalRule(INSIDE + path, Signal.REASONING, group=9) for path in self.reasoning],
                SignalRule(INSIDE + self.finish, Signal.FINISH, takes="value"),
                SignalRule(INSIDE + METRICS, Signal.USAGE, takes="value"),
                SignalRule(INSIDE + METRICS, Signal.DONE, takes="value"),
            )
        )


def _nova(prompt: Prompt, ask: Ask) -> Body:
    return {"schemaVersion": "messages-v1", **bedrock_converse.build_body(prompt, ask)}


def _titan(prompt: Prompt, ask: Ask) -> Body:
    config = without_none(maxTokenCount=max_tokens_of(prompt, ask), temperature=ask.temperature)
    return {"inputText": plain_text_with_system(prompt), "textGenerationConfig": config}


def _with_prompt(max_tokens_key: str) -> Callable[[Prompt, Ask], Body]:
    """Return the encoder of a body that holds the prompt as plain text."""

    def build(prompt: Prompt, ask: Ask) -> Body:
        options = {max_tokens_key: max_tokens_of(prompt, ask), "temperature": ask.temperature}
        return {"prompt": plain_text_with_system(prompt), **without_none(**options)}

    return build


def _openai(prompt: Prompt, ask: Ask) -> Body:
    options = without_none(max_completion_tokens=max_tokens_of(prompt, ask), temperature=ask.temperature)
    return {"messages": prompt.as_messages(), **options}


FAMILIES = (
    Family(
        names=("amazon.nova",),
        text=("contentBlockDelta.delta.text",),
        finish="messageStop.stopReason",
        whole_text=("output.message.content[].text",),
        whole_finish="stopReason",
        build_body=_nova,
    ),
    Family(
        names=("amazon.titan",),
        text=("outputText",),
        finish="completionReason",
        whole_text=("results[].outputText",),
        whole_finish="results[].completionReason",
        build_body=_titan,
    ),
    Family(
        names=("meta.",),
        text=("generation",),
        finish="stop_reason",
        whole_text=("generation",),
        whole_finish="stop_reason",
        build_body=_with_prompt("max_gen_len"),
    ),
    Family(
        names=("mistral.",),
        text=("outputs[].text",),
        finish="outputs[].stop_reason",
        whole_text=("outputs[].text",),
        whole_finish="outputs[].stop_reason",
        build_body=_with_prompt("max_tokens"),
    ),
    Family(
        names=("openai.",),
        text=("choices[].delta.content",),
        reasoning=("choices[].delta.reasoning",),
        finish="choices[].finish_reason",
        whole_text=("choices[].message.content",),
        whole_finish="choices[].finish_reason",
        build_body=_openai,
    ),
)


def is_anthropic(model: str) -> bool:
    """Return whether the model speaks Anthropic's Messages."""
    return "anthropic." in model or "claude" in model


def family_of(model: str) -> Family:
    """Return the family of a model.

    Raises:
        ConfigError: no family of that name.
    """
    for family in FAMILIES:
        if any(name in model for name in family.names):
            return family
    known = ", ".join(["anthropic.", *[name for family in FAMILIES for name in family.names]])
    raise ConfigError(f"provider bedrock: --api invoke knows models of {known} but not {model!r}; use --api converse")


def build_body_and_rules(prompt: Prompt, ask: Ask) -> tuple[Body, SignalRules]:
    """Return the request body of the model's maker, and the rules of its chunks."""
    if is_anthropic(ask.model):
        return {"anthropic_version": ANTHROPIC_VERSION, **anthropic.build_body(prompt, ask)}, ANTHROPIC_RULES
    family = family_of(ask.model)
    return family.build_body(prompt, ask), family.rules()


def make_reader(exchange: Exchange, rules: SignalRules) -> AnswerReader:
    """Return the reader of the maker whose rules these are."""
    if rules == ANTHROPIC_RULES:
        return ClaudeReader(exchange)
    return FamilyReader(exchange, next(family for family in FAMILIES if family.rules() == rules))


class ChunkReader(AnswerReader):
    """Read the events that Bedrock packs into `chunk` frames."""

    def open_frame(self, frame: Frame) -> Any:
        self.fail(bedrock_converse.frame_failure(frame))
        if frame.name != "event:chunk":
            return NO_EVENT
        packed = as_dict(parse_json(frame.data)).get("bytes")
        try:
            event = parse_json(base64.b64decode(packed, validate=True)) if isinstance(packed, str) else None
        except binascii.Error:
            return None
        return event if isinstance(event, dict) else None


class ClaudeReader(ChunkReader, anthropic.AnthropicReader):
    """Read a message of Anthropic's models."""


class FamilyReader(ChunkReader):
    """Read an answer of another maker: its text, its finish reason, and what Bedrock counted."""

    def __init__(self, exchange: Exchange, family: Family) -> None:
        super().__init__(exchange)
        self.family = family

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        self.add_text(text_at(event, *self.family.text))
        self.add_reasoning(text_at(event, *self.family.reasoning))
        self.finish_reason = as_name(first_at(event, self.family.finish)) or self.finish_reason
        self.add_usage(event.get(METRICS))
        self.timings_ms = anthropic.bedrock_timings_ms(self.usage_raw)

    def take_document(self, document: Any) -> None:
        self.add_text(text_at(document, *self.family.whole_text))
        self.finish_reason = as_name(first_at(document, self.family.whole_finish))
        self.usage_raw = {
            _COUNT_HEADERS[name]: int(value)
            for name, value in self.exchange.headers
            if name in _COUNT_HEADERS and _DIGITS.fullmatch(value)
        }

    def is_answer(self, document: dict[str, Any]) -> bool:
        text, finish = text_at(document, *self.family.whole_text), first_at(document, self.family.whole_finish)
        return bool(text or as_name(finish))

    def usage(self) -> Usage | None:
        raw = self.usage_raw
        given, generated = as_count(raw.get("inputTokenCount")), as_count(raw.get("outputTokenCount"))
        return make_usage(given, generated, total=sum_known(given, generated))
