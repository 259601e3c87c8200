"""Claim: a connection of its own for each request, with DNS, TCP and TLS timed one by one, costs at most 1.5 times the
CPU of an aiohttp client's that times none of them.

Both ask for answers of one token, so many at once, on the first core, of the same simulator on the last, and read
what is in them. For what cannot be had for less there is a client of asyncio streams too, which looks at nothing:
it writes the request and reads to the end. Prints one line of JSON a scheme.
"""

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path

from common import PEERS, claim, cpu_s, last_core, measured_run, pinned
from peers.tools import CLIENTS, environment

REQUESTS, AT_ONCE, MOST_RATIO = 2000, 50, 1.5
BODY = b'{"model":"bench","messages":[{"role":"user","content":"tick"}],"stream":true}'
AIOHTTP = Path(__file__).with_name("peers") / "fresh_aiohttp.py"


def ours(url: str, ca_file: str | None) -> dict:
    load = {"iterations": REQUESTS, "concurrency": AT_ONCE, "connection": "fresh"}
    measured_run(url, ca_file, **load | {"iterations": AT_ONCE})  # imports and first use are not counted
    cpu, began = cpu_s(), time.monotonic()
    records = measured_run(url, ca_file, **load)
    took = {"cpu_s": cpu_s() - cpu, "wall_s": time.monotonic() - began}
    timed = sum(record.stamps.tcp_end is not None for record in records)
    return {**took, "timed": timed, "failed": sum(record.status != "Success" for record in records)}


async def plain(url: str, ca_file: str | None) -> dict:
    host, _, port = url.rpartition("//")[2].rpartition(":")
    context = ssl.create_default_context(cafile=ca_file) if ca_file else None
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    )
    left = REQUESTS

    async def one_after_another() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(request)
            answer = await reader.read(-1)
            assert b"[DONE]" in answer
            writer.close()

    cpu, began = cpu_s(), time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return {"cpu_s": cpu_s() - cpu, "wall_s": time.monotonic() - began}


def case(scheme: str, python: Path) -> None:
    from lens.simulator import Script, start

    with start(Script(ttft_ns=0, itl_ns=0, tokens=1), tls=scheme == "tls", cpu=last_core()) as server:
        ca_file = server.ca_file or ""
        least = pinned([sys.executable, __file__, server.url, ca_file, "plain"])
        base = pinned([python, AIOHTTP, server.url, ca_file, REQUESTS, AT_ONCE])
        found = pinned([sys.executable, __file__, server.url, ca_file, "ours"])
    us, base_us, least_us = (one["cpu_s"] * 1e6 / REQUESTS for one in (found, base, least))
    claim(
        f"CPU a request on a new {scheme} connection, its phases timed: at most {MOST_RATIO} x",
        us,
        "us",
        baseline="aiohttp",
        baseline_figure=base_us,
        ratio=us / base_us,
        holds=us <= MOST_RATIO * base_us and not found["failed"] and found["timed"] == REQUESTS,
        also=f"{REQUESTS / found['wall_s']:,.0f} connections/s beside {REQUESTS / base['wall_s']:,.0f}; "
        f"asyncio streams, nothing looked at: {least_us:.0f} us",
    )


def main() -> None:
    _, install = CLIENTS["aiohttp loop"]
    python = environment("aiohttp loop", install, "", PEERS)
    for scheme in ("http", "tls"):
        case(scheme, python)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _, url, ca_file, who = sys.argv
        print(json.dumps(ours(url, ca_file or None) if who == "ours" else asyncio.run(plain(url, ca_file or None))))
    else:
        main()
