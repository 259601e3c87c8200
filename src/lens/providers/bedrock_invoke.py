"""Bedrock's InvokeModel: each maker's own body and answer, packed as base64 into `chunk` frames (WIRE 9).

Anthropic's models speak Messages. For the others the little that is measured stands in FAMILIES as data:
where the text is, where the reason to stop is, and how the request is written.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import msgspec

from lens.errors import ConfigError
from lens.model import Failure, Signal, Usage
from lens.providers import anthropic_messages, bedrock_converse
from lens.providers.base import Body, as_dict, as_name, parsed
from lens.providers.bedrock_converse import error_frame
from lens.providers.messages import text_of
from lens.providers.outcomes import not_a_stream, outcome
from lens.providers.paths import first_at, text_at
from lens.providers.usage import count, total
from lens.wire import Ask, Exchange, Prompt, SignalRule, SignalRules

INSIDE = "chunk.bytes(base64)."
_DIGITS = re.compile(r"[0-9]{1,18}")
METRICS = "amazon-bedrock-invocationMetrics"
ANTHROPIC_VERSION = "bedrock-2023-05-31"
ANTHROPIC_RULES = anthropic_messages.rules_under(INSIDE)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A maker's models: text and finish in a chunk of the stream, and in a whole answer."""

    names: tuple[str, ...]  # the model's id holds one of them
    text: tuple[str, ...]
    finish: str
    whole_text: tuple[str, ...]
    whole_finish: str
    body: Callable[[Prompt, Ask], Body]
    reasoning: tuple[str, ...] = ()

    def rules(self) -> SignalRules:
        return SignalRules(
            rules=(
                *[SignalRule(INSIDE + path, Signal.TEXT, group=i) for i, path in enumerate(self.text)],
                *[SignalRule(INSIDE + path, Signal.REASONING, group=9) for path in self.reasoning],
                SignalRule(INSIDE + self.finish, Signal.FINISH, takes="value"),
                SignalRule(INSIDE + METRICS, Signal.USAGE, takes="value"),
                SignalRule(INSIDE + METRICS, Signal.DONE, takes="value"),
            )
        )


def _most(prompt: Prompt, ask: Ask) -> int | None:
    return prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens


def _set(**fields: Any) -> Body:
    return {name: value for name, value in fields.items() if value is not None}


def _plain(prompt: Prompt) -> str:
    return prompt.text or "\n".join(text_of(message.get("content")) for message in prompt.messages)


def _nova(prompt: Prompt, ask: Ask) -> Body:
    return {"schemaVersion": "messages-v1", **bedrock_converse.body_of(prompt, ask)}


def _titan(prompt: Prompt, ask: Ask) -> Body:
    settings = _set(maxTokenCount=_most(prompt, ask), temperature=ask.temperature)
    return {"inputText": _plain(prompt), "textGenerationConfig": settings}


def _llama(prompt: Prompt, ask: Ask) -> Body:
    return {"prompt": _plain(prompt), **_set(max_gen_len=_most(prompt, ask), temperature=ask.temperature)}


def _mistral(prompt: Prompt, ask: Ask) -> Body:
    return {"prompt": _plain(prompt), **_set(max_tokens=_most(prompt, ask), temperature=ask.temperature)}


def _openai(prompt: Prompt, ask: Ask) -> Body:
    settings = _set(max_completion_tokens=_most(prompt, ask), temperature=ask.temperature)
    return {"messages": prompt.as_messages(), **settings}


FAMILIES = (
    Family(
        names=("amazon.nova",),
        text=("contentBlockDelta.delta.text",),
        finish="messageStop.stopReason",
        whole_text=("output.message.content[].text",),
        whole_finish="stopReason",
        body=_nova,
    ),
    Family(
        names=("amazon.titan",),
        text=("outputText",),
        finish="completionReason",
        whole_text=("results[].outputText",),
        whole_finish="results[].completionReason",
        body=_titan,
    ),
    Family(
        names=("meta.",),
        text=("generation",),
        finish="stop_reason",
        whole_text=("generation",),
        whole_finish="stop_reason",
        body=_llama,
    ),
    Family(
        names=("mistral.",),
        text=("outputs[].text",),
        finish="outputs[].stop_reason",
        whole_text=("outputs[].text",),
        whole_finish="outputs[].stop_reason",
        body=_mistral,
    ),
    Family(
        names=("openai.",),
        text=("choices[].delta.content",),
        reasoning=("choices[].delta.reasoning",),
        finish="choices[].finish_reason",
        whole_text=("choices[].message.content",),
        whole_finish="choices[].finish_reason",
        body=_openai,
    ),
)


def is_anthropic(model: str) -> bool:
    return "anthropic." in model or "claude" in model


def family_of(model: str) -> Family:
    """
    Raises:
        ConfigError: nothing is known of this maker's bodies.
    """
    for family in FAMILIES:
        if any(name in model for name in family.names):
            return family
    known = ", ".join(["anthropic.", *[name for family in FAMILIES for name in family.names]])
    raise ConfigError(f"provider bedrock: --api invoke knows models of {known} but not {model!r}; use --api converse")


def body_and_rules(prompt: Prompt, ask: Ask) -> tuple[Body, SignalRules]:
    """How a model is asked, and what its chunks mean."""
    if is_anthropic(ask.model):
        return {"anthropic_version": ANTHROPIC_VERSION, **anthropic_messages.body_of(prompt, ask)}, ANTHROPIC_RULES
    family = family_of(ask.model)
    return family.body(prompt, ask), family.rules()


class Answer:
    """What has been read of one answer: that of a maker, in the chunks that Bedrock packs it in."""

    def __init__(self, rules: SignalRules) -> None:
        anthropic = rules == ANTHROPIC_RULES
        self.inner = anthropic_messages.Answer() if anthropic else _Other(_family_with(rules))

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        return self.inner.outcome(exchange, malformed=self._malformed(exchange))

    def _malformed(self, exchange: Exchange) -> bool:
        """Hands every chunk's inside on; whether one was malformed."""
        for frame in exchange.frames:
            self.inner.error = self.inner.error or error_frame(frame)
            if frame.name != "event:chunk":
                continue
            packed = as_dict(parsed(frame.data)).get("bytes")
            try:
                inside = parsed(base64.b64decode(packed, validate=True)) if isinstance(packed, str) else None
            except binascii.Error:
                inside = None
            if not isinstance(inside, dict):
                return True
            self.inner.take(inside)
        return False

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        return self.inner.take_document(exchange)

    def fields(self) -> dict[str, Any]:
        return self.inner.fields()


def _family_with(rules: SignalRules) -> Family:
    return next(family for family in FAMILIES if family.rules() == rules)


class _Other:
    """An answer of a maker whose text and reason to stop are all that is read."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.error: Failure | None = None
        self.metrics: dict[str, Any] = {}

    def take(self, chunk: dict[str, Any]) -> None:
        self.text += text_at(chunk, *self.family.text)
        self.reasoning += text_at(chunk, *self.family.reasoning)
        self.finish = as_name(first_at(chunk, self.family.finish)) or self.finish
        self.metrics = as_dict(chunk.get(METRICS)) or self.metrics

    def outcome(self, exchange: Exchange, *, malformed: bool) -> tuple[str, Failure | None]:
        return outcome(
            exchange,
            done=bool(self.metrics),
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        self.text, finish = text_at(data, *self.family.whole_text), as_name(first_at(data, self.family.whole_finish))
        if not isinstance(data, dict) or not (self.text or finish):
            return "protocol_error", not_a_stream(exchange)
        self.finish = finish
        names = {
            "x-amzn-bedrock-input-token-count": "inputTokenCount",
            "x-amzn-bedrock-output-token-count": "outputTokenCount",
        }
        self.metrics = {names[k]: int(v) for k, v in exchange.headers if k in names and _DIGITS.fullmatch(v)}
        return "success", None

    def fields(self) -> dict[str, Any]:
        given, made = count(self.metrics.get("inputTokenCount")), count(self.metrics.get("outputTokenCount"))
        known = given is not None or made is not None
        return {
            "usage": Usage(input_tokens=given, output_tokens=made, total_tokens=total(given, made)) if known else None,
            "usage_raw": self.metrics or None,
            "finish_reason": self.finish,
            "text": self.text,
            "reasoning": self.reasoning,
            "timings_ms": anthropic_messages.server_times_ms(self.metrics),
        }
