"""Values in the order of their size, however many: what memory should not hold is sorted on disk.

Pieces are sorted and written as they come. Then what lies between two bounds is taken out of every piece, put together
and sorted again: sample sort, of which a part at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.arrays.dispatch import np
from lens.metrics.buffer import Buffer
from lens.metrics.column_buffers import DiskBuffer, forget
from lens.metrics.long_series import LONG

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Values that memory holds; more are sorted on disk.
MOST_IN_MEMORY = 2 << 20
# Values that are sorted at once there, and one of how many says where the parts are cut.
PIECE, EVERY = 1 << 19, 1 << 9


class Ordered(NamedTuple):
    """Values in two orders; they may lie on disk, where nobody can write to them."""

    by_size: NDArray[Any]  # float64
    by_time: NDArray[Any] | None  # as they came, with fewer digits where they are many; None: not asked for


def ordered_values(pieces: Iterable[NDArray[Any]], *, by_time: bool = False) -> Ordered:
    """Return the values of all pieces in order; by_time: in the order in which they came too."""
    first: list[NDArray[Any]] = []
    rest, n = iter(pieces), 0
    for piece in rest:
        first.append(piece)
        n += len(piece)
        if n > MOST_IN_MEMORY:
            return _ordered_on_disk(chain(_taken(first), rest), by_time=by_time)
    values = first.pop() if len(first) == 1 else np.concatenate([np.empty(0), *first])
    first.clear()
    return ordered_array(values.astype(np.float64, copy=False), by_time=by_time)


def _taken(pieces: list[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the pieces of a list, which holds them no longer."""
    pieces.reverse()
    while pieces:
        yield pieces.pop()


def ordered_array(values: NDArray[Any], *, by_time: bool) -> Ordered:
    """Return the values of an array, which is sorted in place, in order; by_time: in its own order too."""
    # The width of an interval needs no more digits.
    came = values.astype(np.float32 if len(values) > LONG else np.float64) if by_time else None
    values.sort()
    return Ordered(values, came)


def _ordered_on_disk(pieces: Iterable[NDArray[Any]], *, by_time: bool) -> Ordered:
    came, runs, ends, sample = DiskBuffer(), DiskBuffer(), [0], []
    for piece in _long_pieces(pieces):
        if by_time:
            came.append(piece.astype(np.float32))
        piece.sort()
        runs.append(piece)
        ends.append(ends[-1] + len(piece))
        sample.append(piece[::EVERY].copy())
    bounds = _bounds(np.sort(np.concatenate(sample)), ends[-1])
    return Ordered(_merged(runs.array(), ends, bounds), came.array() if by_time else None)


def _long_pieces(pieces: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the same values in pieces of about PIECE."""
    waiting = Buffer(np.float64)
    for piece in pieces:
        waiting.append(piece)
        if len(waiting) >= PIECE:
            yield waiting.array()
            waiting = Buffer(np.float64)
    if len(waiting):
        yield waiting.array()


def _bounds(sample: NDArray[Any], n: int) -> NDArray[Any]:
    """Return the values at which the parts of n are cut; what is one value in many places is a part of its own."""
    bounds, times = np.unique(sample[:: max(len(sample) * PIECE // n, 1)], return_counts=True)
    return np.unique(np.concatenate([bounds, np.nextafter(bounds[times > 1], np.inf)]))


def _merged(column: NDArray[Any], ends: Sequence[int], bounds: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a column that is sorted between each two ends, sorted as a whole."""
    runs = [column[begin:end] for begin, end in pairwise(ends)]
    cuts = []
    for run in runs:
        cuts.append([0, *np.searchsorted(run, bounds).tolist(), len(run)])
        forget([column])
    found = DiskBuffer()
    for part in range(len(bounds) + 1):
        some = [run[cut[part] : cut[part + 1]] for run, cut in zip(runs, cuts, strict=True)]
        for values in _sorted_part([one for one in some if len(one)]):
            found.append(values)
        forget([column])
    return found.array()


def _sorted_part(some: Sequence[NDArray[Any]]) -> Iterable[NDArray[Any]]:
    """Return the values of sorted arrays in order; those that are all one value as they are."""
    if not some or min([one[0] for one in some]) == max([one[-1] for one in some]):
        return some
    values = np.concatenate(some)
    values.sort()
    return (values,)
