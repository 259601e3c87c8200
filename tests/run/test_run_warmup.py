"""Warm-up and cool-down: the cut of MSER-5 against its definition, and what is marked."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import record, stamps

from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.orchestrator.schedule import parse_cooldown
from lens.run.warmup import BATCH, mark_cooldown, mark_warmup, mser_cut, transient_length
from lens.units import NS_PER_S


def by_definition(values):
    """White's rule, written as it is printed: every cut with its own sums."""
    batches = len(values) // BATCH
    means = [np.mean(values[i * BATCH : (i + 1) * BATCH]) for i in range(batches)]
    errors = []
    for cut in range(batches // 2 + 1):
        rest = np.asarray(means[cut:])
        errors.append(((rest - rest.mean()) ** 2).sum() / len(rest) ** 2)
    return int(np.argmin(errors)) * BATCH


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("level", [0.0, 1e9])
def test_the_cut_is_that_of_the_definition(seed, level):
    generator = np.random.default_rng(seed)
    values = level + generator.gamma(2.0, 10.0, size=300) + 200 * np.exp(-np.arange(300) / (1 + 3 * seed))
    assert mser_cut(values) == by_definition(values)


def test_a_beginning_that_is_like_the_rest_is_kept():
    assert transient_length(np.tile([1.0, 2.0, 3.0, 2.0, 1.0], 40)) == 0
    assert transient_length([9.0] * 5 + [1.0] * 30) == 0, "too few to tell"


def test_a_steady_run_is_seldom_cut():
    runs = np.random.default_rng(5).gamma(2.0, 10.0, size=(300, 50))
    assert sum(transient_length(run) > 0 for run in runs) <= 0.04 * 300
    assert sum(mser_cut(run) > 0 for run in runs) > 0.25 * 300, "what MSER-5 alone does"


def test_a_run_that_never_settles_is_not_cut():
    assert transient_length(np.concatenate([np.full(60, 500.0), np.full(60, 20.0)]) + np.arange(120) % 7) == 0


def run_of(ttfts, every_ns=NS_PER_S):
    return table_of(
        [
            record((ttft,), index=i, stamps=stamps(i * every_ns, send_start=1, send_end=2, first_byte=3, end=ttft + 5))
            for i, ttft in enumerate(ttfts)
        ]
    )


def test_the_slow_beginning_is_marked_and_the_rest_is_not():
    table, cut = mark_warmup(run_of([500] * 10 + [20, 21, 22, 21, 20] * 12))
    assert cut == 10
    assert table.warmup.tolist() == [True] * 10 + [False] * 60


@pytest.mark.parametrize(("said", "cut"), [("3", 3), ("2s", 2), ("25%", 5), ("0%", 0), ("99", 20)])
def test_the_end_is_marked_by_number_time_or_share(said, cut):
    table, found = mark_cooldown(run_of([10] * 20), said)
    assert found == cut
    assert table.warmup.tolist() == [False] * (20 - cut) + [True] * cut


@pytest.mark.parametrize("said", ["soon", "-1%", "120%", "3 apples"])
def test_what_is_neither_is_refused(said):
    with pytest.raises(ConfigError, match="--cooldown"):
        parse_cooldown(said)
