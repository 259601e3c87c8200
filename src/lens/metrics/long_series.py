"""Sums over series of any length, a piece at a time, so that millions of values on disk need little memory.

Each sum is, to the last bit, that which numpy makes of the whole series at once: where the values lie never changes a
figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any

from lens.arrays.dispatch import np
from lens.metrics.column_buffers import forget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Series = NDArray[Any]

LONG = 1 << 20  # more values than this are handled with care for memory
# More values than this are averaged in neighbourhoods before an interval is read from them.
MOST = 50_000


def in_pieces(series: Series, length: int | None = None) -> Iterator[Series]:
    """Yield a series so many values at a time (LONG); the memory of what lies on disk is given back behind each."""
    length = length or LONG
    for at in range(0, len(series), length):
        yield series[at : at + length]
        forget([series])


def mean_of(series: Series) -> float:
    """Return the mean as float64."""
    if len(series) <= LONG:
        return float(series.mean(dtype="float64") if series.dtype == np.float32 else series.mean())
    if series.dtype == np.float64:
        return _pairwise_sum(series) / len(series)
    total = 0.0
    for piece in in_pieces(series):  # numpy converts 8,192 values at a time, and adds them up one behind the other
        total = piece.sum(dtype="float64", initial=total)
    return float(total) / len(series)


def _pairwise_sum(series: Series) -> float:
    """Return the sum by halves, cut where numpy cuts them."""
    if len(series) <= LONG:
        found = float(series.sum())
        forget([series])
        return found
    half = len(series) // 2
    half -= half % 8
    return _pairwise_sum(series[:half]) + _pairwise_sum(series[half:])


def ends_of(series: Series) -> tuple[Any, Any]:
    """Return the least and the greatest value, in the type of the series."""
    ends = [(piece.min(), piece.max()) for piece in in_pieces(series)]
    return min([least for least, _ in ends]), max([greatest for _, greatest in ends])


def log_spread(series: Series) -> float:
    """Return the standard deviation of the logarithms."""
    n, centre = len(series), float(np.log(series[:MOST]).mean())
    total = squares = 0.0
    for piece in in_pieces(series, MOST):
        off = np.log(piece) - centre
        total += float(off.sum(dtype="float64"))
        squares += float(np.square(off).sum(dtype="float64"))
    return sqrt(max(squares / n - (total / n) ** 2, 0.0))


def std_dev(series: Series, mean: float) -> float:
    """Return the deviation of a sample."""
    # Not piece @ piece: BLAS would start threads that wait by spinning.
    squares = [float(np.square(piece - mean).sum()) for piece in in_pieces(series)]
    return float((sum(squares) / (len(series) - 1)) ** 0.5)


def shortened(series: Series, upto: float | None = None) -> Series:
    """Return a long series as the means of as many neighbours each as make it short; the few that are left over go.

    upto: return this of whether each value is at most that, as 1 and 0.
    """
    each = -(-len(series) // MOST)
    if each == 1:
        return _marked(series, upto).astype(np.float64, copy=False)
    whole = len(series) // each
    pieces = in_pieces(series[: whole * each], max(LONG // each, 1) * each)
    return np.concatenate([_marked(piece, upto).reshape(-1, each).mean(axis=1, dtype="float64") for piece in pieces])


def _marked(series: Series, upto: float | None) -> Series:
    found: Series = series if upto is None else series <= upto
    return found
