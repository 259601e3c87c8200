"""The functions of numpy that figures are computed with, on arrays on lists, by their names in numpy.

The tests hold each to numpy's own.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import accumulate, pairwise
from math import floor, inf
from sys import float_info
from typing import Any

from lens.arrays.lists import ListArray, cast, greatest, last_if_nan, least, list_of, values_of


def array(values: Iterable[Any], dtype: Any = None) -> ListArray:
    return ListArray(list(values) if dtype is None else cast(values, dtype))


def asarray(values: Any, dtype: Any = None) -> ListArray:
    return values if dtype is None else array(values, dtype)


def full_like(a: Any, value: Any, dtype: Any = None) -> ListArray:
    return ListArray(cast([value], a.dtype if dtype is None else dtype) * len(a))


def zeros_like(a: Any, dtype: Any = None) -> ListArray:
    return full_like(a, 0, dtype)


def ones_like(a: Any, dtype: Any = None) -> ListArray:
    return full_like(a, 1, dtype)


def where(which: Any, a: Any, b: Any) -> ListArray:
    n = len(which)
    return ListArray([x if one else y for one, x, y in zip(which, values_of(a, n), values_of(b, n), strict=True)])


def concatenate(parts: Sequence[Any]) -> ListArray:
    return ListArray([one for part in parts for one in part])


def flatnonzero(a: Any) -> ListArray:
    return ListArray([place for place, one in enumerate(a) if one])


def is_nan(a: Any) -> ListArray:
    return ListArray([one != one for one in a])


def repeat(a: Any, n: Any) -> ListArray:
    return ListArray([one for one, many in zip(a, values_of(n, len(a)), strict=True) for _ in range(many)])


def cumsum(a: Any, dtype: Any = None) -> ListArray:
    return ListArray(list(accumulate(a if dtype is None else cast(a, dtype))))


def diff(a: Any, prepend: Any = None, append: Any = None) -> ListArray:
    values = [*([] if prepend is None else [prepend]), *a, *([] if append is None else [append])]
    return ListArray([later - one for one, later in pairwise(values)])


def bincount(a: Any, weights: Any = None, minlength: int = 0) -> ListArray:
    places = list_of(a)
    found: list[Any] = [0 if weights is None else 0.0] * max(minlength, max(places, default=-1) + 1)
    for place, weight in zip(places, values_of(1 if weights is None else weights, len(places)), strict=True):
        found[place] += weight
    return ListArray(found)


def maximum(a: Any, b: Any) -> ListArray:
    return ListArray([greatest(x, y) for x, y in _pairs(a, b)])


def minimum(a: Any, b: Any) -> ListArray:
    return ListArray([least(x, y) for x, y in _pairs(a, b)])


def _pairs(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    n = len(a) if isinstance(a, ListArray) else len(b)
    return zip(values_of(a, n), values_of(b, n), strict=True)


def maximum_reduceat(a: Any, begins: Any) -> ListArray:
    return ListArray([reduce(greatest, part) for part in _parts(a, begins)])


def add_reduceat(a: Any, begins: Any) -> ListArray:
    return ListArray([reduce(operator.add, part) for part in _parts(a, begins)])


def _parts(a: Any, begins: Any) -> Iterator[list[Any]]:
    """Yield the values from each beginning to the next; at least one."""
    values, firsts = list_of(a), list_of(begins)
    for first, end in zip(firsts, [*firsts[1:], len(values)], strict=True):
        yield values[first : max(end, first + 1)]


def clip(a: Any, low: Any, high: Any) -> ListArray:
    return minimum(maximum(a, low), high)


def rint(a: Any) -> ListArray:
    return ListArray([float(round(one)) if abs(one) < inf else one for one in a])


def round_down(a: Any) -> ListArray:
    return ListArray([float(floor(one)) if abs(one) < inf else one for one in a])


def nan_to_num(a: Any, posinf: float = float_info.max, neginf: float = -float_info.max) -> ListArray:
    unusual = {inf: posinf, -inf: neginf}
    return ListArray([0.0 if one != one else unusual.get(one, one) for one in a])


def square(a: Any) -> ListArray:
    return ListArray([one * one for one in a])


def sort(a: Any) -> ListArray:
    return ListArray(sorted(a, key=last_if_nan))


def argsort(a: Any, kind: str = "stable") -> ListArray:  # noqa: ARG001 - it is always stable
    values = list_of(a)
    return ListArray(sorted(range(len(values)), key=lambda place: last_if_nan(values[place])))


def lexsort(keys: Sequence[Any]) -> ListArray:
    columns = [list_of(key) for key in reversed(keys)]
    return ListArray(sorted(range(len(columns[0])), key=lambda place: [column[place] for column in columns]))


def unique(a: Any, return_index: bool = False, return_inverse: bool = False) -> Any:
    values = list_of(a)
    known = sorted(set(values))
    found = [ListArray(known)]
    if return_index:
        found.append(ListArray([values.index(one) for one in known]))
    if return_inverse:
        number = {one: place for place, one in enumerate(known)}
        found.append(ListArray([number[one] for one in values]))
    return tuple(found) if len(found) > 1 else found[0]


def searchsorted(a: Any, values: Any, side: str = "left") -> ListArray:
    search = bisect_left if side == "left" else bisect_right
    ordered = list_of(a)
    return ListArray([search(ordered, one) for one in list_of(values)])


def split(a: Any, ends: Any) -> list[ListArray]:
    values, places = list_of(a), list_of(ends)
    return [ListArray(values[b:e]) for b, e in zip([0, *places], [*places, len(values)], strict=True)]


def argmax(a: Any) -> int:
    return ListArray(list_of(a)).argmax()


def median(a: Any) -> float:
    ordered, n = sorted(a), len(a)
    return float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)


def isin(a: Any, among: Any) -> ListArray:
    known = set(list_of(among))
    return ListArray([one in known for one in a])


def array_equal(a: Any, b: Any) -> bool:
    return list_of(a) == list_of(b)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        asarray, full_like, zeros_like, ones_like, where, concatenate, flatnonzero, repeat, cumsum, diff,
        bincount, maximum, minimum, clip, rint, nan_to_num, square, sort, argsort, lexsort, unique, searchsorted,
        split, argmax, median, isin, array_equal,
    )
} | {"abs": abs, "add": operator.add, "isnan": is_nan, "floor": round_down}  # fmt: skip
REDUCE_AT = {"maximum": maximum_reduceat, "add": add_reduceat}
