"""Write run files: a header, then a record a line (JSON Lines) or a message (MessagePack).

A file is written under another name and gets its own only when it is complete, so that what
bears the name is whole. A writer never replaces a file unless it is told to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from lens.errors import FileError
from lens.model import Record, RunInfo, encode_hook, pack_hook

PARTIAL = ".partial"
# First bytes of a MessagePack run file; then each message behind its length, uint32, little endian.
MAGIC = b"LENSRUN1"
encode_json = msgspec.json.Encoder(enc_hook=encode_hook, decimal_format="number").encode
_pack = msgspec.msgpack.Encoder(enc_hook=pack_hook)


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
            with suppress(OSError):
                self.out.close()
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self.finish()
        else:
            with suppress(OSError):  # what could not be written is why it is left
                self.out.close()


def json_line(value: object) -> bytes:
    """One line of a JSON Lines run file."""
    return encode_json(value) + b"\n"


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
