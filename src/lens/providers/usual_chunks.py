"""Read a chunk of a chat that holds nothing but what every server writes, in a tenth of the time of any other.

Role, finish reason and token counts come in such chunks, one or two of each in every answer. What is not exactly of
this form (an unknown name, an error, tool calls, reasoning, a string among the counts) is left to the protocol's
reader, which finds the same in it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

_Place = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Count = int | float | None


class Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What a usual chunk adds to a choice."""

    content: str | None = None
    role: str | None = None
    refusal: None = None
    function_call: None = None
    tool_calls: None = None
    reasoning: Literal[""] | None = None
    reasoning_content: Literal[""] | None = None


class Choice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A choice of a usual chunk."""

    delta: Delta
    index: _Place | None = None
    finish_reason: str | None = None
    logprobs: None = None
    stop_reason: int | None = None  # vLLM
    matched_stop: int | None = None  # SGLang
    token_ids: None = None  # vLLM


class Chunk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A usual chunk; its strings beside these fields are no text."""

    object: Literal["chat.completion.chunk"]
    choices: list[Choice]
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    obfuscation: str | None = None
    usage: dict[str, _Count | dict[str, _Count]] | None = None
    prompt_token_ids: None = None  # vLLM

    def strings(self) -> dict[str, str]:
        """Return what UnreadFields would find in it."""
        found = {}
        if self.service_tier:
            found["service_tier"] = self.service_tier
        if self.system_fingerprint:
            found["system_fingerprint"] = self.system_fingerprint
        return found


_decode = msgspec.json.Decoder(Chunk).decode


def read_usual_chunk(data: bytes) -> Chunk | None:
    """Return the chunk; None where it holds anything else, or half of a character (a lone surrogate)."""
    if b"\\ud" in data or b"\\uD" in data:
        return None
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
