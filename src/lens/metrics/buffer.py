"""A column that grows, in as little memory as its values need."""

from __future__ import annotations

import gc
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from lens.arrays.dispatch import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Room that is added at once, as a share of what there is; memory that is not written yet is not used.
GROWTH = 1.5
SMALLEST = 1 << 14
# Columns of which fewer than this share of the values are not the usual one are kept as these values alone.
SPARSE_SHARE = 0.1

# Blocks of this many bytes are no part of the heap of a process that makes a long table; mallopt(3) names the option.
LARGE_BLOCK, M_MMAP_THRESHOLD = 4 << 20, -3
MOST_WHOLE = 2**53  # below, a float64 is every whole number


class Buffer:
    """Takes arrays one behind the other; wider values widen it."""

    def __init__(self, dtype: Any = None) -> None:
        self._data: NDArray[Any] | None = None
        self._dtype = dtype
        self._own = False  # whether there may be room behind the values, which nobody else has a view of
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def nbytes(self) -> int:
        """How many bytes the values take."""
        return 0 if self._data is None else self._n * self._data.itemsize

    def reserve(self, n: int) -> None:
        """Make room for so many values in all; room that is not written takes no memory."""
        if self._data is not None and n > len(self._data):
            self._grow(n, self._data.dtype)

    def append(self, values: NDArray[Any]) -> None:
        """Add values behind those that are there."""
        if not self._n:
            # The first is taken as it is: most tables are one batch.
            self._data = values if self._dtype is None else values.astype(self._dtype, copy=False)
            self._n = len(values)
            return
        assert self._data is not None
        upto = self._n + len(values)
        wanted = np.promote_types(self._data.dtype, values.dtype)
        if wanted != self._data.dtype or upto > len(self._data):
            enough = upto <= len(self._data)
            self._grow(len(self._data) if enough else max(int(len(self._data) * GROWTH), upto, SMALLEST), wanted)
        self._data[self._n : upto] = values
        self._n = upto

    def _grow(self, room: int, dtype: Any) -> None:
        """Move to an array with this room; not by resize(), which writes zeros into it."""
        assert self._data is not None
        data = np.empty(room, dtype=dtype)
        data[: self._n] = self._data[: self._n]
        self._data, self._own = data, True

    def array(self) -> NDArray[Any]:
        """Return all values; nothing can be appended any more."""
        if self._data is None:
            return np.empty(0, dtype=self._dtype or np.uint8)
        if self._own:
            self._data.resize(self._n, refcheck=False)
        return self._data


class UsualBuffer:
    """Takes the arrays of a column of which nearly all values may be one and the same.

    Once there are many, only those that differ are kept, for as long as they are few.
    """

    def __init__(self, usual: Any) -> None:
        """usual: the value that most may have, NaN too."""
        self._usual = usual
        self._dense: Buffer | None = Buffer()
        self._places, self._values = Buffer(np.int64), Buffer()
        self._n = self._many = 0
        self._looked = False

    def append(self, values: NDArray[Any]) -> None:
        """Add values behind those that are there."""
        if self._dense is not None:
            self._dense.append(values)
            self._n += len(values)
            if self._n >= SMALLEST and not self._looked:
                self._looked = True
                found, self._dense, self._n = self._dense.array(), None, 0
                self._append_unusual(found)
        else:
            self._append_unusual(values)

    def _append_unusual(self, values: NDArray[Any]) -> None:
        """Keep what differs; all of the column where that is too much."""
        places = np.flatnonzero(_unusual(values, self._usual))
        self._places.append(places + self._n)
        self._values.append(values[places])
        self._n += len(values)
        self._many += len(places)
        if self._many >= SPARSE_SHARE * self._n:
            self._dense = Buffer()
            self._dense.append(self._sparse().dense())

    def _sparse(self) -> Sparse:
        return Sparse(self._places.array(), self._values.array(), self._usual, self._n)

    def array(self) -> NDArray[Any] | Sparse:
        """Return all values as they need least memory; nothing can be appended any more."""
        return self._sparse() if self._dense is None else compact(self._dense.array(), self._usual)


class Packed(ABC):
    """A column in fewer bytes than an array of its values."""

    @property
    @abstractmethod
    def dtype(self) -> Any:
        """The type of the values."""

    @abstractmethod
    def dense(self) -> NDArray[Any]:
        """Return the whole column."""

    def read_only(self) -> NDArray[Any]:
        """Return the whole column, of which all values may lie in one place."""
        return self.dense()

    @abstractmethod
    def take(self, rows: NDArray[Any] | slice) -> NDArray[Any] | Packed:
        """Return these rows of the column, as they need least memory; the work grows with them, not with the column.

        rows: a slice has both ends and step 1.
        """


class Sparse(Packed):
    """A column of which nearly all values are one and the same."""

    def __init__(self, places: NDArray[Any], values: NDArray[Any], usual: Any, n: int) -> None:
        self._places = places.astype(np.int32 if n < 2**31 else np.int64, copy=False)
        self._values, self._usual, self._n = values, usual, n

    def __len__(self) -> int:
        return self._n

    @property
    def dtype(self) -> Any:
        return self._values.dtype

    def dense(self) -> NDArray[Any]:
        found = np.full(self._n, self._usual, dtype=self._values.dtype)
        found[self._places] = self._values
        return found

    def read_only(self) -> NDArray[Any]:
        one = np.full(1, self._usual, dtype=self._values.dtype)
        return self.dense() if len(self._places) else np.broadcast_to(one, self._n)

    def take(self, rows: NDArray[Any] | slice) -> NDArray[Any] | Packed:
        if isinstance(rows, slice):
            first, end = np.searchsorted(self._places, (rows.start, rows.stop)).tolist()
            n, places, values = rows.stop - rows.start, self._places[first:end] - rows.start, self._values[first:end]
        else:
            n, places, values = len(rows), self._places[:0], self._values[:0]
            if len(self._places):
                near = np.minimum(np.searchsorted(self._places, rows), len(self._places) - 1)
                places = np.flatnonzero(self._places[near] == rows)
                values = self._values[near[places]]
        found = Sparse(places, values, self._usual, n)
        return found if n >= SMALLEST else found.dense()


class Narrow(Packed):
    """A column of whole numbers as what they are above the least, in as few bytes as that fits in."""

    def __init__(self, data: NDArray[Any], least: int, absent: Any, dtype: Any) -> None:
        """data: the greatest number of its type stands for `absent`."""
        self._data, self._least, self._absent, self._dtype = data, least, absent, dtype

    def __len__(self) -> int:
        return len(self._data)

    @property
    def dtype(self) -> Any:
        return self._dtype

    def dense(self) -> NDArray[Any]:
        found: NDArray[Any] = self._data.astype(self._dtype)
        found += self._least
        found[self._data == np.iinfo(self._data.dtype).max] = self._absent
        return found

    def take(self, rows: NDArray[Any] | slice) -> NDArray[Any] | Packed:
        found = Narrow(self._data[rows], self._least, self._absent, self._dtype)
        return found if len(found) >= SMALLEST else found.dense()


def constant(column: NDArray[Any]) -> NDArray[Any]:
    """Return a long column of one value in no memory; another as it is."""
    if len(column) < SMALLEST or bool((column != column[0]).any()):
        return column
    return np.broadcast_to(column[:1].copy(), len(column))


def narrow_column(column: NDArray[Any], absent: Any = -1) -> NDArray[Any] | Narrow:
    """Return a long column of whole numbers in less than 8 bytes each, where they fit in. absent: NaN too."""
    if len(column) < SMALLEST or column.dtype not in (np.int64, np.float64):
        return column
    there = _unusual(column, absent)
    known = column[there]
    if not len(known) or not np.isfinite(known).all():
        return column
    least, greatest = known.min(), known.max()
    real = column.dtype == np.float64
    if real and (abs(least) >= MOST_WHOLE or greatest >= MOST_WHOLE or np.signbit(known).any() or (known % 1).any()):
        return column
    span = int(greatest) - int(least)
    kind = next((kind for kind in (np.uint8, np.uint16, np.uint32) if span < np.iinfo(kind).max), None)
    if kind is None:
        return column
    data = np.full(len(column), np.iinfo(kind).max, dtype=kind)
    data[there] = known - least
    return Narrow(data, int(least), absent, column.dtype)


def compact(column: NDArray[Any], usual: Any) -> NDArray[Any] | Sparse:
    """Return a column as it needs least memory; `usual`: the value that most may have, NaN too."""
    if len(column) < SMALLEST:
        return column
    places = np.flatnonzero(_unusual(column, usual))
    if len(places) >= SPARSE_SHARE * len(column):
        return column
    return Sparse(places, column[places], usual, len(column))


def _unusual(column: NDArray[Any], usual: Any) -> NDArray[Any]:
    """Return which values differ from the usual one, as bool."""
    found: NDArray[Any] = ~np.isnan(column) if usual != usual else column != usual
    return found


@cache
def return_large_blocks() -> bool:
    """Have the allocator return large blocks to the system as soon as they are free; return whether it can be told.

    glibc lets the heap take in blocks of up to 32 MB once one was freed; columns that are gone then count as memory
    of this process for as long as anything behind them is used.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        return bool(ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK))
    except (OSError, AttributeError):  # musl does so by itself
        return False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Records know nothing that knows them, so looking for cycles among millions of them is time for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
