"""An array of one dimension on a list of Python, with the operators and methods of numpy's arrays.

Loading numpy takes longer than a whole short request. What is here computes as numpy does, to the last bit: a sum of
floats is pairwise, nothing is raised for a division by zero, NaN sorts last. It is as slow as Python, so it is for the
few values of one request.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from math import copysign, inf, nan
from typing import Any

# A sum of more floats than this is that of its halves, of so many at least in several sums beside each other; as
# numpy adds up (numpy/_core/src/umath/loops_utils.h.src, pairwise_sum).
_PAIRWISE_BLOCK = 128
_LANES = 8


class ListArray:
    """Values of one kind; what a method or an operator does is what numpy's does."""

    __slots__ = ("_values",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: list[Any]) -> None:
        """values: becomes the array's own."""
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __repr__(self) -> str:
        return f"ListArray({self._values})"

    @property
    def dtype(self) -> str:
        """The name of numpy's type for these values; that of floats where there are none."""
        first = self._values[0] if self._values else nan
        return {bool: "bool", int: "int64", float: "float64"}.get(type(first), "object")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy

        return numpy.array(self._values, dtype=dtype)

    @property
    def nbytes(self) -> int:
        return 8 * len(self._values)

    def tolist(self) -> list[Any]:
        return list(self._values)

    def copy(self) -> ListArray:
        return ListArray(list(self._values))

    def astype(self, dtype: Any, copy: bool = True) -> ListArray:  # noqa: ARG002 - it is always one
        return ListArray(cast(self._values, dtype))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return ListArray(self._values[key])
        if isinstance(key, ListArray | list):
            return ListArray([self._values[place] for place in _places(key)])
        return self._values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, slice | ListArray | list):
            self._values[key] = value
            return
        places = range(len(self._values))[key] if isinstance(key, slice) else _places(key)
        several = values_of(value, len(places))
        for place, one in zip(places, several, strict=True):
            self._values[place] = one

    def sum(self) -> Any:
        return _sum(self._values)

    def mean(self) -> float:
        return _divide(float(_sum(self._values)), len(self._values))

    def min(self) -> Any:
        return reduce(least, self._values)

    def max(self) -> Any:
        return reduce(greatest, self._values)

    def argmax(self) -> int:
        return self._values.index(self.max())

    def all(self) -> bool:
        return all(self._values)

    def any(self) -> bool:
        return any(self._values)

    def sort(self) -> None:
        self._values.sort(key=last_if_nan)

    def reshape(self, size: int) -> ListArray:
        assert size == -1, "there is one dimension"
        return self

    def __invert__(self) -> ListArray:
        return ListArray([not one if isinstance(one, bool) else ~one for one in self._values])

    def __neg__(self) -> ListArray:
        return ListArray([-one for one in self._values])

    def __abs__(self) -> ListArray:
        return ListArray([abs(one) for one in self._values])

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> ListArray:
        others = values_of(other, len(self._values))
        return ListArray([operation(a, b) for a, b in zip(self._values, others, strict=True)])

    def _after(self, other: Any, operation: Callable[[Any, Any], Any]) -> ListArray:
        return ListArray([operation(other, one) for one in self._values])

    def __add__(self, other: Any) -> ListArray:
        return self._with(other, operator.add)

    def __radd__(self, other: Any) -> ListArray:
        return self._after(other, operator.add)

    def __sub__(self, other: Any) -> ListArray:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> ListArray:
        return self._after(other, operator.sub)

    def __mul__(self, other: Any) -> ListArray:
        return self._with(other, operator.mul)

    def __rmul__(self, other: Any) -> ListArray:
        return self._after(other, operator.mul)

    def __truediv__(self, other: Any) -> ListArray:
        return self._with(other, _divide)

    def __rtruediv__(self, other: Any) -> ListArray:
        return self._after(other, _divide)

    def __floordiv__(self, other: Any) -> ListArray:
        return self._with(other, operator.floordiv)

    def __pow__(self, other: Any) -> ListArray:
        return self._with(other, operator.pow)

    def __and__(self, other: Any) -> ListArray:
        return self._with(other, operator.and_)

    def __or__(self, other: Any) -> ListArray:
        return self._with(other, operator.or_)

    def __eq__(self, other: object) -> ListArray:  # type: ignore[override]
        return self._with(other, operator.eq)

    def __ne__(self, other: object) -> ListArray:  # type: ignore[override]
        return self._with(other, operator.ne)

    def __lt__(self, other: Any) -> ListArray:
        return self._with(other, operator.lt)

    def __le__(self, other: Any) -> ListArray:
        return self._with(other, operator.le)

    def __gt__(self, other: Any) -> ListArray:
        return self._with(other, operator.gt)

    def __ge__(self, other: Any) -> ListArray:
        return self._with(other, operator.ge)


def values_of(given: Any, n: int) -> Iterable[Any]:
    """Return the values of an array of any kind, or one value as many times as they are wanted."""
    if not isinstance(given, ListArray | list) and not (hasattr(given, "tolist") and hasattr(given, "__len__")):
        return [given] * n
    values = list_of(given)
    return values * n if len(values) == 1 else values


def list_of(given: Any) -> list[Any]:
    """Return the values of an array of any kind."""
    if isinstance(given, ListArray):
        return given._values
    return given.tolist() if hasattr(given, "tolist") else list(given)


def _places(key: ListArray | list[Any]) -> list[int]:
    """Return the places that an index means: those that are True, or its numbers."""
    chosen = list_of(key)
    return [place for place, one in enumerate(chosen) if one] if chosen and isinstance(chosen[0], bool) else chosen


def cast(values: Iterable[Any], dtype: Any) -> list[Any]:
    name = dtype if isinstance(dtype, str) else dtype.__name__
    kind: Callable[[Any], Any] | None = None
    if name.startswith(("int", "uint")):
        kind = int
    elif name.startswith("float"):
        kind = float
    elif name.startswith("bool"):
        kind = bool
    return [kind(one) for one in values] if kind else list(values)


def _divide(a: Any, b: Any) -> float:
    try:
        found: float = a / b
    except ZeroDivisionError:
        return nan if a == 0 or a != a else copysign(inf, a) * copysign(1, b)
    return found


def least(a: Any, b: Any) -> Any:
    return a if a <= b or a != a else b


def greatest(a: Any, b: Any) -> Any:
    return a if a >= b or a != a else b


def last_if_nan(value: Any) -> tuple[bool, Any]:
    return (value != value, value)


def _sum(values: list[Any]) -> Any:
    return 0.0 + _pairwise(values) if values and isinstance(values[0], float) else sum(values)


def _pairwise(values: list[float]) -> float:
    """Return the sum of floats as numpy adds them up."""
    n = len(values)
    if n < _LANES:
        return reduce(operator.add, values)  # since Python 3.12 `sum` keeps more digits
    if n > _PAIRWISE_BLOCK:
        half = n // 2 - n // 2 % _LANES
        return _pairwise(values[:half]) + _pairwise(values[half:])
    whole = n - n % _LANES
    r = [reduce(operator.add, values[lane:whole:_LANES]) for lane in range(_LANES)]
    return reduce(operator.add, values[whole:], ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7])))
