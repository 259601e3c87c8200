"""One answer as data: what was asked (Turn), what is said (Slots), and its events.

A dialect turns a Job into Events; answer.py turns Events into timed writes. Nothing here
knows of sockets or clocks, and everything is hashable, so an answer is laid out only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from lens.simulator.script import Script
from lens.simulator.words import arguments_of, mixed, tokens_of

# Slots that are no content: before the first, and after the last.
OPENING = -1
CLOSING = 1 << 40

# When every simulated answer was made; fixed, so that answers are equal byte for byte.
CREATED_S = 1_795_440_000
CREATED_TEXT = "2026-11-23T13:20:00.000000Z"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request shows in the answer."""

    dialect: str
    model: str
    stream: bool
    prompt_tokens: int  # words of the prompt
    max_tokens: int | None = None
    include_usage: bool = False
    variant: str = ""  # a dialect's own: "azure", "array", "base64", ...
    count: int = 1  # inputs of an embeddings request


# What a request may ask for; each token costs memory here.
MAX_TOKENS = 1_000_000


def check(turn: Turn) -> None:
    """Refuse what no answer can be made of.

    Raises:
        ValueError: the token limit is no usable number.
    """
    if turn.max_tokens is not None and not (isinstance(turn.max_tokens, int) and 0 <= turn.max_tokens <= MAX_TOKENS):
        raise ValueError(f"the token limit must be an integer of at most {MAX_TOKENS}")


class Slot(msgspec.Struct, frozen=True):
    """One moment at which content leaves."""

    index: int
    kind: str  # "reasoning", "text" or "tool"
    text: str
    tokens: int
    first: bool  # of its kind
    last: bool  # of its kind
    final: bool  # of the answer


class Event(msgspec.Struct, frozen=True):
    """One event in its dialect's bytes. A comment is on the wire but is no wire event."""

    slot: int
    kind: str
    data: bytes
    tokens: int = 0
    counted: bool = True


class Job(msgspec.Struct, frozen=True):
    """All that a dialect needs to answer."""

    script: Script
    turn: Turn
    slots: tuple[Slot, ...]

    @property
    def wants_usage(self) -> bool:
        """Whether usage is sent where a dialect leaves it to the request."""
        return self.script.usage == "always" or (self.script.usage == "asked" and self.turn.include_usage)

    @property
    def reports_usage(self) -> bool:
        """Whether usage is sent where a dialect always does."""
        return self.script.usage != "never"

    @property
    def output_tokens(self) -> int:
        """All that is billed: reasoning, text and tool arguments."""
        return sum(slot.tokens for slot in self.slots)

    @property
    def prompt_tokens(self) -> int:
        return self.turn.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        return min(self.script.cached_tokens, self.turn.prompt_tokens)

    @property
    def finish(self) -> str:
        """Why the answer ends: "tool", "length" or "stop"."""
        if self.script.tool_tokens:
            return "tool"
        return "length" if self.script.from_request and self.turn.max_tokens is not None else "stop"

    def said(self, kind: str) -> str:
        """The whole text of one kind."""
        return "".join(slot.text for slot in self.slots if slot.kind == kind)

    def id(self, prefix: str, length: int = 24) -> str:
        """A name that is the same for equal jobs."""
        salt = sum(prefix.encode())
        bits = "".join(f"{mixed(self.script.seed, salt, k):016x}" for k in range(1 + length // 16))
        return prefix + bits[:length]


TOOL_NAME = "get_weather"


@lru_cache(maxsize=256)
def slots_of(script: Script, max_tokens: int | None) -> tuple[Slot, ...]:
    """The moments of content of one answer."""
    parts = (
        ("reasoning", tokens_of("reasoning", script.seed, script.reasoning_tokens)),
        ("text", tokens_of("text", script.seed, script.token_count(max_tokens))),
        ("tool", arguments_of(script.seed, script.tool_tokens)),
    )
    size = script.tokens_per_chunk
    cut = [(kind, tokens[a : a + size], a, len(tokens)) for kind, tokens in parts for a in range(0, len(tokens), size)]
    return tuple(
        Slot(k, kind, "".join(tokens), len(tokens), at == 0, at + size >= total, k == len(cut) - 1)
        for k, (kind, tokens, at, total) in enumerate(cut)
    )


def make_job(script: Script, turn: Turn) -> Job:
    """The job of one request."""
    return Job(script, turn, slots_of(script, turn.max_tokens))


# Where the request bodies of all dialects keep what a person wrote.
_TEXT_KEYS = ("text", "content", "contents", "parts", "prompt", "input", "inputs", "messages", "message", "system",
              "systemInstruction", "system_instruction", "instructions")  # fmt: skip


def texts_of(body: Any) -> Iterator[str]:
    """Every text of a request's prompt, at whatever depth its dialect keeps it."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for part in body:
            yield from texts_of(part)
    elif isinstance(body, dict):
        for key in _TEXT_KEYS:
            if key in body:
                yield from texts_of(body[key])


def prompt_tokens_of(body: Any) -> int:
    """The prompt's length in the simulator's tokens: its words between white space."""
    return sum(len(text.split()) for text in texts_of(body))
