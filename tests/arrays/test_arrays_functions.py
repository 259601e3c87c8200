"""Every function on arrays on lists against numpy's of the same name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.arrays.functions import FUNCTIONS, REDUCE_AT
from lens.arrays.lists import ListArray

A, B = object(), object()  # the arrays of a call
whole = st.lists(st.integers(0, 6), min_size=1, max_size=20)
real = st.lists(st.floats(-1e6, 1e6).map(lambda value: value + 0.0) | st.just(float("nan")), min_size=1, max_size=20)
# Calls of each function with one array or two of one length: of whole numbers, and whether of reals too.
CALLS = {
    "asarray": [((A,), {}), ((A,), {"dtype": float})],
    "full_like": [((A, 7), {}), ((A, 7), {"dtype": "float64"})],
    "zeros_like": [((A,), {}), ((A,), {"dtype": bool})],
    "ones_like": [((A,), {}), ((A,), {"dtype": "int64"})],
    "where": [((A, A, B), {}), ((A, 1, 2), {}), ((A, B, 3), {})],
    "concatenate": [(([A, B],), {}), ((([0], A),), {})],
    "flatnonzero": [((A,), {})],
    "repeat": [((A, B), {}), ((A, 2), {})],
    "cumsum": [((A,), {}), ((A,), {"dtype": "float64"})],
    "diff": [((A,), {}), ((A,), {"prepend": -1}), ((A,), {"append": 4})],
    "bincount": [((A,), {}), ((A,), {"minlength": 9}), ((A,), {"weights": B, "minlength": 2})],
    "maximum": [((A, B), {}), ((A, 3), {})],
    "minimum": [((A, B), {}), ((3, A), {})],
    "clip": [((A, 1, 4), {}), ((A, 0, B), {})],
    "rint": [((A,), {})],
    "nan_to_num": [((A,), {})],
    "square": [((A,), {})],
    "sort": [((A,), {})],
    "argsort": [((A,), {"kind": "stable"})],
    "lexsort": [(((A, B),), {})],
    "unique": [((A,), {}), ((A,), {"return_inverse": True}), ((A,), {"return_index": True, "return_inverse": True})],
    "searchsorted": [(([0, 1, 1, 4], A), {}), (([0, 1, 1, 4], A), {"side": "right"})],
    "split": [((A, [1, 1]), {})],
    "argmax": [((A,), {})],
    "median": [((A,), {})],
    "isin": [((A, [1, 2]), {})],
    "array_equal": [((A, B), {}), ((A, A), {})],
    "abs": [((A,), {})],
    "add": [((A, B), {})],
    "isnan": [((A,), {})],
    "floor": [((A,), {})],
}
OF_REALS = frozenset({
    "asarray", "full_like", "zeros_like", "ones_like", "cumsum", "diff", "maximum", "minimum", "rint",
    "nan_to_num", "square", "sort", "argsort", "argmax", "abs", "add", "isnan", "floor",
})  # fmt: skip
# Whole numbers among reals stay whole here.
AS_REALS = frozenset({"rint", "floor", "nan_to_num", "maximum", "minimum"})


def plain(found):
    """Values as text, so that NaN is equal to itself; zero has no sign."""
    if isinstance(found, tuple | list):
        return [plain(one) for one in found]
    return repr(found.tolist() if hasattr(found, "tolist") else found).replace("-0.0", "0.0")


def filled(said, arrays, kind):
    """The arguments of a call, with arrays of this kind in their places."""
    if said in (A, B):
        return kind(arrays[said is B])
    return type(said)(filled(one, arrays, kind) for one in said) if isinstance(said, tuple | list) else said


def test_every_function_has_its_calls():
    assert set(CALLS) == set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_function_gives_what_numpys_gives(name, data):
    a = data.draw(whole | real if name in OF_REALS else whole)
    draw = st.integers(0, 6) if isinstance(a[0], int) else st.floats(-9, 9)
    arrays = a, data.draw(st.lists(draw, min_size=len(a), max_size=len(a)))
    if name in ("argmax",) and any(one != one for one in a):
        return
    for args, named in CALLS[name]:
        found, expected = (
            function(*filled(args, arrays, kind), **{key: filled(one, arrays, kind) for key, one in named.items()})
            for function, kind in (
                (FUNCTIONS[name], lambda values: ListArray(list(values))),
                (getattr(np, name), np.array),
            )
        )
        if name in AS_REALS:
            found, expected = [float(one) for one in found], [float(one) for one in expected]
        assert plain(found) == plain(expected), (args, named)


@pytest.mark.parametrize("name", sorted(REDUCE_AT))
@given(st.lists(st.integers(-9, 9), min_size=3), st.data())
def test_values_are_reduced_from_each_beginning_to_the_next(name, values, data):
    begins = sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1)))
    found = REDUCE_AT[name](ListArray(values), ListArray(begins))
    assert found.tolist() == getattr(np, name).reduceat(values, begins).tolist()


def test_infinite_values_become_what_is_asked_for():
    inf = float("inf")
    for named in ({}, {"posinf": 1.0, "neginf": -2.0}, {"posinf": inf, "neginf": -inf}):
        found = FUNCTIONS["nan_to_num"](ListArray([inf, -inf, 3.0]), **named)
        assert found.tolist() == np.nan_to_num(np.array([inf, -inf, 3.0]), **named).tolist()
