"""Runs on disk: a header, then a record a line (JSON Lines) or a message (MessagePack).

A file is written under another name and gets its own only when it is complete, so that what
bears the name is whole; what was cut off can still be read, up to the cut. A writer never
replaces a file unless it is told to.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, Self, cast

import msgspec
from msgspec.msgpack import Ext

from lens.errors import FileError
from lens.history.write import MAGIC
from lens.model import (
    SCHEMA,
    UNREADABLE,
    Failure,
    Noun,
    Record,
    RunInfo,
    Stamps,
    Status,
    TcpInfo,
    Try,
    Usage,
    decode_hook,
)

# Read at a time from a MessagePack file.
BLOCK_BYTES = 1 << 20
_length_at = struct.Struct("<I").unpack_from
_EMPTY = Ext(ord("q"), b"")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was read back."""

    info: RunInfo | None
    records: list[Record]
    warnings: tuple[str, ...] = ()


class RunStream:
    """The records of a run file, one by one, so that a long run need not lie in memory.

    `info` is the header as far as it was read: the last one counts, for it knows when the run ended.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            FileError: it cannot be read, is no run file, or a newer version wrote it.
        """
        self.path = path
        self.info: RunInfo | None = None
        self.warnings: list[str] = []
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror}") from error
        self._decode: Callable[[memoryview], Record] = _record_unpacker.decode
        self._parts = self._items()
        self._first: Record | None = None
        while self._first is None:  # the header, and whether there is anything to read
            part = next(self._parts, None)
            if part is None:
                break
            if isinstance(part, RunInfo):
                self._header(part)
            else:
                self._first = part
        if self.info is None and self._first is None:
            self.close()
            raise FileError(f"{path} is no run file: {self.warnings[0] if self.warnings else 'it is empty'}")

    def packed(self) -> Iterator[Record]:
        """The records, once, the columns of their events left as they lie in the file (PackedRecord).

        Twice as fast; only metrics.batch can look into them.
        """
        self._decode = cast("Callable[[memoryview], Record]", _packed_decoder.decode)
        yield from self

    def __iter__(self) -> Iterator[Record]:
        """The records, once."""
        first, self._first = self._first, None
        if first is not None:
            yield first
        for part in self._parts:
            if isinstance(part, RunInfo):
                self._header(part)
            else:
                yield part
        self.close()

    def close(self) -> None:
        self._parts = iter(())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _header(self, info: RunInfo) -> None:
        if info.schema > SCHEMA:
            self.close()
            says = f"has layout {info.schema}, this version reads up to {SCHEMA}; use a newer one"
            raise FileError(f"{self.path} {says}")
        self.info = info

    def _items(self) -> Iterator[RunInfo | Record]:
        try:
            if self._file.read(len(MAGIC)) == MAGIC:
                yield from self._messages()
                return
            self._file.seek(0)
            yield from _lines(self._file, self.warnings)
        except OSError as error:
            raise FileError(f"cannot read {self.path}: {error.strerror}") from error

    def _messages(self) -> Iterator[RunInfo | Record]:
        """The items of a MessagePack file; the first is the header, a later header replaces it."""
        rest, number = b"", 0
        while block := self._file.read(BLOCK_BYTES):
            data = rest + block
            at, end, view = 0, len(data), memoryview(data)
            while at + 4 <= end:
                upto = at + 4 + _length_at(data, at)[0]
                if upto > end:
                    break
                number += 1
                body = view[at + 4 : upto]
                at = upto
                try:
                    yield self._decode(body)
                    continue
                except msgspec.ValidationError as error:
                    item = self._unpack(body, number, error)
                except UNREADABLE as error:
                    self.warnings.append(f"message {number} cannot be read ({error}); the rest was kept")
                    continue
                if item is not None:
                    yield item
            rest = data[at:]
        if rest:
            self.warnings.append(f"message {number + 1} is cut off; the rest was kept")

    def _unpack(self, body: memoryview, number: int, error: msgspec.ValidationError) -> RunInfo | Record | None:
        """What is no record of this layout: one of an older layout, a header, or nothing that can be read."""
        for decode in (_record_unpacker.decode, _info_unpacker.decode):
            try:
                return decode(body)
            except UNREADABLE:
                continue
        self.warnings.append(f"message {number} cannot be read ({error}); the rest was kept")
        return None


def read_run(path: Path) -> Run:
    """Read a run file of any layout, or a JSON document that was exported from a run.

    Raises:
        FileError: it cannot be read, is no run file, or a newer version wrote it.
    """
    with RunStream(path) as stream:
        records = list(stream)
    return Run(info=stream.info, records=records, warnings=tuple(stream.warnings))


class _Document(msgspec.Struct):
    """A JSON export as one object: of one request, or of many under "requests"."""

    run: RunInfo | None = None
    requests: list[Record] | None = None


_line_decoder = msgspec.json.Decoder(Record, dec_hook=decode_hook)
_info_decoder = msgspec.json.Decoder(RunInfo, dec_hook=decode_hook)
_document_decoder = msgspec.json.Decoder(_Document, dec_hook=decode_hook)


def _lines(file: BinaryIO, warnings: list[str]) -> Iterator[RunInfo | Record]:
    """The items of JSON Lines, or of one JSON document that may span lines."""
    first = file.readline()
    second = file.readline()
    if not second or not _is_item(first):
        data = first + second + file.read()
        document = _whole_document(data)
        if document is not None:
            yield from document
            return
        lines: Iterable[bytes] = data.splitlines(keepends=True)
    else:
        lines = chain((first, second), file)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _item(line)
        except UNREADABLE as error:
            what = f"cannot be read ({error})" if line.endswith(b"\n") else "is cut off"  # a complete file ends a line
            warnings.append(f"line {number} {what}; the rest was kept")


def _is_item(line: bytes) -> bool:
    try:
        return bool(_item(line))
    except UNREADABLE:
        return False


def _item(line: bytes) -> RunInfo | Record:
    """A line is a header when it has a schema number."""
    try:
        return _line_decoder.decode(line)
    except msgspec.ValidationError:
        if b'"schema"' not in line:
            raise
        return _info_decoder.decode(line)


def _whole_document(data: bytes) -> list[RunInfo | Record] | None:
    """A JSON export, None when it is none (several lines of JSON are an error to the decoder)."""
    try:
        document = _document_decoder.decode(data)
    except UNREADABLE:
        return None
    head: list[RunInfo | Record] = [document.run] if document.run else []
    if document.requests is not None:
        return [*head, *document.requests]
    try:
        return [*head, _line_decoder.decode(data)]
    except UNREADABLE:
        return head or None


class PackedEvents(Noun, frozen=True):
    """Events with their columns as they lie in a MessagePack file; see model.pack_hook."""

    arrived_ns: Ext = _EMPTY
    lag_ns: Ext = _EMPTY
    signals: Ext = _EMPTY
    chars: Ext = _EMPTY
    read: Ext = _EMPTY


# What stands for an absent time, where all are to be numbers; None is never written into a file.
MISSING = -(2**63)
PackedStamps = msgspec.defstruct(
    "PackedStamps",
    [("start", int), *[(name, int, MISSING) for name in Stamps.__struct_fields__ if name != "start"]],
    frozen=True,
)
PackedUsage = msgspec.defstruct(
    "PackedUsage", [(name, float, float("nan")) for name in Usage.__struct_fields__], frozen=True
)


class PackedConnection(Noun, frozen=True):
    """What a summary reads of a connection."""

    reused: bool
    tcp_at_send: TcpInfo | None = None
    tcp_at_end: TcpInfo | None = None


class PackedRecord(Noun, frozen=True):
    """What a summary reads of a record, as numpy takes it: columns still packed, absent times MISSING,
    absent counts NaN. What it does not read is passed over and costs nothing."""

    provider: str
    model: str
    timestamp: str
    stamps: PackedStamps  # type: ignore[valid-type]
    status: Status
    category: str
    events: PackedEvents = PackedEvents()
    connection: PackedConnection | None = None
    failure: Failure | None = None
    usage: PackedUsage | None = None  # type: ignore[valid-type]
    tokens_per_event: Ext | None = None
    served_model: str | None = None
    stream: bool = True
    stamp_kind: Literal["kernel", "read"] = "read"
    clock_stepped: bool = False
    content_encoding: str | None = None
    server_timing_ms: dict[str, float] = {}  # noqa: RUF012 - msgspec copies it
    reported_cost_usd: str | None = None
    tries: tuple[Try, ...] = ()
    warmup: bool = False


_record_unpacker = msgspec.msgpack.Decoder(Record, dec_hook=decode_hook)
_packed_decoder = msgspec.msgpack.Decoder(PackedRecord)
_info_unpacker = msgspec.msgpack.Decoder(RunInfo, dec_hook=decode_hook)
