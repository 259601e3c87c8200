"""Read run files: JSON Lines, MessagePack, and JSON documents that were exported from a run.

What was cut off can be read up to the cut; what cannot be read is told in a warning, and the rest is kept.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import msgspec

from lens.columns import UNREADABLE, decode_hook
from lens.errors import FileError
from lens.history.framing import (
    BLOCK_BYTES,
    LENGTH_BYTES,
    MOST_RECORD,
    Loss,
    check_regular,
    length_at,
    possible_length,
    split_lines,
    split_pieces,
)
from lens.history.lean import RecordBeforeNames, listed_decoder, packed_decoder, with_target_index
from lens.history.write import MAGIC, TOLD_AT_END, own_file, with_last_note
from lens.model import SCHEMA, Record, RunInfo
from lens.patterns import lazy_pattern

PARQUET = b"PAR1"
MOST_HEADER = 1 << 20  # bytes of a header
MOST_DOCUMENT = 64 << 20  # bytes of a JSON document whose header is looked for
_DOCUMENT = lazy_pattern(rb'\{\s*"run"\s*:')  # how a JSON export begins
# Bytes of a JSON document, which is read as a whole; the other layouts have any size.
MOST_WHOLE = 4 << 30
# Lines or messages that cannot be read before the first that can: what begins with more is no run.
MOST_UNREADABLE = 10_000
MOST_WARNINGS = 100  # of what cannot be read
_KEPT = "; the rest was kept"  # at the end of a warning; not of an error, after which nothing is


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was read back."""

    info: RunInfo | None
    records: list[Record]
    warnings: tuple[str, ...] = ()


class _Layout(NamedTuple):
    """How the items of a file are decoded."""

    record: Callable[[Any], Record]
    info: Callable[[Any], RunInfo]
    lean: Callable[[Any], Any]


class _HeaderOfDocument(msgspec.Struct):
    """A JSON export of which only the header is looked at."""

    run: msgspec.Raw = msgspec.Raw()


class _Document(msgspec.Struct):
    """A JSON export as one object: of one request, or of many under "requests"."""

    run: RunInfo | None = None
    requests: list[msgspec.Raw] | None = None


def _record_decoder(today: Callable[[Any], Record], before: Callable[[Any], Any]) -> Callable[[Any], Record]:
    """Return what decodes a record of this layout, and of those before it."""

    def decode(data: Any) -> Record:
        try:
            return today(data)
        except msgspec.ValidationError:
            try:
                return with_target_index(before(data))
            except UNREADABLE:
                pass
            raise

    return decode


@cache
def _layout(*, packed: bool) -> _Layout:
    """Return what decodes the messages of a file, or its lines."""
    decoder: Any = msgspec.msgpack.Decoder if packed else msgspec.json.Decoder
    record, before, info = [decoder(one, dec_hook=decode_hook).decode for one in (Record, RecordBeforeNames, RunInfo)]
    return _Layout(_record_decoder(record, before), info, packed_decoder() if packed else listed_decoder())


def decode_message(message: bytes | memoryview) -> Record:
    """Return the record of a message."""
    return _layout(packed=True).record(message)


class RunStream:
    """The records of a run file, one by one, so that a long run need not lie in memory.

    `info` is the header as far as it was read: the last one counts, for it knows when the run ended.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            FileError: it cannot be read, is not a run file, or a newer version wrote it.
        """
        if (own := own_file(path)) is not None:
            raise FileError(f"{path} is {own}, not a run; name the run files, or the folder")
        self.path = path
        self.info: RunInfo | None = None
        self.warnings: list[str] = []
        self._read = 0  # bytes
        self._note, self._noted_at = b"", 0  # the last of a journal, and the message before it
        self._number = 0  # of the line or message that was read last
        self._unreadable_count = self._records = self._counted = 0  # counted: by the header
        self._document: list[msgspec.Raw] | None = None  # of a JSON document: its requests
        check_regular(path)
        try:
            self._file: BinaryIO = path.open("rb")
            head = self._file.read(len(MAGIC))
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            if path.is_dir():
                raise FileError(f"{path} is a folder; name a run file in it") from None
            raise FileError(f"cannot read {path}: {error.strerror}") from error
        if head.startswith(PARQUET):
            self.close()
            raise FileError(
                f"{path} is a Parquet table: figures without the stamps they came from; give the run's json, jsonl or "
                "msgpack file"
            )
        self._packed = head == MAGIC  # a MessagePack file, not lines
        self._layout = _layout(packed=self._packed)
        if not self._packed:
            self._file.seek(0)
        self._pieces = self._messages() if self._packed else self._lines()
        self._ahead: list[tuple[int, bytes | memoryview]] = []
        self._begin()

    def _begin(self) -> None:
        """Read the header, and find out whether there is anything to read."""
        for place, piece in self._pieces:
            if self._decoded(self._layout.record, piece) is not None:
                self._ahead.append((place, bytes(piece)))
                break
            if self._unreadable_count > MOST_UNREADABLE:
                self._pieces = iter(())
                break
        if self.info is None and not self._ahead:
            self.close()
            why = self.warnings[0].removesuffix(_KEPT) if self.warnings else "it is empty"
            raise FileError(f"{self.path} is not a run file: {why}")

    def __iter__(self) -> Iterator[Record]:
        """Yield the records, once."""
        for _, record in self._items(self._layout.record):
            yield record

    def lean(self) -> Iterator[tuple[int, Any]]:
        """Yield the place of each record, for `fetch`, and what a table reads of it, once."""
        return self._items(self._layout.lean)

    def fetch(self, places: Iterable[int]) -> Iterator[Record]:
        """Yield the records at these places.

        Raises:
            FileError: the file cannot be read any more, or has changed.
        """
        try:
            if self._document is not None:
                yield from (self._layout.record(self._document[place]) for place in places)
                return
            with self.path.open("rb") as file:
                for place in places:
                    file.seek(place)
                    data = file.readline() if not self._packed else file.read(length_at(file.read(LENGTH_BYTES))[0])
                    yield self._layout.record(data)
        except (OSError, struct.error, *UNREADABLE) as error:
            raise FileError(f"{self.path}: a request cannot be read again: {error}") from error

    @property
    def info_with_end(self) -> RunInfo | None:
        """The header; of a journal, whose header knows no end, with what its last note says of it."""
        return with_last_note(self.info, self._note, self._number - self._noted_at)

    @property
    def share(self) -> float:
        """What share of the file was read, 0 to 1."""
        return self._read / self._size if self._size else 1.0

    def close(self) -> None:
        """Close the file; nothing is read any more."""
        self._pieces = iter(())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _items(self, decode: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
        ahead, self._ahead = self._ahead, []
        try:
            for place, piece in chain(ahead, self._pieces):
                try:
                    item = decode(piece)
                except UNREADABLE:
                    item = self._decoded(decode, piece)
                if item is not None:
                    self._records += 1
                    yield place, item
        except OSError as error:
            raise FileError(f"cannot read {self.path}: {error.strerror}") from error
        if (more := self._unreadable_count - MOST_WARNINGS) > 0:
            self.warnings.append(Loss(f"{more:,} more {'messages' if self._packed else 'lines'} cannot be read"))
        if self._counted == TOLD_AT_END:
            self.warnings.append(Loss("it was cut: its last line is missing, and requests may be"))
        elif (lost := self._counted - self._records) > 0:
            self.warnings.append(Loss(f"{lost:,} of its {self._counted:,} requests are missing: it was cut or damaged"))
        self.close()

    def _decoded(self, decode: Callable[[Any], Any], piece: bytes | memoryview) -> Any:
        """Return a record; None for a header, which is kept, and for what cannot be read, which is told."""
        why: Exception | None = None
        for kind in (decode, self._layout.record):
            try:
                return kind(piece)
            except UNREADABLE as error:
                why = why or error
        if self._packed or b'"schema"' in bytes(piece):
            try:
                info = self._layout.info(piece)
            except UNREADABLE:
                pass
            else:
                self._header(info)
                return None
        self._unreadable_count += 1
        if self._unreadable_count <= MOST_WARNINGS:
            self.warnings.append(Loss(self._unreadable(piece, why)))
        return None

    def _unreadable(self, piece: bytes | memoryview, why: Exception | None) -> str:
        if self._document is not None:
            return f"request {self._number + 1} cannot be read ({why}){_KEPT}"
        if self._packed:
            return f"message {self._number} cannot be read ({why}){_KEPT}"
        whole = bytes(piece).endswith(b"\n")  # a complete file ends a line
        return f"line {self._number} {f'cannot be read ({why})' if whole else 'is cut off'}{_KEPT}"

    def _header(self, info: RunInfo) -> None:
        if info.schema > SCHEMA:
            self.close()
            says = f"has layout {info.schema}, this version reads up to {SCHEMA}; use a newer one"
            raise FileError(f"{self.path} {says}")
        self.info, self._counted = msgspec.structs.replace(info, requests=None), info.requests or 0

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of JSON Lines, or the requests of one JSON document that may span lines."""
        lines: Iterable[bytes] = split_lines(self._file)
        if self._may_be_document():
            self._file.seek(0)
            data = self._file.read()
            document = self._whole_document(data)
            if document is not None:
                for self._number, request in enumerate(document):
                    yield self._number, bytes(request)
                return
            if b"\n" not in data:
                lines = data.splitlines(keepends=True)
        self._file.seek(0)
        place = 0
        for self._number, line in enumerate(lines, 1):
            if line.strip():
                yield place, line
            place += len(line)
            self._read = place
        if place < self._size and self._file.tell() > place:
            self._warn_of_length("line")

    def _may_be_document(self) -> bool:
        """Return whether the file may be one JSON document: its first line is no item, or its only one."""
        lines = (line for line in split_lines(self._file) if line.strip())
        first = next(lines, b"")
        if not first.lstrip().startswith(b"{"):
            return False
        return self._size <= MOST_WHOLE and (not self._is_item(first) or next(lines, None) is None)

    def _warn_of_length(self, kind: str) -> None:
        most = f"{MOST_RECORD >> 20} MB"
        self.warnings.append(Loss(f"{kind} {self._number + 1} is longer than {most}; it and the rest were left out"))

    def _is_item(self, line: bytes) -> bool:
        for decode in (self._layout.record, self._layout.info):
            try:
                decode(line)
            except UNREADABLE:
                continue
            return True
        return False

    def _whole_document(self, data: bytes) -> list[msgspec.Raw] | None:
        """Return the requests of a JSON export, None when it is none (lines of JSON are an error to the decoder)."""
        try:
            document = msgspec.json.decode(data, type=_Document, dec_hook=decode_hook)
        except UNREADABLE:
            return None
        if document.run is not None:
            self._header(document.run)
        found = document.requests
        if found is None:
            try:
                self._layout.record(data)
            except UNREADABLE:
                found = [] if document.run else None
            else:
                found = [msgspec.Raw(data)]
        self._document = found
        return found

    def _messages(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the messages of a MessagePack file; the first is the header, a later header replaces it."""
        self._read = len(MAGIC)
        for place, piece, is_note in split_pieces(iter(partial(self._file.read, BLOCK_BYTES), b""), self._read):
            if is_note:
                self._note, self._noted_at = bytes(piece), self._number
            else:
                self._number += 1
                yield place, piece
            self._read = place + LENGTH_BYTES + len(piece)
        if self._file.tell() <= self._read:
            return
        self._file.seek(self._read)
        length = self._file.read(LENGTH_BYTES)
        if len(length) == LENGTH_BYTES and length_at(length)[0] and not possible_length(length_at(length)[0]):
            self._warn_of_length("message")
        else:
            self.warnings.append(Loss(f"message {self._number + 1} is cut off{_KEPT}"))


def read_header(path: Path) -> RunInfo | None:
    """Return the header of a run file without reading its requests; None where it has none or is no run file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        if head == MAGIC:
            size = file.read(LENGTH_BYTES)
            piece = file.read(min(length_at(size)[0], MOST_HEADER)) if len(size) == LENGTH_BYTES else b""
            decode = _layout(packed=True).info
        elif not head.startswith(b"{"):
            return None
        else:
            piece = head + file.readline(MOST_HEADER)
            decode = _layout(packed=False).info
            if piece.rstrip() == b"{":
                piece += file.readline(MOST_HEADER)
            if _DOCUMENT.match(piece):
                piece = _run_of_document(piece + file.read(MOST_DOCUMENT))
    try:
        return msgspec.structs.replace(decode(piece), requests=None)
    except UNREADABLE:
        return None


def _run_of_document(data: bytes) -> bytes:
    """Return the header that stands in a JSON export; nothing where that is none."""
    try:
        return bytes(msgspec.json.decode(data, type=_HeaderOfDocument).run)
    except UNREADABLE:
        return b""


def read_run(path: Path) -> Run:
    """Read a run file of any layout, or a JSON document that was exported from a run.

    Raises:
        FileError: it cannot be read, is not a run file, or a newer version wrote it.
    """
    with RunStream(path) as stream:
        records = list(stream)
    return Run(info=stream.info, records=records, warnings=tuple(stream.warnings))
