"""Claim: 1,000,000 recorded requests of 20 tokens each are read and summed up in less than 10 s and 1 GiB.

The records are like those of a run against a chat endpoint: kept connections, some failures, thinking,
cached prompts, gaps with a tail, tokens that come in pairs, prices from the book that ships. They are
written once as a MessagePack run file (--records N for fewer), then read and summed up by a fresh
process, whose peak of memory is the one that counts.

    python benchmarks/bench_analysis.py [--records N] [--keep FILE]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from array import array
from pathlib import Path

import msgspec
import numpy as np
from common import claim

from lens.history.read import RunStream
from lens.history.write import MAGIC, message
from lens.metrics.summarize import summarize
from lens.model import Connection, Events, Failure, Record, RunInfo, Signal, Stamps, Status, Target, TcpInfo, Usage
from lens.pricing import standard_book

MOST_S, MOST_BYTES = 10.0, 1 << 30
EVENTS = 20
VARIANTS = 2000  # different records; each is written many times, with stamps of its own
MS = 1_000_000
TEXT, REASONING, LAST = int(Signal.TEXT), int(Signal.REASONING), int(Signal.FINISH | Signal.USAGE)


def variant(chance: np.random.Generator, number: int) -> Record:
    """One answer: first token after some 300 ms, then a token or two about every 15 ms."""
    gaps = chance.lognormal(np.log(15 * MS), 0.4, EVENTS + 1)
    gaps[0] = chance.lognormal(np.log(300 * MS), 0.3)
    at = np.cumsum(gaps).astype(np.int64)
    thinks = number % 5 == 0
    kinds = [REASONING if thinks and i < 6 else TEXT for i in range(EVENTS)] + [LAST]
    fails = number % 50 == 0
    return Record(
        request_id=str(uuid.UUID(int=number)),
        index=number,
        provider="openai",
        model="gpt-4o-mini",
        timestamp="2025-11-07T18:30:00.000000Z",
        stamps=Stamps(
            start=0, intended=-int(chance.integers(0, 90_000)), send_start=40_000, send_end=60_000,
            first_byte=int(at[0]) - 100_000, head_end=int(at[0]) - 90_000, end=int(at[-1]),
        ),
        status=Status.NETWORK_ERROR if fails else Status.SUCCESS,
        category="truncated" if fails else "success",
        failure=Failure(message="the connection ended inside the stream") if fails else None,
        events=Events(
            arrived_ns=array("q", at.tolist()),
            lag_ns=array("q", chance.integers(5_000, 60_000, EVENTS + 1).tolist()),
            signals=array("H", kinds),
            chars=array("I", [*chance.integers(1, 9, EVENTS).tolist(), 0]),
            read=array("I", range(EVENTS + 1)),
        ),
        connection=Connection(
            reused=number % 100 != 1, peer="192.0.2.1:443", family="ipv4", tls_version="TLSv1.3",
            tls_cipher="TLS_AES_256_GCM_SHA384", alpn="http/1.1", verified=True,
            tcp_at_send=TcpInfo(rtt_us=8300, min_rtt_us=7900), tcp_at_end=TcpInfo(rtt_us=8400, min_rtt_us=7900),
        ),
        http_status=200,
        usage=None if fails else Usage(
            input_tokens=int(chance.integers(50, 4000)), output_tokens=EVENTS * (2 if number % 2 else 1),
            cache_read_tokens=40 if number % 3 else 0, reasoning_tokens=6 if thinks else 0,
        ),
        token_source="usage",
        finish_reason="stop",
        served_model="gpt-4o-mini-2024-07-18",
        stamp_kind="kernel",
        wire_bytes=6000,
        headers={"content-type": "text/event-stream", "server": "cloudflare"},
        provider_request_id="req_0123456789abcdef",
    )  # fmt: skip


def write(path: Path, records: int) -> None:
    """A run at 200 requests a second."""
    chance = np.random.default_rng(1)
    variants = [variant(chance, number) for number in range(VARIANTS)]
    info = RunInfo(
        schema=2, version="0", run_id="bench", started_at="2025-11-07T18:30:00Z", started_ns=0,
        targets=(Target(provider="openai", model="gpt-4o-mini", url="https://api.example/v1"),),
    )  # fmt: skip
    with path.open("wb") as out:
        out.write(MAGIC + message(info))
        for number in range(records):
            like = variants[number * 7919 % VARIANTS]
            start = number * 5 * MS
            moved = {name: start + at for name, at in msgspec.structs.asdict(like.stamps).items() if at is not None}
            out.write(message(msgspec.structs.replace(like, index=number, stamps=Stamps(**moved))))


def read(path: Path) -> None:
    """In a process of its own: read, sum up, and say what it took."""
    began = time.perf_counter()
    with RunStream(path) as stream:
        summary = summarize(stream, book=standard_book())
    took_s = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"requests": summary.requests, "took_s": took_s, "peak": peak, "cost": str(summary.total_cost)}))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--read", type=Path)
    asked = parser.parse_args()
    if asked.read:
        read(asked.read)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = asked.keep or Path(folder) / "million.msgpack"
        if not path.exists():
            write(path, asked.records)
        done = subprocess.run(
            [sys.executable, __file__, "--read", path], stdout=subprocess.PIPE, text=True, check=True, timeout=600
        )
        size = path.stat().st_size
    found = json.loads(done.stdout)
    requests, share = found["requests"], found["requests"] / 1_000_000
    claim(
        f"{requests:,} requests of {EVENTS} tokens are read and summed up in less than {MOST_S:.0f} s",
        found["took_s"], "s", baseline="the claim, for as many", baseline_figure=MOST_S * share,
        ratio=found["took_s"] / (MOST_S * share), holds=found["took_s"] < MOST_S * share, file_bytes=size,
    )  # fmt: skip
    claim(
        f"summing up {requests:,} requests takes less than 1 GiB", found["peak"] / (1 << 20), "MiB",
        baseline="the claim", baseline_figure=1024, ratio=found["peak"] / MOST_BYTES, holds=found["peak"] < MOST_BYTES,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
