"""Columns that grow: what is put in comes out, in as little memory as its values need."""

import numpy as np
import pytest

from lens.metrics.buffer import SMALLEST, Buffer, Sparse, UsualBuffer, compact

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
