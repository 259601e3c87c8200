"""SHOUT for llm-latency-lens: how a request is written, what counts as a token, what an answer means."""

from __future__ import annotations

from typing import Any

from lens.model import Signal, Usage
from lens.providers.answers import AnswerReader
from lens.providers.base import bearer, encode_json, path_under
from lens.providers.values import as_count, as_str
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
        return encode_json(
            prompt,
            ask,
            {"ask": prompt.text, "model": ask.model},
            path=path_under(base_url, "shout"),
            signals=RULES,
            auth=bearer(key),
            framing="ndjson",
        )

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        return ShoutReader(exchange).read()


class ShoutReader(AnswerReader):
    """What a line of an answer means; status, failures and the end of a stream are read as for every provider."""

    def take_event(self, event: Any, name: str) -> None:
        self.add_text(as_str(event.get("word")))
        if event.get("bye"):
            self.done, self.finish_reason = True, "bye"
            self.usage_raw = event

    def is_answer(self, document: Any) -> bool:
        return "word" in document

    def usage(self) -> Usage | None:
        words = as_count(self.usage_raw.get("words"))
        return None if words is None else Usage(output_tokens=words)
