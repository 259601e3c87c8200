"""Pieces of an export that a process of its own makes, for a library that dies where memory is refused.

Where memory is limited (`ulimit -v`), an allocation that fails ends pyarrow by a signal, or leaves it looping. Neither
is an exception: only a process that is watched from outside costs nothing but itself. Where memory is not limited no
allocation fails, and nothing is forked.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from lens.errors import FileError

# CPU time in which the next piece has to come; a group of rows takes a tenth of a second.
PIECE_CPU_S = 20
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
_LENGTH_BYTES = 8
_PIECE, _FAILED, _DONE = b"P", b"F", b"D"


def memory_is_limited() -> bool:
    """Return whether this process may be refused memory: by a limit of its own, or by a kernel that promises none."""
    if sys.platform != "linux":
        return False
    import resource

    limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    if any(limit != resource.RLIM_INFINITY for limit in limits):
        return True
    try:
        return OVERCOMMIT.read_text().strip() == "2"
    except OSError:
        return False


def isolated_pieces(make: Callable[[], Iterator[bytes]], explain: Callable[[Exception], str]) -> Iterator[bytes]:
    """Yield the pieces that `make` yields in a process of its own.

    explain: says in words what an exception of that process means.

    Raises:
        FileError: `make` raised something. MemoryError: its process was ended by a signal, or looped.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads run: none of their locks is needed there
        try:
            child = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            raise MemoryError from error
    if child == 0:
        os.close(reading)
        _make_all(make, explain, writing)
    os.close(writing)
    try:
        with open(reading, "rb") as pipe:
            yield from _pieces_of(pipe)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # whose pieces are not wanted any more
        os.waitpid(child, 0)


def _pieces_of(pipe: BinaryIO) -> Iterator[bytes]:
    """Yield the pieces that come through a pipe.

    Raises:
        FileError: the other side says that it failed. MemoryError: the pipe ends before the pieces do.
    """
    while (kind := pipe.read(1)) != _DONE:
        length = int.from_bytes(pipe.read(_LENGTH_BYTES), "little")
        data = pipe.read(length)
        if not kind or len(data) < length:
            raise MemoryError
        if kind == _FAILED:
            raise FileError(data.decode())
        yield data


def _make_all(make: Callable[[], Iterator[bytes]], explain: Callable[[Exception], str], pipe: int) -> NoReturn:
    """Send the pieces through a pipe, and end this process."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what it means is decided on the other side of the pipe
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # allocators write there that they are refused memory
        with open(pipe, "wb") as out:
            try:
                _limit_cpu()
                for piece in make():
                    _send(out, _PIECE, piece)
                    _limit_cpu()
                _send(out, _DONE, b"")
            except Exception as error:
                _send(out, _FAILED, explain(error).encode())
    finally:
        os._exit(0)  # nothing of the parent is flushed or cleaned up here


def _send(out: BinaryIO, kind: bytes, data: bytes) -> None:
    out.write(kind + len(data).to_bytes(_LENGTH_BYTES, "little"))
    out.write(data)
    out.flush()


def _limit_cpu() -> None:
    """Let the kernel end this process where the next piece takes for ever."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + PIECE_CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))
