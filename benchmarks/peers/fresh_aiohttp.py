"""An aiohttp client that reads answers as a harness does, over a new connection for each request or kept ones.

    python fresh_aiohttp.py URL CA_FILE REQUESTS AT_ONCE [kept]

Prints {"cpu_s", "wall_s"}; the first AT_ONCE requests are not counted.
"""

import asyncio
import json
import ssl
import sys
import time

import aiohttp
import stamped


async def run(url: str, ca_file: str, requests: int, at_once: int, kept: bool) -> dict:
    context = ssl.create_default_context(cafile=ca_file) if ca_file else True
    connector = aiohttp.TCPConnector(limit=0, force_close=not kept, ssl=context)
    left = at_once

    async with aiohttp.ClientSession(connector=connector) as session:

        async def one_after_another() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                tokens = []
                async with session.post(f"{url}/v1/chat/completions", json=stamped.body_of(left)) as answer:
                    answer.raise_for_status()
                    async for line in answer.content:
                        if line.startswith(b"data: {") and stamped.content_of(line[6:].decode()):
                            tokens.append(time.perf_counter_ns())
                assert tokens

        async def all_of_them() -> None:
            await asyncio.gather(*(one_after_another() for _ in range(at_once)))

        await all_of_them()
        left, cpu, began = requests, time.process_time(), time.monotonic()
        await all_of_them()
        return {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - began}


url, ca_file, requests, at_once = sys.argv[1:5]
print(json.dumps(asyncio.run(run(url, ca_file, int(requests), int(at_once), "kept" in sys.argv[5:]))))
