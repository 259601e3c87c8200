"""A seeded part of `make calibration`: what statistics say is held to series of known truth."""

import numpy as np
import pytest
from simulated import PROCESSES, met, truth

from lens.analysis.compare import STATISTICS, Comparison, _corrected, shift
from lens.analysis.difference import Sides
from lens.metrics.change_points import change_points
from lens.metrics.intervals import Interval, intervals_of
from lens.run.warmup import transient_length

RUNS = 100
# The least of 100 runs that hold at 95 %, but for one time in a thousand; and the most alarms at 5 %.
LEAST_HELD, MOST_ALARMS = 0.87, 13


def simulated(process, n, seed, runs=RUNS):
    return PROCESSES[process](np.random.default_rng([seed, n]), runs, n)


@pytest.mark.parametrize("process", ["lognormal 1", "AR(1) 0.9", "10 % cold"])
def test_an_interval_that_is_shown_holds_the_truth(process):
    found = [intervals_of(one, np.sort(one), [50, 95]) for one in met(process, simulated(process, 400, 1))]
    for percent in (None, 50, 95):
        shown = [one[percent] for one in found if isinstance(one[percent], Interval)]
        held = sum(one.low <= truth(process, percent) <= one.high for one in shown)
        assert held >= LEAST_HELD * len(shown), percent


def test_the_few_intervals_of_runs_with_a_long_memory_hold_too():
    found = [intervals_of(one, np.sort(one), [50]) for one in simulated("AR(1) 0.9", 100, 1, runs=400)]
    for percent in (None, 50):
        shown = [one[percent] for one in found if isinstance(one[percent], Interval)]
        assert 20 < len(shown) < 100
        held = sum(one.low <= truth("AR(1) 0.9", percent) <= one.high for one in shown)
        assert held >= LEAST_HELD * len(shown), percent


def test_a_run_too_short_for_its_memory_shows_no_wrong_interval():
    found = [intervals_of(one, np.sort(one), [50])[None] for one in simulated("AR(1) 0.9", 60, 2)]
    true = truth("AR(1) 0.9")
    assert sum(isinstance(one, Interval) and not one.low <= true <= one.high for one in found) <= MOST_ALARMS


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("process", ["AR(1) 0.5", "AR(1) 0.9"])
def test_equal_sides_are_seldom_told_to_differ(process, paired):
    alarms = 0
    for x, y in zip(simulated(process, 200, 3), simulated(process, 200, 4), strict=True):
        sides = Sides(x, y, paired=paired)
        made = tuple(shift("ttft_ms", one, sides) for one in STATISTICS if len(x) >= sides.fewest(one))
        (found,) = _corrected([Comparison(baseline="a", candidate="b", shifts=made, failed=(0, 0))])
        alarms += any(one.different for one in found.shifts)
    assert alarms <= MOST_ALARMS


@pytest.mark.parametrize("process", ["normal", "AR(1) 0.9"])
def test_a_steady_run_has_neither_a_change_of_level_nor_a_warm_up(process):
    runs = simulated(process, 120, 5)
    assert sum(bool(change_points(one)) for one in runs) <= 4
    assert sum(transient_length(one) > 0 for one in runs) <= 10
