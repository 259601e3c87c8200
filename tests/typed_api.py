"""The library as a type checker sees it: checked by mypy and pyright (`make types`), and never run.

What is wrong is marked; a checker that no longer finds it wrong says that the mark is needless.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import lens
from lens.results.request_metrics import RequestMetrics


def one_request() -> None:
    metrics = lens.profile("hi", provider="simulator", model="m", max_tokens=5, price="in=3,out=15")
    assert_type(metrics, RequestMetrics)
    assert_type(metrics.ttft_ms, float | None)
    assert_type(metrics.dns_ms, float | None)
    assert_type(metrics.ttft, float | None)
    assert_type(metrics.output_tokens, int | None)
    assert_type(metrics.total_cost, Decimal | None)
    assert_type(metrics.ok, bool)
    assert_type(metrics.record, lens.Record)
    print(metrics.ttft_s)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def options() -> None:
    profiler = lens.Profiler("openai", "m", base_url="http://host/v1", headers={"a": "b"}, api_key="k")
    lens.Profiler("openai", "m", modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    lens.Profiler("openai", "m", max_tokens="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    result = profiler.run_blocking("a", "b", rate="10/s", duration=60, connection="fresh", sweep_concurrency=[1, 2])
    profiler.run_blocking(iteration=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    profiler.run_blocking(connection="new")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(result, lens.RunResult)
    assert_type(result.records, list[lens.Record])
    assert_type(result.requests, list[RequestMetrics])
    assert_type(result.summary, lens.Summary)
    assert_type(result.info, lens.RunInfo)
    assert_type(profiler.profile("hi", system="be brief"), RequestMetrics)
    built = lens.Profiler.builder().provider("openai").model("m").option(max_tokens=5).load(retries=1).build()
    assert_type(built, lens.Profiler)
    assert_type(lens.ProviderConfig.openai("m", temperature=0.5), lens.TargetConfig)


def files(info: lens.RunInfo) -> None:
    for path in ("run.jsonl", Path("run.jsonl")):
        saved = lens.read_run(path)
        lens.write_run(path, info, saved.records, force=True)
        assert_type(saved, lens.SavedRun)
        assert_type(saved.info, lens.RunInfo | None)
        assert_type(lens.load_config(path), lens.RunConfig)


def streams(profiler: lens.Profiler) -> Iterator[float | None]:
    with profiler.stream_metrics("hi", iterations=3) as stream:
        for metrics in stream:
            yield metrics.itl_ms
    assert_type(stream.result, lens.RunResult | None)


async def awaited(profiler: lens.Profiler) -> None:
    assert_type(await profiler.run("hi", iterations=3), lens.RunResult)
    assert_type(await profiler.profile_request("hi"), RequestMetrics)
