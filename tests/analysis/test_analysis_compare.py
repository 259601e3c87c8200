"""Comparisons held to simulated truth: seldom different where nothing is, and found where something is."""

import msgspec
import numpy as np
import pytest
from handmade import START, record, stamps

from lens.analysis.compare import (
    COMPARED,
    STATISTICS,
    Comparison,
    _corrected,
    compare_runs,
    compare_targets,
    planned_n,
    shift,
)
from lens.analysis.difference import Sides, fewest
from lens.analysis.sides import verdict_of
from lens.metrics.builder import table_of
from lens.metrics.long_series import MOST
from lens.model import Events, Status

MS = 1_000_000


def pairs(n, effect=1.0, seed=0):
    """TTFTs of two targets under one drift (AR(1)) and noise of their own, as an interleaved run has them."""
    rng = np.random.default_rng(seed)
    drift = np.zeros(n)
    for i in range(1, n):
        drift[i] = 0.9 * drift[i - 1] + rng.normal(0, 0.04)
    base = 100 * np.exp(drift)
    return base * np.exp(rng.normal(0, 0.15, n)), base * effect * np.exp(rng.normal(0, 0.15, n))


def judged(x, y):
    made = tuple(shift("ttft_ms", one, Sides(x, y, paired=True)) for one in STATISTICS if fewest(one) <= len(x))
    (found,) = _corrected([Comparison(baseline="a", candidate="b", shifts=made, failed=(0, 0))])
    return found.shifts


def test_the_same_twice_is_seldom_different():
    different = sum(any(one.different for one in judged(*pairs(60, seed=seed))) for seed in range(200))
    assert different <= 10, "5 % of 200"


def test_ten_percent_more_is_found_at_the_number_it_asked_for():
    """Each time a pilot run says how many requests it takes, and a run of that many looks for the effect."""
    found, runs = 0, 100
    for seed in range(runs):
        pilot = judged(*pairs(60, seed=5000 + seed))
        wanted = planned_n(next(one for one in pilot if one.statistic == "mean"), 0.10, len(STATISTICS))
        assert 20 < wanted < 600
        shifts = judged(*pairs(wanted, effect=1.10, seed=seed))
        found += any(one.different and one.better is False for one in shifts)
    assert found >= 0.9 * runs


def test_the_interval_holds_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        x, y = pairs(80, effect=1.2, seed=seed)
        one = shift("ttft_ms", "mean", Sides(x, y, paired=True))
        truth = float((x * 0.2).mean())  # what the effect adds to these requests, but for noise
        inside += one.low <= truth <= one.high
    assert inside >= 180


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_long_series_is_judged_as_one_by_one(statistic, paired):
    """Just above and below the number from which on neighbours are averaged first."""
    x, y = pairs(MOST + 2, effect=1.02, seed=4)
    long = shift("ttft_ms", statistic, Sides(x, y, paired=paired))
    short = shift("ttft_ms", statistic, Sides(x[2:], y[2:], paired=paired))
    assert long.smallest_seen == pytest.approx(short.smallest_seen, rel=0.15)
    assert long.low == pytest.approx(short.low, abs=0.15 * short.smallest_seen)
    assert long.high == pytest.approx(short.high, abs=0.15 * short.smallest_seen)
    assert long.p_value == pytest.approx(short.p_value, abs=0.1)


@pytest.mark.parametrize("paired", [True, False])
def test_the_same_twice_is_seldom_different_in_long_series_too(paired):
    different = 0
    for seed in range(40):
        x, y = pairs(3000, seed=seed)
        y = y if paired else pairs(3000, seed=1000 + seed)[1]
        made = tuple(shift("ttft_ms", one, Sides(x, y, paired=paired)) for one in STATISTICS)
        (found,) = _corrected([Comparison(baseline="a", candidate="b", shifts=made, failed=(0, 0))])
        different += any(one.different for one in found.shifts)
    assert different <= 6


def asked(index, target, ttft_ms, targets=2):
    begin = START + index * 10 * MS
    return record(
        (ttft_ms, ttft_ms + 10),
        index=index,
        target_index=target,
        model=f"m{target}",
        stamps=stamps(begin, send_start=0, send_end=0, first_byte=ttft_ms - 1, end=ttft_ms + 12),
    )


def interleaved(n, slower):
    rng = np.random.default_rng(3)
    records = []
    for block in range(n):
        order = [0, 1] if rng.random() < 0.5 else [1, 0]
        records += [
            asked(2 * block + place, target, 100 + rng.normal(0, 3) + slower * target)
            for place, target in enumerate(order)
        ]
    return records


def broken_off(one):
    """The same, of which the answer broke off after a first token that had come at once."""
    events = record((1,)).events
    return msgspec.structs.replace(one, status=Status.NETWORK_ERROR, category="truncated", events=events)


@pytest.mark.parametrize("paired", [False, True])
def test_a_target_whose_answers_break_off_is_not_faster_for_that(paired):
    records = interleaved(200, slower=20)
    records = [broken_off(one) if one.target_index == 1 and one.index % 3 else one for one in records]
    table = table_of(records)
    if paired:
        (found,) = compare_targets(table, targets=2)
    else:
        target = table.column("target_index")
        (found,) = compare_runs([table.take(target == 0), table.take(target == 1)], ["a", "b"])
    shift = next(one for one in found.shifts if (one.metric, one.statistic) == ("ttft_ms", "p50"))
    assert (shift.different, shift.better) == (True, False)
    assert shift.difference == pytest.approx(20, abs=3)


def test_answers_without_content_are_no_quick_answers_and_the_verdict_counts_them():
    def emptied(one):
        soon = msgspec.structs.replace(one.stamps, first_byte=one.stamps.start + MS, end=one.stamps.start + MS)
        return msgspec.structs.replace(one, events=Events(), stamps=soon)

    records = [emptied(one) if one.target_index == 1 and one.index % 4 == 1 else one for one in interleaved(200, 0)]
    (found,) = compare_targets(table_of(records), targets=2)
    assert found.failed == (0, 0)
    assert found.empty[0] == 0 < found.empty[1]
    total = next(one for one in found.shifts if (one.metric, one.statistic) == ("total_latency_ms", "mean"))
    assert abs(total.difference) < 5, "a quarter of the answers took 1 ms in place of 112"
    assert verdict_of(found).endswith(f"; {found.empty[1]} of its requests failed or brought nothing (0 of openai/m0)")


def test_targets_of_a_run_are_compared_pair_by_pair():
    (found,) = compare_targets(table_of(interleaved(60, 30)), targets=2)
    assert (found.baseline, found.candidate) == ("openai/m0", "openai/m1")
    mean = next(one for one in found.shifts if (one.metric, one.statistic) == ("ttft_ms", "mean"))
    assert mean.different
    assert mean.better is False
    assert mean.difference == pytest.approx(30, abs=2)
    assert mean.low <= 30 <= mean.high or abs(mean.difference - 30) < 2
    assert mean.wins < 0.05
    assert mean.n == 60
    assert {one.metric for one in found.shifts} <= set(COMPARED)


def test_what_is_the_same_says_what_it_could_have_seen():
    (found,) = compare_targets(table_of(interleaved(60, 0)), targets=2)
    mean = next(one for one in found.shifts if (one.metric, one.statistic) == ("ttft_ms", "mean"))
    assert not mean.different
    assert mean.better is None
    assert 0.5 < mean.smallest_seen < 5
    assert mean.needed(0.01) > mean.needed(0.1)


def test_runs_are_compared_without_pairs():
    first = [asked(i, 0, 100 + i % 7) for i in range(60)]
    second = [asked(i, 0, 140 + i % 7) for i in range(50)]
    (found,) = compare_runs([table_of(first), table_of(second)], ["a.jsonl", "b.jsonl"])
    assert (found.baseline, found.candidate) == ("a.jsonl", "b.jsonl")
    mean = next(one for one in found.shifts if (one.metric, one.statistic) == ("ttft_ms", "mean"))
    assert mean.different
    assert not mean.paired
    assert mean.relative == pytest.approx(0.388, abs=0.02)


def autoregressive(rng, n):
    noise = rng.normal(size=n)
    for i in range(1, n):
        noise[i] = 0.9 * noise[i - 1] + 0.19**0.5 * noise[i]
    return 100 + 10 * noise


@pytest.mark.parametrize("paired", [True, False])
def test_neighbours_that_resemble_each_other_are_no_difference(paired):
    rng = np.random.default_rng(8)
    different = 0
    for _ in range(150):
        sides = Sides(autoregressive(rng, 100), autoregressive(rng, 100), paired=paired)
        made = tuple(shift("ttft_ms", one, sides) for one in ("mean", "p50"))
        (found,) = _corrected([Comparison(baseline="a", candidate="b", shifts=made, failed=(0, 0))])
        different += any(one.different for one in found.shifts)
    assert different <= 15, "6 % and two standard errors of 150"


def test_a_large_difference_is_found_however_many_targets_there_are():
    records = [
        asked(6 * turn + target, target, (100 + turn % 7) * (1 + target), targets=6)
        for turn in range(60)
        for target in range(6)
    ]
    found = compare_targets(table_of(records), targets=6)
    assert all(shift.different for one in found for shift in one.shifts if shift.metric == "ttft_ms")


def test_too_few_requests_are_compared_with_nothing():
    (found,) = compare_targets(table_of(interleaved(5, 0)), targets=2)
    assert found.shifts == ()
    assert found.too_few["ttft_ms mean"] == fewest("mean")
    assert found.too_few["ttft_ms p95"] == 200


@pytest.mark.parametrize("paired", [True, False])
def test_twenty_against_forty_is_told_from_ten_requests_on(paired):
    records = [asked(2 * i + side, side, 20 * (1 + side) + 0.1 * (i % 5)) for i in range(10) for side in (0, 1)]
    if paired:
        (found,) = compare_targets(table_of(records), targets=2)
    else:
        (found,) = compare_runs([table_of(records[::2]), table_of(records[1::2])], ["a", "b"])
    verdicts = {f"{one.metric} {one.statistic}": one.better for one in found.shifts if one.different}
    assert verdicts["ttft_ms mean"] is False
    assert found.too_few["ttft_ms p50"] == 20
