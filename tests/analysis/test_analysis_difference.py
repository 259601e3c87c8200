"""What a difference is off by, held to simulated truth: with a memory, of several runs, of sides that lie far apart."""

import numpy as np
import pytest
from handmade import START, record, stamps
from simulated import autoregressive

from lens.analysis.compare import shift
from lens.analysis.difference import Error, Sides, fewest, pair_sides, run_sides, share_memory
from lens.metrics.builder import table_of
from lens.metrics.intervals import FEWEST_COSINES

MS = 1_000_000


def series(seed, n, rho=0.9):
    return 100 + 10 * autoregressive(np.random.default_rng(seed), 1, n, rho)[0]


def requests(values):
    return table_of(
        [
            record(
                (ttft, ttft + 10, ttft + 30),
                index=i,
                stamps=stamps(START + i * 1000 * MS, send_start=0, send_end=0, first_byte=ttft - 1, end=ttft + 32),
            )
            for i, ttft in enumerate(values)
        ]
    )


@pytest.mark.parametrize("paired", [True, False])
def test_sides_that_lie_far_apart_are_told_apart_though_neighbours_resemble_each_other(paired):
    x, y = series(9, 30), series(11, 30)
    near, far = Sides(x, y + 30, paired=paired), Sides(x, y + 150, paired=paired)
    assert near.memory > 1
    assert (near.fewest("mean"), near.separated) == (10 * near.memory, False)
    assert (far.fewest("mean"), far.fewest("p50"), far.fewest("p95")) == (10, 20, 200)
    assert shift("ttft_ms", "p50", far).p_value < 0.05 / 15


@pytest.mark.parametrize("paired", [True, False])
def test_equal_sides_with_a_memory_are_hardly_ever_far_apart(paired):
    rng = np.random.default_rng(10)
    both = zip(autoregressive(rng, 300, 10, 0.9), autoregressive(rng, 300, 10, 0.9), strict=True)
    assert sum(Sides(x, y, paired=paired).separated for x, y in both) <= 15, "5 %; 3 % of 20,000"


def test_independent_values_are_off_by_what_the_books_say():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(200), rng.standard_normal(200)
    error = Sides(x, y, paired=False).error("mean")
    assert error.size == pytest.approx(np.sqrt(x.var(ddof=1) / 200 + y.var(ddof=1) / 200), rel=0.3)
    assert Error(1.0, 10.0).half(0.05) == pytest.approx(2.228, abs=0.001)
    assert Error(1.0, 10.0).tails(2.228) == pytest.approx(0.05, abs=0.001)
    assert (Error(0.0, 10.0).tails(0.0), Error(0.0, 10.0).tails(1.0)) == (1.0, 0.0)


def test_what_lies_between_the_runs_of_a_side_is_no_memory_of_its_requests():
    rng = np.random.default_rng(2)
    runs = [level + rng.standard_normal(60) for level in (100, 130, 90)]
    y = 100 + rng.standard_normal(60)
    joined = Sides(np.concatenate(runs), y, paired=False)
    apart = Sides(np.concatenate(runs), y, paired=False, runs=((60, 60, 60), (60,)))
    assert joined.memory > 10
    assert apart.memory == 1
    assert apart.error("mean").size < joined.error("mean").size / 3


def test_runs_with_few_requests_are_read_together():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(64), rng.standard_normal(60)
    few = Sides(x, y, paired=False, runs=((40, 4, 4, 16), (60,)))
    assert few.error("mean") == Sides(x, y, paired=False, runs=((64,), (60,))).error("mean")


def test_the_longest_memory_of_one_metric_counts_for_the_others():
    """What is AR(1) and noise looks nearly independent in a run of 60; another metric shows it."""
    rng = np.random.default_rng(4)
    clear, hidden = [], []
    for seed in (5, 6):
        drift = series(seed, 60)
        clear.append(drift)
        hidden.append(drift + 10 * rng.standard_normal(60))
    shown, noisy = Sides(*clear, paired=False), Sides(*hidden, paired=False)
    before = noisy.error("mean")
    share_memory([shown, noisy])
    assert shown.correlation > 0.7
    assert noisy.error("mean").size > before.size
    assert FEWEST_COSINES <= noisy.error("mean").freedom <= before.freedom
    share_memory([])


def test_a_figure_of_many_values_a_request_is_that_of_all_of_them():
    a, b = requests(range(100, 140)), requests(range(200, 240))
    sides = run_sides([a, b], [b], "itl_ms")
    assert sides.requests == (80, 40)
    assert sides.at("mean") == (15.0, 15.0)
    assert sides.at("p95") == (20.0, 20.0)
    assert run_sides([a, b], [b], "ttft_ms").at("mean") == (pytest.approx(169.5), pytest.approx(219.5))
    assert pair_sides(a, b, "ttft_ms").above == 1.0


def test_percentiles_need_requests_beyond_them():
    assert (fewest("mean"), fewest("p50"), fewest("p95"), fewest("p99")) == (30, 30, 200, 1000)


@pytest.mark.parametrize("paired", [True, False])
def test_a_median_far_off_is_found_though_a_machine_drifts_and_has_outliers(paired):
    """A drift of a percent makes all neighbours resemble each other; no outlier may stand for the middle then."""
    random = np.random.default_rng(5)
    drift, found = np.repeat([0.0, 0.2], 30), 0
    for _ in range(100):
        x, y = (
            20 + drift + random.normal(0, 0.05, 60) + random.choice([0, 3, 11], 60, p=[0.7, 0.2, 0.1]) for _ in "xy"
        )
        sides = Sides(x, y + 15, paired=paired)
        at_x, at_y = sides.at("p50")
        found += sides.error("p50").tails(at_y - at_x) < 0.001
    assert found >= 95
