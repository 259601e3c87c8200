"""Write run files: a header, then a record a line (JSON Lines) or a message (MessagePack).

A file is written under another name and gets its own only when it is complete, so that what
bears the name is whole. A writer never replaces a file unless it is told to, and never shares one with
another that is writing: each creates its own. A link is followed to what it names; a device, a pipe or a
socket is written to as it is, for it cannot be replaced.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from lens.columns import UNREADABLE, encode_hook, pack_hook
from lens.errors import FileError
from lens.model import Record, RunInfo
from lens.parsing import table_in

if sys.platform != "win32":
    import fcntl

LOG = logging.getLogger(__name__)
PARTIAL = ".partial"
JOURNAL = ".journal.msgpack"  # behind the name of the output beside which a run keeps what has ended
MONITOR_COMMAND = "lll monitor"  # in the header of a segment of a monitor's history
# Files of this program's own that hold no run.
MONITOR_LOCK, UI_STATE = ".lll-monitor.lock", ".lll-ui.json"
_OWN = {MONITOR_LOCK: "the lock file of a monitor's history", UI_STATE: "what `lll ui` keeps of a folder"}
# Names of files that this process has open; to open them again would begin at their start.
_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTORS = ("/dev/fd", "/proc/self/fd")
# First bytes of a MessagePack run file; then each message behind its length, uint32, little endian.
MAGIC = b"LENSRUN1"
TOLD_AT_END = -1  # RunInfo.requests in a first header: the last one has the number
# Set in the length of a note: what a journal says of a run that goes on, and whoever reads the run passes over.
NOTE = 1 << 31
encode_json = msgspec.json.Encoder(enc_hook=encode_hook, decimal_format="number").encode
# Why a run ended, of which there is only a journal, and of one that was recovered from its journal.
NOT_ENDED, KILLED = "this run was killed, or has not ended yet", "killed"
_pack = msgspec.msgpack.Encoder(enc_hook=pack_hook)


class RunProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a run is; the notes of its journal."""

    elapsed_ns: int
    begun: int
    done: int
    failed: int = 0
    warmup_done: int = 0
    total: int | None = None  # requests; None: time ends it
    duration_ns: int | None = None
    stage: str | None = None
    spent_nusd: int | None = None  # under a spend ceiling
    at_ns: int | None = None  # when it was noted, on the run's monotonic clock


def with_last_note(info: RunInfo | None, note: bytes, records_since: int = 0) -> RunInfo | None:
    """Return the header of a journal, which knows no end, with what its last note says of it.

    The time at which the run was last seen, and how many requests were open then that did not end since.
    """
    if info is None or info.ended_ns is not None or not note:
        return info
    try:
        seen = msgspec.msgpack.decode(note, type=RunProgress)
    except UNREADABLE:
        return info
    at_ns = seen.at_ns if seen.at_ns is not None else info.started_ns + seen.elapsed_ns
    still_open = max(seen.begun - seen.done - records_since, 0)
    if table_in(info.config, "load").get("warmup") and seen.done == seen.warmup_done:
        still_open = 0  # of the warm-up there are no records
    says = f"{NOT_ENDED}{unrecorded_says(still_open)}"
    return msgspec.structs.replace(
        info, ended_ns=at_ns, stopped_by=NOT_ENDED, unrecorded=still_open, warnings=(says, *info.warnings)
    )


def unrecorded_says(still_open: int) -> str:
    """Return what follows on the end of a run that was killed: how many requests it does not tell of."""
    if not still_open:
        return "; requests that were under way are not in it"
    which = "request that was under way is" if still_open == 1 else "requests that were under way are"
    return f"; at least {still_open:,} {which} not in it"


class NewFile:
    """A binary file that gets its name only when it is complete; a context manager.

    Leaving by an exception keeps what was written, if anything was, under the name with .partial.
    """

    def __init__(self, path: Path, *, force: bool = False, numbered: bool = False) -> None:
        """
        force: replace the file if it exists.
        numbered: where the name is taken, also by a file that is being written, take the next: NAME-2, NAME-3.

        Raises:
            FileError: the file exists and neither is given, or it cannot be written.
        """
        self.path, self._force = path, force
        self.partial: Path | None = None  # None: it is no regular file, and is written to directly
        try:
            if is_special(path):
                self.out: BinaryIO = _open_special(path)
            else:
                self.out, self.partial = self._create(numbered=numbered and not force)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise FileError(f"cannot write {path}: {getattr(error, 'strerror', error)}") from error

    def _create(self, *, numbered: bool) -> tuple[BinaryIO, Path]:
        """Create the file that is written to, beside the one whose name it gets.

        Raises:
            OSError: it cannot be created. FileError: the name is taken.
        """
        if self.path.is_dir():
            raise FileError(f"{self.path} is a folder; name a file in it, or give --output-dir {self.path}")
        for number in count(2):
            if self.path.exists() and not self._force:
                if not numbered:
                    raise FileError(f"{self.path} exists; choose another --output, or --force to replace it")
            elif numbered:
                partial = self.path.with_name(self.path.name + PARTIAL)
                with suppress(FileExistsError):
                    return _create_locked(partial), partial
            else:
                return create_beside(self._target, PARTIAL)
            self.path = _numbered(self.path, number)
        raise AssertionError("unreachable")

    @property
    def _target(self) -> Path:
        """What the name stands for: where it is a link, the file at its end."""
        return Path(os.path.realpath(self.path)) if self.path.is_symlink() else self.path

    def write(self, data: bytes) -> None:
        """Write some bytes.

        Raises:
            FileError: they cannot be written.
        """
        try:
            self.out.write(data)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error

    def finish(self) -> None:
        """Give the file its name once everything is written.

        Raises:
            FileError: the rest cannot be written, another run took the name, or the file was removed or replaced.
        """
        try:
            self.out.flush()
            if self.partial is not None:
                os.fsync(self.out.fileno())
                ours = is_open_file(self.out.fileno(), self.partial)
                self.out.close()
                if not ours:
                    raise FileError(f"cannot write {self.path}: {self.partial} was removed or replaced meanwhile")
                self._name(self.partial)
            self.out.close()
        except FileExistsError:
            raise FileError(
                f"{self.path} was written by another run meanwhile; this one is in {self.partial}"
            ) from None
        except OSError as error:
            with suppress(OSError):
                self.out.close()
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error

    def _name(self, partial: Path) -> None:
        """Give the file its name; a link fails where the name is taken, a rename would replace what has it."""
        target = self._target
        if self._force or not hasattr(os, "link"):
            with suppress(OSError):  # what is replaced keeps its permissions
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
            partial.replace(target)
            return
        try:
            os.link(partial, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            partial.replace(target)
        else:
            partial.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self.finish()
        else:
            with suppress(OSError, ValueError):  # what could not be written is why it is left; closed already
                if self.partial is not None and not self.out.tell():
                    self.partial.unlink(missing_ok=True)  # nothing was written
            with suppress(OSError):
                self.out.close()


def is_open_file(file: int, path: Path) -> bool:
    """Return whether a name still stands for a file that is open, and not for a link or another file."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False


def own_file(path: Path) -> str | None:
    """Return what a file of this program's own is, in words; None for any other."""
    return _OWN.get(path.name)


def is_special(path: Path) -> bool:
    """Return whether the path names something other than a file or a folder: a device, a pipe, a socket."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return _descriptor_of(path) is not None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _descriptor_of(path: Path) -> int | None:
    """Return the open file that a name like /dev/stdout stands for."""
    if str(path) in _STREAMS:
        return _STREAMS[str(path)]
    return int(path.name) if str(path.parent) in _DESCRIPTORS and path.name.isdecimal() else None


def is_stdout(name: str | None) -> bool:
    """Return whether the name of an output stands for standard output: "-", /dev/stdout, /dev/fd/1."""
    return name == "-" or (name is not None and _descriptor_of(Path(name)) == 1)


def _open_special(path: Path) -> BinaryIO:
    """Open a device or a pipe for writing; a pipe that nobody reads yet waits here, and says so."""
    number = _descriptor_of(path)
    if number is not None:
        return open(os.dup(number), "wb")
    if path.is_fifo():
        try:
            file = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            LOG.warning("%s is a pipe that nobody reads yet: waiting for a reader (cat %s)", path, path)
        else:
            os.set_blocking(file, True)
            return open(file, "wb")
    return path.open("wb")


def create_beside(path: Path, suffix: str) -> tuple[BinaryIO, Path]:
    """Create a file that nobody else has, named as `path` with the suffix; where that is taken, a number before it.

    Raises:
        OSError: it cannot be created.
    """
    for beside in names_beside(path, suffix):
        with suppress(FileExistsError):
            return _create_locked(beside), beside
    raise AssertionError("unreachable")


def names_beside(path: Path, suffix: str) -> Iterator[Path]:
    """Yield the names that files beside `path` get, in this order: NAME.suffix, NAME.2.suffix, ..."""
    yield path.with_name(path.name + suffix)
    for number in count(2):
        yield path.with_name(f"{path.name}.{number}{suffix}")


def _create_locked(path: Path) -> BinaryIO:
    """Create a file and lock it while it is open, so that others see that its writer lives.

    An empty one that a killed process has left is replaced: nothing is lost with it.

    Raises:
        FileExistsError: it exists.
    """
    _remove_empty(path)
    while True:
        file = path.open("x+b")
        if sys.platform == "win32":
            return file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if is_open_file(file.fileno(), path):  # nobody removed it before it was locked
            return file
        file.close()


def _remove_empty(path: Path) -> None:
    """Remove an empty file whose writer no longer lives."""
    with suppress(OSError), _lock_abandoned(path) as file:
        if os.fstat(file.fileno()).st_size == 0 and is_open_file(file.fileno(), path):
            path.unlink()


def is_abandoned(path: Path) -> bool:
    """Return whether a file that was created beside an output has no living writer; False where locks tell nothing."""
    try:
        _lock_abandoned(path).close()
    except OSError:
        return False
    return True


def _lock_abandoned(path: Path) -> BinaryIO:
    """Open and lock a file that nobody writes to any more.

    Raises:
        OSError: somebody does, or it is no regular file, or locks tell nothing here.
    """
    if sys.platform == "win32" or not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "no file whose lock tells anything")
    file = path.open("rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _numbered(path: Path, number: int) -> Path:
    """Return NAME-3.json for NAME.json or NAME-2.json."""
    stem = path.stem if number == 2 else path.stem.rpartition("-")[0]
    return path.with_name(f"{stem}-{number}{path.suffix}")


def json_line(value: object) -> bytes:
    """Return one line of a JSON Lines run file."""
    return encode_json(value) + b"\n"


def message(value: object) -> bytes:
    """Return one message of a MessagePack run file, behind its length."""
    data = _pack.encode(value)
    mark = NOTE if isinstance(value, RunProgress) else 0
    return (len(data) | mark).to_bytes(4, "little") + data


def write_run(path: Path, info: RunInfo, records: Iterable[Record], *, force: bool = False) -> None:
    """Write a run file: MessagePack where the name ends in .msgpack, else JSON Lines."""
    packed = path.suffix == ".msgpack"
    encode = message if packed else json_line
    with NewFile(path, force=force) as file:
        file.write(MAGIC if packed else b"")
        file.write(encode(msgspec.structs.replace(info, requests=TOLD_AT_END)))
        requests = 0
        for record in records:
            file.write(encode(record))
            requests += 1
        file.write(encode(msgspec.structs.replace(info, requests=requests)))
