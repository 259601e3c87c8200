"""Two targets that are equal, with a memory: a choice between them is not called sure."""

import numpy as np
import pytest
from handmade import MS, record, stamps
from simulated import PROCESSES

from lens.analysis.optimize.candidates import candidates_of
from lens.analysis.optimize.caution import cautious_confidence
from lens.analysis.optimize.recommend import recommend
from lens.metrics.builder import table_of
from lens.metrics.joins import join_tables

WEIGHTS = {"latency": 1.0}


def measured(provider, ttfts):
    return table_of(
        [
            record(
                (ttft, ttft + 10, ttft + 20), provider=provider, index=i, request_id=f"{provider}-{i}",
                stamps=stamps(i * 1000 * MS, send_start=0, send_end=0, first_byte=ttft - 1, end=ttft + 22),
            )
            for i, ttft in enumerate(map(float, ttfts))
        ]
    )  # fmt: skip


def candidates(x, y):
    return candidates_of(join_tables([measured("one", x), measured("other", y)]))


def runs(process, seed, many=30, n=40):
    return PROCESSES[process](np.random.default_rng(seed), many, n)


def test_equal_targets_with_a_memory_are_seldom_settled():
    found = [
        recommend(candidates(x, y), weights=WEIGHTS).confidence
        for x, y in zip(runs("AR(1) 0.9", 1), runs("AR(1) 0.9", 2), strict=True)
    ]
    assert sum(one >= 0.95 for one in found) <= 7, "a tenth of 30, and two standard errors"


def test_a_large_difference_is_settled_all_the_same():
    x, y = runs("AR(1) 0.5", 3, many=1)[0], runs("AR(1) 0.5", 4, many=1)[0]
    assert recommend(candidates(x, 3 * y), weights=WEIGHTS).confidence == 1.0


@pytest.mark.parametrize(("process", "less"), [("normal", False), ("AR(1) 0.9", True)])
def test_the_share_of_the_draws_is_lowered_only_where_there_is_a_memory(process, less):
    pair = candidates(runs(process, 5, many=1)[0], runs(process, 6, many=1)[0] * 1.1)
    figures = {"latency": np.random.default_rng(7).normal([100, 110], [3, 3], (500, 2))}
    assert (cautious_confidence(0.99, pair, 0, [1], WEIGHTS, figures) < 0.99) is less
