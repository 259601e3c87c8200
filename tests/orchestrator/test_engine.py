"""Runs against the simulator on loopback: what is promised of every request and of every run."""

from __future__ import annotations

import gc
import os
import signal
import socket

import msgspec
import numpy as np
import pytest
import trio
import trio.testing
from waiting import HANG_S, all_read, limits

from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, FileError
from lens.model import Status
from lens.orchestrator import engine
from lens.orchestrator.engine import run_plan
from lens.orchestrator.limits import SpendCeiling
from lens.orchestrator.plan import make_plan
from lens.orchestrator.run_state import RunState
from lens.orchestrator.stop import Stop, stopped_by_signals
from lens.simulator import make_script, start_thread
from lens.units import NS_PER_MS, NS_PER_S

QUICK = {"ttft": "5ms", "itl": "1ms", "tokens": 8}


@pytest.fixture
def simulator():
    """A simulator for each script a test asks for; all of them end with the test."""
    running = []

    def begin(**script):
        tls = script.pop("tls", False)
        handle = start_thread(make_script(**{**QUICK, **script}), tls=tls)
        running.append(handle)
        return handle

    yield begin
    for handle in running:
        handle.stop()


def config_for(handle, *, output=None, prompts=None, target=None, **load):
    one = TargetConfig(
        provider="openai",
        model="m",
        base_url=f"{handle.url}/v1" if not isinstance(handle, str) else handle,
        cacert=getattr(handle, "ca_file", None),
        proxy="",
        **(target or {}),
    )
    return RunConfig(
        targets=(one,),
        load=LoadConfig(**load),
        output=output or OutputConfig(),
        prompts=prompts or PromptConfig(texts=("hi",)),
    )


async def run(config, **options):
    records, warmups = [], []
    with trio.fail_after(HANG_S):
        outcome = await run_plan(make_plan(config, {}), on_record=records.append, on_warmup=warmups.append, **options)
    return outcome, records, warmups


async def answering(handle, requests, events=5):
    """Return once so many requests are being answered and each has so many events on the wire."""
    with trio.fail_after(HANG_S):
        while (stats := await trio.to_thread.run_sync(handle.stats))["requests"] < requests:
            await trio.sleep(0.01)
        enough = stats["writes"] + 2 * requests * events
        while (await trio.to_thread.run_sync(handle.stats))["writes"] < enough:
            await trio.sleep(0.01)


async def test_every_request_of_a_closed_loop_ends_in_one_record(simulator):
    outcome, records, _ = await run(config_for(simulator(), iterations=20, concurrency=4))
    assert outcome.requests == 20
    assert sorted(r.index for r in records) == list(range(20))
    assert {r.status for r in records} == {Status.SUCCESS}
    assert {r.usage.output_tokens for r in records} == {8}
    assert len({r.request_id for r in records}) == 20
    assert all(r.stamps.intended is None for r in records), "a closed loop has no schedule"


async def test_no_more_than_the_asked_number_of_requests_is_under_way(simulator):
    _, records, _ = await run(config_for(simulator(ttft="20ms"), iterations=18, concurrency=3))
    edges = sorted([(r.stamps.start, 1) for r in records] + [(r.stamps.end, -1) for r in records])
    assert max(np.cumsum([step for _, step in edges])) <= 3


async def test_an_open_loop_does_not_wait_for_answers(simulator):
    _, records, _ = await run(config_for(simulator(ttft="2s", tokens=1), rate_per_s=50.0, iterations=15))
    intended = sorted(r.stamps.intended for r in records)
    assert set(np.diff(intended).tolist()) == {20 * NS_PER_MS}
    assert all(r.stamps.start >= r.stamps.intended for r in records), "nothing starts before its time"
    # An answer takes 100 gaps; a loop that waited for one would start the next after its end.
    assert max(r.stamps.start for r in records) < min(r.stamps.end for r in records)


async def test_connections_are_opened_ahead_and_reused(simulator):
    handle = simulator()
    _, records, _ = await run(config_for(handle, iterations=12, concurrency=3))
    assert all(r.connection.reused for r in records)
    assert {entry["conn"] for entry in handle.log()} <= {entry["conn"] for entry in handle.log()[:3]}
    assert all(r.stamps.tcp_start is None for r in records)


async def test_fresh_connections_are_one_for_each_request(simulator):
    handle = simulator()
    _, records, _ = await run(config_for(handle, iterations=5, concurrency=2, connection="fresh"))
    assert not any(r.connection.reused for r in records)
    assert len({entry["conn"] for entry in handle.log()}) == 5
    assert all(r.stamps.tcp_start < r.stamps.tcp_end <= r.stamps.send_start for r in records)


async def test_both_takes_turns_between_fresh_and_reused(simulator):
    _, records, _ = await run(config_for(simulator(), iterations=8, connection="both"))
    by_index = [r.connection.reused for r in sorted(records, key=lambda r: r.index)]
    assert by_index[0::2] == [False] * 4
    assert by_index[3::2] == [True] * 3


async def test_warm_up_requests_are_marked_and_kept_out_of_the_results(simulator):
    outcome, records, warmups = await run(config_for(simulator(), iterations=6, warmup="3"))
    assert (len(records), len(warmups), outcome.requests) == (6, 3, 9)
    assert all(r.warmup for r in warmups)
    assert not any(r.warmup for r in records)
    assert max(r.stamps.end for r in warmups) <= min(r.stamps.start for r in records)


async def test_concurrency_caps_an_open_loop_and_latency_from_the_schedule_has_the_wait(simulator):
    handle = simulator(ttft="60ms")
    config = config_for(handle, rate_per_s=200.0, concurrency=2, iterations=6)
    _, records, _ = await run(config)
    assert [record.category for record in records] == ["success"] * 6
    ends = sorted([(r.stamps.start, 1) for r in records] + [(r.stamps.end, -1) for r in records])
    assert max(np.cumsum([step for _, step in ends])) == 2
    # What a stalled machine starts late begins in no order, so the last is not always that of the last number.
    last = max(records, key=lambda record: record.stamps.start)
    assert max(abs(one.stamps.intended - last.stamps.intended) for one in records) < 30 * NS_PER_MS
    assert last.stamps.start - last.stamps.intended > 90 * NS_PER_MS


async def test_the_beginning_of_an_open_loop_is_its_warm_up(simulator):
    _, records, warmups = await run(config_for(simulator(), rate_per_s=50.0, duration_ns=NS_PER_S // 2, warmup="40%"))
    assert (len(warmups), len(records)) == (10, 15)


async def test_a_closed_loop_with_a_duration_ends_by_time_and_finishes_what_it_began(simulator):
    for duration_s in limits(1):
        duration_ns = int(duration_s * NS_PER_S)
        outcome, records, _ = await run(config_for(simulator(), concurrency=2, duration_ns=duration_ns))
        if len(records) > 2:  # else the machine did not get to more
            break
    assert len(records) > 2
    assert {r.status for r in records} == {Status.SUCCESS}
    slowest = max(r.stamps.end - r.stamps.start for r in records)
    assert max(r.stamps.start for r in records) - outcome.started_ns < duration_ns + 2 * slowest


async def test_a_burst_starts_its_requests_together_and_waits_between_waves(simulator):
    _, records, _ = await run(config_for(simulator(), pattern="burst", concurrency=4, iterations=2))
    waves = {name: [r for r in records if r.stage == name] for name in ("burst 1", "burst 2")}
    assert {name: len(wave) for name, wave in waves.items()} == {"burst 1": 4, "burst 2": 4}
    assert len({r.stamps.intended for r in waves["burst 1"]}) == 1
    assert max(r.stamps.end for r in waves["burst 1"]) <= min(r.stamps.start for r in waves["burst 2"])


async def test_the_steps_of_a_sweep_are_named_in_their_records(simulator):
    _, records, _ = await run(config_for(simulator(), sweep_concurrency=(1, 3), iterations=3))
    assert [r.stage for r in sorted(records, key=lambda r: r.index)] == ["1 at a time"] * 3 + ["3 at a time"] * 3


async def test_targets_take_turns_in_blocks_of_random_order(simulator):
    handle = simulator()
    config = config_for(handle, iterations=4, prompts=PromptConfig(texts=("a", "b")))
    other = TargetConfig(provider="openai", model="other", base_url=f"{handle.url}/v1", proxy="")
    _, records, _ = await run(RunConfig(targets=(*config.targets, other), load=config.load, prompts=config.prompts))
    assert len(records) == 8, "the number of iterations is for each target"
    models = [r.model for r in sorted(records, key=lambda r: r.index)]
    blocks = [tuple(models[i : i + 2]) for i in range(0, 8, 2)]
    assert all(set(block) == {"m", "other"} for block in blocks)
    assert len(set(blocks)) == 2, "with this seed both come first once"


@pytest.mark.parametrize(
    ("script", "status", "category", "tokens"),
    [
        ({"status": 401}, Status.AUTH_ERROR, "auth", 0),
        ({"status": 404}, Status.INVALID_REQUEST, "not_found", 0),
        ({"status": 429}, Status.RATE_LIMITED, "rate_limited", 0),
        ({"status": 500}, Status.SERVER_ERROR, "server_error", 0),
        ({"html": True}, Status.SERVER_ERROR, "protocol_error", 0),
        ({"error_at": 3}, Status.SERVER_ERROR, "stream_error", 3),
        ({"truncate_at": 3}, Status.NETWORK_ERROR, "truncated", 3),
        ({"reset_at": 3}, Status.NETWORK_ERROR, "truncated", None),  # a reset may overtake what was sent before it
    ],
)
async def test_every_failing_request_still_ends_in_a_record(simulator, script, status, category, tokens):
    outcome, records, _ = await run(config_for(simulator(**script), iterations=3))
    assert [(r.status, r.category) for r in records] == [(status, category)] * 3
    assert all(r.failure.message for r in records)
    assert outcome.requests == 3
    if tokens is not None:
        assert {sum(1 for c in r.events.chars if c) for r in records} == {tokens}


async def test_a_refused_port_is_a_record_and_not_an_exception():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        _, records, _ = await run(config_for(url, iterations=3, concurrency=2))
    assert [r.category for r in records] == ["network_error"] * 3
    assert all("refused" in r.failure.message for r in records)


async def test_a_dead_server_does_not_fill_a_timed_run_with_refusals():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        _, records, _ = await run(config_for(url, duration_ns=300 * NS_PER_MS))
    assert 1 <= len(records) <= 10


async def test_time_limits_end_a_request_and_keep_what_came(simulator):
    _, (record,), _ = await run(config_for(simulator(stall="4:30s"), pattern="single", idle_timeout_ns=NS_PER_S))
    assert (record.status, record.category) == (Status.NETWORK_ERROR, "timeout")
    assert sum(1 for c in record.events.chars if c) == 4


async def test_retries_are_kept_in_the_record_with_their_waits(simulator):
    handle = simulator(status=503, fail_first=1, retry_after=1)
    _, (record,), _ = await run(config_for(handle, pattern="single", retries=3))
    assert record.status is Status.SUCCESS
    assert [(t.http_status, t.wait_ns) for t in record.tries] == [(503, NS_PER_S)]
    assert record.stamps.start - record.tries[0].end_ns >= NS_PER_S, "the wait is no part of the latency"


async def test_a_retry_keeps_the_time_that_its_first_attempt_was_meant_to_start_at(simulator):
    handle = simulator(status=503, fail_first=2, retry_after=1)
    _, records, _ = await run(config_for(handle, iterations=4, rate_per_s=20.0, retries=3))
    intended = sorted(record.stamps.intended for record in records)
    assert set(np.diff(intended).tolist()) == {50 * NS_PER_MS}, "the rate that was asked"
    retried = [record for record in records if record.tries]
    assert retried
    assert all(record.stamps.start - record.stamps.intended > NS_PER_S for record in retried)


@pytest.mark.parametrize("load", [{"concurrency": 2}, {"rate_per_s": 20.0}], ids=["closed", "open"])
async def test_a_retry_that_would_come_long_after_the_end_of_its_stage_is_not_waited_for(simulator, load):
    handle = simulator(status=503, fail_first=1_000, retry_after=100)
    _, records, _ = await run(config_for(handle, duration_ns=NS_PER_S // 2, retries=3, **load))
    assert records
    assert {(record.category, record.failure.retry_after_s, record.tries) for record in records} == {
        ("overloaded", 100.0, ())
    }


async def test_without_retries_a_failure_is_final(simulator):
    _, (record,), _ = await run(config_for(simulator(status=503, fail_first=1), pattern="single"))
    assert (record.status, record.tries) == (Status.SERVER_ERROR, ())


async def test_a_stop_ends_what_is_under_way_and_records_it_with_what_had_come(simulator):
    stop = Stop()
    handle = simulator(itl="20ms", tokens=10_000)
    config = config_for(handle, iterations=50, concurrency=4)

    async def ask_soon():
        await answering(handle, 4)
        stop.ask("enough")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_soon)
        outcome, records, _ = await run(config, stop=stop)
    assert outcome.stopped_by == "enough"
    assert [(r.status, r.category) for r in records] == [(Status.CANCELLED, "interrupted")] * 4
    assert all(sum(1 for c in r.events.chars if c) >= 3 for r in records)
    assert all("enough" in r.failure.message for r in records)


async def test_cancelling_from_outside_leaves_records_too(simulator):
    records = []
    handle = simulator(itl="20ms", tokens=10_000)
    plan = make_plan(config_for(handle, iterations=2, concurrency=2), {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_plan(plan, on_record=records.append))
        await answering(handle, 2)
        nursery.cancel_scope.cancel()
    assert [r.status for r in records] == [Status.CANCELLED] * 2


async def test_an_interrupt_signal_is_a_stop(simulator):
    stop = Stop()
    handle = simulator(itl="20ms", tokens=10_000)
    plan = make_plan(config_for(handle, iterations=2), {})
    records = []

    async def interrupt():
        await answering(handle, 1)
        os.kill(os.getpid(), signal.SIGINT)

    async with stopped_by_signals(stop), trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        outcome = await run_plan(plan, on_record=records.append, stop=stop)
    assert outcome.stopped_by == "SIGINT"
    assert [r.status for r in records] == [Status.CANCELLED]


async def test_an_output_that_fails_ends_the_run_with_its_own_error(simulator):
    def full(record):
        raise FileError("disk full")

    plan = make_plan(config_for(simulator(), iterations=100), {})
    with trio.fail_after(HANG_S), pytest.raises(FileError, match="disk full"):
        await run_plan(plan, on_record=full)


async def test_a_certificate_file_that_is_not_there_is_a_configuration_error(simulator, tmp_path):
    handle = simulator(tls=True)
    config = config_for(handle, iterations=2, target=None)
    target = TargetConfig(
        provider="openai", model="m", base_url=f"{handle.url}/v1", cacert=str(tmp_path / "none.pem"), proxy=""
    )
    with pytest.raises(ConfigError, match=r"none\.pem"):
        await run_plan(make_plan(RunConfig(targets=(target,), load=config.load), {}), on_record=print)


@pytest.mark.parametrize("load", [{"iterations": 50}, {"duration_ns": 60 * NS_PER_S}, {"rate_per_s": 20.0}])
async def test_the_money_that_is_left_decides_what_is_sent(simulator, load):
    handle = simulator()
    ceiling = SpendCeiling(100, lambda record: 30)
    outcome, records, _ = await run(config_for(handle, **load), ceiling=ceiling, worst_nusd=lambda slot: 40)
    # 3 x 30 were spent, and 40 more would have passed 100; in an open loop one may be due while another is open.
    assert len(records) in ((2, 3) if "rate_per_s" in load else (3,))
    assert "--max-cost" in outcome.over_budget
    assert len(handle.log()) == len(records)


async def test_progress_is_told_and_ends_complete(simulator):
    seen = []

    def look(state: RunState):
        seen.append((state.done, state.in_flight, state.total))

    await run(config_for(simulator(), iterations=6), on_progress=look)
    assert seen[-1] == (6, 0, 6)


async def test_the_garbage_collector_is_as_it_was_after_a_run(simulator):
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    states = []
    plan = make_plan(config_for(simulator(), iterations=2), {})
    await run_plan(plan, on_record=lambda record: states.append(gc.isenabled()))
    assert states == [False, False]
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen


async def test_texts_are_kept_only_on_request(simulator):
    handle = simulator()
    _, (without,), _ = await run(config_for(handle, pattern="single"))
    _, (kept,), _ = await run(config_for(handle, pattern="single", output=OutputConfig(save_text=True)))
    assert without.text is None
    assert kept.text == make_script(**QUICK).expected_text()


async def test_the_plain_loop_measures_the_same_run(simulator):
    _, records, _ = await run(config_for(simulator(), iterations=6, concurrency=2), fallback=True)
    assert {(r.status, r.stamp_kind) for r in records} == {(Status.SUCCESS, "read")}


async def test_a_codec_that_breaks_spoils_one_request_and_not_the_run(simulator):
    plan = make_plan(config_for(simulator(), iterations=3), {})
    sound = plan.targets[0].provider

    class Fragile:
        """Decodes all but the second answer."""

        answers = 0

        def __getattr__(self, name):
            return getattr(sound, name)

        def decode(self, request, exchange):
            self.answers += 1
            if self.answers == 2:
                raise KeyError("choices")
            return sound.decode(request, exchange)

    target = msgspec.structs.replace(plan.targets[0], provider=Fragile())
    records = []
    await run_plan(msgspec.structs.replace(plan, targets=(target,)), on_record=records.append)
    assert [r.category for r in records] == ["success", "protocol_error", "success"]
    assert "KeyError" in records[1].failure.message
    assert len(records[1].events) > 0, "what was measured is kept"


async def test_a_stop_during_the_wait_for_a_retry_keeps_the_failure(simulator):
    stop, handle = Stop(), simulator(status=503, retry_after=60)

    async def ask_soon():
        with trio.fail_after(HANG_S):
            while not any(entry["end"] != "open" for entry in await trio.to_thread.run_sync(handle.log)):
                await trio.sleep(0.01)
            while not all_read(handle.port):
                await trio.sleep(0.01)
        # The refusal has been read: once nothing is left to do, the wait has begun.
        await trio.testing.wait_all_tasks_blocked(0.05)
        stop.ask("enough")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_soon)
        _, (record,), _ = await run(config_for(handle, pattern="single", retries=1), stop=stop)
    assert (record.status, record.http_status, record.tries) == (Status.SERVER_ERROR, 503, ())


async def test_requests_that_are_all_refused_leave_others_their_turn():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = TargetConfig(
            provider="openai-compatible", model="m", base_url=f"http://127.0.0.1:{nobody.getsockname()[1]}/v1", proxy=""
        )
        plan = make_plan(
            RunConfig(targets=(target,), load=LoadConfig(iterations=10**8), prompts=PromptConfig(texts=("hi",))), {}
        )
        stop, records = Stop(), []

        async def soon():
            stop.ask("SIGTERM")

        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(soon)
                await run_plan(plan, on_record=records.append, stop=stop)
    assert len(records) < 10**6


@pytest.mark.parametrize("first_token", ["5ms", "200ms"])
async def test_an_open_loop_that_a_rate_limit_holds_back_ends_with_its_duration(simulator, first_token):
    """The provider asks to wait for a minute; what is due until the end is not sent, and that is told.

    Where answers take long, some are refused before the first one tells of the limit: they are not sent again.
    """
    for duration_s in limits(0.6):
        handle, due = simulator(rate_limit="3/60s", ttft=first_token), round(50 * duration_s)
        config = config_for(handle, rate_per_s=50, duration_ns=due * 20 * NS_PER_MS, adaptive=True, retries=2)
        ceiling = SpendCeiling(10_000_000, lambda _: 0)
        outcome, records, _ = await run(config, ceiling=ceiling, worst_nusd=lambda _: 10)
        if len(records) < due:  # else the first answer came when all had been sent
            break
    refused = [record for record in records if record.status is Status.RATE_LIMITED]
    assert len(records) == outcome.requests < due
    assert sorted(record.index for record in records) == list(range(len(records)))
    assert len(refused) == len(records) - 3
    held = f"; {due - len(records)} requests were held until the end of the duration and not sent"
    assert [held in warning for warning in outcome.warnings].count(True) == 1
    assert ceiling._reserved_nusd == 0


async def test_no_memory_for_one_request_costs_that_request_alone(simulator, monkeypatch):
    perform, asked = engine.perform, []

    async def refused(*args, **more):
        asked.append(args)
        if len(asked) == 2:
            raise MemoryError
        return await perform(*args, **more)

    monkeypatch.setattr(engine, "perform", refused)
    records = []
    config = config_for(simulator(), iterations=4, concurrency=1)
    outcome = await run_plan(make_plan(config), on_record=records.append)
    assert [one.category for one in records] == ["success", "protocol_error", "success", "success"]
    assert "no memory is left" in records[1].failure.message
    assert outcome.requests == 4
