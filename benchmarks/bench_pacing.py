"""Claim: in an open loop each request begins within a millisecond (p99) of its appointed time, and nearer to it than
asyncio's.

Evenly spaced requests at each rate, answers of one token, client on the first core and simulator on the last. Lag is
the beginning of the send less the appointed time; new connections are made before it. The baseline is a loop of asyncio
that has the same times and nothing else to do: one task a request, asyncio.sleep, and a look at the clock. Prints one
line of JSON a rate.
"""

import asyncio
import json
import sys
import time

from common import claim, last_core, measured_run, percentile, pinned

RATES_PER_S, SECONDS = (100, 500, 1000, 2500), 4
MOST_US = 1000


def ours(url: str, rate: int) -> dict:
    records = measured_run(url, iterations=rate * SECONDS, rate_per_s=float(rate))
    lags = [(r.stamps.send_start - r.stamps.intended) / 1e3 for r in records if r.stamps.send_start is not None]
    took_s = (records[-1].stamps.send_start - records[0].stamps.send_start) / 1e9
    return {
        "p99_us": percentile(lags, 99),
        "p50_us": percentile(lags, 50),
        "rate": (len(records) - 1) / took_s,
        "failed": sum(record.status != "Success" for record in records),
    }


async def plain(rate: int) -> dict:
    lags: list[float] = []
    begun = time.monotonic() + 0.1

    async def one(due: float) -> None:
        await asyncio.sleep(due - time.monotonic())
        lags.append((time.monotonic() - due) * 1e6)

    await asyncio.gather(*(one(begun + number / rate) for number in range(rate * SECONDS)))
    return {"p99_us": percentile(lags, 99)}


def case(rate: int) -> None:
    from lens.simulator import Script, start

    with start(Script(ttft_ns=0, itl_ns=0, tokens=1), cpu=last_core()) as server:
        base = pinned([sys.executable, __file__, "", rate])
        found = pinned([sys.executable, __file__, server.url, rate])
    claim(
        f"a request begins after its appointed time by (p99), at {rate:,} requests/s",
        found["p99_us"],
        "us",
        baseline="asyncio.sleep, nothing sent",
        baseline_figure=base["p99_us"],
        ratio=base["p99_us"] / found["p99_us"],
        holds=found["p99_us"] <= min(MOST_US, base["p99_us"]) and not found["failed"],
        also=f"p50 {found['p50_us']:.0f} us; {found['rate']:,.1f} requests/s were sent",
    )


def main() -> None:
    for rate in RATES_PER_S:
        case(rate)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _, url, rate = sys.argv
        print(json.dumps(ours(url, int(rate)) if url else asyncio.run(plain(int(rate)))))
    else:
        main()
