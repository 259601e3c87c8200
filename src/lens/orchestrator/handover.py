"""What goes between a run and its workers: the order, then records, then the outcome. MessagePack, no pickle.

A message is one letter, a length and the data. Keys go only through the worker's standard input, which
no other program can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lens.config import RunConfig
from lens.model import Record, decode_hook, encode_hook
from lens.orchestrator.engine import Outcome
from lens.wire import Secret

ORDER, READY, START, RECORD, OUTCOME, ERROR = b"C", b"P", b"S", b"R", b"O", b"E"
_HEAD = 5


class Order(msgspec.Struct, frozen=True):
    """What a worker is to do."""

    config: RunConfig
    worker: int
    of: int
    cpu: int | None = None  # the core to stay on


def packed(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "little") + data


def encoded(value: Any) -> bytes:
    return _encoder.encode(value)


def decoded(kind: bytes, data: bytes) -> Any:
    """One value of a kind."""
    return _decoders[kind].decode(data)


def _plain(value: object) -> object:
    return value.reveal() if isinstance(value, Secret) else encode_hook(value)


def _restored(kind: type, value: object) -> object:
    return Secret(str(value)) if kind is Secret else decode_hook(kind, value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoders: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
    ORDER: msgspec.msgpack.Decoder(Order, dec_hook=_restored),
    START: msgspec.msgpack.Decoder(int),
    RECORD: msgspec.msgpack.Decoder(Record, dec_hook=decode_hook),
    OUTCOME: msgspec.msgpack.Decoder(Outcome),
    ERROR: msgspec.msgpack.Decoder(str),
}


class Unpacker:
    """Messages out of bytes as they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, Any]]:
        """(kind, value) of each message that is complete."""
        self._bytes += data
        while len(self._bytes) >= _HEAD:
            kind, size = bytes(self._bytes[:1]), int.from_bytes(self._bytes[1:_HEAD], "little")
            if len(self._bytes) - _HEAD < size:
                break
            body = bytes(self._bytes[_HEAD : _HEAD + size])
            del self._bytes[: _HEAD + size]  # before it is handed out: whoever takes one message may not come back
            yield kind, _decoders[kind].decode(body) if kind in _decoders else None
