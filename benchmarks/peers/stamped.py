"""What every client beside this file is given and prints: a run of requests, and the stamps it took.

    python client_NAME.py URL REQUESTS

Requests begin one after another over one second, so that the server's own queue at a common start is in
nobody's figures; with answers of more than a second they are soon open all at once. Stamps are
CLOCK_MONOTONIC nanoseconds, as the simulator's own are: `start` is what the client holds for the beginning
of its request, `tokens` when it held each content event in its hands. The model's name tells the requests
apart in the simulator's log.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any


def body_of(number: int) -> dict[str, Any]:
    return {
        "model": str(number),
        "messages": [{"role": "user", "content": "tick"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def content_of(data: str) -> str | None:
    """The text of one event of a chat completion."""
    choices = json.loads(data).get("choices")
    return choices[0]["delta"].get("content") if choices else None


async def spread(requests: int, ask: Callable[[int], Awaitable[dict]]) -> list[dict]:
    """All requests, evenly over one second, however long the answers take."""
    begun = time.monotonic()

    async def one(number: int) -> dict:
        await asyncio.sleep(begun + number / requests - time.monotonic())
        try:
            return await ask(number)
        except Exception as error:
            return {"id": str(number), "error": f"{type(error).__name__}: {error}"[:200]}

    return await asyncio.gather(*(one(number) for number in range(requests)))


def main(run: Callable[[str, int], Awaitable[list[dict]]]) -> None:
    url, requests = sys.argv[1], int(sys.argv[2])
    before = resource.getrusage(resource.RUSAGE_SELF)
    done = asyncio.run(run(url, requests))
    tell(done, before)


def tell(done: list[dict], before: resource.struct_rusage) -> None:
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    json.dump({"requests": done, "cpu_s": cpu_s}, sys.stdout)
