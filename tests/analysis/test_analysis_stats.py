"""Blocks, resampling and corrections against their definitions and known tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.analysis.stats import (
    block_begins,
    block_length,
    block_length_along_trend,
    block_means,
    block_medians,
    chunk_means,
    holm,
    moving_blocks,
    shortest_block,
    statistic_of,
    t_tails,
)


def autoregressive(n, rho, seed):
    draws = np.random.default_rng(seed).normal(size=n)
    for i in range(1, n):
        draws[i] += rho * draws[i - 1]
    return draws


@given(st.integers(1, 500), st.integers(1, 600))
def test_blocks_cover_everything_and_differ_by_one_at_most(n, length):
    lengths = np.diff(np.append(block_begins(n, length), n))
    assert lengths.sum() == n
    assert lengths.max() - lengths.min() <= 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 20))
def test_each_block_has_its_own_mean_and_median(values, length):
    series = np.array(values)
    medians, begins = block_medians(series, length)
    parts = np.split(series, begins[1:])
    assert medians.tolist() == pytest.approx([float(np.median(part)) for part in parts])
    assert block_means(series, length).tolist() == pytest.approx([float(np.mean(part)) for part in parts])


def test_what_is_left_over_of_chunks_goes():
    assert chunk_means(np.array([1.0, 3.0, 5.0, 7.0, 100.0]), 2).tolist() == [2.0, 6.0]


def test_neighbours_that_resemble_each_other_make_long_blocks():
    assert block_length(autoregressive(2000, 0.0, 1)) <= 3
    assert block_length(autoregressive(2000, 0.9, 1)) >= 10
    assert block_length(np.repeat(autoregressive(30_000, 0.9, 1), 2)) >= 20


def test_a_trend_does_not_make_neighbours_resemble_each_other():
    noise, place = autoregressive(1000, 0.0, 2), np.arange(1000.0)
    assert block_length(noise + place / 50) > 10
    assert block_length_along_trend(place, noise + place / 50) <= 3


def test_the_shortest_block_leaves_few_enough_of_them():
    assert shortest_block(27) == 3
    assert 1_000_000 / shortest_block(1_000_000) <= 400


def test_resampled_blocks_keep_their_neighbours():
    places = moving_blocks(100, 10, 50, np.random.default_rng(1))
    assert places.shape == (50, 100)
    inside = np.diff(places.reshape(50, 10, 10), axis=2) % 100
    assert set(inside.ravel().tolist()) == {1}
    assert moving_blocks(100, 1, 50, np.random.default_rng(1)).shape == (50, 100)


@pytest.mark.parametrize(
    ("statistic", "expected"), [("mean", 2.5), ("p50", 2.0), ("min", 1.0), ("max", 4.0), ("std_dev", 1.2909944)]
)
def test_a_statistic_is_the_one_of_its_name(statistic, expected):
    assert statistic_of(np.array([1.0, 2.0, 3.0, 4.0]), statistic) == pytest.approx(expected)


def test_no_values_have_no_statistic():
    with pytest.raises(ValueError, match="no mean of no values"):
        statistic_of(np.array([]), "mean")
    assert np.isnan(statistic_of(np.array([1.0]), "std_dev"))


def test_holms_correction_is_that_of_his_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(("t", "freedom", "p"), [(12.706, 1, 0.05), (2.228, 10, 0.05), (2.750, 30, 0.01)])
def test_students_t_has_the_tails_of_its_table(t, freedom, p):
    assert t_tails(t, freedom) == pytest.approx(p, rel=2e-3)
