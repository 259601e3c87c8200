"""Columns that grow: what is put in comes out, in as little memory as its values need."""

import platform
import sys

import numpy as np
import pytest

from lens.metrics.buffer import (
    SMALLEST,
    Buffer,
    Narrow,
    Sparse,
    UsualBuffer,
    compact,
    constant,
    narrow_column,
    return_large_blocks,
)

NAN = float("nan")


def test_a_buffer_widens_for_wider_values():
    made = Buffer()
    made.append(np.array([1, 2], dtype=np.uint8))
    made.append(np.array([300], dtype=np.uint16))
    assert made.array().tolist() == [1, 2, 300]
    assert made.array().dtype == np.uint16
    assert len(Buffer(np.float64).array()) == 0


def test_a_column_of_one_value_but_for_a_few_is_kept_as_the_few():
    column = np.full(SMALLEST, NAN)
    column[7] = 1.5
    found = compact(column, NAN)
    assert isinstance(found, Sparse)
    assert len(found) == SMALLEST
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.dense(), column)
    assert compact(column[:100], NAN) is not None
    assert not isinstance(compact(column[:100], NAN), Sparse)


def pieces(n, unusual, usual, kind):
    """Return batches of n values in all, of which those at these places differ from the usual one."""
    column = np.full(n, usual, dtype=kind)
    column[unusual] = np.arange(1, len(unusual) + 1)
    return np.array_split(column, 30)


@pytest.mark.parametrize(("usual", "kind"), [(-1, np.int64), (NAN, np.float64)])
@pytest.mark.parametrize(
    ("unusual", "sparse"),
    [
        ([], True),
        ([0], True),
        ([3 * SMALLEST - 1], True),
        (list(range(0, 3 * SMALLEST, 100)), True),
        (list(range(0, 3 * SMALLEST, 3)), False),
        (list(range(2 * SMALLEST, 3 * SMALLEST)), False),  # they come late
        (list(range(SMALLEST // 2)), False),  # they come early, and are many
        (list(range(SMALLEST // 8)), True),  # they come early, and then no more
    ],
)
def test_what_is_put_in_comes_out_whether_few_values_differ_or_many(usual, kind, unusual, sparse):
    made, batches = UsualBuffer(usual), pieces(3 * SMALLEST, unusual, usual, kind)
    for batch in batches:
        made.append(batch)
    found = made.array()
    assert isinstance(found, Sparse) == sparse
    assert found.dtype == kind
    np.testing.assert_array_equal(found.dense() if sparse else found, np.concatenate(batches))


def test_few_values_are_kept_as_they_are():
    made, column = UsualBuffer(0), np.zeros(100, dtype=np.int32)
    made.append(column)
    assert made.array() is column


@pytest.mark.parametrize("usual", [-1, NAN])
@pytest.mark.parametrize("unusual", [[], [0], [0, 5, 99, 3000, 3 * SMALLEST - 1]])
@pytest.mark.parametrize(
    "rows",
    [
        slice(0, 10),
        slice(5, 100),
        slice(0, 3 * SMALLEST),
        slice(20, 20),
        np.array([], dtype=np.int64),
        np.array([3 * SMALLEST - 1, 4, 99, 0, 99]),
        np.arange(3 * SMALLEST)[::2],
    ],
)
def test_rows_of_a_sparse_column_are_those_of_the_whole(usual, unusual, rows):
    column = np.full(3 * SMALLEST, usual, dtype=np.float64)
    column[unusual] = np.arange(1, len(unusual) + 1)
    whole = compact(column, usual)
    assert isinstance(whole, Sparse)
    found = whole.take(rows)
    assert isinstance(found, Sparse) == (len(column[rows]) >= SMALLEST)
    np.testing.assert_array_equal(found.dense() if isinstance(found, Sparse) else found, column[rows])


MISSING = -(2**63)
PLACES = np.arange(2 * SMALLEST)


@pytest.mark.parametrize(
    ("column", "absent", "bytes_each"),
    [
        (PLACES, -1, 2),
        (PLACES + 10**18, MISSING, 2),
        (PLACES % 200 - 100, MISSING, 1),
        (PLACES * 100_000, MISSING, 4),
        (PLACES * 10**9, MISSING, 8),  # too wide
        (np.where(PLACES % 3, PLACES, MISSING), MISSING, 2),
        (np.where(PLACES % 3, PLACES % 256, MISSING), MISSING, 2),  # one number more is needed
        (np.where(PLACES % 3, PLACES % 255, MISSING), MISSING, 1),
        (np.full(2 * SMALLEST, MISSING), MISSING, 8),  # nothing is there
        (np.where(PLACES % 2, -(2**62), 2**62), MISSING, 8),
        (np.where(PLACES % 3, PLACES % 255, NAN), NAN, 1),
        (np.where(PLACES % 3, PLACES / 2, NAN), NAN, 8),  # no whole numbers
        (np.where(PLACES % 3, -0.0, 1.0), NAN, 8),
        (np.where(PLACES % 3, np.inf, 1.0), NAN, 8),
        (PLACES.astype(np.float64) + 2.0**53, NAN, 8),
        (PLACES[:100], -1, 8),  # few
        (PLACES.astype(np.int32), -1, 4),
    ],
)
def test_whole_numbers_take_as_few_bytes_as_they_fit_in(column, absent, bytes_each):
    found = narrow_column(column, absent)
    each = found._data.itemsize if isinstance(found, Narrow) else found.itemsize
    assert each == bytes_each
    assert found.dtype == column.dtype
    if isinstance(found, Narrow):
        assert len(found) == len(column)
        for rows in (slice(5, 90), slice(0, SMALLEST + 3), np.array([7, 3, 3, 60]), PLACES[::-1]):
            part = found.take(rows)
            part = part.dense() if isinstance(part, Narrow) else part
            assert part.dtype == column.dtype
            np.testing.assert_array_equal(part, column[rows])
        np.testing.assert_array_equal(found.read_only(), column)


def test_a_column_of_one_value_takes_no_memory():
    assert constant(np.full(SMALLEST, 3, dtype=np.uint8)).strides == (0,)
    assert constant(np.full(10, 3)).strides == (8,)
    other = np.full(SMALLEST, 3)
    other[-1] = 4
    assert constant(other) is other


def test_large_blocks_are_no_part_of_the_heap():
    assert return_large_blocks() is (sys.platform == "linux" and platform.libc_ver()[0] == "glibc")
