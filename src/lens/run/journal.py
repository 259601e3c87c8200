"""Records on disk while a run goes on, so that no end of the program loses them.

A thread of its own writes, so that the measuring loop never waits for a disk. The journal is a
MessagePack run file beside the outputs; it is removed when they are complete. After a kill it is there to
be read: `lll report NAME.journal.msgpack`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from lens.errors import FileError
from lens.history.write import MAGIC, PARTIAL, message, write_run
from lens.model import Record, RunInfo

SUFFIX = ".journal.msgpack"


class Journal:
    """Takes records as they end. A disk that fails ends the journal, never the run."""

    def __init__(self, path: Path) -> None:
        """
        path: of an output; the journal lies beside it.

        Raises:
            FileError: nothing can be written there.
        """
        self.path = path.with_name(path.name + SUFFIX)
        self.warning: str | None = None
        self._queue: SimpleQueue[RunInfo | Record | None] = SimpleQueue()
        try:
            self._file: BinaryIO = self.path.open("wb", buffering=0)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error
        self._thread = Thread(target=self._write_all, name="lens-journal", daemon=True)
        self._thread.start()

    def add(self, item: RunInfo | Record) -> None:
        """To be written soon; costs the caller a microsecond."""
        self._queue.put(item)

    def close(self, *, complete: bool) -> None:
        """No more will come. `complete`: the outputs hold it all, so the journal goes."""
        self._queue.put(None)
        self._thread.join()
        self._file.close()
        if complete:
            self.path.unlink(missing_ok=True)

    def _write_all(self) -> None:
        self._write(MAGIC)
        while (item := self._queue.get()) is not None:
            self._write(message(item))

    def _write(self, data: bytes) -> None:
        if self.warning is not None:
            return
        try:
            done = 0
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError as error:
            self.warning = f"the journal {self.path} stopped: {error.strerror}; records are kept in memory"


def rescue(info: RunInfo, records: list[Record]) -> Path | None:
    """A run whose outputs could not be written, in the folder for temporary files; None where that fails too."""
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
