"""How the bytes of a run file are cut into its records: messages behind their lengths, and lines.

Whatever the file is, no more than one record and one block of it are in memory: a record has a longest length, and
what can never end, a device or a pipe, is no run file.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lens.errors import FileError
from lens.history.write import NOTE

# Read at a time from a MessagePack file.
BLOCK_BYTES = 1 << 20
# Bytes of one record, as a message or a line; --answer-limit keeps what one answer holds far below.
MOST_RECORD = 512 << 20
_LENGTH = struct.Struct("<I")  # before each message
LENGTH_BYTES, length_at = _LENGTH.size, _LENGTH.unpack_from


class Loss(str):
    """A warning that a file lacks requests, or holds some that cannot be read."""

    __slots__ = ()


def check_regular(path: Path) -> None:
    """Refuse what is no file without opening it: a pipe would wait for its writer, and a device may never end.

    Raises:
        FileError: it is a pipe, a device or a socket.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # who opens it says why
    if stat.S_ISFIFO(mode):
        raise FileError(f"{path} is a pipe, and a run is read more than once: write it to a file first")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileError(f"{path} is a device or a socket, not a file; name a run file")


def split_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file as far as each is at most MOST_RECORD bytes long."""
    while (line := file.readline(MOST_RECORD + 1)) and len(line) <= MOST_RECORD:
        yield line


def split_messages(blocks: Iterable[bytes], begins: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the place of each message and what stands behind its length; notes are passed over."""
    for place, piece, is_note in split_pieces(blocks, begins):
        if not is_note:
            yield place, piece


def split_pieces(blocks: Iterable[bytes], begins: int) -> Iterator[tuple[int, memoryview, bool]]:
    """Yield the place of each message or note, its content, and which it is, however the bytes are cut into blocks.

    begins: the place of the first byte. What is left at the end is no whole message and is left out; nothing is read
    behind a length that no message has.
    """
    held: list[bytes] = []
    size, wanted = 0, LENGTH_BYTES
    for block in blocks:
        held.append(block)
        size += len(block)
        if size < wanted:
            continue
        data = b"".join(held)
        at, end, view = 0, len(data), memoryview(data)
        wanted = LENGTH_BYTES
        while at + LENGTH_BYTES <= end:
            length = length_at(data, at)[0]
            if not possible_length(length):
                return
            upto = at + LENGTH_BYTES + (length & ~NOTE)
            if upto > end:
                wanted = upto - at
                break
            yield begins + at, view[at + LENGTH_BYTES : upto], bool(length & NOTE)
            at = upto
        held, size, begins = [data[at:]], end - at, begins + at


def possible_length(length: int) -> bool:
    """Return whether a message may have this length: none is empty, none longer than MOST_RECORD."""
    return 0 < length & ~NOTE <= MOST_RECORD
