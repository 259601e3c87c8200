"""Workers on a Ray cluster: clocks on paper, and a local cluster of two nodes where Ray is installed."""

import sys

import msgspec
import pytest
import trio
from handmade import full_record
from hypothesis import given
from hypothesis import strategies as st
from needs import need_module
from waiting import HANG_S

from lens._core.clock import now_ns
from lens.config.settings import LoadConfig, RunConfig, TargetConfig
from lens.errors import ConfigError
from lens.model import Attempt, Connection, Try
from lens.orchestrator.plan import make_plan
from lens.orchestrator.stop import Stop
from lens.orchestrator.wall_clock import shift_record
from lens.orchestrator.workers.ray import connect, offset_of, run_on_ray
from lens.simulator import Script, start


@pytest.mark.parametrize("ahead_ns", [0, 5_000_000_000, -123_456_789_000])
def test_the_offset_is_within_its_uncertainty(ahead_ns):
    found = offset_of(lambda: now_ns() + ahead_ns, times=10)
    assert abs(found.ns - ahead_ns) <= found.uncertainty_ns
    assert found.uncertainty_ns > 0


@given(st.integers(-(10**15), 10**15))
def test_a_moved_record_has_the_same_durations(offset_ns):
    import handmade

    attempt = Attempt(address="192.0.2.1", family="ipv4", start_ns=handmade.START, end_ns=handmade.START + 5)
    record = msgspec.structs.replace(
        full_record(),
        connection=Connection(reused=False, attempts=(attempt,)),
        tries=(Try(start_ns=handmade.START, end_ns=handmade.START + 9, category="rate_limited"),),
    )
    there = shift_record(record, offset_ns)
    before, after = msgspec.structs.asdict(record.stamps), msgspec.structs.asdict(there.stamps)
    assert {k: v - offset_ns for k, v in before.items() if v is not None} == {
        k: v for k, v in after.items() if v is not None
    }
    assert shift_record(there, -offset_ns) == record


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"llm-latency-lens\[ray\]"):
        connect(None)


def test_two_nodes_share_a_load():
    offered = sys.version_info < (3, 14) and sys.platform == "linux"
    ray = need_module("ray", "pip install 'llm-latency-lens[ray]'", offered=offered)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    records = []
    try:
        with start(Script(tokens=3, ttft_ns=5_000_000, itl_ns=1_000_000, usage="always")) as handle:
            target = TargetConfig(provider="vllm", model="m", base_url=f"{handle.url}/v1", proxy="")
            load = LoadConfig(iterations=20, concurrency=4, workers=2, engine="ray", ray_address=cluster.address)
            config = RunConfig(targets=(target,), load=load)

            async def go():
                with trio.fail_after(HANG_S):
                    return await run_on_ray(make_plan(config), on_record=records.append, stop=Stop())

            outcome = trio.run(go)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert sorted(record.index for record in records) == list(range(20))
    assert all(record.status == "Success" for record in records)
    assert [clock.worker for clock in outcome.clocks] == [0, 1]
    assert all(clock.uncertainty_ns > 0 and clock.drift_ns is not None for clock in outcome.clocks)
    doubt_ns = max(clock.uncertainty_ns + abs(clock.drift_ns) for clock in outcome.clocks)
    begun = [record.stamps.start for record in records]
    assert min(begun) >= outcome.started_ns - doubt_ns - 5_000_000, "all began at the common instant, by our clock"
