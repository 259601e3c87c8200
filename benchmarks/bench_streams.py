"""Claim: reading 1,000 streams of 50 tokens a second costs at most 1.3 times the CPU of a bare C client,
and an open stream takes at most 16 KiB of memory.

The whole instrument (plan, connections, h11, reactor, records) against bare_client.c, which understands
nothing, on the same server in the same run: client on one core, simulator on the other. CPU is that of
the client process from the first connect to the last record, divided by the events it saw: connections
and records are in it, so few streams cost more an event. Memory is the growth of the resident set until
just before the first stream ends, less 8 bytes for each event (what the tape may take, see
bench_frames.py). Prints one line of JSON a case.
"""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

STREAMS = (1, 64, 400, 1000)
TOKENS, ITL_NS = 500, 20_000_000
FLOOD_STREAMS, FLOOD_TOKENS = 16, 20_000
MOST_RATIO, MOST_BYTES, FLOOD_PER_S = 1.3, 16 * 1024, 300_000
TAPE_BYTES = 8  # an event
HERE = Path(__file__).resolve().parent
REQUEST = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/json\r\n"
    "Content-Length: {n}\r\n\r\n{body}"
)
BODY = '{"model":"bench","messages":[{"role":"user","content":"tick"}],"stream":true}'


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(url: str, streams: int) -> None:
    """In a process of its own: one request a stream, all open at once."""
    import trio

    from lens.config import LoadConfig, RunConfig, TargetConfig
    from lens.orchestrator.engine import run_plan
    from lens.orchestrator.plan import make_plan

    target = TargetConfig(provider="simulator", model="bench", base_url=f"{url}/v1", proxy="")
    load = LoadConfig(iterations=streams, concurrency=streams, connection="fresh")
    plan = make_plan(RunConfig(targets=(target,), load=load), {})
    records, sizes = [], [resident_bytes()]

    def watch() -> None:
        while not records:
            sizes.append(resident_bytes())
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    before_s = cpu_s()
    trio.run(lambda: run_plan(plan, on_record=records.append))
    print(
        json.dumps(
            {
                "events": sum(len(r.events) for r in records),
                "cpu_s": cpu_s() - before_s,
                "bytes": sizes[-1] - sizes[0],
                "failed": sum(r.status != "Success" for r in records),
            }
        )
    )


def pinned(command: list[str]) -> dict:
    """The JSON that a command prints, run on the first core."""
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    return json.loads(done.stdout)


def case(streams: int, bare: str, request: str, *, flood: bool) -> dict:
    from lens.simulator import Script, start

    tokens = FLOOD_TOKENS if flood else TOKENS
    script = Script(ttft_ns=0 if flood else 200_000_000, itl_ns=ITL_NS, tokens=tokens, flood=flood)
    with start(script, cpu=max(os.sched_getaffinity(0))) as server:
        port = server.url.rpartition(":")[2]
        base = pinned([bare, "127.0.0.1", port, str(streams), request])
        ours = pinned([sys.executable, __file__, server.url, str(streams)])
    us, base_us = ours["cpu_s"] * 1e6 / ours["events"], base["cpu_s"] * 1e6 / base["events"]
    memory = (ours["bytes"] - TAPE_BYTES * ours["events"]) / streams
    claim, holds = f"CPU an event at {streams} streams of 50 tokens/s, beside a bare C client", not ours["failed"]
    if flood:
        claim = f"{FLOOD_PER_S:,} events or more a second of CPU, flooded over {streams} streams"
        holds = holds and us <= 1e6 / FLOOD_PER_S
    elif streams == max(STREAMS):
        claim += f": at most {MOST_RATIO} x; {MOST_BYTES // 1024} KiB an open stream"
        holds = holds and us <= MOST_RATIO * base_us and memory <= MOST_BYTES
    return {
        "claim": claim,
        "figure": round(us, 2),
        "unit": "us",
        "baseline": "bare C client",
        "baseline_figure": round(base_us, 2),
        "ratio": round(us / base_us, 2),
        "holds": holds,
        "events": ours["events"],
        "failed": ours["failed"],
        "resident_bytes_a_stream": round(memory),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()},
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare, request = f"{folder}/bare", Path(folder, "request")
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        subprocess.run([shutil.which(compiler) or "cc", "-O2", "-o", bare, HERE / "bare_client.c"], check=True)
        request.write_text(REQUEST.format(n=len(BODY), body=BODY))
        for streams in STREAMS:
            print(json.dumps(case(streams, bare, str(request), flood=False)), flush=True)
        print(json.dumps(case(FLOOD_STREAMS, bare, str(request), flood=True)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        main()
