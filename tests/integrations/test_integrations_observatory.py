"""Observatory's exporters: what they bring, when, and what becomes of it while a backend is away.

The backend answers by a script on a real socket of loopback and keeps what it was sent.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from handmade import INFO, failed_record, record
from waiting import HANG_S, wait_until

from lens.errors import ConfigError, TransportError
from lens.integrations.observatory import InfluxExporter, OtlpExporter, PrometheusExporter
from lens.pricing import PriceBook, parse_price
from lens.profiler import Profiler
from lens.results.request_metrics import RequestMetrics
from lens.simulator import Script, start_thread

sys.path.insert(0, str(Path(__file__).parent.parent / "push"))
from backend import Answer, backend

LATER = {"every_s": 3600.0, "info": INFO, "environ": {}}  # nothing goes by itself
BUSY = Answer(400)  # not tried again within one push


def counted(body: bytes, name: str = "ttft_ms_count") -> int:
    lines = [line for line in body.decode().splitlines() if line.startswith(f"llm_latency_lens_{name}{{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def test_the_loop_of_the_plan_brings_every_request():
    with (
        start_thread(Script(tokens=3, ttft_ns=1_000_000, itl_ns=1_000_000, usage="always")) as simulator,
        backend() as there,
    ):
        profiler = Profiler("vllm", "m", base_url=f"{simulator.url}/v1", price="in=1,out=1")
        exporter = PrometheusExporter(there.url, gateway=True, every_s=0.1)
        for metrics in profiler.stream_metrics("Hello", iterations=12, concurrency=3):
            exporter.push_metrics(metrics)
        exporter.flush()
    last = there.got[-1]
    assert last.method == "PUT"
    assert last.path.startswith("/metrics/job/llm_latency_lens/instance/")
    assert counted(last.body) == 12
    # Priced by the profiler's own prices, which the exporter was not told of.
    assert counted(last.body, "cost_per_request_count") == 12
    assert exporter.pushed == 12
    assert exporter.dropped == 0


async def test_under_trio_a_push_and_a_flush_are_awaited():
    with backend() as there:
        async with PrometheusExporter(there.url, gateway=True, **LATER) as exporter:
            for i in range(5):
                await exporter.push_metrics(record(index=i))
            await exporter.aflush()
            assert counted(there.got[-1].body) == 5
            await exporter.push_metrics(record(index=5))
        assert counted(there.got[-1].body) == 6


def test_under_asyncio_too():
    async def main(url: str) -> None:
        async with PrometheusExporter(url, gateway=True, waiting_most=2, batch=1, info=INFO) as exporter:
            for i in range(20):
                await exporter.push_metrics(record(index=i))
        assert exporter.dropped == 0

    with backend() as there:
        asyncio.run(main(there.url))
    assert counted(there.got[-1].body) == 20


async def test_who_awaits_each_push_loses_nothing_to_a_small_buffer():
    with backend(*[Answer(200, b"0123456789", drip_s=0.005)] * 3) as there:
        async with PrometheusExporter(
            there.url, gateway=True, waiting_most=4, batch=4, every_s=0, info=INFO
        ) as exporter:
            for i in range(40):
                await exporter.push_metrics(record(index=i))
        assert (exporter.pushed, exporter.dropped) == (40, 0)


def test_a_push_without_await_never_waits_and_the_oldest_leave_a_full_buffer():
    with backend() as there:
        exporter = InfluxExporter(there.url, waiting_most=10, batch=10, **LATER)
        with exporter._sending:  # a backend that takes long over what came before
            for i in range(25):
                exporter.push_metrics(record(index=i, model=f"m{i}"))
        exporter.flush()
    body = b"".join(got.body for got in there.got)
    assert exporter.pushed + exporter.dropped == 25
    assert exporter.pushed <= 20
    assert b"model=m24," in body


def test_requests_are_sent_in_batches():
    with backend() as there:
        exporter = InfluxExporter(there.url, batch=10, **LATER)
        for i in range(9):
            exporter.push_metrics(record(index=i))
        time.sleep(0.3)
        assert there.got == []
        exporter.push_metrics(record(index=9))
        wait_until(lambda: exporter.pushed == 10)
    (got,) = there.got
    assert got.path == "/write?db=llm_metrics&precision=ns"
    assert len(got.body.splitlines()) == 10


def test_what_waits_long_enough_is_sent_without_a_full_batch():
    with backend() as there:
        exporter = InfluxExporter(there.url, every_s=0.05, info=INFO, environ={})
        exporter.push_metrics(record())
        wait_until(lambda: exporter.pushed == 1)
        assert len(there.got) == 1


def test_nothing_is_forgotten_while_a_backend_is_away():
    with backend(BUSY, BUSY) as there:
        exporter = InfluxExporter(there.url, **LATER)
        exporter.push_metrics(record(index=0))
        with pytest.raises(TransportError, match="HTTP 400"):
            exporter.flush()
        assert exporter.trouble is not None
        exporter.push_metrics(record(index=1))
        with pytest.raises(TransportError):
            exporter.flush()
        assert exporter.pushed == 0
        exporter.flush()
        assert (exporter.pushed, exporter.dropped, exporter.trouble) == (2, 0, None)
    assert len(there.got[-1].body.splitlines()) == 2


def test_the_thread_tries_again_by_itself_and_ends_when_nothing_waits():
    with backend(BUSY, BUSY) as there:
        exporter = InfluxExporter(there.url, every_s=0.05, info=INFO, environ={})
        exporter.push_metrics(record())
        wait_until(lambda: exporter.pushed == 1)
        assert len(there.got) == 3
        wait_until(lambda: all(thread.name != "lens-observatory" for thread in threading.enumerate()))


def test_a_program_that_ends_has_sent_what_waited():
    code = """
import sys
sys.path[:0] = {paths!r}
from handmade import record
from lens.integrations.observatory import InfluxExporter
exporter = InfluxExporter({url!r}, every_s=3600)
for i in range(7):
    exporter.push_metrics(record(index=i))
"""
    here = Path(__file__).parent.parent
    with backend() as there:
        code = code.format(paths=[str(here)], url=there.url)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(there.got[-1].body.splitlines()) == 7


def test_a_program_that_ends_while_the_backend_is_away_ends_and_says_so():
    code = """
import sys
sys.path[:0] = {paths!r}
from handmade import record
from lens.integrations.observatory import InfluxExporter
InfluxExporter({url!r}, every_s=3600).push_metrics(record())
"""
    with backend(BUSY, BUSY, BUSY) as there:
        code = code.format(paths=[str(Path(__file__).parent.parent)], url=there.url.replace("://", "://me:hush@"))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0
    assert "1 requests were never pushed: push to http://127.0.0.1" in done.stderr
    assert "hush" not in done.stderr


def test_a_collector_gets_spans_and_metrics():
    with backend() as there, OtlpExporter(there.url, **LATER) as exporter:
        exporter.push_metrics(RequestMetrics(record()))
        exporter.push_metrics(failed_record())
    assert {got.path for got in there.got} == {"/v1/traces", "/v1/metrics"}
    (traces,) = [json.loads(got.body) for got in there.got if got.path == "/v1/traces"]
    assert len(traces["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://observatory:9091", "push-gateway"),
        ("http://observatory:80/metrics/job/mine", "push-gateway"),
        ("http://observatory:9090", "export-prometheus"),
    ],
)
def test_the_address_tells_a_pushgateway_from_a_remote_write(url, kind):
    assert PrometheusExporter(url)._push.kind == kind


def test_own_prices_go_before_those_of_the_metrics():
    own = PriceBook((parse_price("in=1000000,out=0"),))
    with backend() as there, InfluxExporter(there.url, book=own, **LATER) as exporter:
        exporter.push_metrics(RequestMetrics(record(), PriceBook((parse_price("in=1,out=1"),))))
    assert b"cost=42" in there.got[0].body


@pytest.mark.parametrize("bounds", [{"batch": 0}, {"batch": 20, "waiting_most": 10}, {"every_s": -1}])
def test_a_bound_that_is_none_is_refused(bounds):
    with pytest.raises(ConfigError, match="batch"):
        InfluxExporter("http://observatory:8086", **bounds)


def test_no_secret_is_shown():
    assert "hush" not in repr(InfluxExporter("http://me:hush@observatory:8086?token=hush"))
    with pytest.raises(ConfigError) as caught:
        PrometheusExporter("ftp://me:hush@observatory:9091")
    assert "hush" not in str(caught.value)


def test_the_example_of_the_page_pushes_all_it_measures():
    text = (Path(__file__).parents[2] / "docs" / "observatory.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    with backend() as there:
        code = code.replace("http://observatory:9091", f"{there.url}/metrics/job/page")
        code = code.replace("iterations=100", "iterations=4, concurrency=4")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert counted(there.got[-1].body) == 4
