"""Arrival patterns as tables: what was asked for stands left, the first start times right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.config.load import convert
from lens.config.settings import LoadConfig
from lens.errors import ConfigError
from lens.orchestrator.schedule import (
    UNTIL_REQUESTS,
    Stage,
    constant,
    gamma,
    parse_warmup,
    pattern_of,
    ramp,
    replayed,
    stages,
    starts_within,
    sweep_rates,
    times_ns,
    with_default_requests,
)
from lens.units import NS_PER_MS, NS_PER_S

S = NS_PER_S


def test_a_constant_rate_has_constant_gaps_and_starts_at_zero():
    assert constant(10, S).tolist() == [i * 100 * NS_PER_MS for i in range(10)]


@pytest.mark.parametrize(
    ("rate", "duration_ns", "count", "starts"),
    [
        (10, S, None, 10),
        (10, S, 4, 4),
        (10, None, 4, 4),
        (0.5, 3 * S, None, 2),
        (3, S, None, 3),
        (1000, 20 * S, None, 20_000),
        (10, 1, None, 1),
        (7, 10 * S, None, 70),
    ],
)
def test_the_end_of_the_duration_is_not_part_of_it(rate, duration_ns, count, starts):
    assert starts_within(rate, duration_ns, count) == starts
    assert len(constant(rate, duration_ns, count)) == starts


def test_rounding_errors_do_not_add_up_over_a_million_starts():
    assert constant(3, None, 1_000_000)[-1] == round(999_999 / 3 * S)


@given(rate=st.floats(0.01, 10_000), seconds=st.integers(1, 5))
def test_no_start_of_a_constant_rate_lies_outside_its_duration(rate, seconds):
    at = constant(rate, seconds * S)
    assert at[0] == 0
    assert at[-1] < seconds * S
    gaps = np.diff(at)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_poisson_gaps_have_the_mean_and_the_spread_of_an_exponential():
    gaps = np.diff(gamma(100, None, 20_000, shape=1.0, seed=7))
    assert gaps.mean() == pytest.approx(10 * NS_PER_MS, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    # Share of gaps beyond the mean: 1/e.
    assert (gaps > 10 * NS_PER_MS).mean() == pytest.approx(np.exp(-1), abs=0.02)


@pytest.mark.parametrize(("shape", "relative_spread"), [(0.25, 2.0), (1.0, 1.0), (4.0, 0.5)])
def test_burstiness_sets_the_spread_of_the_gaps_and_not_their_mean(shape, relative_spread):
    gaps = np.diff(gamma(100, None, 40_000, shape=shape, seed=1))
    assert gaps.mean() == pytest.approx(10 * NS_PER_MS, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(relative_spread, rel=0.06)


def test_the_burstiest_arrivals_that_may_be_asked_for_can_be_drawn():
    with np.errstate(all="raise"):
        at = gamma(5, None, 5000, shape=0.001, seed=1)
    assert (np.diff(at) >= 0).all()
    with pytest.raises(ConfigError, match=r"burstiness.*0\.001"):
        convert({"load": {"burstiness": 0.0009}})


def test_random_patterns_are_the_same_for_the_same_seed_and_differ_for_another():
    one, same, other = (gamma(50, 4 * S, shape=1.0, seed=s).tolist() for s in (3, 3, 4))
    assert one == same
    assert one != other


@given(rate=st.floats(1, 500), seed=st.integers(0, 50))
def test_a_random_pattern_ascends_and_ends_with_its_duration(rate, seed):
    at = gamma(rate, 2 * S, shape=0.5, seed=seed)
    assert (np.diff(at) >= 0).all()
    assert len(at) == 0 or 0 <= at[0] <= at[-1] < 2 * S


def test_a_ramp_holds_the_area_under_its_line():
    at = ramp(0.0001, 20, 10 * S)  # 0 to 20/s in 10 s: 100 starts, half of them in the last 2.93 s
    assert len(at) == pytest.approx(100, abs=1)
    assert (at < 10 * S / np.sqrt(2)).sum() == pytest.approx(50, abs=1)
    assert (np.diff(np.diff(at[1:])) <= 1).all(), "the gaps of a rising rate shrink"


def test_a_ramp_between_equal_rates_is_a_constant_rate():
    assert ramp(10, 10, S).tolist() == constant(10, S).tolist()


def test_a_falling_ramp_stretches_its_gaps():
    gaps = np.diff(ramp(20, 1, 10 * S))
    assert (np.diff(gaps) > 0).all()


@pytest.mark.parametrize(
    ("low", "high", "step", "rates"),
    [
        (1, 5, 1, (1, 2, 3, 4, 5)),
        (1, 6, 2, (1, 3, 5, 6)),
        (0.1, 0.3, 0.1, (0.1, 0.2, 0.3)),
        (5, 5, 1, (5,)),
    ],
)
def test_a_sweep_ends_at_its_maximum(low, high, step, rates):
    assert sweep_rates(low, high, step) == pytest.approx(rates)


def test_a_replay_begins_at_zero_in_order_and_may_run_faster():
    assert replayed([3000, 1000, 2000]) == (0, 1000, 2000)
    assert replayed([3000, 1000, 2000], 2.0) == (0, 500, 1000)


@pytest.mark.parametrize(
    ("load", "pattern"),
    [
        (LoadConfig(), "iterations"),
        (LoadConfig(rate_per_s=5.0), "rate"),
        (LoadConfig(rate_per_s=5.0, ramp_to_per_s=9.0), "ramp"),
        (LoadConfig(sweep_max_per_s=9.0), "sweep"),
        (LoadConfig(sweep_concurrency=(1, 2)), "sweep"),
        (LoadConfig(trace="x"), "replay"),
        (LoadConfig(pattern="burst", rate_per_s=5.0), "burst"),
    ],
)
def test_the_numbers_that_are_given_name_the_pattern(load, pattern):
    assert pattern_of(load) == pattern


def test_a_closed_loop_has_a_count_or_a_duration_and_no_times():
    (stage,) = stages(LoadConfig(iterations=50, concurrency=4))
    assert (stage.concurrency, stage.count, stage.duration_ns) == (4, 50, None)
    (timed,) = stages(LoadConfig(iterations=50, concurrency=4, duration_ns=S))
    assert (timed.count, timed.duration_ns) == (50, S), "the smaller bound ends it"
    (timed,) = stages(LoadConfig(concurrency=4, duration_ns=S))
    assert (timed.count, timed.duration_ns) == (None, S)
    with pytest.raises(ValueError, match="closed loop"):
        times_ns(stage)


def test_a_burst_is_waves_of_requests_at_one_instant():
    waves = stages(LoadConfig(pattern="burst", concurrency=3, iterations=2))
    assert [times_ns(wave).tolist() for wave in waves] == [[0, 0, 0], [0, 0, 0]]


def test_a_rate_without_an_end_lasts_for_the_number_of_requests():
    (stage,) = stages(LoadConfig(rate_per_s=5.0, iterations=3))
    assert times_ns(stage).tolist() == [0, 200 * NS_PER_MS, 400 * NS_PER_MS]


def test_each_arrival_gives_its_own_gaps():
    spread = {}
    for arrival in ("constant", "poisson", "gamma"):
        (stage,) = stages(LoadConfig(rate_per_s=100.0, iterations=5000, arrival=arrival, burstiness=0.25))
        gaps = np.diff(times_ns(stage))
        spread[arrival] = gaps.std() / gaps.mean()
    assert spread["constant"] < 0.001
    assert spread["poisson"] == pytest.approx(1, abs=0.1)
    assert spread["gamma"] == pytest.approx(2, abs=0.3)


def test_the_steps_of_a_sweep_do_not_share_their_random_numbers():
    first, second = stages(
        LoadConfig(sweep_min_per_s=10.0, sweep_max_per_s=10.5, sweep_step_per_s=0.5, arrival="poisson")
    )
    assert times_ns(first)[:5].tolist() != times_ns(second)[:5].tolist()


def test_a_sweep_over_concurrency_is_closed_loops():
    assert [(s.concurrency, s.count) for s in stages(LoadConfig(sweep_concurrency=(1, 2, 4), iterations=8))] == [
        (1, 8),
        (2, 8),
        (4, 8),
    ]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("0", (0, 0, 0.0)), ("3", (3, 0, 0.0)), ("10s", (0, 10 * S, 0.0)), ("10%", (0, 0, 0.1)), ("1m", (0, 60 * S, 0.0))],
)
def test_a_warm_up_is_requests_a_time_or_a_share(text, parsed):
    assert parse_warmup(text) == parsed


@pytest.mark.parametrize("text", ["", "x", "100%", "-1", "%", "ten"])
def test_what_is_no_warm_up_is_refused(text):
    with pytest.raises(ConfigError, match="--warmup"):
        parse_warmup(text)


def test_warm_up_of_a_closed_loop_is_a_stage_before_it():
    warmup, measured = stages(LoadConfig(iterations=50, concurrency=4, warmup="10%"))
    assert (warmup.warmup, warmup.count, warmup.concurrency) == (True, 5, 4)
    assert (measured.warmup, measured.count) == (False, 50)


def test_warm_up_of_an_open_loop_is_its_beginning():
    (stage,) = stages(LoadConfig(rate_per_s=10.0, duration_ns=10 * S, warmup="20%"))
    assert stage.warmup_ns == 2 * S
    (by_time,) = stages(LoadConfig(rate_per_s=10.0, duration_ns=10 * S, warmup="3s"))
    assert by_time.warmup_ns == 3 * S


@pytest.mark.parametrize(
    ("load", "says"),
    [
        (LoadConfig(pattern="rate"), "--rate"),
        (LoadConfig(pattern="ramp", rate_per_s=1.0), "--ramp-to"),
        (LoadConfig(pattern="sweep"), "--sweep-max"),
        (LoadConfig(sweep_min_per_s=5.0, sweep_max_per_s=1.0, sweep_step_per_s=1.0), "below"),
        (LoadConfig(pattern="replay"), "no timestamps"),
        (LoadConfig(rate_per_s=10.0, duration_ns=S, warmup="2s"), "leaves nothing"),
    ],
)
def test_numbers_that_contradict_each_other_are_an_error_that_says_so(load, says):
    with pytest.raises(ConfigError, match=says):
        stages(load)


def test_more_starts_than_memory_holds_are_refused_before_they_are_made():
    with pytest.raises(ConfigError, match="requests are more"):
        times_ns(Stage(name="x", rate_per_s=1e9, duration_ns=3600 * S))


@pytest.mark.parametrize(
    ("load", "starts"),
    [
        ({"rate_per_s": 10.0, "duration_ns": S, "iterations": 4}, 4),
        ({"rate_per_s": 10.0, "duration_ns": S, "iterations": 40}, 10),
        ({"rate_per_s": 10.0, "ramp_to_per_s": 20.0, "duration_ns": S, "iterations": 4}, 4),
        ({"sweep_max_per_s": 9.0, "sweep_step_per_s": 9.0, "step_duration_ns": S, "iterations": 4}, 4),
    ],
)
def test_the_smaller_bound_ends_an_open_loop(load, starts):
    (stage,) = stages(LoadConfig(**load))
    assert len(times_ns(stage)) == starts


def test_a_trace_ends_at_the_bounds_too():
    trace = [0, S, 2 * S, 3 * S]
    assert stages(LoadConfig(trace="t", iterations=2), trace_ns=trace)[0].times_ns == (0, S)
    assert stages(LoadConfig(trace="t", duration_ns=3 * S), trace_ns=trace)[0].times_ns == (0, S, 2 * S)


def test_concurrency_bounds_an_open_loop():
    assert stages(LoadConfig(rate_per_s=10.0, concurrency=3))[0].limit == 3
    assert stages(LoadConfig(concurrency=3))[0].limit is None


def test_a_stop_rule_may_take_more_requests():
    assert stages(LoadConfig(until="ttft_p50 5%"))[0].count == UNTIL_REQUESTS
    assert stages(LoadConfig(until="ttft_p50 5%", duration_ns=S))[0].count is None


@pytest.mark.parametrize(
    "load",
    [
        {"rate_per_s": 1e308, "duration_ns": 3600 * S},
        {"rate_per_s": 1.0, "ramp_to_per_s": 1e300},
        {"sweep_max_per_s": 1e9, "sweep_step_per_s": 1e-9},
    ],
)
def test_a_load_beyond_all_that_can_be_held_is_refused_at_once(load):
    with pytest.raises(ConfigError, match="more than"):
        [times_ns(stage) for stage in stages(LoadConfig(**load))]


@pytest.mark.parametrize("iterations", [10**8 + 1, 2**63, 10**20, 10**400])
@pytest.mark.parametrize(
    "more",
    [
        {"concurrency": 4},
        {"duration_ns": S},
        {"rate_per_s": 10.0},
        {"sweep_concurrency": (1, 2)},
        {"idle_gaps_ns": (1,)},
    ],
    ids=lambda more: next(iter(more)),
)
def test_an_open_and_a_closed_loop_hold_as_many_requests(iterations, more):
    with pytest.raises(ConfigError, match=r"more than this can hold \(100,000,000\); lower --iterations"):
        stages(LoadConfig(iterations=iterations, **more))


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"warmup": str(10**9)}, "lower --warmup"),
        ({"pattern": "burst", "iterations": 10**7}, "at most 1,000,000; lower --iterations"),
        ({"pattern": "burst", "iterations": 10**5, "concurrency": 10**4}, "lower --iterations or --concurrent"),
    ],
)
def test_counts_beyond_all_memory_name_their_option(load, says):
    with pytest.raises(ConfigError, match=says):
        stages(LoadConfig(**load))


@pytest.mark.parametrize(
    "load",
    [{"concurrency": 10**9}, {"sweep_concurrency": (1, 10**9)}, {"workers": 10**6}],
    ids=lambda load: next(iter(load)),
)
def test_what_no_machine_can_do_is_refused(load):
    with pytest.raises(ConfigError, match="at most"):
        stages(LoadConfig(**load))


@pytest.mark.parametrize(
    ("load", "requests"),
    [
        (LoadConfig(), 50),
        (LoadConfig(concurrency=4), 50),
        (LoadConfig(rate_per_s=5.0), 50),
        (LoadConfig(iterations=6), 6),
        (LoadConfig(duration_ns=S), None),
        (LoadConfig(rate_per_s=5.0, duration_ns=S), None),
        (LoadConfig(until="mean 5%"), None),
        (LoadConfig(search_slo=("ttft_p95<500",)), None),
        (LoadConfig(pattern="burst"), None),
        (LoadConfig(pattern="single"), None),
        (LoadConfig(sweep_concurrency=(1, 2)), None),
        (LoadConfig(idle_gaps_ns=(S,)), None),
        (LoadConfig(trace="t.jsonl"), None),
    ],
)
def test_another_default_counts_only_where_requests_end_the_load_and_none_are_given(load, requests):
    assert with_default_requests(load, 50).iterations == requests


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_starts_that_lie_more_than_a_century_apart_are_refused(arrival):
    (stage,) = stages(LoadConfig(rate_per_s=1e-12, iterations=3, arrival=arrival))
    with pytest.raises(ConfigError, match="more than a century; raise --rate"):
        times_ns(stage)
