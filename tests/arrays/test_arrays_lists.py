"""An array on a list against numpy's array of the same values: every operator and method, to the last bit."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.arrays.lists import ListArray

numbers = st.integers(-(2**31), 2**31 - 1)  # products fit into 64 bits
floats = st.floats(-1e12, 1e12).map(lambda value: value + 0.0) | st.just(float("nan"))
ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv)
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


def same(found: object, expected: object) -> bool:
    """Whether values are equal in kind and to the last bit; NaN is NaN, and zero has no sign."""
    plain = [one.tolist() if hasattr(one, "tolist") else one for one in (found, expected)]
    return repr(plain[0]).replace("-0.0", "0.0") == repr(plain[1]).replace("-0.0", "0.0")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(numbers, numbers)) | st.lists(st.tuples(floats, floats)), numbers | floats)
def test_operators_give_what_numpys_give(pairs, other):
    a, b = [one for one, _ in pairs], [one for _, one in pairs]
    for apply in (*ARITHMETIC, *COMPARISONS):
        assert same(apply(ListArray(a), ListArray(b)), apply(np.array(a), np.array(b))) or not pairs
        assert same(apply(ListArray(a), ListArray([other])), apply(np.array(a), np.array([other]))) or not pairs
        if isinstance(other, float) == any(isinstance(one, float) for one in a):
            assert same(apply(ListArray(a), other), apply(np.array(a), other))
            assert same(apply(other, ListArray(a)), apply(other, np.array(a)))
    assert same(-ListArray(a), -np.array(a))
    assert same(abs(ListArray(a)), abs(np.array(a)))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_truth_values_are_combined_as_numpy_combines_them(pairs):
    a, b = [one for one, _ in pairs], [one for _, one in pairs]
    for apply in (operator.and_, operator.or_, operator.add, operator.eq):
        expected = apply(np.array(a), np.array(b)) if apply is not operator.add else np.array(a).astype(int) + b
        assert same(apply(ListArray(a), ListArray(b)), expected)
    assert same(~ListArray(a), ~np.array(a))
    assert (ListArray(a).all(), ListArray(a).any(), ListArray(a).sum()) == (all(a), any(a), sum(a))
    assert same(~ListArray([1, -2]), ~np.array([1, -2]))
    assert same(-(-ListArray([5, 6]) // 4), -(-np.array([5, 6]) // 4))
    assert same(ListArray([5, 6]) ** 2, np.array([5, 6]) ** 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(floats, min_size=1, max_size=9) | st.lists(numbers, min_size=1) | st.integers(1, 700).map(
    lambda n: (np.random.default_rng(n).standard_exponential(n) * 1e3).tolist()))  # fmt: skip
def test_sums_and_extremes_are_numpys_to_the_last_bit(values):
    few, many = ListArray(values), np.array(values)
    for name in ("sum", "mean", "min", "max", "argmax", "copy", "tolist"):
        assert same(getattr(few, name)(), getattr(many, name)()), name
    few.sort()
    many.sort()
    assert same(few, many)
    assert few.nbytes == many.nbytes
    assert few.dtype == many.dtype


@given(st.lists(numbers, min_size=1, max_size=9), st.data())
def test_values_are_taken_and_put_as_numpy_does(values, data):
    n = len(values)
    which = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    places = data.draw(st.lists(st.integers(-n, n - 1), max_size=5))
    for key, many_key in (
        (ListArray(which), np.array(which)),
        (ListArray(places), np.array(places, dtype=int)),
        (places, places),
        (slice(1, 4), slice(1, 4)),
        (slice(None, None, -1), slice(None, None, -1)),
    ):
        few, many = ListArray(list(values)), np.array(values)
        assert same(few[key], many[many_key])
        few[key] = 7
        many[many_key] = 7
        assert same(few, many)
        few[key] = few[key] + 1
        many[many_key] = many[many_key] + 1
        assert same(few, many)
    few[0] = 3
    assert (few[0], len(few), next(iter(few))) == (3, n, 3)


def test_an_array_changes_its_kind_as_it_is_reported():
    assert same(ListArray([1.9, -1.9]).astype("int64"), np.array([1.9, -1.9]).astype("int64"))
    assert ListArray([0, 2]).astype(bool).tolist() == [False, True]
    assert ListArray([1]).astype("float64", copy=False).tolist() == [1.0]
    assert ListArray([1, None]).astype(object).dtype == "int64"
    assert [ListArray(one).dtype for one in ([True], [1.0], ["a"], [])] == ["bool", "float64", "object", "float64"]
    assert ListArray([1, 2]).reshape(-1).tolist() == [1, 2]
    assert repr(ListArray([1])) == "ListArray([1])"


def test_numpy_takes_it_for_an_array():
    assert np.array_equal(np.array([1, 2]) + np.asarray(ListArray([3, 4])), [4, 6])
    assert (ListArray([1, 2]) + np.array([3, 4])).tolist() == [4, 6]


def test_arrays_of_different_lengths_do_not_go_together():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ListArray([1, 2, 3]) + ListArray([1, 2])
