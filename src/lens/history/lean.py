"""Records as a table takes them: what it does not read is passed over, and absent numbers are numbers.

Decoding these is twice as fast as decoding records. Lists of numbers stay as they lie in the file: lists in
JSON, extensions of raw integers in MessagePack (see model.pack_hook).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec.msgpack import Ext

from lens.model import Events, Noun, Ns, Record, Stamps, TcpInfo, Usage

# What stands for an absent time, where all are to be numbers; None is never written into a file.
MISSING = -(2**63)
_NAN = float("nan")
_EMPTY = Ext(ord("q"), b"")
# Not in a table: read from the record when it is asked for.
_PASSED_OVER = frozenset({
    "text", "reasoning", "headers", "rate_limits", "provider_request_id", "comments", "wire_bytes",
})  # fmt: skip


class LeanAttempt(Noun, frozen=True):
    """What a table reads of an attempt to connect."""

    resent: bool = False


class LeanConnection(Noun, frozen=True):
    """What a table reads of a connection."""

    reused: bool
    peer: str | None = None
    tls_resumed: bool | None = None
    attempts: tuple[LeanAttempt, ...] = ()
    tcp_at_send: TcpInfo | None = None
    tcp_at_end: TcpInfo | None = None


class LeanCall(Noun, frozen=True):
    """What a table reads of a tool call."""

    first_ns: int = MISSING
    last_ns: int = MISSING
    silence_ns: int = MISSING
    deltas: int = MISSING  # of a file that does not know whether the arguments are complete
    gap_ns: int = MISSING
    valid: bool = True


@cache
def _stamps() -> Any:
    fields: list[Any] = [(name, Ns, MISSING) for name in Stamps.__struct_fields__ if name != "start"]
    return msgspec.defstruct("LeanStamps", [("start", Ns), *fields], frozen=True, gc=False)


@cache
def _usage() -> Any:
    count = Annotated[float, msgspec.Meta(ge=0)]
    fields = [(name, count, _NAN) for name in Usage.__struct_fields__]
    return msgspec.defstruct("LeanUsage", fields, frozen=True, gc=False)


def _lean(name: str, numbers: Any, absent: Any) -> type:
    """Return a kind of record without what a table passes over; `numbers` is how lists of numbers are decoded."""
    events = msgspec.defstruct(
        f"{name}Events", [(field, numbers, absent) for field in Events.__struct_fields__], frozen=True, gc=False
    )
    replaced = {
        "stamps": _stamps(),
        "usage": _usage() | None,
        "connection": LeanConnection | None,
        "events": events,
        "tokens_per_event": numbers | None,
        "tool_calls": tuple[LeanCall, ...],
        "target": str | int,  # an index up to layout 2
    }
    types = get_type_hints(Record, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(Record):
        if field.name in _PASSED_OVER:
            continue
        kind = replaced.get(field.name, types[field.name])
        if field.name == "events":
            fields.append((field.name, kind, msgspec.field(default_factory=events)))
        elif field.required:
            fields.append((field.name, kind))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((field.name, kind, field.default))
        else:
            fields.append((field.name, kind, msgspec.field(default_factory=field.default_factory)))
    return msgspec.defstruct(name, fields, frozen=True, kw_only=True)


class RecordBeforeNames(Record, frozen=True):
    """A record as files up to layout 2 have it."""

    target: int = 0  # type: ignore[assignment]  # the index


def with_target_index(old: Any) -> Record:
    """Return a record of layout 2 or 1 as one of today; the name of its target stands in the header alone."""
    values = {name: getattr(old, name) for name in Record.__struct_fields__ if name != "target"}
    return Record(**{**values, "target_index": old.target})


# These kinds are made when the first record is decoded: a run that reads none back does without them.
@cache
def packed_decoder() -> Callable[[Any], Any]:
    """Return what decodes a record of a MessagePack file."""
    return msgspec.msgpack.Decoder(_lean("PackedRecord", Ext, _EMPTY)).decode


@cache
def listed_decoder() -> Callable[[Any], Any]:
    """Return what decodes a record of a JSON Lines file."""
    return msgspec.json.Decoder(_lean("ListedRecord", list[int], msgspec.field(default_factory=list))).decode
