"""One answer as data: what the request asks for (Params), its content (Delta), and the Completion made of both.

Nothing here knows sockets or clocks, and everything is hashable, so a response is laid out once and sent often.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from lens.simulator.script import Script
from lens.simulator.words import hash_bits, make_arguments, make_tokens

# Positions of events that are no content: before the first delta, and after the last.
OPENING = -1
CLOSING = 1 << 40

# When every simulated answer was made; fixed, so that answers are equal byte for byte.
CREATED_S = 1_795_440_000
CREATED_TEXT = "2026-11-23T13:20:00.000000Z"

TOOL_NAME = "get_weather"

# The largest token limit that a request may set; each token costs memory here.
MAX_TOKENS = 1_000_000


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, as far as the answer shows it."""

    protocol: str
    model: str
    stream: bool
    prompt_tokens: int  # words of the prompt
    max_tokens: int | None = None
    include_usage: bool = False
    variant: str = ""  # of the protocol: "azure", "vertex array", "base64", ...
    count: int = 1  # inputs of an embeddings request
    cached_tokens: int | None = None  # prompt tokens that the prefix cache had; None: there is none


def check_params(params: Params) -> None:
    """Refuse a token limit that no answer can be made for.

    Raises:
        ValueError: the limit is not an integer of 0 to MAX_TOKENS.
    """
    limit = params.max_tokens
    if limit is not None and not (isinstance(limit, int) and 0 <= limit <= MAX_TOKENS):
        raise ValueError(f"the token limit must be an integer of at most {MAX_TOKENS}")


class Delta(msgspec.Struct, frozen=True):
    """A piece of content, all of which leaves at one moment."""

    index: int
    block: int  # which content block it belongs to; each kind of content is one block
    kind: str  # "reasoning", "text" or "tool"
    text: str
    tokens: int
    first: bool  # of its block
    last: bool  # of its block
    final: bool  # of the answer

    @property
    def opens_at(self) -> int:
        """Position of the events that open its block."""
        return OPENING if self.index == 0 else self.index

    @property
    def closes_at(self) -> int:
        """Position of the events that close its block."""
        return CLOSING if self.final else self.index


class Event(msgspec.Struct, frozen=True):
    """One event in the bytes of its protocol. A comment is sent but is not counted as an event."""

    at: int  # OPENING, the index of a delta, or CLOSING
    kind: str
    data: bytes
    tokens: int = 0
    counted: bool = True


class Completion(msgspec.Struct, frozen=True):
    """All that a protocol needs to write one answer."""

    script: Script
    params: Params
    deltas: tuple[Delta, ...]

    @property
    def wants_usage(self) -> bool:
        """Whether usage is sent by a protocol that leaves it to the request."""
        return self.script.usage == "always" or (self.script.usage == "asked" and self.params.include_usage)

    @property
    def reports_usage(self) -> bool:
        """Whether usage is sent by a protocol that always does."""
        return self.script.usage != "never"

    @property
    def output_tokens(self) -> int:
        """All billed output: reasoning, text and tool arguments."""
        return sum(delta.tokens for delta in self.deltas)

    @property
    def prompt_tokens(self) -> int:
        """Words of the prompt."""
        return self.params.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from the cache."""
        cached = self.params.cached_tokens
        return min(self.script.cached_tokens if cached is None else cached, self.params.prompt_tokens)

    @property
    def prefill_ns(self) -> int:
        """How long the prompt takes, before anything is sent."""
        cached, script = self.cached_tokens, self.script
        return script.prefill_ns * (self.prompt_tokens - cached) + script.cached_prefill_ns * cached

    @property
    def generation_ns(self) -> int:
        """From the first token to the last, as the script has it."""
        return self.script.itl_ns * max(0, self.output_tokens - 1)

    @property
    def finish(self) -> str:
        """Why the answer ends: "tool", "length" or "stop"."""
        if self.script.tool_tokens:
            return "tool"
        return "length" if self.script.from_request and self.params.max_tokens is not None else "stop"

    @property
    def kinds(self) -> list[str]:
        """The kinds of content in it, one for each block."""
        return [delta.kind for delta in self.deltas if delta.first]

    def text_of(self, kind: str) -> str:
        """Return the whole text of one kind."""
        return "".join(delta.text for delta in self.deltas if delta.kind == kind)

    def make_id(self, prefix: str, length: int = 24) -> str:
        """Return an identifier, the same for equal completions."""
        salt = sum(prefix.encode())
        bits = "".join(f"{hash_bits(self.script.seed, salt, k):016x}" for k in range(1 + length // 16))
        return prefix + bits[:length]


@lru_cache(maxsize=256)
def make_deltas(script: Script, max_tokens: int | None) -> tuple[Delta, ...]:
    """Return the content of one answer, cut into what leaves together."""
    parts = (
        ("reasoning", make_tokens("reasoning", script.seed, script.reasoning_tokens)),
        ("text", make_tokens("text", script.seed, script.token_count(max_tokens))),
        ("tool", make_arguments(script.seed, script.tool_tokens)),
    )
    size = script.tokens_per_chunk
    whole = max(script.tool_tokens, 1) if script.tool_buffered else size
    blocks = enumerate((kind, tokens) for kind, tokens in parts if tokens)
    cut = [
        (block, kind, tokens[a : a + n], a == 0, a + n >= len(tokens))
        for block, (kind, tokens) in blocks
        for n in (whole if kind == "tool" else size,)
        for a in range(0, len(tokens), n)
    ]
    return tuple(
        Delta(k, block, kind, "".join(tokens), len(tokens), first, last, k == len(cut) - 1)
        for k, (block, kind, tokens, first, last) in enumerate(cut)
    )


def make_completion(script: Script, params: Params) -> Completion:
    """Return the completion that the script gives to this request."""
    return Completion(script, params, make_deltas(script, params.max_tokens))


# Where the request bodies of all protocols keep what a person wrote.
# In the order in which a model reads them: a prefix cache holds for what stands first.
_TEXT_KEYS = ("system", "systemInstruction", "system_instruction", "instructions", "text", "content", "contents",
              "parts", "prompt", "input", "inputs", "messages", "message")  # fmt: skip


def iter_texts(body: Any) -> Iterator[str]:
    """Yield every text of a request's prompt, at whatever depth its protocol keeps it."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for part in body:
            yield from iter_texts(part)
    elif isinstance(body, dict):
        for key in _TEXT_KEYS:
            if key in body:
                yield from iter_texts(body[key])


def prompt_words(body: Any) -> list[str]:
    """Return the prompt in the simulator's tokens: its words between white space."""
    return [word for text in iter_texts(body) for word in text.split()]


def count_prompt_tokens(body: Any) -> int:
    """Return the prompt's length in the simulator's tokens."""
    return sum(len(text.split()) for text in iter_texts(body))


def with_usage(document: dict[str, Any], completion: Completion, usage: dict[str, Any]) -> dict[str, Any]:
    """Return the document, and the usage in it unless the script sends none."""
    return {**document, "usage": usage} if completion.reports_usage else document
