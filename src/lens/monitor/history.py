"""The past in run files: segments in one folder, the oldest of which go when they are too old or too many.

A segment is a run file like any other (JSON Lines): `lll analyze FOLDER` reads them. Only segments are ever
removed, known by their name and by a header that a monitor wrote; whatever else lies in the folder is its owner's.
One monitor at a time writes to a folder. A disk that is full costs what could not be written and a sentence, never
the monitor.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from lens.errors import FileError
from lens.export.jsonl import request_lines
from lens.history.write import MONITOR_COMMAND, MONITOR_LOCK, is_open_file, json_line
from lens.metrics.builder import is_short, table_of
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_S = 24 * 3600.0
# A segment takes no more than this share of what is kept, so that removing one leaves most of the past.
SEGMENT_SHARE = 4
_NAME = re.compile(r"\d{8}T\d{6}(-\d+)?\.jsonl")  # of a segment: when it was begun, UTC
# File systems without locks say so like this; there the user sees to it that one monitor writes.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP)
# Windows has neither, and no links that could lead astray by a name alone.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_MOST_HEADER = 1 << 20  # bytes of a header that are looked at


class _Header(msgspec.Struct):
    """What is looked at in the first line of a file to know a segment."""

    schema: int
    command: str


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
            FileError: the folder cannot be made or written to, or another monitor writes to it.
        """
        self.folder, self._book, self._clock = folder, book, clock
        self._info = msgspec.structs.replace(info, command=MONITOR_COMMAND)  # by which a segment is known
        self._keep_s, self._keep_bytes = keep_s, keep_bytes
        self._segment_bytes = min(segment_bytes, keep_bytes // SEGMENT_SHARE)
        self._file: IO[bytes] | None = None
        self._path = folder  # of the open segment
        self._began_s = 0.0
        self._written = 0
        self.lost = 0  # records that could not be written
        self.trouble: str | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"history {folder}: {(error.strerror or str(error)).lower()}") from None
        self._lock = _locked(folder)

    def add(self, record: Record) -> None:
        """Write it at once; one that cannot be written is counted."""
        gone = None
        try:
            gone = self._leave_what_is_gone()
            self._segment()
            line = b"".join(request_lines(table_of([record], self._info, self._book, few=is_short(record))))
            self._write(line)
        except OSError as error:
            self.lost += 1
            self.trouble = f"history {self.folder}: {(error.strerror or str(error)).lower()}; requests lost"
            self._close_segment()
            return
        self.trouble = gone

    def _leave_what_is_gone(self) -> str | None:
        """Close a segment that no longer lies in the folder, and lock a folder that took its place.

        Returns what happened, in words; None where nothing did.
        """
        if self._file is not None and is_open_file(self._file.fileno(), self._path):
            return None
        if self._lock is not None and not is_open_file(self._lock, self.folder / MONITOR_LOCK):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock, former = _locked(self.folder), self._lock
            except FileError as error:
                raise OSError(errno.EAGAIN, str(error).removeprefix(f"history {self.folder}: ")) from None
            self._lock = lock
            os.close(former)
        if self._file is None:
            return None
        self._close_segment()
        return f"history {self._path}: it was removed or replaced, with what had been written; a new one was begun"

    def _write(self, data: bytes) -> None:
        """Append to the segment; what the disk does not take whole is taken back, so that the file stays readable."""
        assert self._file is not None
        try:
            done = 0
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError:
            with suppress(OSError):
                os.truncate(self._file.fileno(), self._written)
            raise
        self._written += len(data)

    def _segment(self) -> None:
        """Open the file to write to: a new one when there is none, or the last is full or old."""
        now = self._clock()
        if self._file is not None and self._written < self._segment_bytes and now - self._began_s < SEGMENT_S:
            return
        self._close_segment()
        self._prune(now)
        stem = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        self._file, self._path = self._new(stem)
        self._began_s, self._written = now, 0
        try:
            self._write(json_line(self._info))
        except OSError:
            with suppress(OSError):  # a disk that is full must not fill with empty segments
                self._path.unlink()
            raise

    def _new(self, stem: str) -> tuple[IO[bytes], Path]:
        """Return a file that was not there, and its path."""
        for number in range(1000):
            path = self.folder / (f"{stem}.jsonl" if not number else f"{stem}-{number}.jsonl")
            try:
                # Unbuffered: what a full disk did not take must not be written again when the file is closed.
                return path.open("xb", buffering=0), path
            except FileExistsError:
                continue
        raise FileExistsError(17, "too many segments of one second")

    def _prune(self, now: float) -> None:
        """Remove segments that are too old, then the oldest until what stays leaves room for a new one."""
        found = []
        for path in self.folder.glob("*.jsonl"):
            try:
                state = path.lstat()
            except OSError:
                continue
            if is_segment(path):
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

    def _close_segment(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def close(self) -> None:
        """Let another monitor write to the folder; what was added is in it already."""
        self._close_segment()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def is_segment(path: Path) -> bool:
    """Return whether a monitor wrote this file: its name is that of a segment, and so is its header."""
    if not _NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(_MOST_HEADER), type=_Header)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return header.command == MONITOR_COMMAND


def _locked(folder: Path) -> int | None:
    """Lock the folder and return the open lock file, whose end unlocks it.

    Raises:
        FileError: another monitor has locked it, or nothing can be written there.
    """
    path = folder / MONITOR_LOCK
    lock = None
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o644)
        _take_lock(lock)
    except BlockingIOError:
        os.close(lock or -1)
        raise FileError(
            f"history {folder}: another monitor writes to it; give each a folder of its own with --history"
        ) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return lock
        raise FileError(f"history {folder}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    return lock


def _take_lock(lock: int) -> None:
    """Lock an open file for this process alone, until it is closed.

    Raises:
        BlockingIOError: another process has it. OSError: the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
