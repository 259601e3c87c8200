"""The past in run files: segments in one folder, the oldest of which go when they are too old or too many.

A segment is a run file like any other (JSON Lines): `lll analyze FOLDER/*.jsonl` reads them. A disk that is
full costs what could not be written and a sentence, never the monitor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from lens.errors import FileError
from lens.export.jsonl import request_lines
from lens.history.write import json_line
from lens.metrics.builder import table_of
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_S = 24 * 3600.0


class History:
    """The folder; one monitor writes to it at a time."""

    def __init__(
        self,
        folder: Path,
        info: RunInfo,
        book: PriceBook,
        *,
        keep_s: float,
        keep_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Raises:
            FileError: the folder cannot be made.
        """
        self.folder, self._info, self._book, self._clock = folder, info, book, clock
        self._keep_s, self._keep_bytes, self._segment_bytes = keep_s, keep_bytes, segment_bytes
        self._file: IO[bytes] | None = None
        self._began_s = 0.0
        self._written = 0
        self.lost = 0  # records that could not be written
        self.trouble: str | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"history {folder}: {(error.strerror or str(error)).lower()}") from None

    def add(self, record: Record) -> None:
        """Write it at once; one that cannot be written is counted."""
        try:
            self._segment()
            assert self._file is not None
            line = b"".join(request_lines(table_of([record], self._info, self._book)))
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self.lost += 1
            self.trouble = f"history {self.folder}: {(error.strerror or str(error)).lower()}; {self.lost} requests lost"
            self.close()
            return
        self.trouble = None
        self._written += len(line)

    def _segment(self) -> None:
        """The file to write to: a new one when there is none, or the last is full or old."""
        now = self._clock()
        if self._file is not None and self._written < self._segment_bytes and now - self._began_s < SEGMENT_S:
            return
        self.close()
        self._prune(now)
        stem = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        self._file = self._new(stem)
        self._began_s = now
        head = json_line(self._info)
        self._file.write(head)
        self._written = len(head)

    def _new(self, stem: str) -> IO[bytes]:
        """A file that was not there."""
        for number in range(1000):
            name = f"{stem}.jsonl" if not number else f"{stem}-{number}.jsonl"
            try:
                return (self.folder / name).open("xb")
            except FileExistsError:
                continue
        raise FileExistsError(17, "too many segments of one second")

    def _prune(self, now: float) -> None:
        """Remove what is too old, then the oldest until what stays leaves room for a segment."""
        found = []
        for path in self.folder.glob("*.jsonl"):
            try:
                state = path.stat()
            except OSError:
                continue
            found.append((state.st_mtime, state.st_size, path))
        found.sort()
        total = sum(size for _, size, _ in found)
        for changed, size, path in found:
            if changed >= now - self._keep_s and total + self._segment_bytes <= self._keep_bytes:
                break
            try:
                os.unlink(path)
            except OSError:
                continue
            total -= size

    def close(self) -> None:
        """What was added is in the file already."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
