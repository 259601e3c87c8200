"""Intervals against series whose truth is known: do 95 of 100 hold it, when neighbours resemble each other too?"""

from __future__ import annotations

import math
import time
from statistics import NormalDist

import numpy as np
import pytest

from lens.metrics.intervals import (
    TOO_ALIKE,
    Interval,
    batch_length,
    intervals_of,
    mean_interval,
    mean_interval_or_reason,
    percentile_interval,
    percentile_interval_or_reason,
    t_quantile,
)

RUNS = 1000
N = 2000


def runs(resemblance, generator, n=N, count=1):
    """Skewed, positive series: exp of AR(1) processes. Their mean and percentiles are known."""
    levels = generator.standard_normal((n + 100, count)) * math.sqrt(1 - resemblance**2)
    for i in range(1, n + 100):
        levels[i] += resemblance * levels[i - 1]
    return np.ascontiguousarray(np.exp(levels[100:] / 2).T)


def series(resemblance, generator, n=N):
    return runs(resemblance, generator, n)[0]


def truth(percent):
    return math.exp(NormalDist().inv_cdf(percent / 100) / 2) if percent else math.exp(1 / 8)


@pytest.mark.parametrize("resemblance", [0.0, 0.4, 0.7])
def test_93_to_97_of_100_intervals_hold_the_truth(resemblance):
    """A/A: the same process again and again. Two standard errors of 0.95 in 1000 runs are 0.014."""
    held = dict.fromkeys([None, 50, 95], 0)
    told = dict.fromkeys(held, 0)
    for values in runs(resemblance, np.random.default_rng(7), count=RUNS):
        for percent, found in intervals_of(values, np.sort(values), [50, 95]).items():
            if isinstance(found, Interval):
                told[percent] += 1
                held[percent] += found.low <= truth(percent) <= found.high
    for percent, times in held.items():
        assert told[percent] >= 0.98 * RUNS
        assert 0.93 <= times / told[percent] <= 0.97, (percent, times / told[percent])


def test_a_long_series_is_shortened_without_losing_its_width():
    values = series(0.9, np.random.default_rng(4), n=400_000)
    whole, part = mean_interval(values), mean_interval(values[:40_000])
    assert whole.low < truth(None) < whole.high
    assert (part.high - part.low) / (whole.high - whole.low) == pytest.approx(math.sqrt(10), rel=0.25)


def test_a_million_values_take_no_more_than_their_share():
    values = series(0.5, np.random.default_rng(6), n=1000)

    def seconds_of_cpu(times):
        many = np.tile(values, times)
        began = time.thread_time()
        assert intervals_of(many, np.sort(many), [50, 90, 95, 99])
        return time.thread_time() - began

    assert min(seconds_of_cpu(1000) for _ in range(3)) < 30 * min(seconds_of_cpu(100) for _ in range(3))


def test_all_intervals_at_once_are_those_of_each():
    values = series(0.5, np.random.default_rng(8))
    found = intervals_of(values, np.sort(values), [50, 95])
    assert found[None] == mean_interval(values)
    assert found[95] == percentile_interval(values, 95)


def test_resemblance_makes_an_interval_wider():
    generator = np.random.default_rng(1)
    plain, similar = (mean_interval(series(r, generator)) for r in (0.0, 0.8))
    assert similar.high - similar.low > 1.5 * (plain.high - plain.low)
    assert similar.batch > plain.batch == 1


def test_too_few_values_have_no_interval():
    assert mean_interval(np.arange(29.0)) is None
    assert mean_interval_or_reason(np.arange(29.0)) == "needs 30 values"
    noise = np.random.default_rng(2).normal(100, 10, 199)
    assert percentile_interval(noise, 95) is None
    assert percentile_interval_or_reason(noise, 95) == "needs 200 values"


def test_a_mean_that_hangs_on_few_values_has_no_interval():
    values = np.exp(2 * np.random.default_rng(1).standard_normal(1000))
    assert "large values" in mean_interval_or_reason(values)
    assert percentile_interval(values, 50) is not None


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


def test_an_interval_wider_than_everything_that_was_seen_is_none():
    waves = np.concatenate([np.full(16, 2190.0 + 10 * wave) + np.arange(16) for wave in range(4)])
    found = mean_interval_or_reason(waves)
    assert found == TOO_ALIKE
