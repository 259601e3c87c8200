"""Runs on disk: a header, then a record a line (JSON Lines) or a message (MessagePack).

A file is written under another name and gets its own only when it is complete, so that what
bears the name is whole; what was cut off can still be read, up to the cut. A writer never
replaces a file unless it is told to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from lens.errors import FileError
from lens.model import SCHEMA, Record, RunInfo, decode_hook, encode_hook

PARTIAL = ".partial"
# First bytes of a MessagePack run file; then each message behind its length, uint32, little endian.
MAGIC = b"LENSRUN1"

_json = msgspec.json.Encoder(enc_hook=encode_hook, decimal_format="number")
_pack = msgspec.msgpack.Encoder(enc_hook=encode_hook)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was read back."""

    info: RunInfo | None
    records: list[Record]
    warnings: tuple[str, ...] = ()


class NewFile:
    """A binary file that gets its name only when it is complete; a context manager.

    Leaving by an exception keeps what was written, under the name with .partial.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        """
        Raises:
            FileError: the file exists and force is not given, or it cannot be written.
        """
        self.path = path
        self.partial = path.with_name(path.name + PARTIAL)
        if path.exists() and not force:
            raise FileError(f"{path} exists; choose another --output, or --force to replace it")
        try:
            self.out: BinaryIO = self.partial.open("wb")
        except OSError as error:
            raise FileError(f"cannot write {path}: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        try:
            self.out.write(data)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error

    def finish(self) -> None:
        """Everything is written: give the file its name."""
        try:
            self.out.flush()
            os.fsync(self.out.fileno())
            self.out.close()
            self.partial.replace(self.path)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self.finish()
        else:
            self.out.close()


def json_line(value: object) -> bytes:
    """One line of a JSON Lines run file."""
    return _json.encode(value) + b"\n"


def message(value: object) -> bytes:
    """One message of a MessagePack run file, behind its length."""
    data = _pack.encode(value)
    return len(data).to_bytes(4, "little") + data


def write_run(path: Path, info: RunInfo, records: Iterable[Record], *, force: bool = False) -> None:
    """A whole run at once; MessagePack where the name ends in .msgpack, else JSON Lines."""
    packed = path.suffix == ".msgpack"
    encode = message if packed else json_line
    with NewFile(path, force=force) as file:
        file.write(MAGIC if packed else b"")
        file.write(encode(info))
        for record in records:
            file.write(encode(record))


def read_run(path: Path) -> Run:
    """Read a run file of any layout, or a JSON document that was exported from a run.

    Raises:
        FileError: it cannot be read, is no run file, or a newer version wrote it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    warnings: list[str] = []
    info: RunInfo | None = None
    records: list[Record] = []
    parts = _messages(data, warnings) if data.startswith(MAGIC) else _lines(data, warnings)
    for item in parts:
        if isinstance(item, RunInfo):
            info = item  # the last one counts: it knows when the run ended
        else:
            records.append(item)
    if info is None and not records:
        raise FileError(f"{path} is no run file: {warnings[0] if warnings else 'it is empty'}")
    if info is not None and info.schema > SCHEMA:
        raise FileError(f"{path} has layout {info.schema}, this version reads up to {SCHEMA}; use a newer one")
    return Run(info=info, records=records, warnings=tuple(warnings))


class _Document(msgspec.Struct):
    """A JSON export as one object: of one request, or of many under "requests"."""

    run: RunInfo | None = None
    requests: list[Record] | None = None


_line_decoder = msgspec.json.Decoder(Record, dec_hook=decode_hook)
_info_decoder = msgspec.json.Decoder(RunInfo, dec_hook=decode_hook)
_document_decoder = msgspec.json.Decoder(_Document, dec_hook=decode_hook)


def _lines(data: bytes, warnings: list[str]) -> Iterator[RunInfo | Record]:
    """The items of JSON Lines, or of one JSON document that may span lines."""
    document = _whole_document(data)
    if document is not None:
        yield from document
        return
    lines = data.split(b"\n")
    cut = len(lines) - 1 if lines[-1] else None  # a complete file ends with a line end
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            yield _item(line)
        except msgspec.DecodeError as error:
            what = "is cut off" if number == cut else f"cannot be read ({error})"
            warnings.append(f"line {number + 1} {what}; the rest was kept")


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
    except msgspec.DecodeError:
        return None
    head: list[RunInfo | Record] = [document.run] if document.run else []
    if document.requests is not None:
        return [*head, *document.requests]
    try:
        return [*head, _line_decoder.decode(data)]
    except msgspec.DecodeError:
        return head or None


def _messages(data: bytes, warnings: list[str]) -> Iterator[RunInfo | Record]:
    """The items of a MessagePack run file; the first is the header, a later header replaces it."""
    at, number = len(MAGIC), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        body = data[at + 4 : at + 4 + size]
        number += 1
        if len(body) < size or at + 4 > len(data):
            warnings.append(f"message {number} is cut off; the rest was kept")
            return
        at += 4 + size
        yield _unpack(body)


def _unpack(body: bytes) -> RunInfo | Record:
    kind: Any = Record
    try:
        return msgspec.msgpack.decode(body, type=kind, dec_hook=decode_hook)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return msgspec.msgpack.decode(body, type=RunInfo, dec_hook=decode_hook)
