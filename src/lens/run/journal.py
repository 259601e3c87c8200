"""The spool of a run: each record goes to disk when it ends, so that memory stays free and a kill loses nothing.

A thread of its own writes, so that the measuring loop never waits for a disk. Beside the outputs of a run the spool is
a MessagePack run file, the journal; it is removed when they are complete. After a kill it is there to be read:
`lll report NAME.journal.msgpack`. A run without outputs spools to a temporary file without a name.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import msgspec

from lens.errors import FileError
from lens.history.write import MAGIC, PARTIAL, message, write_run
from lens.model import Record, RunInfo, decode_hook

SUFFIX = ".journal.msgpack"
# Read at a time.
BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 4
_decoder = msgspec.msgpack.Decoder(Record, dec_hook=decode_hook)


class Journal:
    """Takes records as they end, and gives them back. What a full disk does not take is kept in memory."""

    def __init__(self, beside: Path | None = None) -> None:
        """
        beside: an output, beside which the journal lies; None: a temporary file without a name.

        Raises:
            FileError: nothing can be written there.
        """
        self.path = beside.with_name(beside.name + SUFFIX) if beside is not None else None
        self.warning: str | None = None
        self.empty = True  # no record came
        self._queue: SimpleQueue[RunInfo | Record | None] = SimpleQueue()
        self._kept: list[Record] = []
        self._records_at = self._whole = 0  # where the first record begins, and the last whole message ends
        self._file = _open(self.path)
        self._release = weakref.finalize(self, os.close, self._file)
        self._thread: Thread | None = Thread(target=self._write_all, name="lens-journal", daemon=True)
        self._thread.start()

    def add(self, item: RunInfo | Record) -> None:
        """Queue an item for writing; costs the caller a microsecond."""
        self.empty = self.empty and isinstance(item, RunInfo)
        self._queue.put(item)

    def finish(self) -> None:
        """Return when all that was added is written; nothing may be added any more."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def close(self, *, complete: bool) -> None:
        """Finish, and remove the file if it is `complete`: the outputs hold it all. Records can still be read."""
        self.finish()
        if complete and self.path is not None:
            self.path.unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """The records in the order in which they ended, read from disk; only once it is finished."""
        at, rest = self._records_at, b""
        while at < self._whole:
            block = os.pread(self._file, min(BLOCK_BYTES, self._whole - at), at)
            at += len(block)
            view, done = memoryview(rest + block), 0
            while done + _HEAD_BYTES <= len(view):
                end = done + _HEAD_BYTES + int.from_bytes(view[done : done + _HEAD_BYTES], "little")
                if end > len(view):
                    break
                yield _decoder.decode(view[done + _HEAD_BYTES : end])
                done = end
            rest = bytes(view[done:])
        yield from self._kept

    def release(self) -> None:
        """Give the disk space and the descriptor back; the records can be read no more."""
        self._release()

    def _write_all(self) -> None:
        self._write(MAGIC)
        while (item := self._queue.get()) is not None:
            written = self._write(message(item))
            if isinstance(item, RunInfo):
                self._records_at = self._whole
            elif not written:
                self._kept.append(item)

    def _write(self, data: bytes) -> bool:
        """Whether all of it is in the file."""
        if self.warning is not None:
            return False
        try:
            done = 0
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            self.warning = f"the journal {self.path or ''} stopped: {error.strerror}; records are kept in memory"
            return False
        self._whole += len(data)
        return True


def _open(path: Path | None) -> int:
    try:
        if path is not None:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        file, name = tempfile.mkstemp(prefix="lll-spool-")
        os.unlink(name)
    except OSError as error:
        raise FileError(f"cannot write {path or 'a temporary file'}: {error.strerror}") from error
    return file


def rescue(info: RunInfo, records: list[Record]) -> Path | None:
    """Write a run whose outputs could not be written to the folder for temporary files; None if that fails too."""
    handle, name = tempfile.mkstemp(prefix="lll-rescued-", suffix=".msgpack")
    os.close(handle)
    path = Path(name)
    try:
        write_run(path, info, records, force=True)
    except FileError:
        for left in (path, path.with_name(path.name + PARTIAL)):
            left.unlink(missing_ok=True)
        return None
    return path
