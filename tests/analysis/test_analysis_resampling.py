"""Runs drawn again in blocks: how much a difference of them scatters."""

import numpy as np
import pytest

from lens.analysis.gates.resampling import MOST_SINGLE, ResampledSides

STATISTICS = ("mean", "p50", "p95")


def noise(n, seed):
    return np.random.default_rng(seed).normal(100, 10, n)


@pytest.mark.parametrize("n", [400, MOST_SINGLE + 1])
def test_a_difference_scatters_as_independent_values_do(n):
    sides = ResampledSides(noise(n, 1), noise(n, 2))
    spread = sides.resampled("mean", np.random.default_rng(3)).std()
    assert spread == pytest.approx(10 * (2 / n) ** 0.5, rel=0.2)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_chunks_scatter_as_single_values_do(statistic):
    x, y = noise(MOST_SINGLE + 2, 4), noise(MOST_SINGLE + 2, 5)
    long, short = ResampledSides(x, y), ResampledSides(x[2:], y[2:])
    assert (long.many, short.many) == (True, False)
    rng = np.random.default_rng(6)
    assert long.resampled(statistic, rng).std() == pytest.approx(short.resampled(statistic, rng).std(), rel=0.2)


def test_neighbours_that_go_together_are_drawn_together():
    x = np.repeat(noise(40, 7), 10)
    assert ResampledSides(x, x[::-1]).length > 5
    assert ResampledSides(noise(50, 8), noise(50, 9), length=7).length >= 7


def test_a_statistic_is_that_of_each_side():
    assert ResampledSides(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 10.0])).at("mean") == (2.0, 7.0)
    assert ResampledSides(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 10.0])).at("p50") == (2.0, 6.0)
