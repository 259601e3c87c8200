"""Claim: a request of 8 tokens over a kept connection costs at most 2.5 times the CPU of a bare C client and 0.4 times
that of an aiohttp loop, and a first wave of 1,000 requests is sent within 120 ms.

The command as typed, with its start-up and its JSON Lines file, against bare_requests.c and an aiohttp loop, each by
the CPU of the whole process over its requests: client on the first core, simulator on the last. The wave is that of a
closed loop over connections that were opened before. Prints one line of JSON a case.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from bench_streams import BODY
from common import PEERS, claim, first_core, last_core, measured_run, pinned
from peers.tools import CLIENTS, environment

REQUESTS, AT_ONCE, WAVE = 8000, 64, 1000
TTFT_NS, ITL_NS, TOKENS = 20_000_000, 5_000_000, 8
MOST_BARE, MOST_AIOHTTP, MOST_WAVE_MS = 2.5, 0.4, 120
HERE = Path(__file__).resolve().parent
REQUEST = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    "Content-Length: {n}\r\n\r\n{body}"
)


def cpu_us(command: list) -> float:
    """CPU of a whole process, a request."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [str(word) for word in command],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=300,
        preexec_fn=lambda: os.sched_setaffinity(0, {first_core()}),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e6 / REQUESTS


def ours(url: str, folder: str) -> float:
    words = ["benchmark", "--provider", "simulator", "--model", "bench", "--ui", "none", "--export", "jsonl", "--force"]
    load = ["--base-url", f"{url}/v1", "--iterations", REQUESTS, "--concurrency", AT_ONCE, "--output", f"{folder}/run"]
    return cpu_us([sys.executable, "-m", "lens", *words, *load])


def compare(url: str, bare: str, request: str, folder: str) -> None:
    port = url.rpartition(":")[2]
    base = cpu_us([bare, "127.0.0.1", port, AT_ONCE, REQUESTS, request])
    us = ours(url, folder)
    said = f"CPU a request of {TOKENS} tokens over a kept connection"
    claim(
        f"{said}: at most {MOST_BARE} x", us, "us", baseline="bare C client", baseline_figure=base, ratio=us / base,
        holds=us <= MOST_BARE * base,
    )  # fmt: skip
    try:
        python = environment("aiohttp loop", CLIENTS["aiohttp loop"][1], "", PEERS)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"aiohttp loop: left out; {error}", file=sys.stderr)
        return
    peer = cpu_us([python, HERE / "peers" / "fresh_aiohttp.py", url, "", REQUESTS - AT_ONCE, AT_ONCE, "kept"])
    claim(
        f"{said}: at most {MOST_AIOHTTP} x", us, "us", baseline="aiohttp loop", baseline_figure=peer, ratio=us / peer,
        holds=us <= MOST_AIOHTTP * peer,
    )  # fmt: skip


def wave(url: str) -> dict:
    """In a process of its own."""
    sent = sorted(r.stamps.send_start for r in measured_run(url, iterations=WAVE, concurrency=WAVE))
    return {"spread_ms": (sent[-1] - sent[0]) / 1e6}


def main() -> None:
    from lens.simulator import Script, start

    with tempfile.TemporaryDirectory() as folder:
        bare, request = f"{folder}/bare", Path(folder, "request")
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        subprocess.run([shutil.which(compiler) or "cc", "-O2", "-o", bare, HERE / "bare_requests.c"], check=True)
        request.write_text(REQUEST.format(n=len(BODY), body=BODY))
        with start(Script(ttft_ns=TTFT_NS, itl_ns=ITL_NS, tokens=TOKENS), cpu=last_core()) as server:
            compare(server.url, bare, str(request), folder)
    with start(Script(ttft_ns=500_000_000, itl_ns=ITL_NS, tokens=TOKENS), cpu=last_core()) as server:
        spread = pinned([sys.executable, __file__, server.url])["spread_ms"]
    claim(
        f"a first wave of {WAVE:,} requests is sent within", spread, "ms", baseline="the claim",
        baseline_figure=MOST_WAVE_MS, ratio=spread / MOST_WAVE_MS, holds=spread <= MOST_WAVE_MS,
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(wave(sys.argv[1])))
    else:
        main()
