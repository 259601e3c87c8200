"""Columns of codes and of lists, and parts of them."""

from itertools import pairwise

import numpy as np
import pytest

from lens.metrics.buffer import SMALLEST
from lens.metrics.lists import LEAST_FOLLOWING, Codes, Lists, as_slice

LISTS = Lists.of_sizes(np.array([2, 0, 3, 1], dtype=np.uint8), {"ms": np.arange(6.0)})


def test_codes_are_the_numbers_of_values():
    made = Codes(np.array([0, -1, 1, 0]), ("a", "b"))
    assert made.listed() == ["a", None, "b", "a"]
    assert made.equal("b").tolist() == [False, False, True, False]
    assert not made.equal("c").any()
    assert made.used() == {"a": 2, "b": 1}


@pytest.mark.parametrize("rows", [slice(0, 0), slice(1, 3), slice(0, 4), [], [2], [3, 0, 2], [1, 1, 2]])
def test_the_values_of_some_requests(rows):
    places = LISTS.places_of(rows if isinstance(rows, slice) else np.array(rows, dtype=np.int64))
    first = LISTS.first_of(rows if isinstance(rows, slice) else np.array(rows, dtype=np.int64))
    each = [[0.0, 1.0], [], [2.0, 3.0, 4.0], [5.0]]
    wanted = each[rows] if isinstance(rows, slice) else [each[row] for row in rows]
    found = LISTS.columns["ms"][places]
    assert [found[a:b].tolist() for a, b in pairwise(first)] == wanted


def test_lists_that_no_request_has_take_no_memory():
    made = Lists.of_sizes(np.zeros(SMALLEST, dtype=np.int32), {"ms": np.empty(0)})
    assert made.first.strides == (0,)
    assert len(made.first) == SMALLEST + 1
    assert made.sizes.sum() == 0
    assert made.first_of(np.array([3, 5])).tolist() == [0, 0, 0]


def test_rows_that_follow_each_other_are_a_slice():
    many = np.arange(5, 5 + LEAST_FOLLOWING)
    assert as_slice(many) == slice(5, 5 + LEAST_FOLLOWING)
    assert as_slice(slice(1, 2)) == slice(1, 2)
    swapped = many.copy()
    swapped[[1, 2]] = swapped[[2, 1]]
    for rows in (many[:3], many[::-1], many[::2], swapped):
        assert as_slice(rows) is rows
