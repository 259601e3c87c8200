"""OpenAI's chat completions, legacy completions and embeddings, and the servers that speak them.

The Responses API has a reader of its own (responses.py); here it is only requested.

What carries content counts; a chunk that only opens a role, ends a choice or reports usage is no
token. Where two names hold the same reasoning, it counts once.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lens.model import Failure, Signal, Usage
from lens.providers import fragments, responses
from lens.providers.answers import AnswerReader, make_usage
from lens.providers.base import Body, Header, bearer, encode_json, max_tokens_of, path_under, select_api
from lens.providers.billing import reported_cost_usd
from lens.providers.error_shapes import parse_error
from lens.providers.messages import plain_text, plain_text_with_system
from lens.providers.outcomes import CONTENT_BITS
from lens.providers.presets import Preset
from lens.providers.usual_chats import read_usual_chat
from lens.providers.usual_chunks import Chunk, read_usual_chunk
from lens.providers.values import (
    as_count,
    as_dict,
    as_list,
    as_name,
    as_number,
    as_str,
    first_at,
    first_count,
    json_text,
    new_chars,
    text_at,
    without_none,
)
from lens.wire import Ask, Exchange, Frame, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

ROUTES = {
    "chat": "chat/completions",
    "completions": "completions",
    "responses": "responses",
    "embeddings": "embeddings",
}
_DELTA = "choices[].delta."
_MESSAGE = "choices[].message."  # where a stream holds messages in place of deltas
# Names of the same text, as strings and as lists of parts: OpenRouter, LiteLLM and others send several at once.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
_REASONING_PARTS = (
    ("reasoning_details", ("text", "summary")),
    ("thinking_blocks", ("thinking",)),
)
_TOOL_TEXTS = (
    *("tool_calls[].function.name", "tool_calls[].function.arguments"),
    *("tool_calls[].custom.name", "tool_calls[].custom.input"),
    *("function_call.name", "function_call.arguments"),
)


# Audio and images; a path is a group, so that the transcript of a sound does not count beside it.
_MEDIA = (
    *("audio.transcript", "audio.data", "images[].image_url.url", "images[].image_url", "images[].b64_json"),
    *("content[].image_url.url", "content[].image_url", "content[].data", "content[].audio.data"),
)


def _reasoning_rules() -> list[SignalRule]:
    """Return a rule for each place of reasoning; each name is a group, so that the same text counts once."""
    groups = []
    for place in (_DELTA, _MESSAGE):
        groups += [[place + key] for key in _REASONING]
        groups += [[f"{place}{name}[].{key}" for key in keys] for name, keys in _REASONING_PARTS]
        groups += [[place + "content[].thinking[].text"], [place + "content[].thinking"]]
    return [SignalRule(path, Signal.REASONING, group=group) for group, paths in enumerate(groups) for path in paths]


RULES = SignalRules(
    rules=(
        SignalRule(_DELTA + "content", Signal.TEXT),
        SignalRule(_DELTA + "content[].text", Signal.TEXT),
        SignalRule("choices[].text", Signal.TEXT, group=1),  # Together sends both
        SignalRule(_MESSAGE + "content", Signal.TEXT, group=2),
        SignalRule(_MESSAGE + "content[].text", Signal.TEXT, group=2),
        *_reasoning_rules(),
        SignalRule(_DELTA + "refusal", Signal.REFUSAL),
        SignalRule(_MESSAGE + "refusal", Signal.REFUSAL, group=1),
        *[SignalRule(_DELTA + path, Signal.TOOL) for path in _TOOL_TEXTS],
        *[SignalRule(_MESSAGE + path, Signal.TOOL, group=1) for path in _TOOL_TEXTS],
        *[
            SignalRule(place + path, Signal.AUDIO, group=group)
            for group, path in enumerate(_MEDIA)
            for place in (_DELTA, _MESSAGE)
        ],
        SignalRule("choices[].finish_reason", Signal.FINISH, takes="value"),
        SignalRule("usage", Signal.USAGE, takes="value"),
        SignalRule("choices[].usage", Signal.USAGE, takes="value"),  # Moonshot
        SignalRule("x_groq", Signal.USAGE, takes="value"),
        SignalRule("timings", Signal.USAGE, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    done=b"[DONE]",
    blocks=(_DELTA + "tool_calls[].index",),
)
# Durations in answers: the object, its key, the name of the timing, and milliseconds of one unit.
_TIMINGS = {
    "timings": (("prompt_ms", "llamacpp_prompt", 1.0), ("predicted_ms", "llamacpp_predicted", 1.0)),
    "usage": (
        ("queue_time", "groq_queue", 1000.0),
        ("prompt_time", "groq_prompt", 1000.0),
        ("completion_time", "groq_completion", 1000.0),
        ("total_time", "groq_total", 1000.0),
    ),
    "perf_metrics": (
        ("server-time-to-first-token", "fireworks_ttft", 1000.0),
        ("server-processing-time", "fireworks_processing", 1000.0),
    ),
    "metrics": (
        ("time_to_first_token_ms", "vllm_ttft", 1.0),
        ("queue_time_ms", "vllm_queue", 1.0),
        ("generation_time_ms", "vllm_generation", 1.0),
        ("mean_itl_ms", "vllm_mean_itl", 1.0),
    ),
}
_CHOICE_USAGE = "choices[].usage"
_TOOL_BIT = int(Signal.TOOL)


class OpenAI:
    """The codec; what differs between servers stands in its preset."""

    apis = tuple(ROUTES)

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self.name = preset.name
        self.base_url = preset.base_url
        self.key_variables = preset.key_variables

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """Return OPENAI_BASE_URL, as OpenAI's own client reads it; other servers have names of their own."""
        return environ.get("OPENAI_BASE_URL") or None if self.name == "openai" else None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = select_api(self, ask)
        stream = ask.stream and api != "embeddings"
        return encode_json(
            prompt,
            ask,
            self._body(api, prompt, ask, stream),
            path=self.path_of(base_url, api, ask.model),
            signals=responses.RULES if api == "responses" else RULES,
            auth=self.auth_of(key),
            stream=stream,
        )

    def path_of(self, base_url: str, api: str, model: str) -> str:  # noqa: ARG002 - Azure's path names the model
        """Return the path of this API under the base URL."""
        return path_under(base_url, ROUTES[api])

    def auth_of(self, key: Secret | None) -> Header | None:
        """Return the header that holds the key."""
        return bearer(key)

    def _body(self, api: str, prompt: Prompt, ask: Ask, stream: bool) -> Body:
        if api == "embeddings":
            return {"model": ask.model, "input": plain_text(prompt)}
        body: Body = {"model": ask.model}
        if api == "responses":
            body = responses.build_body(prompt, ask)
        elif api == "chat":
            body["messages"] = prompt.as_messages()
        else:
            body["prompt"] = plain_text_with_system(prompt)
        max_tokens_key = {"chat": self.preset.max_tokens_key, "responses": "max_output_tokens"}.get(api, "max_tokens")
        body |= without_none(**{max_tokens_key: max_tokens_of(prompt, ask)}, temperature=ask.temperature)
        if api != "responses":
            body |= without_none(seed=ask.seed)
        return {**body, "stream": True, **self._stream_options(api)} if stream else body

    def _stream_options(self, api: str) -> Body:
        options: Body = {}
        if self.preset.include_usage and api != "responses":
            options["include_usage"] = True
        if self.preset.plain_chunks and api in ("chat", "responses"):
            options["include_obfuscation"] = False
        return {"stream_options": options} if options else {}

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        if request.signals == responses.RULES:
            return responses.ResponsesReader(exchange).read()
        return read_usual_chat(exchange) or ChatReader(exchange).read()


class ChatReader(AnswerReader):
    """Read chat completions, completions and embeddings, chunk by chunk or whole."""

    read_fragment = staticmethod(fragments.read_chat)
    event_type = object  # a chunk that is no object says nothing, and does no harm
    content_scopes = (_DELTA + "*", _MESSAGE + "*", "*")

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._repeats = False  # chunks hold the message so far beside what is new (Perplexity's full mode)

    def _take_frame(self, frame: Frame, bits: int) -> bool:
        chunk = None if frame.name or bits == _TOOL_BIT else read_usual_chunk(frame.data)
        if chunk is None or not self._take_usual(chunk, bits):
            return super()._take_frame(frame, bits)
        return True

    def _take_usual(self, chunk: Chunk, bits: int) -> bool:
        """Take a chunk as take_event() and what follows it would; return False where that has to see more of it."""
        brings = bits & CONTENT_BITS
        if not brings and any(choice.delta.content for choice in chunk.choices):
            return False
        self.remark = None
        self.served_model = self.served_model or chunk.model or None
        self.bill.take_tier(chunk.service_tier)
        for place, choice in enumerate(chunk.choices):
            self.finish_reason = choice.finish_reason or self.finish_reason
            self.add_text(choice.delta.content or "", place if choice.index is None else choice.index)
        if chunk.usage:
            self._take_usage(chunk.usage)
            self._take_timings(chunk.usage, _TIMINGS["usage"])
        if not brings:
            self.unread.take_strings(chunk.strings())
        elif chunk.usage and (count := self.running_tokens({"usage": chunk.usage})) is not None:
            self._running.append(count)
        return True

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        chunk = as_dict(event)
        self.served_model = self.served_model or as_name(chunk.get("model"))
        self.bill.take_tier(chunk.get("service_tier"))
        for number, choice in enumerate(as_list(chunk.get("choices"))):
            self._take_choice(number, as_dict(choice))
        told = chunk.get("usage") or as_dict(chunk.get("x_groq")).get("usage") or first_at(chunk, _CHOICE_USAGE)
        usage = as_dict(next(iter(told), None) if isinstance(told, list) else told)
        if usage:
            self._take_usage(usage)
        for place, timings in _TIMINGS.items():
            found = usage if place == "usage" else chunk.get(place)
            if found and isinstance(found, dict):
                self._take_timings(found, timings)

    def is_answer(self, document: dict[str, Any]) -> bool:
        return "choices" in document or "data" in document

    def missing_part(self, document: Any) -> str | None:
        return "choice" if "choices" in document and not as_list(document["choices"]) else None

    def failure_in(self, event: Any) -> Failure | None:
        chunk = as_dict(event)
        groq = as_dict(chunk.get("x_groq")).get("error")
        failed = first_at(chunk, "choices[].error")  # OpenRouter
        found = super().failure_in(event) or (parse_error({"error": failed}) if failed else None)
        return found or (parse_error({"error": groq}) if isinstance(groq, str) else None)

    def running_tokens(self, event: Any) -> int | None:
        return as_count(as_dict(as_dict(event).get("usage")).get("completion_tokens"))

    def usage(self) -> Usage | None:
        return parse_usage(self.usage_raw)

    def chars_per_event(self) -> tuple[int, ...] | None:
        return new_chars(self.exchange.events.chars) if self._repeats else None

    def _take_timings(self, found: dict[str, Any], timings: tuple[tuple[str, str, float], ...]) -> None:
        for key, timing, unit_ms in timings:
            duration = as_number(found.get(key))
            if duration is not None:
                self.timings_ms[timing] = duration * unit_ms

    def _take_usage(self, raw: dict[str, Any]) -> None:
        if _counts_in(raw) == (None, None):
            return
        self.add_usage(raw)
        self.reported_cost_usd = reported_cost_usd(raw) or self.reported_cost_usd
        self.bill.take_tier(raw.get("service_tier"))
        self.bill.take_usage_fees(raw)

    def _take_choice(self, place: int, choice: dict[str, Any]) -> None:
        named, reason = as_count(choice.get("index")), choice.get("finish_reason")
        index = place if named is None else named
        # SGLang writes {"type": "abort", "message": ...} where others have a name.
        self.finish_reason = as_name(as_dict(reason).get("type") or reason) or self.finish_reason
        delta, message = choice.get("delta"), choice.get("message")
        self._repeats |= isinstance(delta, dict) and isinstance(message, dict)
        delta = delta if self._repeats and isinstance(delta, dict) else as_dict(delta) or as_dict(message)
        text, thinking = split_content(delta.get("content"))
        self.add_text(text or as_str(choice.get("text")), index)
        self.add_reasoning(reasoning_in(delta) or thinking)
        if isinstance(delta.get("refusal"), str):
            self.add_refusal(delta["refusal"])
        transcript = as_dict(delta.get("audio")).get("transcript")
        if isinstance(transcript, str):
            self.add_transcript(transcript)
        for number, call in enumerate(as_list(delta.get("tool_calls"))):
            self._take_tool_call(index, number, as_dict(call))
        if isinstance(delta.get("function_call"), dict):
            self._take_tool_call(index, 0, {"function": delta["function_call"]})

    def _take_tool_call(self, choice: int, place: int, call: dict[str, Any]) -> None:
        index, id_ = as_count(call.get("index")), as_name(call.get("id"))
        function = as_dict(call.get("function")) or as_dict(call.get("custom"))
        arguments = function.get("arguments") or function.get("input") or ""
        at = self.tools.locate((choice, place if index is None else index), id_)
        if isinstance(call.get("custom"), dict):
            self.tools.takes_text(at)
        self.tools.extend(
            at,
            name=as_str(function.get("name")),
            arguments=arguments if isinstance(arguments, str) else json_text(arguments),
            id_=id_,
        )


def reasoning_in(delta: dict[str, Any]) -> str:
    """Return the reasoning of a delta; where several names hold it, of the first that does."""
    for key in _REASONING:
        if isinstance(delta.get(key), str) and delta[key]:
            return str(delta[key])
    for name, keys in _REASONING_PARTS:
        if delta.get(name) and (text := text_at(delta, *[f"{name}[].{key}" for key in keys])):
            return text
    return ""


def split_content(content: Any) -> tuple[str, str]:
    """Return (text, thinking) of a content that is a string, null, or a list of parts (Mistral)."""
    if isinstance(content, str):
        return content, ""
    text = thinking = ""
    for part in as_list(content):
        piece = as_dict(part)
        text += as_str(piece.get("text"))
        thinking += as_str(piece.get("thinking")) or text_at(piece, "thinking[].text")
    return text, thinking


# Of the prompt, of the completion: OpenAI's own, those of its newer API, those of gateways in JavaScript.
_COUNT_NAMES = (
    ("prompt_tokens", "input_tokens", "promptTokens"),
    ("completion_tokens", "output_tokens", "completionTokens"),
)


def _counts_in(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens of the prompt and of the completion, by the first name that counts each."""
    of_prompt, of_completion = _COUNT_NAMES
    return first_count(*map(usage.get, of_prompt)), first_count(*map(usage.get, of_completion))


def parse_usage(raw: Any) -> Usage | None:
    """Return the usage that chat and completions report; None where it counts neither prompt nor completion.

    Reasoning is a part of completion_tokens, except where the total says otherwise (xAI): then it
    is added, because it is billed.
    """
    usage = as_dict(raw)
    prompt, completion = _counts_in(usage)
    of_prompt = as_dict(usage.get("prompt_tokens_details"))
    of_completion = as_dict(usage.get("completion_tokens_details"))
    reasoning = first_count(of_completion.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    total = as_count(usage.get("total_tokens"))
    if reasoning and total is not None and completion is not None and total == (prompt or 0) + completion + reasoning:
        completion += reasoning
    return make_usage(
        prompt,
        completion,
        total=total,
        cache_read_tokens=first_count(of_prompt.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=as_count(of_prompt.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
        audio_input_tokens=as_count(of_prompt.get("audio_tokens")),
        audio_output_tokens=as_count(of_completion.get("audio_tokens")),
        audio_cache_read_tokens=as_count(as_dict(of_prompt.get("cached_tokens_details")).get("audio_tokens")),
        cache_write_12h_tokens=as_count(as_dict(of_prompt.get("cache_write_tokens_details")).get("ttl_12h_tokens")),
        image_input_tokens=as_count(of_prompt.get("image_tokens")),
        image_output_tokens=as_count(of_completion.get("image_tokens")),
    )
