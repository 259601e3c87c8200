"""Intervals against series whose truth is known: do 95 of 100 hold it, when neighbours resemble each other too?"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from lens.metrics.intervals import batch_length, mean_interval, percentile_interval, t_quantile

RUNS = 300
N = 1000


def series(resemblance, generator, n=N):
    """A skewed, positive series: exp of an AR(1) process. Its mean and percentiles are known."""
    shocks = generator.standard_normal(n + 100) * math.sqrt(1 - resemblance**2)
    levels = np.empty(n + 100)
    level = 0.0
    for i, shock in enumerate(shocks):
        level = resemblance * level + shock
        levels[i] = level
    return np.exp(levels[100:] / 2)


def truth(percent):
    return math.exp(NormalDist().inv_cdf(percent / 100) / 2) if percent else math.exp(1 / 8)


@pytest.mark.parametrize("resemblance", [0.0, 0.5, 0.7])
@pytest.mark.parametrize("percent", [None, 50, 95])
def test_about_95_of_100_intervals_hold_the_truth(resemblance, percent):
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(RUNS):
        values = series(resemblance, generator)
        found = percentile_interval(values, percent) if percent else mean_interval(values)
        held += found.low <= truth(percent) <= found.high
    # Three standard errors of a share of 0.95 in 300 runs are 0.038.
    assert 0.91 <= held / RUNS <= 0.99


def test_resemblance_makes_an_interval_wider():
    generator = np.random.default_rng(1)
    plain, similar = (mean_interval(series(r, generator)) for r in (0.0, 0.8))
    assert similar.high - similar.low > 1.5 * (plain.high - plain.low)
    assert similar.batch > plain.batch == 1


def test_too_few_values_have_no_interval():
    assert mean_interval(np.arange(10.0)) is None
    assert percentile_interval(np.arange(100.0), 99) is None
    assert percentile_interval(np.arange(30.0), 99.9) is None


def test_the_ends_of_a_percentiles_interval_were_measured():
    values = series(0.5, np.random.default_rng(2))
    found = percentile_interval(values, 90)
    assert found.low in values
    assert found.high in values
    assert found.low < found.high


def test_values_that_are_all_the_same_are_sure():
    found = mean_interval(np.full(50, 3.0))
    assert (found.low, found.high, found.batch) == (3.0, 3.0, 1)


def test_the_same_values_give_the_same_interval():
    values = series(0.5, np.random.default_rng(3))
    assert mean_interval(values) == mean_interval(values)


def test_a_batch_never_leaves_fewer_than_five():
    assert batch_length(np.arange(100.0)) <= 20


@pytest.mark.parametrize(("freedom", "t"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1e6, 1.960)])
def test_students_t_is_that_of_the_tables(freedom, t):
    assert t_quantile(0.975, freedom) == pytest.approx(t, abs=0.01)
