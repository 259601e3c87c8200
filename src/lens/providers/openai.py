"""OpenAI's chat completions, legacy completions and embeddings, and whoever speaks them (WIRE 5, 11).

The Responses API has a codec of its own (responses.py); here it is only asked for.

Counted is what carries content; a chunk that only opens a role, ends a choice or brings usage is no
token. Where two names hold the same reasoning, it counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lens.errors import ConfigError
from lens.model import CONTENT, Failure, Signal, ToolCall, Usage
from lens.providers import responses
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
from lens.providers.outcomes import judged, not_a_stream, outcome
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.providers.usage import count, growth, openai_usage
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

ROUTES = {
    "chat": "chat/completions",
    "completions": "completions",
    "responses": "responses",
    "embeddings": "embeddings",
}
_DELTA = "choices[].delta."
RULES = SignalRules(
    rules=(
        SignalRule(_DELTA + "content", Signal.TEXT),
        SignalRule(_DELTA + "content[].text", Signal.TEXT),
        SignalRule("choices[].text", Signal.TEXT, group=1),  # Together sends both
        SignalRule(_DELTA + "reasoning", Signal.REASONING),
        SignalRule(_DELTA + "reasoning_content", Signal.REASONING, group=1),
        SignalRule(_DELTA + "content[].thinking[].text", Signal.REASONING, group=2),
        SignalRule(_DELTA + "refusal", Signal.REFUSAL),
        SignalRule(_DELTA + "tool_calls[].function.name", Signal.TOOL),
        SignalRule(_DELTA + "tool_calls[].function.arguments", Signal.TOOL),
        SignalRule(_DELTA + "function_call.name", Signal.TOOL),
        SignalRule(_DELTA + "function_call.arguments", Signal.TOOL),
        SignalRule(_DELTA + "audio.transcript", Signal.AUDIO),
        SignalRule(_DELTA + "audio.data", Signal.AUDIO, takes="value"),
        SignalRule("choices[].finish_reason", Signal.FINISH, takes="value"),
        SignalRule("usage", Signal.USAGE, takes="value"),
        SignalRule("x_groq", Signal.USAGE, takes="value"),
        SignalRule("timings", Signal.USAGE, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    done=b"[DONE]",
)
# Durations that servers put into their answers: where, which key, and milliseconds of one unit.
_TIMINGS = (
    ("timings", "prompt_ms", "llamacpp_prompt", 1.0),
    ("timings", "predicted_ms", "llamacpp_predicted", 1.0),
    ("groq", "queue_time", "groq_queue", 1000.0),
    ("groq", "prompt_time", "groq_prompt", 1000.0),
    ("groq", "completion_time", "groq_completion", 1000.0),
    ("groq", "total_time", "groq_total", 1000.0),
    ("perf_metrics", "server-time-to-first-token", "fireworks_ttft", 1000.0),
    ("perf_metrics", "server-processing-time", "fireworks_processing", 1000.0),
)


class OpenAI:
    """The codec; what differs between servers stands in its preset."""

    apis = tuple(ROUTES)

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self.name = preset.name
        self.base_url = preset.base_url
        self.key_variables = preset.key_variables

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """OPENAI_BASE_URL, as OpenAI's own client reads it; other servers have names of their own."""
        return environ.get("OPENAI_BASE_URL") or None if self.name == "openai" else None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = ask.api or self.apis[0]
        if api not in ROUTES:
            raise ConfigError(f"provider {self.name}: no api {api!r}; there are {', '.join(ROUTES)}")
        stream = ask.stream and api != "embeddings"
        body = self._body(api, prompt, ask, stream)
        return WireRequest(
            path=self.path_of(base_url, api, ask.model),
            headers=json_headers(ask, auth=self.auth_of(key)),
            body=msgspec.json.encode(merged(merged(body, ask.extra_body), prompt.extra_body)),
            signals=responses.RULES if api == "responses" else RULES,
            framing="sse" if stream else "document",
            stream=stream,
        )

    def path_of(self, base_url: str, api: str, model: str) -> str:  # noqa: ARG002 - Azure's path names the model
        """Where this API is under the base URL."""
        return path_under(base_url, ROUTES[api])

    def auth_of(self, key: Secret | None) -> tuple[bytes, bytes] | None:
        """The header that holds the key."""
        return bearer(key)

    def _body(self, api: str, prompt: Prompt, ask: Ask, stream: bool) -> Body:
        if api == "embeddings":
            return {"model": ask.model, "input": prompt_text(prompt)}
        body: Body = {"model": ask.model}
        if api == "responses":
            body = responses.body_of(prompt, ask)
        elif api == "chat":
            body["messages"] = prompt.as_messages()
        else:
            body["prompt"] = prompt_text(prompt)
        most = prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
        if most is not None:
            names = {"chat": self.preset.max_tokens_key, "responses": "max_output_tokens"}
            body[names.get(api, "max_tokens")] = most
        if ask.temperature is not None:
            body["temperature"] = ask.temperature
        if ask.seed is not None and api != "responses":
            body["seed"] = ask.seed
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
            return responses.reading_of(exchange)
        answer = _Answer()
        category, failure = judged(exchange, answer)
        return reading(
            exchange,
            category,
            failure,
            usage=answer.usage,
            timings_ms=answer.timings_ms,
            usage_raw=answer.usage_raw,
            tokens_per_event=answer.tokens_per_event,
            finish_reason=answer.finish,
            served_model=answer.model,
            text=answer.texts.get(0, ""),
            reasoning=answer.reasoning,
            refusal=answer.refusal,
            audio_transcript=answer.transcript,
            choices=tuple([answer.texts[i] for i in sorted(answer.texts)]) if len(answer.texts) > 1 else None,
            tool_calls=answer.tool_calls(),
            reported_cost_usd=answer.cost_usd,
        )


def prompt_text(prompt: Prompt) -> str:
    """The prompt for an API that takes plain text."""
    return prompt.text or "\n".join(_content(message.get("content"))[0] for message in prompt.messages)


class _Answer:
    """What has been read of one answer, chunk by chunk."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.reasoning = ""
        self.refusal: str | None = None
        self.transcript: str | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.usage_raw: Any = None
        self.cost_usd: str | None = None
        self.error: Failure | None = None
        self.timings_ms: dict[str, float] = {}
        self.tokens_per_event: tuple[int, ...] | None = None
        self._tools: dict[tuple[int, int], dict[str, str]] = {}

    def take_stream(self, exchange: Exchange) -> tuple[str, Failure | None]:
        done = malformed = False
        running: list[int] = []  # completion tokens after each content event that told
        signals = exchange.events.signals
        for frame in exchange.frames:
            if frame.data == RULES.done:
                done = True
                break
            if not frame.data.strip():
                continue
            chunk = parsed(frame.data)
            if chunk is None:
                malformed = True
                break
            self.take(as_dict(chunk))
            told = count(as_dict(as_dict(chunk).get("usage")).get("completion_tokens"))
            if told is not None and frame.index < len(signals) and signals[frame.index] & CONTENT:
                running.append(told)
        content = sum(1 for bits in signals if bits & CONTENT)
        if running and len(running) == content:
            self.tokens_per_event = growth(running)
        done = done or any(bits & Signal.DONE for bits in signals)
        return outcome(
            exchange,
            done=done,
            finish=self.finish,
            error=self.error,
            malformed=malformed,
        )

    def take_document(self, exchange: Exchange) -> tuple[str, Failure | None]:
        """One JSON value: a whole answer, or an error that came with a good status."""
        data = parsed(exchange.document)
        if not isinstance(data, dict):
            return "protocol_error", not_a_stream(exchange)
        self.take(data)
        if self.error is not None:
            return "stream_error", msgspec.structs.replace(self.error, where="body")
        if "choices" not in data and "data" not in data:
            return "protocol_error", not_a_stream(exchange)
        if "choices" in data and not as_list(data["choices"]):
            return "empty", Failure(message="the answer holds no choice", type="empty", where="protocol")
        return "success", None

    def take(self, chunk: dict[str, Any]) -> None:
        """One chunk, or a whole answer."""
        said = error_of({"error": chunk["error"]}) if chunk.get("error") else None
        groq = as_dict(chunk.get("x_groq"))
        if said is None and isinstance(groq.get("error"), str):
            said = error_of({"error": groq["error"]})
        if said is not None and self.error is None:
            self.error = msgspec.structs.replace(said, where="stream")
        self.model = self.model or as_name(chunk.get("model"))
        for choice in as_list(chunk.get("choices")):
            self._take_choice(as_dict(choice))
        raw = chunk.get("usage") or groq.get("usage")
        if raw:
            self._take_usage(as_dict(raw))
        if raw or "timings" in chunk or "perf_metrics" in chunk:
            self._take_timings(
                {"timings": chunk.get("timings"), "groq": raw, "perf_metrics": chunk.get("perf_metrics")}
            )

    def _take_timings(self, places: dict[str, Any]) -> None:
        for place, key, name, unit_ms in _TIMINGS:
            took = as_number(as_dict(places[place]).get(key))
            if took is not None:
                self.timings_ms[name] = took * unit_ms

    def _take_usage(self, raw: dict[str, Any]) -> None:
        usage = openai_usage(raw)
        if usage is None:
            return
        self.usage, self.usage_raw = usage, raw
        cost = raw.get("cost")
        if not isinstance(cost, str) and as_number(cost) is not None:
            self.cost_usd = repr(cost)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = count(choice.get("index")) or 0
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self.finish = finish
        delta = as_dict(choice.get("delta")) or as_dict(choice.get("message"))
        text, thought = _content(delta.get("content"))
        if isinstance(choice.get("text"), str):
            text = text or choice["text"]
        self.texts[index] = self.texts.get(index, "") + text
        named = delta.get("reasoning_content") or delta.get("reasoning")
        self.reasoning += named if isinstance(named, str) else thought
        if isinstance(delta.get("refusal"), str):
            self.refusal = (self.refusal or "") + delta["refusal"]
        spoken = as_dict(delta.get("audio")).get("transcript")
        if isinstance(spoken, str):
            self.transcript = (self.transcript or "") + spoken
        for place, call in enumerate(as_list(delta.get("tool_calls"))):
            self._take_tool(index, place, as_dict(call))
        if isinstance(delta.get("function_call"), dict):
            self._take_tool(index, 0, {"function": delta["function_call"]})

    def _take_tool(self, choice: int, place: int, call: dict[str, Any]) -> None:
        at = count(call.get("index"))
        tool = self._tools.setdefault((choice, place if at is None else at), {"name": "", "arguments": "", "id": ""})
        function = as_dict(call.get("function"))
        tool["id"] = tool["id"] or as_str(call.get("id"))
        tool["name"] += as_str(function.get("name"))
        arguments = function.get("arguments") or ""
        tool["arguments"] += arguments if isinstance(arguments, str) else json_text(arguments)

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            [
                ToolCall(name=tool["name"], arguments=tool["arguments"], id=tool["id"] or None)
                for _, tool in sorted(self._tools.items())
            ]
        )


def _content(content: Any) -> tuple[str, str]:
    """(text, thinking) of a content that is a string, null, or a list of parts (Mistral)."""
    if isinstance(content, str):
        return content, ""
    text = thought = ""
    for part in as_list(content):
        piece = as_dict(part)
        text += as_str(piece.get("text"))
        for inner in as_list(piece.get("thinking")):
            thought += as_str(as_dict(inner).get("text"))
    return text, thought
