"""Worker processes as one run: shares, order, death, draining; against the simulator in a process of its own."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANG_S, wait_until

from lens.config.settings import LoadConfig, RunConfig, TargetConfig
from lens.errors import ConfigError
from lens.history.read import read_run
from lens.metrics.summarize import summarize
from lens.orchestrator.plan import make_plan
from lens.orchestrator.shards import Share
from lens.orchestrator.stop import Stop
from lens.orchestrator.workers import messages as handover
from lens.orchestrator.workers import parent
from lens.orchestrator.workers.parent import run_workers
from lens.run.checks import check_workers
from lens.simulator import Script, start
from lens.wire import Secret


@pytest.fixture(scope="module")
def server():
    with start(Script(tokens=4, ttft_ns=10_000_000, itl_ns=1_000_000, usage="always")) as handle:
        yield handle


@pytest.fixture
def url(server):
    server.reset()
    return f"{server.url}/v1"


def config(url, **load):
    target = TargetConfig(provider="vllm", model="m", base_url=url, proxy="", api_key=Secret("hush"))
    return RunConfig(targets=(target,), load=LoadConfig(**load))


def merged(records):
    return sorted(records, key=lambda record: record.index)


def run(settings):
    records = []

    async def go():
        with trio.fail_after(HANG_S):
            return await run_workers(make_plan(settings), on_record=records.append, stop=Stop())

    return trio.run(go), records


@given(st.integers(0, 1000), st.integers(1, 16))
def test_the_parts_of_a_number_make_the_whole(whole, many):
    parts = [Share(k, many).part(whole) for k in range(many)]
    assert sum(parts) == whole
    assert max(parts) - min(parts) <= 1


@given(st.integers(0, 1000), st.integers(1, 16), st.integers(1, 16))
def test_what_only_some_share_is_theirs_alone(whole, many, among):
    parts = [Share(k, many).part(whole, among) for k in range(many)]
    assert sum(parts) == whole
    assert not any(parts[among:])


def test_stages_begin_together(url):
    _, records = run(config(url, sweep_concurrency=(1, 2, 3), step_duration_ns=400_000_000, workers=2))
    stages = sorted({record.stage for record in records})
    assert len(stages) == 3
    for before, after in pairwise(stages):
        ends = max(record.stamps.start for record in records if record.stage == before)
        assert min(record.stamps.start for record in records if record.stage == after) >= ends


def test_a_run_ends_when_it_is_enough_for_all_of_them(url):
    records = []

    async def go():
        with trio.fail_after(HANG_S):
            plan = make_plan(config(url, iterations=100_000, concurrency=4, workers=2))
            return await run_workers(plan, on_record=records.append, enough=lambda: len(records) >= 50, stop=Stop())

    outcome = trio.run(go)
    assert 50 <= outcome.requests == len(records) < 5_000
    assert outcome.warnings == ()


def test_a_closed_loop_is_shared_and_every_number_is_used_once(url):
    outcome, records = run(config(url, iterations=31, concurrency=5, workers=2))
    assert sorted(record.index for record in records) == list(range(31))
    assert outcome.requests == 31
    assert outcome.warnings == ()


def test_an_open_loop_keeps_the_times_of_one_schedule(url):
    _, records = run(config(url, rate_per_s=50.0, duration_ns=1_000_000_000, workers=2))
    intended = sorted(record.stamps.intended for record in records)
    assert len(intended) == 50
    assert {b - a for a, b in pairwise(intended)} == {20_000_000}
    by_number = [record.stamps.intended for record in merged(records)]
    assert by_number == intended, "requests are numbered as one run would number them"


def test_figures_are_those_of_one_run_over_all_records(url):
    _, records = run(config(url, iterations=40, concurrency=4, workers=2))
    together = summarize(merged(records))
    shuffled = summarize(sorted(records, key=lambda record: record.request_id))
    for name in ("ttft_ms", "total_latency_ms"):
        assert together.distributions[name].percentiles == shuffled.distributions[name].percentiles


def test_messages_come_through_any_cut_and_keys_only_inside():
    order = handover.order_of(make_plan(config("http://x", iterations=2, workers=2)), 1, 2)
    data = handover.packed(handover.ORDER, handover.encoded(order)) + handover.packed(handover.READY)
    unpacker = handover.Unpacker()
    seen = [message for i in range(len(data)) for message in unpacker.feed(data[i : i + 1])]
    assert [kind for kind, _ in seen] == [handover.ORDER, handover.READY]
    assert seen[0][1].config.targets[0].api_key.reveal() == "hush"
    assert "hush" not in repr(seen)


@pytest.mark.parametrize(
    "load", [{"max_cost_usd": "1"}, {"search_slo": ("ttft_p95<500",)}, {"idle_gaps_ns": (1,)}, {"connection": "both"}]
)
def test_what_cannot_be_shared_is_refused(load):
    with pytest.raises(ConfigError):
        check_workers(config("http://x", workers=2, **load).load)


def test_what_no_worker_can_do_is_one_error(url):
    broken = msgspec.structs.replace(config(url, iterations=4, workers=2), targets=(
        TargetConfig(provider="vllm", model="m", base_url="https://127.0.0.1:1", cacert="/nowhere.pem"),
    ))  # fmt: skip
    with pytest.raises(Exception, match="nowhere"):
        run(broken)


def workers_that_measure(pid, server):
    """The two worker processes of a run, whichever thread began them, once 40 requests have been asked."""
    found = []
    if server.stats()["requests"] < 40:
        return found
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if "lens.orchestrator.workers.child" in Path(f"/proc/{child}/cmdline").read_text():
                found.append(int(child))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="children are found by /proc")
def test_a_killed_worker_is_told_and_the_rest_is_kept(server, url, tmp_path):
    out = tmp_path / "run.jsonl"
    words = [sys.executable, "-m", "lens", "benchmark", "--provider", "vllm", "--model", "m", "--base-url", url]
    words += ["-n", "800", "-c", "4", "--workers", "2", "--ui", "none", "-o", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers = wait_until(lambda: workers_that_measure(process.pid, server))
    assert len(workers) == 2
    assert not any("hush" in Path(f"/proc/{pid}/cmdline").read_text() for pid in workers)
    os.kill(workers[0], signal.SIGKILL)
    printed, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 3, errors
    assert "was ended by signal 9 before it was done" in " ".join(printed.split())
    assert "requests are missing" in errors
    records = read_run(out).records
    assert 400 <= len(records) < 800


@pytest.mark.skipif(sys.platform != "linux", reason="children are found by /proc")
def test_an_interrupt_drains_all_workers(server, url, tmp_path):
    out = tmp_path / "run.jsonl"
    words = [sys.executable, "-m", "lens", "benchmark", "--provider", "vllm", "--model", "m", "--base-url", url]
    words += ["-n", "100000", "-c", "4", "--workers", "2", "--ui", "none", "-o", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers = wait_until(lambda: workers_that_measure(process.pid, server))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, errors
    assert len(read_run(out).records) > 20
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)


@pytest.mark.skipif(sys.platform != "linux", reason="children are found by /proc")
def test_a_frozen_worker_is_not_waited_for_at_the_end(server, url, monkeypatch):
    monkeypatch.setattr(parent, "DRAIN_S", 10 * HANG_S)
    records, stop = [], Stop()

    async def go():
        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(freeze_one)
                plan = make_plan(config(url, iterations=100_000, concurrency=4, workers=2))
                return await run_workers(plan, on_record=records.append, stop=stop)

    async def freeze_one():
        while len(workers := workers_that_measure(os.getpid(), server)) < 2:
            await trio.sleep(0.05)
        os.kill(workers[0], signal.SIGSTOP)
        stop.ask("SIGINT")

    outcome = trio.run(go)
    assert outcome.requests == len(records) > 0
    assert outcome.incomplete.count("did not end in time") == 1
