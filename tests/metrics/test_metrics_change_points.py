"""Changes of level in series that have none, one, or several."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics.change_points import change_points, kolmogorov


def noise(n, seed, level=100.0, spread=10.0):
    chance = random.Random(seed)
    return [level + spread * chance.gauss(0, 1) for _ in range(n)]


def test_a_series_without_a_change_is_seldom_said_to_have_one():
    alarms = sum(bool(change_points(noise(100, seed), alpha=0.05)) for seed in range(200))
    assert alarms <= 0.05 * 200


@pytest.mark.parametrize("size", [0.2, -0.2, 0.5])
def test_a_change_is_found_where_it_is(size):
    found = change_points(noise(60, 1) + noise(60, 2, level=100 * (1 + size)))
    assert len(found) == 1
    assert abs(found[0].at - 60) <= 3
    assert found[0].relative == pytest.approx(size, abs=0.06)
    assert found[0].p_value < 0.001


def test_several_changes_are_found_in_their_order():
    found = change_points(noise(50, 1) + noise(50, 2, level=160) + noise(50, 3, level=100))
    assert [round(c.at, -1) for c in found] == [50, 100]
    assert found[0].after == found[1].before


def test_an_outlier_is_no_change():
    series = noise(80, 5)
    series[40] = 1e9
    assert change_points(series) == []


@pytest.mark.parametrize("values", [[], [1.0], [5.0] * 100, [1.0, 2.0] * 7])
def test_what_is_too_short_or_all_the_same_has_none(values):
    assert change_points(values) == []


@given(st.lists(st.floats(-1e6, 1e6), max_size=80), st.floats(0.5, 20), st.floats(-1e3, 1e3))
def test_the_unit_of_the_values_does_not_matter(values, scale, shift):
    places = [change.at for change in change_points(values)]
    scaled = [value * scale + shift for value in values]
    if len(set(scaled)) == len(set(values)):
        assert [change.at for change in change_points(scaled)] == places


def test_kolmogorovs_distribution_is_the_known_one():
    assert kolmogorov(1.3581) == pytest.approx(0.05, abs=1e-4)
    assert kolmogorov(1.6276) == pytest.approx(0.01, abs=1e-4)
    assert kolmogorov(0.0) == 1.0
