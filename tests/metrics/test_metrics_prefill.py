"""What a token of the prompt costs: coefficients of known processes, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from lens.metrics.prefill import LEAST_REQUESTS, LEAST_SESSIONS, MOST_CLUSTERS, fit_prefill

BASE_MS, UNCACHED_US, CACHED_US = 80.0, 120.0, 9.0
TRUTH = {"base_ms": BASE_MS, "uncached_us": UNCACHED_US, "cached_us": CACHED_US}
RUNS, TURNS = 300, 6


def prompts(random, sessions):
    """(tokens not cached, cached tokens, session) of conversations that grow, whose cache holds the turn before."""
    added = random.integers(100, 1500, (sessions, TURNS)) + np.where(np.arange(TURNS) == 0, 2000, 0)
    cached = np.cumsum(added, axis=1) - added
    lost = random.random((sessions, TURNS)) < 0.05  # a cache that was dropped
    uncached, cached = np.where(lost, added + cached, added), np.where(lost, 0, cached)
    return uncached.ravel().astype(float), cached.ravel().astype(float), np.repeat(np.arange(sessions), TURNS)


def exact(uncached, cached):
    return BASE_MS + (UNCACHED_US * uncached + CACHED_US * cached) / 1000


def even(random, ttft, session):
    return random.normal(0, 5, len(ttft))


def larger_for_long_prompts(random, ttft, session):
    return random.normal(0, 0.05 * ttft)


def alike_within_a_session(random, ttft, session):
    return random.normal(0, 20, session.max() + 1)[session] + random.normal(0, 5, len(ttft))


def skewed(random, ttft, session):
    """As queues make it: mostly a little less than the mean, now and then much more."""
    return random.exponential(15, len(ttft)) - 15


def test_without_noise_the_coefficients_are_exact():
    uncached, cached, session = prompts(np.random.default_rng(1), 40)
    found = fit_prefill(exact(uncached, cached), uncached, cached, session)
    assert {name: getattr(found, name).value for name in TRUTH} == pytest.approx(TRUTH)
    assert (found.requests, found.clusters, found.explained) == (240, 40, pytest.approx(1))
    assert found.residual_ms == pytest.approx(0, abs=1e-6)


# Of a skewed noise the typical request has less than the mean: that is in the base.
EACH = tuple(TRUTH)
PROCESSES = [(even, EACH), (larger_for_long_prompts, EACH), (alike_within_a_session, EACH), (skewed, EACH[1:])]


@pytest.mark.parametrize(("noise", "names"), PROCESSES, ids=[noise.__name__ for noise, _ in PROCESSES])
def test_the_intervals_hold_the_truth_as_often_as_they_say(noise, names):
    random = np.random.default_rng(7)
    held, values = dict.fromkeys(TRUTH, 0), {name: [] for name in TRUTH}
    for _ in range(RUNS):
        uncached, cached, session = prompts(random, 60)
        ttft = exact(uncached, cached)
        found = fit_prefill(ttft + noise(random, ttft, session), uncached, cached, session)
        for name in names:
            one = getattr(found, name)
            held[name] += one.low <= TRUTH[name] <= one.high
            values[name].append(one.value)
    assert {name: held[name] / RUNS >= 0.93 for name in names} == dict.fromkeys(names, True), held
    assert [float(np.mean(values[name])) for name in names] == pytest.approx([TRUTH[name] for name in names], rel=0.01)


def test_a_few_requests_that_waited_long_move_nothing():
    random = np.random.default_rng(3)
    uncached, cached, session = prompts(random, 60)
    ttft = exact(uncached, cached) + random.normal(0, 2, len(uncached))
    ttft[random.permutation(len(ttft))[:18]] += 2000
    found = fit_prefill(ttft, uncached, cached, session)
    assert {name: getattr(found, name).value for name in TRUTH} == pytest.approx(TRUTH, rel=0.02)


def test_with_few_sessions_requests_are_left_out_one_by_one():
    uncached, cached, session = prompts(np.random.default_rng(1), LEAST_SESSIONS - 1)
    ttft = exact(uncached, cached)
    assert fit_prefill(ttft, uncached, cached, session).clusters == len(ttft)
    assert fit_prefill(ttft, uncached, cached).clusters == len(ttft)


def test_of_very_many_sessions_neighbours_are_left_out_together():
    uncached, cached, session = prompts(np.random.default_rng(1), 2 * MOST_CLUSTERS)
    noise = np.random.default_rng(2).normal(0, 5, len(uncached))
    found = fit_prefill(exact(uncached, cached) + noise, uncached, cached, session)
    assert found.clusters == MOST_CLUSTERS
    assert {name: getattr(found, name).value for name in TRUTH} == pytest.approx(TRUTH, rel=0.01)


def test_what_never_varied_has_no_coefficient():
    uncached = np.linspace(100, 4000, 50)
    found = fit_prefill(exact(uncached, 0), uncached, np.zeros(50))
    assert found.cached_us is None
    assert found.uncached_us.value == pytest.approx(UNCACHED_US)
    found = fit_prefill(exact(500, uncached), np.full(50, 500.0), uncached)
    assert found.uncached_us is None
    assert found.cached_us.value == pytest.approx(CACHED_US)


@pytest.mark.parametrize(
    ("uncached", "cached"),
    [
        (np.linspace(1, 9, LEAST_REQUESTS - 1), np.zeros(LEAST_REQUESTS - 1)),
        (np.full(50, 500.0), np.zeros(50)),
        (np.linspace(100, 4000, 50), np.linspace(100, 4000, 50) * 3),
        (np.linspace(100, 4000, 50), np.full(50, np.nan)),
        (np.where(np.arange(50) == 7, 4000.0, 100.0), np.zeros(50)),
    ],
    ids=["few requests", "prompts of one length", "both rise together", "not told", "one request decides"],
)
def test_nothing_is_said_where_the_prompts_cannot_tell(uncached, cached):
    assert fit_prefill(exact(uncached, np.nan_to_num(cached)), uncached, cached) is None
