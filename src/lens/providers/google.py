"""Google's Gemini API with a key, as server-sent events or as one growing JSON array; Vertex reuses body and reader.

There is no end marker: the body ends. A finish reason may stand on every chunk, so the last one counts.
Thoughts are billed as output but counted apart; here they are added.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.answers import AnswerReader, make_usage
from lens.providers.base import Body, Header, encode_json, max_tokens_of, path_under, select_api
from lens.providers.billing import modality_tokens
from lens.providers.google_calls import FunctionCalls
from lens.providers.messages import (
    Message,
    group_tool_results,
    is_tool_result,
    parse_data_url,
    parts_of,
    split_system,
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
    as_str,
    json_text,
    parse_json,
    sum_known,
    without_none,
)
from lens.wire import Ask, EventFraming, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, When, WireRequest

SSE, ARRAY = "gemini", "gemini-array"
_VERSION = re.compile(r"/v\d[\w.]*(/|$)")
PRESET = Preset(
    name="google",
    title="Google Gemini API",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    aliases=("gemini",),
    quirks=("several tokens a chunk", f"--api {ARRAY} asks for a JSON array in place of events"),
)
_BILLED_ONCE = re.compile(r"gemini-[12][.-]")
_PARTS = "candidates[].content.parts[]"
_PIECES = f"{_PARTS}.functionCall.partialArgs[]"
_THOUGHT = When(_PARTS, "thought", equals=True)
RULES = SignalRules(
    rules=(
        SignalRule(f"{_PARTS}.text", Signal.TEXT, when=replace(_THOUGHT, negate=True)),
        SignalRule(f"{_PARTS}.text", Signal.REASONING, when=_THOUGHT),
        SignalRule(f"{_PARTS}.functionCall.name", Signal.TOOL),
        SignalRule(f"{_PIECES}.stringValue", Signal.TOOL),
        *[SignalRule(f"{_PIECES}.{kind}", Signal.TOOL, takes="value") for kind in ("numberValue", "boolValue")],
        SignalRule(f"{_PIECES}.jsonPath", Signal.TOOL, takes="value", when=When(_PIECES, "boolValue", equals=False)),
        SignalRule(f"{_PIECES}.nullValue", Signal.TOOL, takes="value"),
        SignalRule(f"{_PARTS}.executableCode.code", Signal.TOOL),
        SignalRule(f"{_PARTS}.toolCall.toolType", Signal.TOOL),
        SignalRule(f"{_PARTS}.inlineData.data", Signal.AUDIO),  # media of any kind: speech, images
        SignalRule("candidates[].finishReason", Signal.FINISH, takes="value"),
        SignalRule("usageMetadata", Signal.USAGE, takes="value"),
        SignalRule("promptFeedback.blockReason", Signal.FINISH, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    )
)


class Google:
    """The codec."""

    name = PRESET.name
    base_url = PRESET.base_url
    key_variables = PRESET.key_variables
    apis = (SSE, ARRAY)
    preset = PRESET

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = select_api(self, ask)
        version = "" if _VERSION.search(urlsplit(base_url).path) else "v1beta/"
        route = f"{version}models/{quote(ask.model.removeprefix('models/'), safe='-_.~')}"
        return encode_generate(prompt, ask, base_url, route, api=api, auth=key_header(key) if key else None)

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return GeminiReader(exchange).read()


def key_header(key: Secret) -> Header:
    """Return the header of an API key of Google."""
    return b"x-goog-api-key", key.reveal().encode("utf-8")


def encode_generate(
    prompt: Prompt, ask: Ask, base_url: str, route: str, *, api: str, auth: Header | None
) -> WireRequest:
    """Return a request to the model at `route`, which the name of the method is appended to."""
    events = ask.stream and api == SSE
    path = path_under(base_url, f"{route}:{'streamGenerateContent' if ask.stream else 'generateContent'}")
    if events:
        path += "&alt=sse" if "?" in path else "?alt=sse"
    framing: EventFraming = "sse" if events else "json_array"
    return encode_json(prompt, ask, build_body(prompt, ask), path=path, signals=RULES, auth=auth, framing=framing)


def build_body(prompt: Prompt, ask: Ask) -> Body:
    """Return the request body; the model stands in the path."""
    system, turns = split_system(prompt)
    body: Body = {"contents": [_content(run) for run in group_tool_results(with_tool_names(turns))]}
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    config = without_none(maxOutputTokens=max_tokens_of(prompt, ask), temperature=ask.temperature, seed=ask.seed)
    if config:
        body["generationConfig"] = config
    return body


def _content(run: list[Message]) -> Body:
    message = run[0]
    if is_tool_result(message):
        media = [part for result in run for part in parts_of(result.get("content")) if part.get("type") != "text"]
        return {"role": "user", "parts": [*[_response(result) for result in run], *[_part(part) for part in media]]}
    parts = [_part(part) for part in parts_of(message.get("content"))]
    parts += [{"functionCall": {"name": name, "args": arguments}} for _, name, arguments in tool_calls_of(message)]
    return {"role": "model" if message.get("role") == "assistant" else "user", "parts": parts}


def _response(message: Message) -> Body:
    """Return a tool result as an object; a text that is no JSON object becomes one."""
    text = text_of(message.get("content"))
    result = parse_json(text.encode())
    name = str(message.get("name") or message.get("tool_call_id") or "tool")
    return {"functionResponse": {"name": name, "response": result if isinstance(result, dict) else {"result": text}}}


def _part(part: dict[str, Any]) -> Body:
    if part.get("type") == "image_url":
        url = as_dict(part.get("image_url")).get("url")
        embedded = parse_data_url(url)
        if embedded is None:
            return {"fileData": {"fileUri": url}}
        return {"inlineData": {"mimeType": embedded[0], "data": embedded[1]}}
    return {"text": part.get("text")} if part.get("type") == "text" else part


class GeminiReader(AnswerReader):
    """Read generateContent, chunk by chunk or whole: one chunk, or an array of them."""

    content_scopes = (f"{_PARTS}.*",)

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.calls = FunctionCalls()
        self.server_calls: list[ToolCall] = []  # of tools that Google runs itself
        self.block_reason: str | None = None

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        self.served_model = as_name(event.get("modelVersion")) or self.served_model
        reason = as_dict(event.get("promptFeedback")).get("blockReason")
        if isinstance(reason, str):
            self.block_reason, self.finish_reason = reason, f"BLOCKED:{reason}"
        usage = as_dict(event.get("usageMetadata"))
        self.add_usage(usage)
        self.bill.take_tier(usage.get("serviceTier"), usage.get("trafficType"))
        for place, candidate in enumerate(as_list(event.get("candidates"))):
            self._take_candidate(place, as_dict(candidate))

    def document_parts(self, document: Any) -> Sequence[Any]:
        parts = document if isinstance(document, list) else [document]
        return parts if all(isinstance(part, dict) for part in parts) else []

    def is_answer(self, document: dict[str, Any]) -> bool:
        return "candidates" in document or "promptFeedback" in document

    def missing_part(self, document: Any) -> str | None:  # noqa: ARG002
        found = self.finish_reason or self.text or self.reasoning or self.calls or self.server_calls
        return None if found else "candidate"

    def blocked(self) -> Failure | None:
        if self.block_reason is None:
            return None
        return Failure(message=f"the prompt was blocked: {self.block_reason}", type="blocked", where="body")

    def usage(self) -> Usage | None:
        raw = self.usage_raw
        given = sum_known(as_count(raw.get("promptTokenCount")), as_count(raw.get("toolUsePromptTokenCount")))
        thoughts = as_count(raw.get("thoughtsTokenCount"))
        generated = sum_known(as_count(raw.get("candidatesTokenCount")), thoughts)
        return make_usage(
            given,
            generated,
            total=as_count(raw.get("totalTokenCount")),
            cache_read_tokens=as_count(raw.get("cachedContentTokenCount")),
            reasoning_tokens=thoughts,
            audio_input_tokens=self._modality("AUDIO", "promptTokensDetails", "toolUsePromptTokensDetails"),
            audio_output_tokens=self._modality("AUDIO", "candidatesTokensDetails"),
            audio_cache_read_tokens=self._modality("AUDIO", "cacheTokensDetails"),
            image_input_tokens=self._modality("IMAGE", "promptTokensDetails", "toolUsePromptTokensDetails"),
            image_output_tokens=self._modality("IMAGE", "candidatesTokensDetails"),
        )

    def _modality(self, modality: str, *details: str) -> int | None:
        return sum_known(*[modality_tokens(self.usage_raw.get(name), modality) for name in details])

    def running_tokens(self, event: Any) -> int | None:  # noqa: ARG002 - the last count holds until the next
        return as_count(self.usage_raw.get("candidatesTokenCount"))

    def tokens_per_event(self) -> tuple[int, ...] | None:
        """Return the tokens of each content event; None where thoughts, which are counted apart, are among them."""
        return None if self.usage_raw.get("thoughtsTokenCount") else super().tokens_per_event()

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return (*self.server_calls, *self.calls.in_order(self.exchange.events))

    def _take_searches(self, grounding: dict[str, Any]) -> None:
        """Take the searches of an answer: before Gemini 3 a grounded prompt is billed once, since then each query.

        Source: https://ai.google.dev/gemini-api/docs/google-search, "Pricing".
        """
        queries = len(as_list(grounding.get("webSearchQueries")))
        once = _BILLED_ONCE.search(self.served_model or "")
        self.bill.take_fee("web_search", min(queries, 1) if once else queries)

    def _take_candidate(self, place: int, candidate: dict[str, Any]) -> None:
        index = as_count(candidate.get("index"))
        choice = place if index is None else index
        self.finish_reason = as_name(candidate.get("finishReason")) or self.finish_reason
        self._take_searches(as_dict(candidate.get("groundingMetadata")))
        for part in as_list(as_dict(candidate.get("content")).get("parts")):
            piece = as_dict(part)
            text = piece.get("text")
            if isinstance(text, str) and piece.get("thought"):
                self.add_reasoning(text)
            elif isinstance(text, str):
                self.add_text(text, choice)
            if isinstance(piece.get("functionCall"), dict):
                self.calls.take(piece["functionCall"], self.tools.event)
            if isinstance(piece.get("toolCall"), dict):
                call = piece["toolCall"]
                arguments = json_text(call.get("args") or {})
                name = as_str(call.get("toolType"))
                self.server_calls.append(ToolCall(name=name, arguments=arguments, id=as_name(call.get("id"))))
