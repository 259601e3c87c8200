"""The openai package's own client, as its documentation streams."""

import time

import openai
import stamped


async def run(url: str, requests: int) -> list[dict]:
    async with openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as client:

        async def ask(number: int) -> dict:
            tokens: list[int] = []
            start = time.perf_counter_ns()
            async for chunk in await client.chat.completions.create(**stamped.body_of(number)):
                at = time.perf_counter_ns()
                if chunk.choices and chunk.choices[0].delta.content:
                    tokens.append(at)
            return {"id": str(number), "start": start, "tokens": tokens}

        return await stamped.spread(requests, ask)


stamped.main(run)
