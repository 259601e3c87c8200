"""Read an event that holds nothing but a piece of a tool call's arguments, in a fifth of the time of any other.

Long arguments come in thousands of such events, and they are read of every answer. What is not exactly of this form
is left to the protocol's reader, which finds the same in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

Place = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
# Of the bytes of an event: the place of its call, and the piece; None where it holds anything else.
ReadFragment = Callable[[bytes], tuple[Any, str] | None]


class _Function(msgspec.Struct, gc=False):
    arguments: str
    name: None = None


class _Call(msgspec.Struct, gc=False):
    index: Place
    function: _Function
    id: None = None
    custom: None = None


class _ChatDelta(msgspec.Struct, gc=False):
    tool_calls: Annotated[list[_Call], msgspec.Meta(min_length=1, max_length=1)]
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _ChatDelta
    index: Place = 0
    finish_reason: None = None
    error: None = None
    usage: None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]
    error: None = None
    usage: None = None
    x_groq: None = None
    timings: None = None
    perf_metrics: None = None
    metrics: None = None


class _JsonDelta(msgspec.Struct, gc=False):
    type: Literal["input_json_delta"]
    partial_json: str


class _BlockDelta(msgspec.Struct, gc=False):
    type: Literal["content_block_delta"]
    delta: _JsonDelta
    index: Place = 0
    error: None = None


class _ArgumentsDelta(msgspec.Struct, gc=False):
    type: Literal["response.function_call_arguments.delta"]
    delta: str
    output_index: Place = 0
    error: None = None
    response: None = None


_NOT_SO = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_block = msgspec.json.Decoder(_BlockDelta).decode
_decode_arguments = msgspec.json.Decoder(_ArgumentsDelta).decode


def read_chat(data: bytes) -> tuple[Any, str] | None:
    """Return the place (choice, index) and the piece of a chunk of a chat."""
    try:
        choice = _decode_chunk(data).choices[0]
    except _NOT_SO:
        return None
    call = choice.delta.tool_calls[0]
    return (choice.index, call.index), call.function.arguments


def read_messages(data: bytes) -> tuple[Any, str] | None:
    """Return the number of the block and the piece of an event of Anthropic's."""
    try:
        event = _decode_block(data)
    except _NOT_SO:
        return None
    return event.index, event.delta.partial_json


def read_responses(data: bytes) -> tuple[Any, str] | None:
    """Return the number of the item and the piece of an event of the Responses API."""
    try:
        event = _decode_arguments(data)
    except _NOT_SO:
        return None
    return event.output_index, event.delta
