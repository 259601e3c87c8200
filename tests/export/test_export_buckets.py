"""Histograms against counting one value after the other."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.export.buckets import Buckets, fill_buckets, first_seen

BOUNDS = (1, 2.5, 10)
VALUES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.5, 1.0, 1.5, 2.5, 9.0, 10.0, 11.0, -3.0])), max_size=30
)


@given(st.lists(VALUES, max_size=3))
def test_values_of_many_keys_are_counted_as_one_by_one(parts):
    found: dict[str, Buckets] = {}
    expected: dict[str, list[float]] = {}
    keys = ["a", "b", "a", "c"]  # two numbers may mean one key
    for part in parts:
        of, values = np.array([i for i, _ in part], dtype=np.int64), np.array([v for _, v in part])
        fill_buckets(found, BOUNDS, keys, of, values)
        for i, value in part:
            expected.setdefault(keys[i], []).append(value)
    assert list(found) == list(expected)
    for key, values in expected.items():
        counts = [0] * 4
        for value in values:
            counts[bisect_left(BOUNDS, value)] += 1
        one = found[key]
        assert (one.counts, one.n, one.min, one.max) == (counts, len(values), min(values), max(values))
        assert one.sum == pytest.approx(sum(values))


def test_numbers_are_in_the_order_in_which_they_come_first():
    assert first_seen(np.array([3, 1, 3, 0, 1])) == [3, 1, 0]
    assert first_seen(np.empty(0, dtype=np.int64)) == []
