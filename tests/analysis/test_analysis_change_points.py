"""Changes of level in simulated runs: found near where they are, and seldom where there are none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from handmade import START, record, stamps

from lens.analysis.explore.change_points import steps_of
from lens.metrics.builder import table_of

MS = 1_000_000
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def run(seed, n=200, at=None, factor=1.0, memory=0.5):
    """A run of one request a minute, whose TTFT is `factor` times as long from request `at` on."""
    rng = np.random.default_rng(seed)
    noise, records = 0.0, []
    for i in range(n):
        noise = memory * noise + rng.normal(0, 5)
        ttft = (100 + noise + rng.exponential(10)) * (factor if at is not None and i >= at else 1)
        begin = START + i * 60_000 * MS
        records.append(
            record(
                (ttft, ttft + 10, ttft + 20),
                request_id=f"request-{i}",
                index=i,
                timestamp=(BEGIN + timedelta(minutes=i)).isoformat(),
                stamps=stamps(begin, send_start=0, send_end=0, first_byte=ttft - 1, end=ttft + 22),
            )
        )
    return records


@pytest.mark.parametrize("where", [60, 100, 150])
def test_a_step_is_found_near_where_it_is(where):
    records = run(where, at=where, factor=1.4)
    found = [step for step in steps_of(table_of(records)) if step.metric == "ttft_ms"]
    assert len(found) == 1
    assert not found[0].better
    ttfts = table_of(records).metric("ttft_ms")
    assert found[0].before == pytest.approx(np.median(ttfts[:where]), rel=0.03)
    assert found[0].after == pytest.approx(np.median(ttfts[where:]), rel=0.03)
    assert abs(int(found[0].request_id.removeprefix("request-")) - where) <= 12
    assert str(found[0]).endswith(": worse")


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_where_nothing_changed_a_step_is_seldom_told(memory):
    assert sum(bool(steps_of(table_of(run(100 + seed, memory=memory)))) for seed in range(60)) <= 3


def test_outliers_are_no_step():
    records = run(1)
    records[50:53] = [record((5000, 5010), index=i, timestamp=records[i].timestamp) for i in (50, 51, 52)]
    assert steps_of(table_of(records)) == ()


def test_few_requests_have_no_levels():
    assert steps_of(table_of(run(1, n=20, at=10, factor=3.0))) == ()
    assert steps_of(table_of([])) == ()
