"""SHOUT for llm-latency-lens: how a request is written, what counts as a token, what an answer means."""

from __future__ import annotations

import msgspec

from lens.model import Signal, Usage
from lens.providers.base import bearer, json_headers, parsed, path_under
from lens.providers.failures import http_outcome
from lens.providers.outcomes import outcome
from lens.providers.readings import reading
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, SignalRule, SignalRules, WireRequest

RULES = SignalRules(
    rules=(
        SignalRule("word", Signal.TEXT),
        SignalRule("bye", Signal.DONE, takes="value"),
        SignalRule("bye", Signal.FINISH, takes="value"),
        SignalRule("words", Signal.USAGE, takes="value"),
    )
)


class Shout:
    """The codec: two functions and no state."""

    name = "shout"
    base_url = None  # only the user knows it
    key_variables = ("SHOUT_KEY",)
    apis = ("shout",)

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        body = {"ask": prompt.text, "model": ask.model, **ask.extra_body}
        return WireRequest(
            path=path_under(base_url, "shout"),
            headers=json_headers(ask, auth=bearer(key)),
            body=msgspec.json.encode(body),
            signals=RULES,
            framing="ndjson",
            stream=ask.stream,
        )

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        category, failure = http_outcome(exchange)
        lines = [parsed(frame.data) for frame in exchange.frames]
        last = next((line for line in reversed(lines) if isinstance(line, dict) and line.get("bye")), None)
        if category is None:
            category, failure = outcome(
                exchange,
                done=last is not None,
                finish="bye" if last else None,
                error=None,
                malformed=None in lines,
            )
        usage = Usage(output_tokens=last["words"]) if last and "words" in last else None
        text = "".join(line.get("word", "") for line in lines if isinstance(line, dict))
        return reading(exchange, category, failure, usage=usage, text=text, finish_reason="bye" if last else None)
