"""Claim: reading 1,000 streams of 50 tokens a second costs at most 1.3 times the CPU of a bare C client,
an open stream takes at most 16 KiB of memory, and a flood is read at 300,000 events a second or more.

The whole instrument (plan, connections, h11, reactor, records) against bare_client.c, which understands
nothing, on the same server in the same run: client on one core, simulator on the other. CPU is that of
the client process from the first connect to the last record, divided by the events it saw: connections
and records are in it, so few streams cost more an event. Memory is the growth of the resident set until
just before the first stream ends, less 8 bytes for each event (what the tape may take, see
bench_frames.py). Events a second are by the wall clock, from the first arrival to the last read. Prints
one line of JSON a case.
"""

import json
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

from common import claim, cpu_s, last_core, measured_run, pinned

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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(url: str, streams: int) -> dict:
    """In a process of its own: one request a stream, all open at once."""
    sizes, done = [resident_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            sizes.append(resident_bytes())

    planned_s: list[float] = []
    threading.Thread(target=watch, daemon=True).start()
    load: dict = {"iterations": streams, "concurrency": streams, "connection": "fresh"}
    records = measured_run(url, on_planned=lambda: planned_s.append(cpu_s()), on_first=done.set, **load)
    used_s = cpu_s() - planned_s[0]
    events = sum(len(record.events) for record in records)
    first = min(record.stamps.start + record.events.arrived_ns[0] for record in records)
    last = max(record.stamps.start + record.events.arrived_ns[-1] + record.events.lag_ns[-1] for record in records)
    return {
        "events": events,
        "cpu_s": used_s,
        "events_per_s": events * 1e9 / (last - first),
        "bytes": sizes[-1] - sizes[0],
        "failed": sum(record.status != "Success" for record in records),
    }


def taken(streams: int, bare: str, request: str, *, flood: bool) -> tuple[dict, dict]:
    """What each found of the same server: (this instrument, the bare client)."""
    from lens.simulator import Script, start

    tokens = FLOOD_TOKENS if flood else TOKENS
    script = Script(ttft_ns=0 if flood else 200_000_000, itl_ns=ITL_NS, tokens=tokens, flood=flood)
    with start(script, cpu=last_core()) as server:
        port = server.url.rpartition(":")[2]
        base = pinned([bare, "127.0.0.1", port, streams, request])
        return pinned([sys.executable, __file__, server.url, streams]), base


def steady(streams: int, bare: str, request: str) -> None:
    ours, base = taken(streams, bare, request, flood=False)
    us, base_us = ours["cpu_s"] * 1e6 / ours["events"], base["cpu_s"] * 1e6 / base["events"]
    many = "1 stream" if streams == 1 else f"{streams:,} streams"
    said, holds = f"CPU an event at {many} of 50 tokens/s", not ours["failed"]
    if streams == max(STREAMS):
        said += f": at most {MOST_RATIO} x"
        holds = holds and us <= MOST_RATIO * base_us
    claim(
        said, us, "us", baseline="bare C client", baseline_figure=base_us, ratio=us / base_us, holds=holds,
        events=ours["events"],
    )  # fmt: skip
    if streams == max(STREAMS):
        memory = (ours["bytes"] - TAPE_BYTES * ours["events"]) / streams
        claim(
            "memory an open stream", memory / 1024, "KiB", baseline="the claim", baseline_figure=MOST_BYTES / 1024,
            ratio=memory / MOST_BYTES, holds=memory <= MOST_BYTES,
        )  # fmt: skip


def flood(bare: str, request: str) -> None:
    ours, base = taken(FLOOD_STREAMS, bare, request, flood=True)
    us, base_us = ours["cpu_s"] * 1e6 / ours["events"], base["cpu_s"] * 1e6 / base["events"]
    per_s, base_per_s = ours["events_per_s"], base["events"] / base["wall_s"]
    claim(
        f"flooded over {FLOOD_STREAMS} streams, one process reads {FLOOD_PER_S:,} events/s or more, end to end",
        per_s, "events/s", baseline="bare C client", baseline_figure=base_per_s, ratio=per_s / base_per_s,
        holds=per_s >= FLOOD_PER_S and not ours["failed"],
        also=f"CPU an event {us:.2f} us, the bare client's {base_us:.2f} us",
    )  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare, request = f"{folder}/bare", Path(folder, "request")
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        subprocess.run([shutil.which(compiler) or "cc", "-O2", "-o", bare, HERE / "bare_client.c"], check=True)
        request.write_text(REQUEST.format(n=len(BODY), body=BODY))
        for streams in STREAMS:
            steady(streams, bare, str(request))
        flood(bare, str(request))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
