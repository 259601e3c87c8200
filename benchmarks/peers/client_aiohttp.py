"""The loop that most Python harnesses have: one aiohttp session, lines of the answer, json.loads of each."""

import time

import aiohttp
import stamped


async def run(url: str, requests: int) -> list[dict]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=600)
    ) as session:

        async def ask(number: int) -> dict:
            tokens: list[int] = []
            start = time.perf_counter_ns()
            async with session.post(f"{url}/v1/chat/completions", json=stamped.body_of(number)) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    if not line.startswith(b"data: {"):
                        continue
                    at = time.perf_counter_ns()
                    if stamped.content_of(line[6:].decode()):
                        tokens.append(at)
            return {"id": str(number), "start": start, "tokens": tokens}

        return await stamped.spread(requests, ask)


stamped.main(run)
