"""What goes between a run and its workers: the order, then records, then the outcome. MessagePack, no pickle.

A message is one letter, a length and the data. Keys go only through the worker's standard input, which
no other program can read. All that is read from files and from the environment goes with the order, so
that a worker on another machine needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lens.columns import decode_hook, pack_hook
from lens.config.settings import RunConfig
from lens.model import Record
from lens.orchestrator.plan import Plan
from lens.orchestrator.run_state import Outcome
from lens.orchestrator.sessions.session import SessionPlan
from lens.wire import Prompt, Secret

# To a worker: what to do; at which instant the next stage begins; start nothing more; end what is under way.
ORDER, START, ENOUGH, STOP = b"C", b"S", b"N", b"X"
# From it: it is there for a stage; how many requests it began; a record; how it ended.
READY, BEGUN, RECORD, OUTCOME, ERROR = b"P", b"B", b"R", b"O", b"E"
_HEAD = 5


class Order(msgspec.Struct, frozen=True):
    """What a worker is to do."""

    config: RunConfig
    worker: int
    of: int
    cpu: int | None = None  # the core to stay on
    prompts: tuple[Prompt, ...] = ()
    trace_ns: tuple[int, ...] = ()
    sessions: SessionPlan | None = None


def order_of(plan: Plan, worker: int, of: int, cpu: int | None = None) -> Order:
    """Return the plan as a worker can make it again: with keys, addresses and prompts found."""
    targets = [
        msgspec.structs.replace(
            said,
            base_url=made.base_url,
            api_key=made.key,
            api_key_env=None,
            api_key_file=None,
            api_key_command=None,
            api_key_keyring=None,
            model=made.info.model,
        )
        for said, made in zip(plan.config.targets, plan.targets, strict=True)
    ]
    config = msgspec.structs.replace(plan.config, targets=tuple(targets))
    return Order(config, worker, of, cpu, plan.prompts, plan.trace_ns, plan.sessions)


def packed(kind: bytes, data: bytes = b"") -> bytes:
    """Return a message: its kind, its length, its data."""
    return kind + len(data).to_bytes(4, "little") + data


def encoded(value: Any) -> bytes:
    """Return a value as the data of a message."""
    return _encoder.encode(value)


def _plain(value: object) -> object:
    return value.reveal() if isinstance(value, Secret) else pack_hook(value)


def _restored(kind: type, value: object) -> object:
    return Secret(str(value)) if kind is Secret else decode_hook(kind, value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoders: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
    ORDER: msgspec.msgpack.Decoder(Order, dec_hook=_restored),
    START: msgspec.msgpack.Decoder(int),
    BEGUN: msgspec.msgpack.Decoder(int),
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
