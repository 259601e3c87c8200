"""`np`: numpy, loaded when it is first needed, whose functions take arrays on lists too.

Figures are defined once, in terms of numpy. Given an array of numpy they are computed by numpy; given a ListArray, by
`functions`. A function that makes an array out of no array (zeros, arange) is always numpy's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import TYPE_CHECKING, Any

from lens.arrays import functions
from lens.arrays.lists import ListArray

__all__ = ["arange_like", "array_like", "median", "np", "numpy_array"]

# Types of numpy; until it is loaded their names stand for them, which it takes as well, but reads anew each time.
_TYPES = ("int8", "int16", "int32", "int64", "uint8", "float32", "float64")
_SEQUENCES = frozenset({"concatenate", "lexsort"})  # whose first argument is a sequence of arrays


class _Function:
    """A function of numpy that hands arrays on lists to its twin in `functions`."""

    def __init__(self, name: str, twin: Callable[..., Any]) -> None:
        self._name, self._twin = name, twin
        self._nested = name in _SEQUENCES
        self._numpy: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **named: Any) -> Any:
        if ListArray in map(type, args) or (self._nested and ListArray in map(type, args[0])):
            return self._twin(*args, **named)
        if self._numpy is None:
            self._numpy = _of_numpy(self._name)
        return self._numpy(*args, **named)

    @property
    def reduceat(self) -> _Function:
        return _Function(f"{self._name}.reduceat", functions.REDUCE_AT[self._name])

    @property
    def at(self) -> Callable[..., None]:
        """numpy's own, which changes an array of numpy."""
        found: Callable[..., None] = _of_numpy(f"{self._name}.at")
        return found


class _Numpy:
    """Stands for the module numpy."""

    nan, inf, bool_ = nan, inf, "bool"

    def __getattr__(self, name: str) -> Any:
        twin = functions.FUNCTIONS.get(name)
        found = name if name in _TYPES else _Function(name, twin) if twin is not None else _of_numpy(name)
        setattr(self, name, found)
        return found


def _of_numpy(path: str) -> Any:
    """Return what has this name in numpy, which is loaded for it."""
    import numpy

    for name in _TYPES:
        setattr(np, name, getattr(numpy, name))
    if path == "median":
        return median
    found: Any = numpy
    for name in path.split("."):
        found = getattr(found, name)
    return found


def median(a: Any, axis: int | None = None) -> Any:
    """Return what numpy.median does, which loads numpy.ma for a last look at the result: 20 ms of a run's end."""
    import numpy

    values = numpy.asarray(a) if axis is not None else numpy.asarray(a).reshape(-1)
    along, n = axis or 0, values.shape[axis or 0]
    if not n:
        return numpy.median(values, axis=along)
    ordered = numpy.partition(values, [(n - 1) // 2, n // 2, n - 1], axis=along)  # NaN comes last
    middle = (ordered.take((n - 1) // 2, along) + ordered.take(n // 2, along)) / 2
    last = ordered.take(n - 1, along)
    return numpy.where(last == last, middle, nan)[()]


if TYPE_CHECKING:
    import numpy as np
else:
    np = _Numpy()


def arange_like(a: Any) -> Any:
    """Return the places of an array, 0 to one less than its length, as an array of its kind."""
    return ListArray(list(range(len(a)))) if type(a) is ListArray else np.arange(len(a))


def array_like(a: Any, values: Any, dtype: Any = None) -> Any:
    """Return these values as an array of the kind of `a`."""
    return functions.array(values, dtype) if type(a) is ListArray else np.array(values, dtype=dtype)


def numpy_array(a: Any) -> Any:
    """Return an array of any kind as numpy's."""
    return a.__array__() if type(a) is ListArray else a
