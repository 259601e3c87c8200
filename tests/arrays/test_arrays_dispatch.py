"""Which arrays numpy computes and which lists do; and that lists need no numpy."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

from lens.arrays.dispatch import arange_like, array_like, np, numpy_array
from lens.arrays.lists import ListArray


def test_an_array_of_numpy_is_computed_by_numpy():
    assert isinstance(np.where(numpy.array([True, False]), 1, 2), numpy.ndarray)
    assert np.maximum.reduceat(numpy.array([1, 3, 2]), [0, 2]).tolist() == [3, 2]
    assert isinstance(np.zeros(3), numpy.ndarray)
    assert isinstance(np.concatenate([[1], numpy.array([2])]), numpy.ndarray)


def test_an_array_on_a_list_is_computed_by_lists():
    assert isinstance(np.where(ListArray([True, False]), 1, 2), ListArray)
    assert isinstance(np.concatenate([[0], ListArray([1])]), ListArray)
    assert np.maximum.reduceat(ListArray([1, 3, 2]), ListArray([0, 2])).tolist() == [3, 2]
    assert np.add.reduceat(ListArray([1, 3, 2]), ListArray([0, 2])).tolist() == [4, 2]


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8", "float32", "float64", "bool_"])
def test_a_name_of_a_type_is_that_type_for_numpy(name):
    assert numpy.dtype(getattr(np, name)) == numpy.dtype(getattr(numpy, name))


def test_an_array_like_another_is_of_its_kind():
    few, many = ListArray([5, 6]), numpy.array([5, 6])
    assert isinstance(arange_like(few), ListArray)
    assert isinstance(array_like(few, [True], dtype=bool), ListArray)
    for one in (arange_like(many), array_like(many, [0, 1]), numpy_array(many), numpy_array(few)):
        assert isinstance(one, numpy.ndarray)
    assert arange_like(few).tolist() == arange_like(many).tolist() == [0, 1]
    assert numpy_array(few).tolist() == [5, 6]


def test_what_numpy_lacks_is_said_to_be_lacking():
    with pytest.raises(AttributeError, match="no_such_function"):
        np.no_such_function  # noqa: B018


@pytest.mark.parametrize(
    "values", [[3.0, 1.0, 2.0], [4, 1, 3, 2], [1.0, float("nan"), 2.0], [float("inf"), 1.0, 2.0], [0.1, 0.2], [7]]
)
def test_a_median_is_that_of_numpy(values):
    array = numpy.array(values)
    assert numpy.array_equal(np.median(array), numpy.median(array), equal_nan=True)
    assert numpy.array_equal(np.median(array.reshape(1, -1), axis=1), numpy.median([values], axis=1), equal_nan=True)


def test_a_median_loads_no_more_of_numpy():
    code = "import sys, numpy; from lens.arrays.dispatch import np; np.median(numpy.ones(3))"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('numpy.ma' in sys.modules)"], check=True)
