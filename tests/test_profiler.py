"""The library as a user writes it: from plain code, from trio and from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading

import pytest
import trio
from waiting import wait_until

import lens
from lens import Profiler, ProviderConfig, RequestConfig, Status
from lens.errors import ConfigError
from lens.profiler import measure
from lens.run.simulators import with_simulators
from lens.simulator import make_script, start_thread


@pytest.fixture(scope="module")
def simulator():
    with start_thread(make_script(ttft="20ms", itl="10ms", tokens=10)) as handle:
        yield handle


@pytest.fixture
def silent():
    """One whose requests are never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Profiler("openai", "m", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", api_key="k-12345678")


@pytest.fixture
def profiler(simulator):
    return Profiler("openai", "m", base_url=f"{simulator.url}/v1", proxy="", price="in=3,out=15")


def check(metrics):
    assert metrics.ok
    assert metrics.status == "Success"
    assert metrics.error is None
    assert metrics.ttft_ms >= 20
    assert metrics.ttfb_ms <= metrics.ttft_ms < metrics.total_latency_ms
    assert metrics.output_tokens == 10
    assert metrics.tokens_per_second > 0
    assert metrics.total_cost == metrics.input_cost + metrics.output_cost > 0
    assert metrics.tcp_connection_ms > 0
    assert metrics.tls_handshake_ms is None
    assert [t["token_index"] for t in metrics.token_timings] == list(range(10))
    assert (metrics.provider, metrics.model) == ("openai", "m")


def test_a_blocking_call_works_in_plain_code(profiler):
    check(profiler.profile("hi"))


async def test_it_can_be_awaited_under_trio(profiler):
    check(await profiler.profile_request("hi"))


def test_it_can_be_awaited_under_asyncio(profiler):
    check(asyncio.run(profiler.profile_request("hi")))


def test_a_blocking_call_inside_a_running_loop_does_not_break_it(profiler):
    async def main():
        return profiler.profile("hi")

    check(asyncio.run(main()))
    check(trio.run(main))


def test_cancelling_an_asyncio_task_stops_the_run(profiler, simulator):
    slow = Profiler(profiler.target, headers=(("x-lens-script", "tokens=2000,itl=20ms"),))
    records = []

    async def main():
        simulator.reset()
        task = asyncio.create_task(slow.run("hi", iterations=1, on_record=records.append))
        await asyncio.to_thread(wait_until, lambda: simulator.stats()["writes"] > 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: records)

    asyncio.run(main())
    assert [r.status for r in records] == [Status.CANCELLED]


def test_the_specified_example_runs_as_printed(simulator):
    profiler = (
        Profiler.builder()
        .provider(ProviderConfig.openai("gpt-4"))
        .api_key("sk-x")
        .base_url(f"{simulator.url}/v1")
        .price("in=30,out=60")
        .build()
    )
    metrics = profiler.profile("Test prompt")
    assert f"TTFT: {metrics.ttft_ms:.2f}ms"
    assert f"Throughput: {metrics.tokens_per_second:.2f} tokens/sec"
    assert f"Cost: ${metrics.total_cost:.4f}" != "Cost: $0.0000"


def test_the_short_forms_ask_once(simulator):
    options = {"provider": "openai", "model": "m", "base_url": f"{simulator.url}/v1"}
    assert lens.profile("hi", **options).ok
    assert trio.run(lambda: lens.profile_request("hi", **options)).ok


async def test_a_run_gives_its_header_and_every_record(profiler):
    seen = []
    info, records = await profiler.run("a", "b", iterations=6, concurrency=2, on_record=seen.append)
    assert len(records) == len(seen) == 6
    assert info.ended_ns > info.started_ns
    assert info.started_ns <= min(r.stamps.start for r in records)
    assert info.targets[0].url.endswith("/v1")
    assert info.machine.clock_cost_ns > 0
    assert profiler.metrics(records[0]).total_cost > 0


def test_a_request_that_fails_is_a_result_and_not_an_exception(simulator):
    metrics = Profiler("openai", "m", base_url="http://127.0.0.1:9/v1", proxy="").profile("hi")
    assert not metrics.ok
    assert metrics.status == "NetworkError"
    assert metrics.ttft_ms is None
    assert "refused" in metrics.error


def test_every_metric_is_an_attribute_and_a_wrong_name_says_what_there_is(profiler):
    metrics = profiler.profile("hi")
    assert metrics.decode_tokens_per_second > 0
    with pytest.raises(AttributeError, match="there are"):
        _ = metrics.time_to_first_tokin
    assert "ttft_ms" in dir(metrics)


def test_a_ramp_without_its_first_rate_is_refused(profiler):
    with pytest.raises(ConfigError, match="a ramp needs two rates: rate=1 ramp_to=10"):
        profiler.run_blocking("hi", ramp_to=10, duration="1s")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Profiler("openai", "m", modle="x"),
        lambda: Profiler.builder().build(),
        lambda: Profiler.builder().provider("openai").load(iteration=3).build(),
        lambda: Profiler("openai", "m", price="free"),
        lambda: Profiler("openai", "m", max_tokens=0),
    ],
)
def test_a_mistake_is_found_when_the_profiler_is_made(make):
    with pytest.raises(ConfigError):
        make()


def test_a_key_does_not_show_in_a_profiler():
    profiler = Profiler("openai", "m", api_key="sk-secret")
    assert "sk-secret" not in repr(profiler.target)
    assert "sk-secret" not in repr(vars(profiler))


async def test_the_provider_simulator_brings_its_own_server():
    config = lens.RunConfig(targets=(lens.TargetConfig(provider="simulator"),), load=lens.LoadConfig(iterations=2))
    with with_simulators(config) as hosted:
        assert hosted.targets[0].base_url.startswith("http://127.0.0.1:")
    records = []
    info = await measure(config, on_record=records.append)
    assert [r.status for r in records] == [Status.SUCCESS] * 2
    assert info.targets[0].model == "simulator"


def test_importing_lens_loads_nothing_heavy():
    code = "import sys, lens; print(sorted(set(sys.modules) & {'trio', 'numpy', 'msgspec', 'click', 'rich', 'h11'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    for name in lens.__all__:
        assert getattr(lens, name) is not None
    assert set(lens.__all__) <= set(dir(lens))
    with pytest.raises(AttributeError, match="nothing"):
        _ = lens.nothing


def test_an_error_crosses_every_bridge_unchanged():
    nowhere = Profiler("nobody", "m", base_url="http://127.0.0.1:9")

    async def awaited():
        await nowhere.profile_request("hi")

    async def blocked():
        nowhere.profile("hi")

    for way in (lambda: asyncio.run(awaited()), lambda: trio.run(awaited), lambda: asyncio.run(blocked())):
        with pytest.raises(ConfigError, match="nobody"):
            way()
    with pytest.raises(ConfigError, match="nobody"):
        nowhere.profile("hi")


def test_requests_are_handed_out_while_the_run_goes_on(profiler, simulator):
    simulator.reset()
    with profiler.stream_metrics("hi", iterations=1000, concurrency=1) as stream:
        seen = [next(stream) for _ in range(5)]
        assert simulator.stats()["requests"] < 1000, "not all at the end"
    assert all(metrics.ok and metrics.output_tokens == 10 for metrics in seen)


async def test_they_come_under_trio(profiler):
    assert [metrics.ok async for metrics in profiler.stream_metrics("hi", iterations=3)] == [True] * 3


def test_they_come_under_asyncio(profiler):
    async def main():
        return [metrics.ok async for metrics in profiler.stream_metrics("hi", iterations=3)]

    assert asyncio.run(main()) == [True] * 3


def test_leaving_a_block_early_stops_the_run(profiler):
    with profiler.stream_metrics("hi", iterations=10_000) as stream:
        next(stream)
    assert list(stream) == []
    assert not any(thread.name == "lens-stream" for thread in threading.enumerate())


async def test_leaving_it_early_under_trio_stops_it_too(profiler):
    async with profiler.stream_metrics("hi", iterations=10_000) as stream:
        async for _ in stream:
            break
    assert not any(thread.name == "lens-stream" for thread in threading.enumerate())


def test_a_stream_nobody_reads_on_ends_by_itself(profiler):
    next(profiler.stream_metrics("hi", iterations=10_000))
    wait_until(lambda: all(thread.name != "lens-stream" for thread in threading.enumerate()))


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_stream_whose_reader_is_cancelled_ends_though_somebody_holds_it(silent, library):
    stream = silent.stream_metrics("hi", iterations=10_000)

    async def under_trio():
        with trio.move_on_after(0.05):
            await anext(stream)

    async def under_asyncio():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)

    if library == "trio":
        trio.run(under_trio)
    else:
        asyncio.run(under_asyncio())
    wait_until(lambda: all(thread.name != "lens-stream" for thread in threading.enumerate()))


def test_a_mistake_in_a_stream_is_told_to_who_reads_it(simulator):
    broken = Profiler("openai", "m", base_url=simulator.url, cacert="/nowhere.pem")
    with pytest.raises(ConfigError):
        list(Profiler("openai", "m").stream_metrics("hi", iterations=-1))
    assert [m.ok for m in broken.stream_metrics("hi", iterations=1)] in ([True], [False])


@pytest.mark.parametrize("given", [["a", "b"], 3, None, b"a"])
def test_prompts_are_separate_arguments(given):
    profiler = Profiler("simulator", "m")
    for call in (profiler.run_blocking, profiler.stream_metrics, lambda *prompts: trio.run(profiler.run, *prompts)):
        with pytest.raises(ConfigError, match=f"not {type(given).__name__}; prompts are separate arguments"):
            call("hi", given)


def test_a_provider_without_a_model_says_what_to_give():
    for make in (ProviderConfig.openai, ProviderConfig.anthropic, ProviderConfig.google):
        with pytest.raises(ConfigError, match="no model"):
            make()
    assert ProviderConfig("groq", "llama", max_tokens=5).max_tokens == 5


def test_headers_may_be_a_mapping(simulator):
    target = ProviderConfig.openai("m", headers={"x-a": "1", "x-b": "2"})
    assert target.headers == (("x-a", "1"), ("x-b", "2"))
    assert Profiler(target, headers={"x-c": "3"}).target.headers == (("x-c", "3"),)


def test_one_request_may_be_asked_differently(profiler):
    metrics = profiler.profile("hi", RequestConfig(max_tokens=3, stream=False))
    assert metrics.ok
    assert not metrics.record.stream
    assert metrics.ttft_ms is None
    assert profiler.profile("hi").record.stream


def test_a_run_names_the_settings_of_its_targets(profiler):
    target = ProviderConfig.of("simulator", "m", temperature=0.5, max_tokens=9)
    info, _ = Profiler(target).run_blocking("hi", iterations=1)
    assert (info.targets[0].temperature, info.targets[0].max_tokens) == (0.5, 9)
