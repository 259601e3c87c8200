"""Gemini's generateContent as a body, as rules and as an answer: for the Gemini API and Vertex AI (WIRE 8).

There is no end marker: the body ends. A finish reason may stand on every chunk, so the last one counts.
Thoughts are billed as output but counted apart; here they are added.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens.model import CONTENT, Failure, Signal, Usage
from lens.providers.base import Body, as_dict, as_list, as_name, parsed
from lens.providers.failures import error_of
from lens.providers.gemini_calls import Calls
from lens.providers.messages import (
    answers_together,
    calls_of,
    data_url,
    is_tool_answer,
    parts_of,
    system_and_turns,
    text_of,
    with_tool_names,
)
from lens.providers.outcomes import not_a_stream, outcome
from lens.providers.usage import count, growth, total
from lens.wire import Ask, Exchange, Prompt, SignalRule, SignalRules, When

_PARTS = "candidates[].content.parts[]"
_PIECES = f"{_PARTS}.functionCall.partialArgs[]"
_THOUGHT = When(_PARTS, "thought", equals=True)
RULES = SignalRules(
    rules=(
        SignalRule(f"{_PARTS}.text", Signal.TEXT, when=msgspec.structs.replace(_THOUGHT, negate=True)),
        SignalRule(f"{_PARTS}.text", Signal.REASONING, when=_THOUGHT),
        SignalRule(f"{_PARTS}.functionCall.name", Signal.TOOL),
        SignalRule(f"{_PIECES}.stringValue", Signal.TOOL),
        *[SignalRule(f"{_PIECES}.{kind}", Signal.TOOL, takes="value") for kind in ("numberValue", "boolValue")],
        SignalRule(f"{_PIECES}.jsonPath", Signal.TOOL, takes="value", when=When(_PIECES, "boolValue", equals=False)),
        SignalRule(f"{_PIECES}.nullValue", Signal.TOOL, takes="value"),
        SignalRule(f"{_PARTS}.executableCode.code", Signal.TOOL),
        SignalRule("candidates[].finishReason", Signal.FINISH, takes="value"),
        SignalRule("usageMetadata", Signal.USAGE, takes="value"),
        SignalRule("promptFeedback.blockReason", Signal.FINISH, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    )
)


def body_of(prompt: Prompt, ask: Ask) -> Body:
    """The request's body; the model stands in the path."""
    system, turns = system_and_turns(prompt)
    body: Body = {"contents": [_content(run) for run in answers_together(with_tool_names(turns))]}
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
    wished = {"maxOutputTokens": most, "temperature": ask.temperature, "seed": ask.seed}
    settings = {name: value for name, value in wished.items() if value is not None}
    if settings:
        body["generationConfig"] = settings
    return body


def _content(run: list[dict[str, Any]]) -> Body:
    message = run[0]
    if is_tool_answer(message):
        shown = [part for answer in run for part in parts_of(answer.get("content")) if part.get("type") != "text"]
        return {"role": "user", "parts": [*[_response(answer) for answer in run], *[_part(part) for part in shown]]}
    parts = [_part(part) for part in parts_of(message.get("content"))]
    parts += [{"functionCall": {"name": name, "args": given}} for _, name, given in calls_of(message)]
    return {"role": "model" if message.get("role") == "assistant" else "user", "parts": parts}


def _response(message: dict[str, Any]) -> Body:
    """What a tool said, as an object; a text that is none becomes one."""
    said = text_of(message.get("content"))
    answer = parsed(said.encode())
    name = str(message.get("name") or message.get("tool_call_id") or "tool")
    return {"functionResponse": {"name": name, "response": answer if isinstance(answer, dict) else {"result": said}}}


def _part(part: dict[str, Any]) -> Body:
    if part.get("type") == "image_url":
        url = as_dict(part.get("image_url")).get("url")
        packed = data_url(url)
        if packed is None:
            return {"fileData": {"fileUri": url}}
        return {"inlineData": {"mimeType": packed[0], "data": packed[1]}}
    return {"text": part.get("text")} if part.get("type") == "text" else part


class Answer:
    """What has been read of one answer, chunk by chunk."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.blocked: str | None = None
        self.model: str | None = None
        self.usage_raw: dict[str, Any] = {}
        self.error: Failure | None = None
        self.tools = Calls()
        self.tokens_per_event: tuple[int, ...] | None = None

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        malformed = False
        signals, running = exchange.events.signals, []
        for frame in exchange.frames:
            if not frame.data.strip():
                continue
            chunk = parsed(frame.data)
            if not isinstance(chunk, dict):
                malformed = True
                break
            self._take(chunk)
            if frame.index < len(signals) and signals[frame.index] & CONTENT:
                running.append(self._answered())
        content = sum(1 for bits in signals if bits & CONTENT)
        if content and len(running) == content and None not in running and not self.usage_raw.get("thoughtsTokenCount"):
            self.tokens_per_event = growth([told or 0 for told in running])
        return outcome(
            exchange,
            done=False,
            finish=self.finish,
            error=self.error,
            malformed=malformed,
            blocked=self._block(),
        )

    def _answered(self) -> int | None:
        return count(self.usage_raw.get("candidatesTokenCount"))

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        data = parsed(exchange.document)
        chunks = data if isinstance(data, list) else [data]
        known = ("candidates", "promptFeedback", "error")
        if not chunks or not all(isinstance(one, dict) and any(key in one for key in known) for one in chunks):
            return "protocol_error", not_a_stream(exchange)
        for chunk in chunks:
            self._take(chunk)
        if self.error is not None:
            return "stream_error", msgspec.structs.replace(self.error, where="body")
        if (blocked := self._block()) is not None:
            return "content_filtered", blocked
        if not self.finish and not (self.text or self.reasoning or self.tools):
            return "empty", Failure(message="the answer holds no candidate", type="empty", where="protocol")
        return "success", None

    def _block(self) -> Failure | None:
        if self.blocked is None:
            return None
        return Failure(message=f"the prompt was blocked: {self.blocked}", type="blocked", where="body")

    def _take(self, chunk: dict[str, Any]) -> None:
        if chunk.get("error") and self.error is None:
            said = error_of(chunk) or Failure(message="")
            self.error = msgspec.structs.replace(said, where="stream")
        self.model = as_name(chunk.get("modelVersion")) or self.model
        reason = as_dict(chunk.get("promptFeedback")).get("blockReason")
        if isinstance(reason, str):
            self.blocked, self.finish = reason, f"BLOCKED:{reason}"
        told = {key: value for key, value in as_dict(chunk.get("usageMetadata")).items() if value is not None}
        if told:
            self.usage_raw = told
        for candidate in as_list(chunk.get("candidates")):
            self._take_candidate(as_dict(candidate))

    def _take_candidate(self, candidate: dict[str, Any]) -> None:
        reason = candidate.get("finishReason")
        self.finish = as_name(reason) or self.finish
        for part in as_list(as_dict(candidate.get("content")).get("parts")):
            piece = as_dict(part)
            said = piece.get("text")
            if isinstance(said, str):
                if piece.get("thought"):
                    self.reasoning += said
                else:
                    self.text += said
            call = piece.get("functionCall")
            if isinstance(call, dict):
                self.tools.take(call)

    def usage(self) -> Usage | None:
        raw = self.usage_raw
        asked = total(count(raw.get("promptTokenCount")), count(raw.get("toolUsePromptTokenCount")))
        thought = count(raw.get("thoughtsTokenCount"))
        made = total(self._answered(), thought)
        if asked is None and made is None:
            return None
        return Usage(
            input_tokens=asked,
            output_tokens=made,
            total_tokens=count(raw.get("totalTokenCount")),
            cache_read_tokens=count(raw.get("cachedContentTokenCount")),
            reasoning_tokens=thought,
        )

    def fields(self) -> dict[str, Any]:
        """The fields of a Reading that this answer fills."""
        return {
            "usage": self.usage(),
            "usage_raw": self.usage_raw or None,
            "tokens_per_event": self.tokens_per_event,
            "finish_reason": self.finish,
            "served_model": self.model,
            "text": self.text,
            "reasoning": self.reasoning,
            "tool_calls": self.tools.tool_calls(),
        }
