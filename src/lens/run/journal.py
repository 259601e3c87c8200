"""The spool of a run: each record goes to disk when it ends, so that memory stays free and a kill loses nothing.

A thread of its own writes, so that the measuring loop never waits for a disk. The records of a short run stay in memory
too, where reading them again would take longer than all else at its end. Beside the outputs of a run the spool is
a MessagePack run file, the journal; it is removed when they are complete. After a kill it is there to be read:
`lll report NAME.journal.msgpack`. A run without outputs spools to a temporary file without a name.
"""

from __future__ import annotations

import logging
import os
import shlex
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

from lens.errors import FileError
from lens.history.framing import BLOCK_BYTES, LENGTH_BYTES, length_at, split_messages
from lens.history.lean import packed_decoder
from lens.history.read import decode_message
from lens.history.write import (
    JOURNAL,
    MAGIC,
    PARTIAL,
    RunProgress,
    create_beside,
    is_abandoned,
    is_open_file,
    message,
    names_beside,
    write_run,
)
from lens.metrics.buffer import gc_paused
from lens.metrics.builder import TableBuilder
from lens.metrics.columns import Run
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

LOG = logging.getLogger(__name__)
# What comes within this time is written together: a writer that wakes takes the GIL from the measuring loop.
GATHER_S = 0.01
MOST_TOGETHER = 256
# Bytes on disk of a run that is short; in memory its records take three times as much.
SHORT_BYTES = 16 << 20
# Of a longer one they are freed, so many with each that is written: to free all at once takes the GIL for long.
FREED_EACH = 4
RESCUED = "lll-rescued-"  # before the names of files in the folder for temporary files
# Records that are fetched with one read, where they lie within so many bytes; and bytes that the last of them may have.
FETCHED_TOGETHER, FETCHED_BYTES, LAST_BYTES = 128, 1 << 20, 1 << 14


class Journal:
    """Takes records as they end, and gives them back. What a full disk does not take is kept in memory."""

    def __init__(self, beside: Path | None = None) -> None:
        """
        beside: an output, beside which the journal lies; None: a temporary file without a name.

        Raises:
            FileError: nothing can be written there.
        """
        self.warning: str | None = None
        self.count = 0  # records that came
        self._first: Record | None = None
        self._queue: SimpleQueue[RunInfo | Record | RunProgress | None] = SimpleQueue()
        self._ending = Event()
        self._kept: list[Record] = []
        self._in_memory: dict[int, Record] = {}  # of a short run each record on disk, by its place
        self._leaving: list[Record] = []  # in memory until they are freed
        self._is_short = True
        self._records_at = self._whole = 0  # where the first record begins, and the last whole message ends
        self._file, self.path = _open(beside)
        weakref.finalize(self, os.close, self._file)  # tables read records here again as long as there is one
        self._thread: Thread | None = Thread(target=self._write_all, name="lens-journal", daemon=True)
        self._thread.start()

    def add(self, item: RunInfo | Record | RunProgress) -> None:
        """Queue an item for writing; costs the caller a microsecond."""
        if isinstance(item, Record):
            self._first = None if self.count else item
            self.count += 1
        self._queue.put(item)

    @property
    def only(self) -> Record | None:
        """The record that came, where it is the only one."""
        return self._first

    def finish(self) -> None:
        """Return when all that was added is written; nothing may be added any more."""
        if self._thread is not None:
            self._ending.set()
            self._queue.put(None)
            self._thread.join()
            self._thread = None
            self._leaving = []

    def close(self, *, complete: bool) -> None:
        """Finish, and remove the file if it is `complete`: the outputs hold it all. Records can still be read."""
        self.finish()
        self._in_memory = {}
        if complete and self.path is not None and is_open_file(self._file, self.path):
            self.path.unlink(missing_ok=True)

    def table(self, info: RunInfo | None, book: PriceBook) -> Table:
        """Return the records as a table, which reads them here again; only once the journal is finished."""
        builder = TableBuilder(on_disk=True)
        decode = packed_decoder()
        with gc_paused():
            for place, record in self._in_memory.items():
                builder.add(record, place)
            for place, packed in () if self._in_memory else self._messages():
                builder.add(decode(packed), place)
            for number, record in enumerate(self._kept):
                builder.add(record, ~number)
        return builder.table(Run("", info, self.fetch), book)

    def fetch(self, places: Iterable[int]) -> Iterator[Record]:
        """Yield the records at places that a table of this journal knows."""
        remaining = iter(places)
        while self._in_memory and (place := next(remaining, None)) is not None:
            yield self._in_memory[place] if place >= 0 else self._kept[~place]
        while some := list(islice(remaining, FETCHED_TOGETHER)):
            block, begins = self._block_of(some)
            for place in some:
                if place < 0:
                    yield self._kept[~place]
                    continue
                at = place - begins
                upto = at + LENGTH_BYTES + length_at(block, at)[0] if at + LENGTH_BYTES <= len(block) else None
                if upto is not None and upto <= len(block):
                    yield decode_message(block[at + LENGTH_BYTES : upto])
                else:
                    length = length_at(_read_at(self._file, LENGTH_BYTES, place))[0]
                    yield decode_message(_read_at(self._file, length, place + LENGTH_BYTES))

    def _block_of(self, places: list[int]) -> tuple[memoryview, int]:
        """Return what lies at these places in one piece and where that begins; nothing where they lie far apart."""
        on_disk = [place for place in places if place >= 0]
        if len(on_disk) < 2:
            return memoryview(b""), 0
        begins, last = min(on_disk), max(on_disk)
        if last - begins > FETCHED_BYTES:
            return memoryview(b""), 0
        return memoryview(_read_at(self._file, last - begins + LAST_BYTES, begins)), begins

    def records(self) -> Iterator[Record]:
        """Yield the records in the order in which they ended; only once the journal is finished."""
        for _, packed in self._messages():
            yield decode_message(packed)
        yield from self._kept

    def rewritten(self, change: Callable[[Record], Record]) -> Journal:
        """Return a finished journal without a name that holds each record as `change` returns it."""
        other = Journal()
        for record in self.records():
            other.add(change(record))
        other.close(complete=True)
        return other

    def rescue(self) -> Path | None:
        """Return where the finished journal is; one without a name is copied to the folder for temporary files.

        None where that fails, or where records did not get to disk.
        """
        if self.warning is not None or self._kept:
            return None
        if self.path is not None and is_open_file(self._file, self.path):
            return self.path
        try:
            handle, name = tempfile.mkstemp(prefix=RESCUED, suffix=".msgpack")
            with open(handle, "wb") as copy:
                for at in range(0, self._whole, BLOCK_BYTES):
                    copy.write(_read_at(self._file, min(BLOCK_BYTES, self._whole - at), at))
        except (OSError, MemoryError):
            return None
        return Path(name)

    def _messages(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the place of each record that is on disk, and its message."""
        return split_messages(self._blocks(), self._records_at)

    def _blocks(self) -> Iterator[bytes]:
        """Yield the whole messages that are on disk, so many bytes at a time."""
        at = self._records_at
        while at < self._whole:
            block = _read_at(self._file, min(BLOCK_BYTES, self._whole - at), at)
            at += len(block)
            yield block

    def _write_all(self) -> None:
        self._write(MAGIC)
        self._records_at = self._whole
        together: list[RunInfo | Record | RunProgress] = []
        gathered = False
        while (item := self._queue.get()) is not None:
            together.append(item)
            if isinstance(item, RunInfo):
                self._write_together(together)
                self._records_at = self._whole
                continue
            if len(together) == 1 and not gathered:
                self._ending.wait(GATHER_S)
            if self._queue.empty() or len(together) >= MOST_TOGETHER:
                self._write_together(together)
                self._ending.wait(GATHER_S)
                gathered = not self._queue.empty()
        self._write_together(together)

    def _write_together(self, items: list[RunInfo | Record | RunProgress]) -> None:
        """Write items at once, and forget them; records that do not get to disk are kept."""
        encoded, place = [_encoded(item) for item in items], self._whole
        written = self._write_pieces(encoded)
        for item, data, done in zip(items, encoded, written, strict=True):
            if isinstance(item, Record):
                if not (done and data):
                    self._kept.append(item)
                elif self._is_short:
                    self._hold(item, place)
            place += len(data) * done
        items.clear()
        del self._leaving[-FREED_EACH * len(written) :]

    def _hold(self, record: Record, place: int) -> None:
        """Hold a record in memory too; where there is none, or the run is no longer short, let go of all."""
        try:
            self._in_memory[place] = record
            self._is_short = self._whole <= SHORT_BYTES
        except MemoryError:
            self._is_short = False
        if not self._is_short:
            self._leaving, self._in_memory = list(self._in_memory.values()), {}

    def _write_pieces(self, pieces: list[bytes]) -> list[bool]:
        """Return of each piece whether it is in the file."""
        try:
            return [self._write(b"".join(pieces))] * len(pieces)
        except MemoryError:
            return [self._write(piece) for piece in pieces]

    def _write(self, data: bytes) -> bool:
        """Return whether all of it is in the file."""
        if self.warning is not None:
            return False
        try:
            done, view = 0, memoryview(data)
            while done < len(data):
                done += os.pwrite(self._file, view[done:], self._whole + done)
        except OSError as error:
            self.warning = f"the journal {self.path or ''} stopped: {error.strerror}; records are kept in memory"
            return False
        self._whole += len(data)
        return True


def _encoded(item: RunInfo | Record | RunProgress) -> bytes:
    """Return a message; none where there is no memory to encode it, or where no file can hold it."""
    try:
        return message(item)
    except Exception:
        return b""


def _open(beside: Path | None) -> tuple[int, Path | None]:
    """Return a new file, and its path if it has one."""
    try:
        if beside is not None:
            created, path = create_beside(beside, JOURNAL)
            _tell_abandoned(beside, path)
            with created:
                return os.dup(created.fileno()), path
        with tempfile.TemporaryFile(prefix="lll-spool-") as unnamed:
            return os.dup(unnamed.fileno()), None
    except OSError as error:
        where = beside.with_name(beside.name + JOURNAL) if beside is not None else "a temporary file"
        raise FileError(f"cannot write {where}: {error.strerror}") from error


def _tell_abandoned(beside: Path, own: Path) -> None:
    """Say which earlier journals of this output were left by runs that were killed."""
    for name in takewhile(lambda name: name != own, names_beside(beside, JOURNAL)):
        if is_abandoned(name):
            LOG.warning(
                "%s was left by a run that was killed: `lll recover %s` makes a run file of it; then remove it",
                name,
                shlex.quote(str(name)),
            )


def rescue(info: RunInfo, records: list[Record]) -> Path | None:
    """Write a run whose outputs could not be written to the folder for temporary files; None if that fails too."""
    handle, name = tempfile.mkstemp(prefix=RESCUED, suffix=".msgpack")
    os.close(handle)
    path = Path(name)
    try:
        write_run(path, info, records, force=True)
    except (FileError, MemoryError):
        for left in (path, path.with_name(path.name + PARTIAL)):
            left.unlink(missing_ok=True)
        return None
    return path


def _read_at(file: int, size: int, place: int) -> bytes:
    """Return so many bytes of an open file from a place on; only once nobody writes to it any more."""
    if hasattr(os, "pread"):
        return os.pread(file, size, place)
    os.lseek(file, place, os.SEEK_SET)  # Windows
    return os.read(file, size)
