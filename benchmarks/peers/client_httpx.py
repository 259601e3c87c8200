"""httpx with httpx-sse: what many services are written with."""

import time

import httpx
import httpx_sse
import stamped


async def run(url: str, requests: int) -> list[dict]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=600, trust_env=False) as client:

        async def ask(number: int) -> dict:
            tokens: list[int] = []
            start = time.perf_counter_ns()
            body = stamped.body_of(number)
            async with httpx_sse.aconnect_sse(client, "POST", f"{url}/v1/chat/completions", json=body) as source:
                async for event in source.aiter_sse():
                    at = time.perf_counter_ns()
                    if event.data != "[DONE]" and stamped.content_of(event.data):
                        tokens.append(at)
            return {"id": str(number), "start": start, "tokens": tokens}

        return await stamped.spread(requests, ask)


stamped.main(run)
