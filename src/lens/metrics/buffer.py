"""A column that grows, in as little memory as its values need."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lens.arrays.dispatch import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Room that is added at once, as a share of what there is; memory that is not written yet is not used.
GROWTH = 1.5
SMALLEST = 1 << 14
# Columns of which fewer than this share of the values are not the usual one are kept as these values alone.
SPARSE_SHARE = 0.1


class Buffer:
    """Takes arrays one behind the other; wider values widen it."""

    def __init__(self, dtype: Any = None) -> None:
        self._data: NDArray[Any] | None = None
        self._dtype = dtype
        self._own = False  # whether there is room behind the values, which nobody else has a view of
        self._n = 0

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
        if wanted != self._data.dtype or not self._own:
            self._data = self._data[: self._n].astype(wanted)
            self._own = True
        if upto > len(self._data):
            # realloc moves pages, not values.
            self._data.resize(max(int(len(self._data) * GROWTH), upto, SMALLEST), refcheck=False)
        self._data[self._n : upto] = values
        self._n = upto

    def array(self) -> NDArray[Any]:
        """Return all values; nothing can be appended any more."""
        if self._data is None:
            return np.empty(0, dtype=self._dtype or np.uint8)
        if self._own:
            self._data.resize(self._n, refcheck=False)
        return self._data


class Sparse:
    """A column of which nearly all values are one and the same."""

    def __init__(self, places: NDArray[Any], values: NDArray[Any], usual: Any, n: int) -> None:
        self._places, self._values, self._usual, self._n = places, values, usual, n

    def __len__(self) -> int:
        return self._n

    def dense(self) -> NDArray[Any]:
        """Return the whole column."""
        found = np.full(self._n, self._usual, dtype=self._values.dtype)
        found[self._places] = self._values
        return found


def compact(column: NDArray[Any], usual: Any) -> NDArray[Any] | Sparse:
    """Return a column as it needs least memory; `usual`: the value that most may have, NaN too."""
    if len(column) < SMALLEST:
        return column
    unusual = ~np.isnan(column) if usual != usual else column != usual
    places = np.flatnonzero(unusual)
    if len(places) >= SPARSE_SHARE * len(column):
        return column
    return Sparse(places.astype(np.int32 if len(column) < 2**31 else np.int64), column[places], usual, len(column))


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
