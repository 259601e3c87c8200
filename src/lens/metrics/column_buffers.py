"""What takes the values of each column while a table is made, in as little memory as the column needs.

Of a long run the columns of events are most of its table. They are read a slice of requests at a time, so that they
may lie on disk: in a temporary file without a name, mapped into memory; `forget` gives back what was read of it.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from lens.arrays.dispatch import np
from lens.history.lean import MISSING
from lens.metrics.buffer import SMALLEST, Buffer, Packed, UsualBuffer, narrow_column
from lens.model import Stamps, Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bytes of a column from which on it is written to disk, and that are written at once.
LEAST_ON_DISK = 8 << 20
PIECE_BYTES = 1 << 20
_NAN = float("nan")
# What stands in a column where nothing was measured, or in nearly all requests.
_USUAL: dict[str, Any] = {
    **dict.fromkeys(["hidden_thinking", *[name for name in Stamps.__struct_fields__ if name != "start"]], MISSING),
    **dict.fromkeys(("sentence", "line", "code_block", "usable"), MISSING),
    **dict.fromkeys(("rtt_us", "min_rtt_us", "valid", "session_planned", "first_start"), _NAN),
    **dict.fromkeys(Usage.__struct_fields__, _NAN),
    **dict.fromkeys(("tries", "resent", "retransmits"), 0),
    **dict.fromkeys(("stream", "kernel"), True),
    **dict.fromkeys(("warmup", "clock_stepped"), False),
}
# Whole numbers, which may take less than 8 bytes; of what is read for each metric `start` is left as it is.
_NARROW = frozenset([*_USUAL, "index", "wall_us", "row", "streamed"])


def buffer_of(name: str, *, on_disk: bool) -> Buffer | UsualBuffer | DiskBuffer:
    """Return what takes the values of a column. on_disk: of a long one with several values an event, on disk."""
    if name in _USUAL:
        return UsualBuffer(_USUAL[name])
    return DiskBuffer() if on_disk and name.startswith("events.") and name != "events.sizes" else Buffer()


def small_column(name: str, column: Any) -> Any:
    """Return a column that is complete as it needs least memory."""
    if name not in _NARROW or len(column) < SMALLEST or isinstance(column, Packed):
        return column
    return narrow_column(column, _USUAL.get(name, MISSING))


class DiskBuffer:
    """Takes arrays one behind the other; wider values widen it. What a full disk does not take stays in memory."""

    def __init__(self) -> None:
        self._waiting = Buffer()
        self._file: IO[bytes] | None = None
        self._pieces: list[tuple[Any, int]] = []  # on disk: types and numbers of values
        self._full = False

    def append(self, values: NDArray[Any]) -> None:
        """Add values behind those that are there."""
        self._waiting.append(values)
        if self._waiting.nbytes >= (LEAST_ON_DISK if self._file is None else PIECE_BYTES) and not self._full:
            self._write()

    def _write(self) -> None:
        """Move what waits to disk."""
        values = self._waiting.array()
        try:
            if self._file is None:
                self._file = _new_file()
                weakref.finalize(self, self._file.close)
            _add(self._file, values)
        except OSError:
            self._full = True
            return
        self._pieces.append((values.dtype, len(values)))
        self._waiting = Buffer()

    def array(self) -> NDArray[Any]:
        """Return all values, not to be written to; nothing can be appended any more."""
        if self._file is None or not self._pieces:
            return self._waiting.array()
        if not self._full and len(self._waiting):
            self._write()
        kinds = {kind for kind, _ in self._pieces}
        if self._full or len(kinds) > 1:
            return self._rewritten(np.result_type(*kinds))
        return _mapped(self._file, kinds.pop())

    def _rewritten(self, kind: Any) -> NDArray[Any]:
        """Return all values as one type, on disk where that takes them."""
        if not self._full:
            try:
                with _new_file() as file:
                    for piece in self._read():
                        _add(file, piece.astype(kind))
                    return _mapped(file, kind)
            except OSError:
                self._full = True
        found: NDArray[Any] = np.concatenate([*self._read(), self._waiting.array()])
        return found

    def _read(self) -> Iterator[NDArray[Any]]:
        """Yield what is on disk again."""
        assert self._file is not None
        self._file.seek(0)
        for kind, n in self._pieces:
            yield np.frombuffer(self._file.read(n * kind.itemsize), dtype=kind)


def _new_file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="lll-columns-")


def _add(file: IO[bytes], values: NDArray[Any]) -> None:
    file.write(values.tobytes())
    file.flush()


def _mapped(file: IO[bytes], kind: Any) -> NDArray[Any]:
    """Return the values of a file, which stays as long as they are used, also when it is closed.

    Raises:
        MemoryError: there is no room to map it.
    """
    try:
        found: NDArray[Any] = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=kind)
    except OSError as error:
        raise MemoryError from error
    return found


def forget(columns: Iterable[NDArray[Any]]) -> None:
    """Give back the memory that holds what was read of columns on disk; it is read again where it is needed."""
    for column in columns:
        base: Any = getattr(column, "base", None)
        while hasattr(base, "base"):  # an array's; to ask for numpy's type would load numpy for one request on lists
            base = base.base
        lies_in = getattr(base, "obj", None)
        if isinstance(lies_in, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            lies_in.madvise(mmap.MADV_DONTNEED)
