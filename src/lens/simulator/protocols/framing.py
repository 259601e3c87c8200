"""JSON and the frames around it: SSE and NDJSON events, and events that are encoded once for many texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from lens.simulator.protocols.completion import Event

# Stands in a shape where the text of a delta goes.
TEXT = "\x00text\x00"


def dumps(value: Any, *, ascii_only: bool = False) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()


def compile_event(wrap: Callable[[bytes], bytes], shape: Any, *, ascii_only: bool = False) -> Callable[[str], bytes]:
    """Return a function from a text to the event that holds it where the shape has TEXT.

    `wrap` frames the JSON as an event; it must not depend on the JSON's length.
    """
    before, after = wrap(dumps(shape, ascii_only=ascii_only)).split(dumps(TEXT))
    quote = encode_basestring_ascii if ascii_only else encode_basestring
    return lambda text: before + quote(text).encode() + after


def sse(data: bytes) -> bytes:
    """Return one SSE event without a name."""
    return b"data: " + data + b"\n\n"


def named_sse(name: str, value: Any) -> bytes:
    """Return one SSE event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + dumps(value) + b"\n\n"


def ndjson(data: bytes) -> bytes:
    """Return one line."""
    return data + b"\n"


def typed_event(at: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
    """Return a named SSE event whose JSON repeats the name as `type`."""
    return Event(at, kind, named_sse(name, {"type": name, **body}), tokens)
