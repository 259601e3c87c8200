"""Runs made up for the pages: everything a page can show, drawn from a seed, so that each look is the same."""

from __future__ import annotations

import random
from array import array

import msgspec

from lens.history.write import write_run
from lens.model import (
    Connection,
    Events,
    Failure,
    Machine,
    Record,
    RunInfo,
    Signal,
    Stamps,
    Status,
    Target,
    Try,
    Usage,
)

MS = 1_000_000
START = 5_000 * MS
EVIL = 'gpt</script><script>alert("x")</script>&<b>'

CALIBRATION = {
    "started_at": "2026-03-01T09:00:00Z",
    "cases": [
        {"scheme": "http", "streams": 1, "stamp_kind": "kernel",
         "tokens": {"n": 125, "bias_us": 21.0, "p50_us": 27.9, "p99_us": 64.8, "max_us": 79.1},
         "read_tokens": {"n": 125, "bias_us": 80.0, "p50_us": 90.0, "p99_us": 264.0, "max_us": 300.0},
         "ttft": {"n": 5, "bias_us": 2.7, "p50_us": 3.0, "p99_us": 9.0, "max_us": 9.0}},
        {"scheme": "tls", "streams": 200, "stamp_kind": "kernel",
         "tokens": {"n": 20000, "bias_us": 5.0, "p50_us": 6.3, "p99_us": 15.2, "max_us": 89.0},
         "read_tokens": {"n": 20000, "bias_us": 90.0, "p50_us": 120.0, "p99_us": 527.0, "max_us": 900.0},
         "ttft": {"n": 200, "bias_us": 3.7, "p50_us": 4.0, "p99_us": 12.0, "max_us": 20.0}},
    ],
}  # fmt: skip
MACHINE = Machine(
    hostname="bench-1",
    system="Linux",
    kernel="6.18.0",
    cpus=2,
    python="3.11.2",
    clock_resolution_ns=1,
    clock_cost_ns=41,
)


def info(model="fast-1", provider="openai", **more):
    return RunInfo(
        schema=1,
        version="0.1.0",
        run_id=f"run-{model}",
        started_at="2026-03-01T10:00:00Z",
        started_ns=START,
        ended_at="2026-03-01T10:01:00Z",
        ended_ns=START + 60_000 * MS,
        targets=(Target(provider=provider, model=model, url="https://api.example/v1/chat/completions"),),
        command="lll benchmark --provider openai -n 120 -c 8",
        config={"load": {"iterations": 120, "concurrency": 8}},
        machine=MACHINE,
        calibration=CALIBRATION,
        **more,
    )


def request(rng, index, start_ns, *, model="fast-1", slow=1.0, cold=False, thinking=False, stage=None, tokens=80):
    """A stream over TLS: new or reused connection, a wait that varies, gaps that vary, now and then a stall."""
    at = start_ns
    given = {"start": at, "intended": at - rng.randrange(0, 2 * MS)}
    if cold:
        for name, took in (("dns", 4), ("tcp", 9), ("tls", 22)):
            given[f"{name}_start"] = at
            at += round(rng.uniform(0.7, 1.6) * took * MS)
            given[f"{name}_end"] = at
    given["send_start"], given["send_end"] = at, at + 60_000
    at += 60_000 + round(rng.lognormvariate(0, 0.35) * 180 * slow * MS)
    given["first_byte"] = given["head_end"] = at
    at += round(rng.uniform(20, 60) * MS)
    arrived, signals = [], []
    for i in range(tokens):
        arrived.append(at - start_ns)
        signals.append(int(Signal.REASONING if thinking and i < tokens // 4 else Signal.TEXT))
        at += round(rng.gauss(18, 2.5) * slow * MS) if rng.random() > 0.004 else round(rng.uniform(260, 700) * MS)
    given["end"] = arrived[-1] + start_ns + 2 * MS
    return Record(
        request_id=f"00000000-0000-4000-8000-{index:012d}",
        index=index,
        provider="openai",
        model=model,
        timestamp="2026-03-01T10:00:00.000000Z",
        stamps=Stamps(**given),
        status=Status.SUCCESS,
        category="success",
        events=Events(
            arrived_ns=array("q", arrived),
            lag_ns=array("q", [rng.randrange(20_000, 90_000) for _ in arrived]),
            signals=array("H", signals),
            chars=array("I", [4] * tokens),
            read=array("I", range(tokens)),
        ),
        usage=Usage(input_tokens=300, output_tokens=tokens, reasoning_tokens=tokens // 4 if thinking else None),
        token_source="usage",
        stamp_kind="kernel",
        http_status=200,
        connection=Connection(reused=not cold, peer="192.0.2.1:443", tls_version="TLSv1.3", alpn="http/1.1"),
        server_timing_ms={"openai_processing": 160.0},
        stage=stage,
    )


def failure(record, category, status, message, http_status=None):
    """The same request, refused after 30 ms."""
    stamps = msgspec.structs.replace(
        record.stamps, first_byte=record.stamps.start + 29 * MS, head_end=None, end=record.stamps.start + 30 * MS
    )
    return msgspec.structs.replace(
        record,
        stamps=stamps,
        status=status,
        category=category,
        events=Events(),
        usage=None,
        http_status=http_status,
        failure=Failure(message=message, where="http"),
        tries=(Try(start_ns=0, end_ns=1, category=category, http_status=http_status, wait_ns=MS),),
    )


def loaded(n=120, *, model="fast-1", slow=1.0, seed=1, failures=True, thinking=False, tokens=80):
    """A closed loop of eight: cold at first, then warm; some requests refused."""
    rng = random.Random(seed)
    free = [START] * 8
    records = []
    for index in range(n):
        lane = min(range(8), key=free.__getitem__)
        one = request(
            rng, index, free[lane], model=model, slow=slow, cold=index < 8 or index % 9 == 0, thinking=thinking,
            tokens=tokens,
        )  # fmt: skip
        if failures and index % 17 == 5:
            one = failure(one, "rate_limited", Status.RATE_LIMITED, f"Rate limit reached for {EVIL}", 429)
        elif failures and index % 41 == 7:
            one = failure(one, "timeout", Status.NETWORK_ERROR, "no first token within 5 s")
        records.append(one)
        free[lane] = one.stamps.end + MS
    return records


def swept(seed=3, per_stage=60):
    """Six rates of concurrency; from 16 on the endpoint queues."""
    rng = random.Random(seed)
    records, zero, index = [], START, 0
    for width in (1, 2, 4, 8, 16, 32):
        slow = 1.0 + 0.02 * width + max(0, width - 12) * 0.35
        free = [zero] * width
        for _ in range(max(per_stage, width * 3)):
            lane = min(range(width), key=free.__getitem__)
            one = request(rng, index, free[lane], slow=slow, stage=f"concurrency {width}", tokens=20)
            records.append(one)
            free[lane] = one.stamps.end
            index += 1
        zero = max(free) + 500 * MS
    return records


def write(folder, name, header, records):
    path = folder / name
    write_run(path, header, records)
    return path
